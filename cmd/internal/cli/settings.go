package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/lcbq/lcbq/config"
)

// configCmd is about files of settings.
type configCmd struct {
	Init  configInitCmd  `cmd:"" help:"write a file with every setting, its meaning and its default"`
	Show  configShowCmd  `cmd:"" help:"show the settings that 'lcbq run' would take, and where each is from"`
	Check configCheckCmd `cmd:"" help:"check a file of settings, and start nothing"`
}

// A setting is one that a file may hold, as 'lcbq run' has it.
type setting struct {
	*kong.Flag
	group string
}

// settings returns the settings of a file in the order of the help. args are those of 'lcbq run'.
func settings(args ...string) ([]setting, *runCmd, error) {
	keys := config.Keys()
	var v verbs
	p, err := newParser(&v, io.Discard, io.Discard)
	if err != nil {
		return nil, nil, err
	}
	if _, err := parse(p, append([]string{"run"}, args...)); err != nil {
		return nil, nil, err
	}
	var out []setting
	for _, leaf := range p.Model.Leaves(false) {
		if verbOf(leaf) != "run" {
			continue
		}
		for _, f := range leaf.Flags {
			if slices.Contains(keys, f.Name) {
				s := setting{Flag: f}
				if i := place(f); i >= 0 {
					s.group = groups[i].title
				}
				out = append(out, s)
			}
		}
	}
	return out, &v.Run, nil
}

// toml writes a value of the setting as a file has it.
func (s setting) toml(text string) string {
	switch s.Target.Kind() { //nolint:exhaustive // others are texts
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64:
		if _, isText := reflect.TypeAssert[config.Bytes](s.Target); !isText {
			return cmp.Or(text, map[bool]string{true: "false", false: "0"}[s.Target.Kind() == reflect.Bool])
		}
	case reflect.Slice:
		if text == "" {
			return "[]"
		}
	}
	return strconv.Quote(text)
}

type configInitCmd struct {
	File string `arg:"" optional:"" type:"path" default:"lcbq.toml" help:"file to write; it must not be there"`
}

// Run writes a file in which every setting is commented out.
func (c *configInitCmd) Run(a *app) error {
	all, _, err := settings()
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# Settings for lcbq, given by --config. Each line shows a default: take away the # and change it.\n# A flag comes before a variable, a variable before this file. Secrets belong in variables.\n")
	group := ""
	for _, s := range all {
		if s.group != group {
			group = s.group
			fmt.Fprintf(&b, "\n# %s\n", group)
		}
		fmt.Fprintf(&b, "\n# %s\n# %s = %s\n", strings.ReplaceAll(s.Help, "\n", " "), s.Name, s.toml(s.Default))
	}
	f, err := os.OpenFile(c.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write settings: %w\nname another file, or remove this one", err)
	}
	_, err = io.WriteString(f, b.String())
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	fmt.Fprintf(a.out, "%s has %d settings, all at their defaults; give it with --config %s\n", c.File, len(all), c.File)
	return nil
}

type configShowCmd struct{}

// A shownSetting is one setting with its value and where that is from.
type shownSetting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"` // default, a file's name or a variable's
}

// Run shows what 'lcbq run' without flags would take, with the file of --config. No secret is shown.
func (c *configShowCmd) Run(a *app) error {
	path := fileOf(a.args)
	var args []string
	values := map[string]any{}
	if path != "" {
		args = []string{"--config", path}
		var err error
		if values, err = config.ReadFile(path); err != nil {
			return usageError{err}
		}
	}
	all, _, err := settings(args...)
	if err != nil {
		return err
	}
	var out []shownSetting
	for _, s := range all {
		from := "default"
		if i := slices.IndexFunc(s.Envs, func(name string) bool { return config.Set([]string{name}) }); i >= 0 {
			from = s.Envs[i]
		} else if v, ok := values[s.Name]; ok && v != "" {
			from = path
		}
		out = append(out, shownSetting{s.Name, config.Redact(textOf(s.Target)), from})
	}
	if a.json {
		return a.printJSON(out)
	}
	for _, s := range out {
		fmt.Fprintf(a.out, "%-24s %-28s %s\n", s.Key, s.Value, s.From)
	}
	return nil
}

// textOf writes the value of a setting as its flag takes it.
func textOf(v reflect.Value) string {
	if v.Kind() == reflect.Slice {
		var all []string
		for i := range v.Len() {
			all = append(all, fmt.Sprint(v.Index(i).Interface()))
		}
		return strings.Join(all, ",")
	}
	return fmt.Sprint(v.Interface())
}

// fileOf returns the file that --config names.
func fileOf(args []string) string {
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--config="); ok {
			return value
		}
		if arg == "--config" && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

type configCheckCmd struct {
	File string `arg:"" type:"path" help:"file to check"`
}

// Run reports all that is wrong with the file.
func (c *configCheckCmd) Run(a *app) error {
	if _, err := config.ReadFile(c.File); err != nil {
		return usageError{err}
	}
	_, run, err := settings("--config", c.File)
	if err != nil {
		return err
	}
	cfg := run.config()
	if err := errors.Join(cfg.Check(), formOf(cfg)); err != nil {
		return usageError{fmt.Errorf("%s: %w", c.File, err)}
	}
	fmt.Fprintf(a.out, "%s is sound\n", c.File)
	return nil
}

// formOf looks at what Check leaves to the start: lists and addresses.
func formOf(cfg config.Config) error {
	_, err := temperatures(cfg.Temperatures)
	_, _, _, listen := listenAddress(cfg.Host)
	return errors.Join(err, listen)
}

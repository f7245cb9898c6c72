package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/lcbq/lcbq/config"
)

// groups are the headings of a verb's flags in their order, and what a flag under each is for.
var groups = []struct{ key, title, purpose string }{
	{"what", "What to run:", "says what a run measures"},
	{"model", "Model:", "defines a run"},
	{"sampling", "Sampling:", "defines a run"},
	{"engine", "Engine:", "is for what generates"},
	{"judging", "Judging:", "defines a run"},
	{"machine", "This machine:", "is for a machine that works on a run"},
	{"server", "Server:", "is for the server and those who join it"},
	{"hub", "Hub:", "is for what comes from the hub"},
}

// errHelp says that help or the version was printed and nothing is left to do.
var errHelp = errors.New("help printed")

// newParser builds the grammar. Flags are read into v.
func newParser(v *verbs, stdout, stderr io.Writer) (*kong.Kong, error) {
	headings := make([]kong.Group, 0, len(groups))
	for _, g := range groups {
		headings = append(headings, kong.Group{Key: g.key, Title: g.title})
	}
	parser, err := kong.New(v,
		kong.Name("lcbq"),
		kong.Description("Measures language models on LiveCodeBench over a sweep of temperatures, on a queue that counts every sample once.\n\n"+exitHelp),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { panic(errHelp) }), // taken by parse; kong would go on otherwise
		kong.DefaultEnvars("LCBQ"),
		kong.Vars{"export_formats": exportHelp(), "endless_cpu": usualEndless.String()},
		kong.Configuration(tomlResolver),
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.ExplicitGroups(headings),
		kong.PostBuild(func(k *kong.Kong) error {
			for _, n := range k.Model.Leaves(false) {
				if n.Detail == "" { // some verbs have more to tell
					n.Detail = detail(verbOf(n))
				}
				slices.SortStableFunc(n.Flags, func(a, b *kong.Flag) int { return cmp.Compare(place(a), place(b)) })
			}
			return nil
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("build command line: %w", err)
	}
	return parser, nil
}

// place returns where a flag stands in the help.
func place(f *kong.Flag) int {
	return slices.IndexFunc(groups, func(g struct{ key, title, purpose string }) bool { return f.Group != nil && g.key == f.Group.Key })
}

// verbOf returns a command's words, without lcbq.
func verbOf(n *kong.Node) string {
	name := n.Name
	for p := n.Parent; p != nil && p.Type == kong.CommandNode; p = p.Parent {
		name = p.Name + " " + name
	}
	return name
}

// parse reads one command line. It returns errHelp where it has printed what was asked for.
func parse(parser *kong.Kong, args []string) (parsed *kong.Context, err error) {
	defer func() {
		switch r := recover(); r {
		case nil:
		case errHelp: // exactly the value that Exit panics with
			err = errHelp
		default:
			panic(r)
		}
	}()
	words := attached(parser.Model.Node, spelling(args))
	if parsed, err = parser.Parse(words); err != nil {
		return nil, usageError{explain(parser.Model, words, args[0] == "help", err)}
	}
	return parsed, nil
}

// spelling maps the spellings that lcbq understands to those it documents:
// --output_dir to --output-dir, help to --help, and no command to help.
func spelling(args []string) []string {
	out := make([]string, 0, len(args)+1)
	for i, arg := range args {
		if arg == "--" {
			return append(out, args[i:]...)
		}
		if name, value, hasValue := strings.Cut(arg, "="); strings.HasPrefix(name, "--") {
			arg = strings.ReplaceAll(name, "_", "-")
			if hasValue {
				arg += "=" + value
			}
		}
		out = append(out, arg)
	}
	switch {
	case len(out) == 0:
		return []string{"--help"}
	case out[0] == "help":
		return append(out[1:], "--help")
	}
	return out
}

// attached returns args with each negative number joined to the flag before it: kong takes one that stands alone for
// flags of one letter, so that '--end -1' would be refused.
func attached(n *kong.Node, args []string) []string {
	out := make([]string, 0, len(args))
	for i, arg := range args {
		if arg == "--" {
			return append(out, args[i:]...)
		}
		if i > 0 && negative(arg) && takesValue(n, args[i-1]) {
			out[len(out)-1] += "=" + arg
			continue
		}
		out = append(out, arg)
	}
	return out
}

// negative reports whether a word begins as a negative number does.
func negative(word string) bool {
	return len(word) > 1 && word[0] == '-' && (word[1] >= '0' && word[1] <= '9' || word[1] == '.')
}

// takesValue reports whether a word is a flag of n, or of a command below it, whose value is the next word.
func takesValue(n *kong.Node, word string) bool {
	name, long := strings.CutPrefix(word, "--")
	if !long {
		return false
	}
	for _, f := range n.Flags {
		if (f.Name == name || slices.Contains(f.Aliases, name)) && !f.IsBool() {
			return true
		}
	}
	return slices.ContainsFunc(n.Children, func(c *kong.Node) bool { return takesValue(c, word) })
}

// named reports whether a command line has a flag, in any spelling that lcbq understands.
func named(args []string, flag string) bool {
	return slices.ContainsFunc(spelling(args), func(arg string) bool { return arg == "--"+flag || strings.HasPrefix(arg, "--"+flag+"=") })
}

// explain rewords kong's error for a word that is no command, and for a flag that the command
// does not have: it says where the flag goes, or which one was probably meant. After help a
// word may be a topic too.
func explain(app *kong.Application, args []string, help bool, err error) error {
	n := app.Node
	for _, arg := range args {
		if arg == "--" {
			break
		}
		if name, _, _ := strings.Cut(arg, "="); strings.HasPrefix(name, "--") {
			if strange := strangeFlag(app, n, strings.TrimPrefix(name, "--")); strange != nil {
				return strange
			}
			continue
		}
		if strings.HasPrefix(arg, "-") || len(n.Children) == 0 {
			continue
		}
		var names []string
		i := slices.IndexFunc(n.Children, func(c *kong.Node) bool { names = append(names, c.Name); return c.Name == arg })
		if i < 0 {
			if n == app.Node && help {
				return unknownTopic(arg, names)
			}
			if n == app.Node {
				return fmt.Errorf("unknown command %q%s", arg, didYouMean("", arg, names))
			}
			return fmt.Errorf("unknown command %q of lcbq %s%s", arg, verbOf(n), didYouMean("", arg, names))
		}
		n = n.Children[i]
	}
	return err
}

// strangeFlag returns nil for a flag that n has.
func strangeFlag(app *kong.Application, n *kong.Node, name string) error {
	var own []string
	for _, level := range n.AllFlags(false) {
		for _, f := range level {
			if f.Name == name || slices.Contains(f.Aliases, name) {
				return nil
			}
			own = append(own, f.Name)
		}
	}
	var owners []string
	purpose := "is another command's"
	for _, leaf := range app.Leaves(false) {
		for _, f := range leaf.Flags {
			if f.Name == name || slices.Contains(f.Aliases, name) {
				if i := place(f); i >= 0 && len(owners) == 0 {
					purpose = groups[i].purpose
				}
				owners = append(owners, "'lcbq "+verbOf(leaf)+"'")
			}
		}
	}
	switch {
	case len(owners) == 0 || n == app.Node:
		return fmt.Errorf("unknown flag --%s%s", name, didYouMean("--", name, own))
	case len(owners) == 1:
		return fmt.Errorf("--%s %s, and 'lcbq %s' does not read it: give it to %s", name, purpose, verbOf(n), owners[0])
	}
	const most = 4
	if len(owners) > most {
		owners = append(owners[:most-1], "others")
	}
	return fmt.Errorf("--%s %s, and 'lcbq %s' does not read it: give it to %s or %s", name, purpose, verbOf(n), strings.Join(owners[:len(owners)-1], ", "), owners[len(owners)-1])
}

// didYouMean names the known words that a wrong one is nearest to.
func didYouMean(prefix, word string, known []string) string {
	const most = 2 // with more changes it is another word
	best, near := most+1, []string(nil)
	for _, k := range known {
		d := distance(word, k)
		if len(word) > 2 && strings.HasPrefix(k, word) {
			d = 1
		}
		switch {
		case d > most || d >= len(k) || d > best:
		case d < best:
			best, near = d, []string{prefix + k}
		default:
			near = append(near, prefix+k)
		}
	}
	if len(near) == 0 {
		return ""
	}
	return "\ndid you mean " + strings.Join(near, " or ") + "?"
}

// distance returns how many letters must be put in, left out, changed or swapped with their
// neighbour to make b of a.
func distance(a, b string) int {
	before, row := []int(nil), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

// tomlResolver reads --config. Flags and variables come before it.
func tomlResolver(r io.Reader) (kong.Resolver, error) {
	named, ok := r.(interface{ Name() string })
	if !ok {
		return nil, errors.New("read config: not a file")
	}
	values, err := config.ReadFile(named.Name())
	if err != nil {
		return nil, usageError{err}
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		v, ok := values[flag.Name]
		if !ok || v == "" || config.Set(flag.Envs) { // an empty text is a setting left out: a path would become the current folder
			return nil, nil //nolint:nilnil // kong's way to say that it has no value
		}
		return v, nil
	}), nil
}

package completion_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/lcbq/lcbq/cmd/internal/completion"
	"github.com/lcbq/lcbq/worker/process/processtest"
)

// grammar is a small one of every kind of word.
type grammar struct {
	Config  string `type:"path" help:"file"`
	Verbose bool   `short:"v" help:"more"`
	Run     struct {
		Engine   string `enum:"sim,vllm" default:"sim" help:"what generates"`
		Output   string `short:"o" type:"path" help:"folder"`
		N        int    `short:"n" help:"samples"`
		Problems string `placeholder:"FILE|sample|v1..v6" help:"problems"`
		Wait     bool   `help:"wait"`
	} `cmd:"" help:"all of it"`
	Dead struct {
		List struct{} `cmd:"" help:"list"`
		Show struct {
			Subject string `arg:""`
		} `cmd:"" help:"show"`
	} `cmd:"" help:"given up"`
	Report struct {
		Folder string `arg:"" type:"path"`
	} `cmd:"" help:"report"`
	Judge struct {
		Mode string `arg:"" enum:"lcb,script"`
		File string `arg:"" type:"path"`
	} `cmd:"" help:"judge"`
	Secret struct{} `cmd:"" hidden:"" help:"not shown"`
}

func answer(t *testing.T, words ...string) string {
	t.Helper()
	var g grammar
	p, err := kong.New(&g)
	if err != nil {
		t.Fatal(err)
	}
	a := completion.Of(p.Model, completion.Topics{{Text: "results", Help: "files"}}, words)
	var out []string
	for _, w := range a.Words {
		out = append(out, w.Text)
	}
	if a.Files {
		out = append(out, ":files")
	}
	return strings.Join(out, " ")
}

func TestOf(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"":                         "run dead report judge help",
		"r":                        "run report",
		"x":                        "",
		"--v":                      "--verbose",
		"run --e":                  "--engine",
		"run --engine ":            "sim vllm",
		"run --engine v":           "vllm",
		"run --engine=":            "--engine=sim --engine=vllm",
		"run --engine=v":           "--engine=vllm",
		"run --engine sim --w":     "--wait",
		"run --wait --n 5 --engin": "--engine",
		"run -o ":                  ":files",
		"run -oout --engine ":      "sim vllm",
		"run --n ":                 "",
		"run --problems ":          "sample :files",
		"run --problems=s":         "--problems=sample",
		"run --wait=":              "--wait=true --wait=false",
		"dead ":                    "list show",
		"dead show ":               "",
		"report ":                  ":files",
		"-v report ":               ":files",
		"help ":                    "run dead report judge results",
		"help res":                 "results",
		"help dead s":              "show",
		"se":                       "",
		"report -- ":               ":files",
		"report -- --":             ":files",
		"report -- -v ":            ":files",
		"run -- --e":               "",
		"run -o -- --w":            "--wait", // the folder's name
		"judge -- ":                "lcb script",
		"judge lcb -- ":            ":files",
		"judge -- lcb ":            ":files",
	} {
		if got := answer(t, strings.Split(typed, " ")...); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}

// TestScripts has real shells complete with the scripts. A stand-in answers for lcbq.
func TestScripts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stand := "#!/bin/sh\ncase \"$*\" in\n'completion answer -- st') printf 'status\\thow far\\nstop\\tend: now\\n' ;;\n'completion answer -- run --engine=v') printf -- '--engine=vllm\\n' ;;\n'completion answer -- report fi') printf ':files\\n' ;;\nesac\n"
	processtest.Write(t, filepath.Join(dir, "lcbq"), []byte(stand))
	if err := os.WriteFile(filepath.Join(dir, "file one"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for shell, ask := range map[string]string{
		"bash": `PATH=$PWD:$PATH; source "$1"; ask() { COMP_LINE=$1; COMP_POINT=${#1}; COMP_WORDBREAKS=$' \t\n"'"'"'><=;|&(:'; _lcbq; printf '%s\n' "${COMPREPLY[@]}"; }; ask 'lcbq st'; ask 'lcbq run --engine=v'; ask 'lcbq report fi'`,
		"zsh": `_describe() { print -l -- "${(@P)2}"; }; _files() { print -l -- fi*; }; PATH=$PWD:$PATH; source "$1"
			ask() { words=("$@"); CURRENT=$#words; _lcbq; }; ask lcbq st; ask lcbq run --engine=v; ask lcbq report fi`,
		"fish": `set -x PATH $PWD $PATH; source $argv[1]; complete -C 'lcbq st'; complete -C 'lcbq run --engine=v'; complete -C 'lcbq report fi'`,
	} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("no %s on PATH: its script is not tried (apt-get install %s)", shell, shell)
			}
			text, err := completion.Script(shell)
			if err != nil {
				t.Fatal(err)
			}
			script := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"-c", ask}
			if shell == "zsh" {
				args = []string{"-f", "-c", ask}
			}
			if shell != "fish" {
				args = append(args, shell)
			}
			cmd := exec.CommandContext(t.Context(), path, append(args, script)...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "HOME="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var got []string
			for line := range strings.Lines(string(out)) {
				word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
				got = append(got, strings.ReplaceAll(word, `\`, ""))
			}
			want := map[string][]string{
				"bash": {"status", "stop", "vllm", "file one"},
				"zsh":  {"status:how far", "stop:end: now", "--engine=vllm", "file one"},
				"fish": {"status", "stop", "--engine=vllm", "file one"},
			}[shell]
			if !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
	if _, err := completion.Script("tcsh"); err == nil {
		t.Error("there is a script for tcsh")
	}
}

package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A block is a block of commands of the README.
type block struct {
	line     int
	why      string // why its commands are not run here; "" if they are
	commands []string
}

// blocksOf returns the blocks of commands in a Markdown text. One that needs what a test has
// not stands below a comment that says so: <!-- not run: needs GPUs -->.
func blocksOf(t *testing.T, text string) []block {
	t.Helper()
	var out []block
	var b *block
	why := ""
	for i, line := range strings.Split(text, "\n") {
		switch {
		case line == "```sh" && b == nil:
			out = append(out, block{line: i + 1, why: why})
			b = &out[len(out)-1]
		case strings.HasPrefix(line, "```"):
			b, why = nil, ""
		case b != nil && strings.TrimSpace(line) != "":
			b.commands = append(b.commands, line)
		case strings.HasPrefix(line, "<!-- not run: "):
			why = strings.TrimSuffix(strings.TrimPrefix(line, "<!-- not run: "), " -->")
		}
	}
	if b != nil {
		t.Fatalf("the block of line %d has no end", b.line)
	}
	return out
}

// TestReadmeIsShort wants depth in the README files of the packages.
func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
	const most = 9000
	if text := readme(t); len(text) > most {
		t.Errorf("README.md has %d bytes, want %d at most: depth goes to the README files of the packages", len(text), most)
	}
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadme does what the README tells a newcomer, in an empty folder. What needs GPUs, a
// network or other machines is read by lcbq, but not done.
func TestReadme(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	text := readme(t)
	dir, ran := t.TempDir(), 0
	var out strings.Builder
	for _, b := range blocksOf(t, text) {
		for _, command := range b.commands {
			command = strings.ReplaceAll(command, "go run ./cmd/lcbq", "lcbq")
			if b.why != "" {
				said, err := shell(t, dir, helpOf(command))
				if err != nil {
					t.Errorf("README.md, block of line %d: %s\n%v\n%s", b.line, command, err, said)
				}
				continue
			}
			ran++
			said, err := shell(t, dir, command)
			if err != nil {
				t.Fatalf("README.md, block of line %d: %s\n%v\n%s", b.line, command, err, said)
			}
			out.WriteString(said)
		}
	}
	if ran == 0 {
		t.Error("no command of the README was run")
	}
	// The README shows a shortened output, and that must be what is printed.
	for _, want := range printed(t, text) {
		if !strings.Contains(out.String(), want) {
			t.Errorf("README.md shows, and no command printed:\n%s\nprinted:\n%s", want, out.String())
		}
	}
}

var (
	comment = regexp.MustCompile(`\s+#.*$`)
	number  = regexp.MustCompile(`^ *[0-9.]+ +[0-9]+ +[0-9]+`)
)

// helpOf returns a command line that has lcbq read the flags of command and print its help.
func helpOf(command string) string {
	return comment.ReplaceAllString(command, "") + " --help"
}

// printed returns what the README says that lcbq prints: the table's title and columns, and of
// each row the counts.
func printed(t *testing.T, text string) []string {
	t.Helper()
	_, shown, ok := strings.Cut(text, "```text\n")
	shown, _, end := strings.Cut(shown, "```")
	if !ok || !end {
		t.Fatal("README.md shows no output")
	}
	lines := strings.Split(strings.TrimSuffix(shown, "\n"), "\n")
	for i, line := range lines {
		if counts := number.FindString(line); counts != "" {
			lines[i] = counts
		}
	}
	return lines
}

// shell runs one command line, with lcbq in its path. The two temperatures of the README's
// rows stand for the default ones where a command names none, and a shorter time limit, which
// changes no verdict of the built-in programs, for the default one.
func shell(t *testing.T, dir, command string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LCBQ_PYTHON="+python(), "LCBQ_TEMPERATURES=0.1,0.4,2", "LCBQ_TIME_LIMIT=1", "HF_HOME="+dir)
	said, err := cmd.CombinedOutput()
	return string(said), err
}

// TestReadmeBlocks wants a misspelt command of the README found, run or not.
func TestReadmeBlocks(t *testing.T) {
	t.Parallel()
	b := blocksOf(t, "text\n```sh\nlcbq version\n```\n<!-- not run: needs GPUs -->\n```sh\nlcbq run --gpu 0   # fast\n```\n")
	if len(b) != 2 || b[0].why != "" || b[1].why != "needs GPUs" {
		t.Fatalf("blocks: %+v", b)
	}
	if said, err := shell(t, t.TempDir(), helpOf(b[1].commands[0])); err == nil || !strings.Contains(said, "unknown flag --gpu") {
		t.Errorf("a misspelt flag: %v\n%s", err, said)
	}
	if said, err := shell(t, t.TempDir(), helpOf("lcbq evalute")); err == nil || !strings.Contains(said, "did you mean evaluate") {
		t.Errorf("a misspelt command: %v\n%s", err, said)
	}
	if said, err := shell(t, t.TempDir(), b[0].commands[0]); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}

// TestTestsOfReadmes wants the tests and benchmarks that a README has people run to be there, and not all of them to
// be left out for want of -slow.
func TestTestsOfReadmes(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	command := regexp.MustCompile("go test [^`\n]+")
	seen := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == "vendor" {
			return fs.SkipDir // others' READMEs
		}
		if err != nil || e.Name() != "README.md" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, c := range command.FindAllString(string(text), -1) {
			seen++
			if why := namesTests(root, c); why != "" {
				t.Errorf("%s: %s: %s", path, c, why)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Errorf("%d commands were looked at, want the READMEs' all", seen)
	}
	for c, want := range map[string]string{
		"go test ./cmd/lcbq -run TestNobodyWroteThis":  "nothing is called",
		"go test ./cmd/lcbq -run '^TestReadme$' -v":    "-slow",
		"go test ./cmd/lcbq -run '^TestReadme$' -slow": "",
		"go test ./cmd/... -bench Sleepers -run '^$'":  "",
		"go test ./worker/evaluate -run FormsShare":    "-slow",
	} {
		if why := namesTests(root, c); why == "" != (want == "") || !strings.Contains(why, want) {
			t.Errorf("%s: %q, want %q", c, why, want)
		}
	}
}

var function = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)\w+)\(`)

// namesTests returns what is wrong with a command that runs tests.
func namesTests(root, command string) string {
	var files []string
	patterns := make(map[string]string) // of tests and of benchmarks
	fields := strings.Fields(strings.ReplaceAll(command, "=", " "))
	for i, f := range fields {
		dir, below := strings.CutSuffix(f, "/...")
		switch {
		case (f == "-run" || f == "-bench") && i+1 < len(fields):
			patterns[map[string]string{"-run": "Test", "-bench": "Benchmark"}[f]] = strings.Trim(fields[i+1], `'"`)
		case strings.HasPrefix(f, "./"):
			_ = filepath.WalkDir(filepath.Join(root, dir), func(path string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() && !below && path != filepath.Join(root, dir) {
					return fs.SkipDir
				}
				if strings.HasSuffix(path, "_test.go") {
					files = append(files, path)
				}
				return nil
			})
		}
	}
	for kind, pattern := range patterns {
		if pattern == "^$" {
			continue
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return err.Error()
		}
		found, runs := "", false
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err.Error()
			}
			at := function.FindAllSubmatchIndex(text, -1)
			for i, f := range at {
				name := string(text[f[2]:f[3]])
				if !strings.HasPrefix(name, kind) || !re.MatchString(name) {
					continue
				}
				found = name
				end := len(text)
				if i+1 < len(at) {
					end = at[i+1][0]
				}
				body := string(text[f[0]:end])
				slow := strings.Contains(body, "takesMinutes(t)") || strings.Contains(body, "burnsSeconds(t)")
				runs = runs || !slow || strings.Contains(command, "-slow")
			}
		}
		switch {
		case found == "":
			return "nothing is called " + pattern
		case !runs:
			return found + " is left out without -slow"
		}
	}
	return ""
}

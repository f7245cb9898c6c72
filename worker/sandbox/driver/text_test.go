package driver_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/pythontest"

	"github.com/lcbq/lcbq/worker/sandbox/driver"
)

// compared returns what testdata/wrapped.py says of each source that can be
// wrapped by its text, and "" for the others.
func compared(t *testing.T, sources []string) []string {
	t.Helper()
	harness := filepath.Join(t.TempDir(), "driver.py")
	if err := os.WriteFile(harness, []byte(driver.Source), 0o600); err != nil {
		t.Fatal(err)
	}
	type pair struct {
		Source string `json:"source"`
		Text   string `json:"text"`
	}
	var jobs bytes.Buffer
	said := make([]string, len(sources))
	var asked []int
	for i, source := range sources {
		if text := driver.Wrap(source); text.Wrapped != "" {
			if err := json.NewEncoder(&jobs).Encode(pair{source, text.Wrapped}); err != nil {
				t.Fatal(err)
			}
			asked = append(asked, i)
		}
	}
	cmd := exec.CommandContext(t.Context(), pythontest.Find(t), "testdata/wrapped.py", harness)
	cmd.Env = []string{"PYTHONHASHSEED=0", "LC_ALL=C.UTF-8"}
	cmd.Stdin, cmd.Stderr = &jobs, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for _, i := range asked {
		lines.Scan()
		said[i] = lines.Text()
	}
	return said
}

func TestWrap(t *testing.T) {
	t.Parallel()
	const same, neither, tree = "same", "neither", ""
	deep := neither
	if minorVersion(t) >= 12 {
		deep = same // its parser counts no frames of the program
	}
	cases := []struct{ name, source, want string }{
		{"statements", "a = input()\nprint(a)\n", same},
		{"no line end", "print(1)", same},
		{"imports first", "import sys\nfrom math import *\nfrom a.b import c as d, e  # because\n\nprint(1)", same},
		{"an import between", "print(1)\nimport os.path as p, sys\nprint(p)", same},
		{"an import inside", "def f():\n    import sys\n    return sys\nprint(f())", same},
		{"main guard", "def main():\n    print(1)\n\nif __name__ == '__main__':\n    main()\n# end\n", same},
		{"main guard on one line", "x = 1\nif __name__==\"__main__\": print(x)", same},
		{"top-level global", "c = 0\nglobal d\nd = 1", same},
		{"nonlocal at the top", "nonlocal x\nx = 1", neither},
		{"top-level return", "print(1)\nreturn\nprint(2)", same},
		{"top-level yield and await", "x = yield 3\nawait x", neither},
		{"class, closure, comprehension", "n = 3\nclass A:\n    k = n\n    def f(self): return __class__\ndef g(): return [n + i for i in range(n)]\nprint(g(), {n for _ in '1'})", same},
		{"brackets over lines", "a = [\n1,\n  2,\n]\nprint(a\n)", same},
		{"string first", "'text'\nprint(__doc__)", same},
		{"unicode", "größe = 'ü'  # ä\nprint(größe)", same},
		{"plain f-strings", "x = 1\nprint(f'{x} of {x!r:>5}', f'')", same},
		{"semicolons", "a = 1; b = 2\nif a: b = 3; c = 4", same},
		{"only comments between", "# one\n\n# two\nx = 1\n  # three\ny = 2", same},
		{"decorator, walrus, match", "def d(f): return f\n@d\ndef f(): return (y := 3)\nmatch f():\n    case 3: print(3)\n    case _: pass", same},
		{"deep, but not too deep", "x = " + strings.Repeat("(", 60) + "1" + strings.Repeat(")", 60), same},

		{"deep", "x = " + strings.Repeat("-", 150) + "1", deep},
		{"no program", "print(1", neither},
		{"an import within brackets", "x = [1,\nimport sys\n,2]", neither},
		{"an import for an element", "x = [1,\nimport sys\n2]", neither},
		{"indented after an import", "x = 0\nimport sys\n  x = 1", neither},
		{"star import inside", "def f():\n    from math import *\nprint(1)", neither},
		{"unindent to nowhere", "if 1:\n    x = 1\n  y = 2", neither},

		{"indented from the start", "  x = 1\n  y = 2", tree},
		{"indented, with an element at the edge", "  x = [1,\n2]", tree},
		{"imports alone", "import sys\nimport os", tree},
		{"nothing", "", tree},
		{"comments alone", "# nothing\n", tree},
		{"a class Solution", "class Solution: pass", tree},
		{"future", "from __future__ import annotations\nprint(1)", tree},
		{"import in parentheses", "from math import (\n    gcd)\nprint(gcd(1, 2))", tree},
		{"import and more", "import sys; input = sys.stdin.readline\nprint(1)", tree},
		{"no import", "import = 1", tree},
		{"long string", "x = \"\"\"\na\n\"\"\"", tree},
		{"other long string", "x = '''\na\n'''", tree},
		{"line goes on", "x = 1 + \\\n 2", tree},
		{"line goes on at the end", "x = 1\\", tree},
		{"tab", "if 1:\n\tx = 1", tree},
		{"form feed", "x = 1\n\fy = 2", tree},
		{"carriage return", "x = 1\r\ny = 2", tree},
		{"zero byte", "x = 1\x00", tree},
		{"no text", "x = '\xff'", tree},
		{"byte order mark", "\ufeffx = 1", tree},
		{"f-string with an escape", "print(f'{1}\\n')", tree},
		{"f-string with quotes", "print(f'{d[\"a\"]}')\nprint(rf\"{x}\\d\")", tree},
		{"f-string over lines", "print(f'{\nx=}')", tree},
		{"f-string with other letters", "print(F'é{x}')", tree},
		{"guard and else", "if __name__ == '__main__':\n    x = 1\nelse:\n    y = 2", tree},
		{"guard and more", "if __name__ == '__main__':\n    x = 1\nprint(x)", tree},
		{"guard with more", "if __name__ == '__main__' and 1:\n    x = 1", tree},
		{"two guards", "if __name__ == '__main__':\n    x = 1\nif __name__ == '__main__':\n    y = 1", tree},
		{"name printed", "print(__name__)", tree},
		{"large", "x = 1\n" + strings.Repeat("# a comment\n", 6000), tree},
	}
	var sources []string
	for _, tt := range cases {
		sources = append(sources, tt.source)
	}
	for i, got := range compared(t, sources) {
		if tt := cases[i]; got != tt.want {
			t.Errorf("%s: wrapped as %q: %q, want %q", tt.name, driver.Wrap(tt.source).Wrapped, got, tt.want)
		}
	}
}

// TestWrapRecorded compares both ways on what models wrote: on one in forty of them,
// unless -full is given.
func TestWrapRecorded(t *testing.T) {
	t.Parallel()
	type row struct{ Code string }
	var sources []string
	for _, r := range rows[row](t, shared(t, "completions.jsonl")) {
		if drawn(r.Code, 40) {
			sources = append(sources, r.Code)
		}
	}
	for _, r := range rows[row](t, shared(t, "corner_cases.jsonl")) {
		sources = append(sources, r.Code)
	}
	counts := map[string]int{}
	for i, said := range compared(t, sources) {
		counts[said]++
		if said != "" && said != "same" && said != "neither" {
			t.Errorf("%s:\n%s", said, sources[i])
		}
	}
	t.Logf("of %d programs %d by text, %d by tree, %d whose text does not compile", len(sources), counts["same"], counts[""], counts["neither"])
	if counts["same"] < len(sources)/2 {
		t.Errorf("%d of %d programs wrapped by text, want half", counts["same"], len(sources))
	}
}

// TestWrapLines checks that an error is told at its line of the source.
func TestWrapLines(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	for source, want := range map[string]int{
		"import sys\n\nimport math\nx = 1\n1/0\n":     5,
		"x = 1\nimport sys\nimport nowhere\nprint(x)": 3,
		"import nowhere\nprint(1)":                    1,
		"def f():\n    raise ValueError\n\nf()":       2,
		"import sys\nprint(":                          2,
	} {
		result := r.run(t, program{Source: source, Inputs: []string{""}})
		if got := result.failure(t); got.Line != want {
			t.Errorf("%q: line %d (%s %s), want %d", source, got.Line, got.Type, got.Message, want)
		}
	}
}

package driver_test

import (
	"strings"
	"testing"
)

// TestLaterTests runs each program on two tests that ask for the same: what it
// did to the interpreter in the first must show in the second, or must not, as
// with the official runner.
func TestLaterTests(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	add := "add"
	method := func(body string) string {
		return "import sys,io,json,builtins\ndef add(a):\n    " + strings.ReplaceAll(body, "\n", "\n    ") + "\n    return [a,'x',{'y':OrderedDict()}]"
	}
	const lowest = "for n in range(1,200):\n    try: sys.setrecursionlimit(n)\n    except RecursionError: continue\n    sys.setrecursionlimit(n+2)\n    break"
	for _, q := range []struct {
		name, source string
		functional   bool
		code, tests  int
	}{
		{"json is replaced", method("json.loads=json.JSONDecoder.decode=json.JSONDecoder.raw_decode=json.decoder.scanner=None"), true, 0, 2},
		{"len is replaced", method("builtins.len=None"), true, -5, 1},
		{"sum is replaced", method("builtins.sum=None"), true, 0, 2},
		{"the recursion limit is the lowest", method(lowest), true, 0, 1},
		{"stderr is gone", method("sys.stderr=None"), true, -4, 2},
		{"stderr has no descriptor", method("sys.stderr=io.StringIO()"), true, -4, 2},
		{"stderr is another file", method("sys.stderr=open('/dev/null','w')"), true, 0, 2},
		{"stderr is closed", method("sys.stderr.close()"), true, -4, 2},
		{"stderr has a descriptor that is none", method("class T: fileno=lambda s: -1\nsys.stderr=T()"), true, -4, 2},
		{"stderr has a text for a descriptor", method("class T: fileno=lambda s: '2'\nsys.stderr=T()"), true, -4, 2},
		{"stderr has lost its buffer", method("sys.stderr.detach()"), true, -4, 2},
		{"stdout is gone", method("sys.stdout=None"), true, 0, 2},
		{"a script's stderr is gone", "import sys\nprint(3)\nsys.stderr=None", false, -4, 2},
		{"a script's stderr is closed", "import sys\nprint(3)\nsys.stderr.close()", false, -4, 2},
		{"a script's stderr has no descriptor", "import sys,io\nprint(3)\nsys.stderr=io.StringIO()", false, -4, 2},
		{"a script's stderr is another file", "import sys\nprint(3)\nsys.stderr=open('/dev/null','w')", false, 0, 2},
	} {
		job, outputs := program{Source: q.source, Inputs: []string{"1", "1"}}, []string{"3", "3"}
		if q.functional {
			job.Func, outputs = &add, []string{`[1,"x",{"y":{}}]`, `[1,"x",{"y":{}}]`}
		}
		job.Inputs, outputs = job.Inputs[:q.tests], outputs[:q.tests]
		if got := judged(t, r.run(t, job), q.functional, outputs); got.code != q.code || q.code != 0 && got.tests != q.tests {
			t.Errorf("%s: code %d at test %d (%s), want %d at %d", q.name, got.code, got.tests, got.detail, q.code, q.tests)
		}
	}
}

// TestBadArguments checks that what is no JSON fails as json.loads does.
func TestBadArguments(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	add := "add"
	for _, c := range []struct{ input, want string }{
		{"1\n", "Expecting value: line 1 column 1 (char 0)"},
		{"1 2", "Extra data: line 1 column 3 (char 2)"},
		{" [1] \r\n\t2 ", ""},
	} {
		result := r.run(t, program{Func: &add, Source: "def add(*a): return 1", Inputs: []string{c.input}})
		if c.want == "" {
			if got := judged(t, result, true, []string{"1"}); got.code != 0 {
				t.Errorf("%q: code %d (%s), want a pass", c.input, got.code, got.detail)
			}
			continue
		}
		if f := result.failure(t); f.Type != "JSONDecodeError" || f.Message != c.want || f.Code != -4 {
			t.Errorf("%q: %+v, want %s", c.input, f, c.want)
		}
	}
}

// TestLists checks that a list's elements are told by identity of their class.
func TestLists(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	add := "add"
	source := "class M(type):\n    def __hash__(self): raise SystemExit\n    def __eq__(self,o): raise SystemExit\n" +
		"class C(metaclass=M): pass\ndef add(a): return [C(),C()]"
	if got := judged(t, r.run(t, program{Func: &add, Source: source, Inputs: []string{"1"}}), true, []string{"[1,1]"}); got.code != -2 {
		t.Errorf("code %d (%s), want -2", got.code, got.detail)
	}
}

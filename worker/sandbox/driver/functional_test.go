package driver_test

import (
	"strings"
	"testing"
)

func TestFunctionalQuirks(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	method := func(body string) string {
		return "class Solution:\n    def add(self,a,b):\n        " + strings.ReplaceAll(body, "\n", "\n        ")
	}
	for _, q := range []quirk{
		{"calls the method", method("return a+b"), 0, "", ""},
		{"calls a static method", "class Solution:\n    @staticmethod\n    def add(a,b): return a+b", 0, "", ""},
		{"calls a function without a class", "def add(a,b):\n    return a+b", 0, "", ""},
		{"calls a lambda", "add = lambda a,b: a+b", 0, "", ""},
		{"looks for the class if a comment names it", "# class Solution\ndef add(a,b):\n    return a+b", -4, "", ""},
		{"looks for the class if another begins so", "class Solution2:\n    def add(self,a,b): return a+b", -4, "", ""},
		{"fails without the method", "class Solution:\n    def plus(self,a,b): return a+b", -4, "", ""},
		{"fails if the class wants arguments", "class Solution:\n    def __init__(self,x): pass\n    def add(self,a,b): return a+b", -4, "", ""},
		{"finds a name of the preamble", "", 0, "", ""},
		{"knows typing", "class Solution:\n    def add(self,a:List[int],b:Optional[int])->int: return a+b", 0, "", ""},
		{"does not know ListNode", "class Solution:\n    def add(self,a:ListNode,b): return 3", -4, "", ""},
		{"refuses __future__", "from __future__ import annotations\n" + method("return 3"), -4, "", ""},
		{"fails on a syntax error", method("return ("), -4, "", ""},
		{"fails on an indented start", "  x=1\n", -4, "", ""},
		{"runs the module", "x=1\n" + method("return x+2"), 0, "", ""},
		{"runs no main guard", method("return 3") + "\nif __name__=='__main__': raise ValueError", 0, "", ""},
		{"has no input at import", "input()\n" + method("return 3"), -4, "", ""},
		{"dies of exit", method("exit()"), -5, "", ""},
		{"dies of exit at import", "import sys\nsys.exit()\n" + method("return 3"), -5, "", ""},
		{"fails by an exception", method("raise ValueError"), -4, "", ""},
		{"fails by too few arguments", method("return 3"), -4, "1", ""},
		{"times out by an exception's name", method("class TimeoutException(Exception): pass\nraise TimeoutException"), -3, "", ""},
		{"is wrong", method("return 4"), -2, "", ""},
		{"returns None after a print", method("print(3)"), -2, "", ""},
		{"takes a tuple for a list", method("return (a,b)"), 0, "", "[1,2]"},
		{"takes a namedtuple for a list", "P=namedtuple('P','a b')\n" + method("return P(a,b)"), 0, "", "[1,2]"},
		{"takes no tuple within for a list", method("return ((a,b),)"), -2, "", "[[1,2]]"},
		{"takes true for one", method("return True"), 0, "", "1"},
		{"takes a float for an int", method("return 3.0"), 0, "", ""},
		{"takes no string for an int", method("return '3'"), -2, "", ""},
		{"takes no int key for a string key", method("return {1:2}"), -2, "", `{"1":2}`},
		{"takes no deque for a list", method("return deque([3])"), -2, "", "[3]"},
		{"compares without a tolerance", method("return 0.1+0.2"), -2, "", "0.3"},
		{"compares an int with a float exactly", method("return 10**17+1"), -2, "", "1e17"},
		{"gives NaN as one object", "class Solution:\n    def add(self,a): return [a]", 0, "NaN", "[NaN]"},
		{"gives arguments of every kind", "class Solution:\n    def add(self,a,b): return [type(a).__name__,type(b).__name__]", 0, "1e2\n" + strings.Repeat("9", 5000), `["float","int"]`},
	} {
		if q.input == "" {
			q.input = "1\n2"
		}
		if q.output == "" {
			q.output = "3"
		}
		add := "add"
		job := program{Func: &add, Source: q.source, Inputs: []string{q.input}}
		if got := judged(t, r.run(t, job), true, []string{q.output}); got.code != q.code {
			t.Errorf("%s: code %d (%s), want %d", q.name, got.code, got.detail, q.code)
		}
	}
}

// TestFunctionalState checks that one instance serves all tests, and that
// arguments are fresh for each.
func TestFunctionalState(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	add := "add"
	for _, c := range []struct{ name, source string }{
		{"the instance stays", "class Solution:\n    n=0\n    def add(self,a):\n        self.n+=1\n        return [self.n]"},
		{"the module stays", "n=[]\ndef add(a):\n    n.append(1)\n    return [len(n)]"},
	} {
		job := program{Func: &add, Source: c.source, Inputs: []string{"[]", "[]"}}
		if got := judged(t, r.run(t, job), true, []string{"[1]", "[2]"}); got.code != 0 {
			t.Errorf("%s: code %d at %d (%s)", c.name, got.code, got.tests, got.detail)
		}
	}
	job := program{Func: &add, Source: "def add(a):\n    a.append(1)\n    return a", Inputs: []string{"[]", "[]"}}
	if got := judged(t, r.run(t, job), true, []string{"[1]", "[1]"}); got.code != 0 {
		t.Errorf("arguments are not fresh: code %d at %d (%s)", got.code, got.tests, got.detail)
	}
}

package driver_test

import (
	"slices"
	"testing"
)

// A quirk is one behaviour of the official runner for problems on standard
// input. Unless it says otherwise the input is "1 2\n" and 3 is expected.
type quirk struct {
	name   string
	source string
	code   int // the official one, 0 for a pass
	input  string
	output string
}

var stdinQuirks = []quirk{
	{"reads with input", "a,b=map(int,input().split())\nprint(a+b)", 0, "", ""},
	{"fails on empty code", "   \n", -4, "", ""},
	{"fails on comments alone", "# hi", -4, "", ""},
	{"fails on imports alone", "import sys", -4, "", ""},
	{"fails on a syntax error", "print(", -4, "", ""},
	{"fails on a NUL", "print(3)\x00", -4, "", ""},

	{"runs a main guard that is last", "def main():\n    print(3)\nif __name__ == \"__main__\":\n    main()", 0, "", ""},
	{"runs a guard in parentheses", "if (__name__ == '__main__'):\n    print(3)", 0, "", ""},
	{"drops the else of a guard", "if __name__ == '__main__':\n    print(3)\nelse:\n    print(4)", 0, "", ""},
	{"hoists imports out of a guard", "def f():\n    return gcd(3, 6)\nif __name__ == '__main__':\n    from math import gcd\n    print(f())", 0, "", ""},
	{"keeps a guard that is reversed", "if '__main__' == __name__:\n    print(3)", -2, "", ""},
	{"keeps a guard of a u string", "if __name__ == u'__main__':\n    print(3)", -2, "", ""},
	{"keeps a guard with more to it", "if __name__ == '__main__' and True:\n    print(3)", -2, "", ""},
	{"keeps a guard that is not last", "if __name__ == '__main__':\n    print(3)\nx=1", -2, "", ""},
	{"names the module tmp_sol", "print(3 if __name__ == 'tmp_sol' else 4)", 0, "", ""},

	{"lets the top level return", "print(3)\nreturn\nprint(4)", 0, "", ""},
	{"makes a yield a generator", "yield 1\nprint(3)", -2, "", ""},
	{"hides globals in locals", "cnt=3\ndef f():\n    global cnt\n    cnt+=1\nf()\nprint(cnt)", -4, "", ""},
	{"shares what the top level declares global", "global cnt\ncnt=2\ndef f():\n    global cnt\n    cnt+=1\nf()\nprint(cnt)", 0, "", ""},
	{"keeps names out of globals()", "x=3\nprint(globals()['x'])", -4, "", ""},
	{"does not see exec's names", "exec('y=3')\nprint(y)", -4, "", ""},
	{"sees a builtin assigned later as unbound", "print(max(1,3))\nmax=3", -4, "", ""},
	{"evaluates closures and classes", "n=3\nclass A:\n    v=n\ndef f():\n    return A.v\nprint(f())", 0, "", ""},
	{"imports before all else", "print(gcd(3,6))\nfrom math import gcd", 0, "", ""},
	{"lets a definition win over a hoisted import", "def gcd(a,b):\n    return 3\nfrom math import gcd\nprint(gcd(1,1))", 0, "", ""},
	{"refuses __future__", "from __future__ import annotations\nprint(3)", -4, "", ""},
	{"refuses a star import in a block", "try:\n    from math import *\nexcept ImportError:\n    pass\nprint(3)", -4, "", ""},

	{"gives the preamble's names", "print(defaultdict(int)[1]+len(list(permutations([1,2])))+1)", 0, "", ""},
	{"lets builtins win over operator and math", "print(pow(2,5,29))", 0, "", ""},
	{"gives bisect as a module", "print(bisect([1,2],1))", -4, "", ""},
	{"gives datetime as a module", "datetime.now()\nprint(3)", -4, "", ""},
	{"gives argv and path", "print(3 if argv and path else 4)", 0, "", ""},

	{"reads all with read", "import sys\nprint(sum(map(int,sys.stdin.read().split())))", 0, "", ""},
	{"reads all with read after input", "import sys\ninput()\nsys.stdin.read()\nprint(sum(map(int,sys.stdin.read().split())))", 0, "", ""},
	{"keeps a cursor for readline and input", "import sys\na=int(sys.stdin.readline())\nb=int(input())\nprint(a+b, repr(sys.stdin.readline()))", 0, "1\n2", "3 ''"},
	{"keeps the line end of readline", "import sys\nprint(repr(sys.stdin.readline()))", 0, "", `'1 2\n'`},
	{"splits readlines at every line end", "import sys\nprint(sys.stdin.readlines())", 0, "", "['1 2', '']"},
	{"ends input with EOFError", "input()\ntry:\n    input()\nexcept EOFError:\n    print(3)", 0, "", ""},
	{"does not iterate sys.stdin", "import sys\nfor l in sys.stdin:\n    print(3)", -4, "", ""},
	{"does not step sys.stdin", "import sys\nprint(next(sys.stdin))", -4, "", ""},
	{"lets fileinput work", "import fileinput\nfor l in fileinput.input():\n    print(sum(map(int,l.split())))", 0, "", ""},
	{"has bytes in the buffer", "import sys\nprint(sys.stdin.buffer.read())", 0, "", `b'1 2\n'`},
	{"repeats the buffer's first line", "import sys\nr=sys.stdin.buffer.readline\nprint(r(),r())", 0, "1\n2\n", `b'1\n' b'1\n'`},
	{"adds a line end to the buffer's only line", "import sys\nprint(sys.stdin.buffer.readline())", 0, "é", `b'\xc3\xa9\n'`},
	{"has no readlines of the buffer", "import sys\nsys.stdin.buffer.readlines()", -4, "", ""},
	{"does not iterate the buffer", "import sys\nfor l in sys.stdin.buffer:\n    print(3)", -4, "", ""},
	{"cuts line ends of an imported stdin", "from sys import stdin\nprint(repr(stdin.readline()))", 0, "", "'1 2'"},
	{"ends an imported stdin with StopIteration", "from sys import stdin\nfor _ in range(2): stdin.readline()\ntry:\n    stdin.readline()\nexcept StopIteration:\n    print(3)", 0, "", ""},
	{"reads all from an imported stdin", "from sys import stdin\nprint(sum(map(int,stdin.read().split())))", 0, "", ""},
	{"patches the bare stdin too", "print(sum(map(int,stdin.readline().split())), len(stdin.readlines()))", 0, "", "3 2"},
	{"gives an imported stdin its own cursor", "from sys import stdin\nprint(stdin.readline(), input())", 0, "1\n2\n", "1 1"},
	{"iterates an imported stdin over nothing", "from sys import stdin\nprint(3 + len(list(stdin)))", 0, "", ""},
	{"has nothing in an imported stdin's buffer", "from sys import stdin\nprint(3 + len(stdin.buffer.read()))", 0, "", ""},
	{"opens descriptor 0 empty", "print(3 + len(open(0).read()))", 0, "", ""},
	{"opens io.open(0) empty", "import io\nprint(3 + len(io.open(0).read()))", 0, "", ""},
	{"mocks builtins.open", "import builtins\nprint(builtins.open('no such file').read().strip(), [l for l in builtins.open(0)])", 0, "", `1 2 ['1 2\n']`},
	{"puts builtins.open back", "import builtins\nif input() == '1': builtins.open(0)\nprint(3)", 0, "1", ""},
	{"reads descriptor 0 empty", "import os\nprint(3 + len(os.read(0, 9)))", 0, "", ""},
	{"prints the prompt of input", "input('3')", 0, "", ""},

	{"captures sys.stdout", "import sys\nsys.stdout.write('3')\nsys.stdout.flush()", 0, "", ""},
	{"loses an imported stdout", "from sys import stdout\nstdout.write('3')", -2, "", ""},
	{"loses the bare stdout", "print(3,file=stdout)", -2, "", ""},
	{"loses descriptor 1", "import os\nos.write(1,b'3')", -2, "", ""},
	{"has no stdout buffer", "import sys\nsys.stdout.buffer.write(b'3')", -4, "", ""},
	{"goes on after a close of stdout", "import sys\ntry:\n    sys.stdout.close()\nexcept TypeError:\n    print(3)", 0, "", ""},
	{"does not close stdout", "import sys\nprint(3)\nsys.stdout.close()", -4, "", ""},
	{"ignores stderr", "import sys\nprint(4,file=sys.stderr)\nprint(3)", 0, "", ""},
	{"captures a joined thread", "import threading\nt=threading.Thread(target=lambda: print(3))\nt.start()\nt.join()", 0, "", ""},
	{"lets a stream stand for stdout", "import sys,io\no=sys.stdout\nsys.stdout=io.StringIO()\nprint(4)\nsys.stdout=o\nprint(3)", 0, "", ""},
	{"passes lone surrogates", "print('\\ud800')", -2, "", ""},

	{"ends a test at exit", "print(3)\nexit()\nprint(4)", 0, "", ""},
	{"ends a test at sys.exit of any code", "import sys\nprint(3)\nsys.exit(1)", 0, "", ""},
	{"has no quit", "print(3)\nquit()", -4, "", ""},
	{"dies of os._exit", "import os\nprint(3)\nos._exit(0)", -5, "", ""},
	{"dies of KeyboardInterrupt", "raise KeyboardInterrupt", -5, "", ""},
	{"takes an exception by its name for a time-out", "class TimeoutException(Exception): pass\nraise TimeoutException", -3, "", ""},
	{"takes an exception by its text for a time-out", "raise ValueError('a TIMEOUTEXCEPTION!')", -3, "", ""},
	{"answers its own alarm", "import signal,time\nsignal.setitimer(signal.ITIMER_REAL,0.05)\ntime.sleep(20)", -3, "", ""},

	{"prints an int of 50000 digits", "print(len(str(10**49999)))", 0, "", "50000"},
	{"has no os.getcwd", "import os\nos.getcwd()\nprint(3)", -4, "", ""},
	{"sets no environment", "import os\nos.environ['X']='1'\nprint(3)", -4, "", ""},
	{"runs no process", "import subprocess\nsubprocess.run(['true'])\nprint(3)", -4, "", ""},
	{"forks no process", "import os\nos.fork()\nprint(3)", -4, "", ""},
	{"lists directories", "import os\nos.listdir('/')\nprint(3)", 0, "", ""},
	{"imports no resource", "import resource\nprint(3)", -4, "", ""},
	{"imports no psutil", "try:\n    import psutil\nexcept ImportError:\n    print(3)", 0, "", ""},
	{"sets one thread for libraries", "import os\nprint(os.environ['OMP_NUM_THREADS'])", 0, "", "1"},
	{"evaluates f-strings of any quotes", "d={'a':'3'}\nprint(f\"{d['a']}\" f'{\"\"}' f'''{\"x\" and \"\"}''')", 0, "", ""},
	{"looks for a class Solution that is a local one", "class Solution:\n    pass\nprint(3)", -4, "", ""},
	{"looks for a class Solution that is a text", "s='class Solution'\nprint(3)", -4, "", ""},
	{"does not look for a class in a comment", "# class Solution\nprint(3)", 0, "", ""},
	{"prints a deep expression", "print(" + sum(200) + ")", 0, "", "200"},
}

// stdinQuirks311 need the recursion and the limits of CPython 3.11, with which
// the official runner works: 3.10 crashes in deep recursion, later ones count
// other frames and digits.
var stdinQuirks311 = []quirk{
	{"the traceback is a long one", "def f(): f()\nf()", -4, "", ""},
	{"recurses to 45000", "def f(n):\n    return 0 if n==0 else 1+f(n-1)\nprint(f(45000))", 0, "", "45000"},
	{"does not recurse to 60000", "def f(n):\n    return 0 if n==0 else 1+f(n-1)\nprint(f(60000))", -4, "", ""},
	{"prints no int of 50001 digits", "print(len(str(10**50000)))", -4, "", ""},
	{"cannot print a deeper expression", "print(" + sum(400) + ")", -4, "", "400"},
	{"runs what it cannot print as it is", "import sys\nif 1 > " + sum(400) + ": pass\nsys.exit()", -5, "", ""},
}

// sum returns 1+1+...+1.
func sum(n int) string {
	s := "1"
	for range n - 1 {
		s += "+1"
	}
	return s
}

func TestStdinQuirks(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	quirks := stdinQuirks
	if official(t) {
		quirks = slices.Concat(stdinQuirks, stdinQuirks311)
	}
	for _, q := range quirks {
		if q.input == "" {
			q.input = "1 2\n"
		}
		if q.output == "" {
			q.output = "3"
		}
		job := program{Source: q.source, Inputs: []string{q.input}}
		if got := judged(t, r.run(t, job), false, []string{q.output}); got.code != q.code {
			t.Errorf("%s: code %d (%s), want %d", q.name, got.code, got.detail, q.code)
		}
	}
}

// TestStateBetweenTests checks what one process for all tests keeps.
func TestStateBetweenTests(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	for _, c := range []struct {
		name, source    string
		inputs, outputs []string
	}{
		{"attributes of modules stay", "import sys\nsys.n=getattr(sys,'n',0)+1\nprint(sys.n)", []string{"", ""}, []string{"1", "2"}},
		{"builtins.open starts anew", "import builtins\nprint(builtins.open(0).read())", []string{"1", "2"}, []string{"1", "2"}},
		{"locals start anew", "n=0\nn+=1\nprint(n)", []string{"", ""}, []string{"1", "1"}},
		{"each test has its input", "import sys\nprint(input(), sys.stdin.read())", []string{"1", "2"}, []string{"1 1", "2 2"}},
		{"a hoisted alias of stdin follows", "from sys import stdin\nprint(stdin.readline())", []string{"1", "2"}, []string{"1", "2"}},
		{"a replaced stdin is put back", "import sys,io\nprint(input())\nsys.stdin=io.StringIO('x')\nsys.stdout=None", []string{"1", "2"}, []string{"1", "2"}},
		{"the recursion limit stays", "import sys\nprint(sys.getrecursionlimit())\nsys.setrecursionlimit(70000)", []string{"", ""}, []string{"50000", "70000"}},
	} {
		job := program{Source: c.source, Inputs: c.inputs}
		if got := judged(t, r.run(t, job), false, c.outputs); got.code != 0 {
			t.Errorf("%s: code %d at %d (%s)", c.name, got.code, got.tests, got.detail)
		}
	}
}

// TestFailureTells checks what a person is told of an exception.
func TestFailureTells(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	add := "add"
	for _, c := range []struct {
		source string
		fn     *string
		want   failure
	}{
		{"x = 1\n\nprint(x / 0)", nil, failure{"ZeroDivisionError", "division by zero", 3, "test", -4}},
		{"import sys\nimport nothing_such\nprint(3)", nil, failure{"ModuleNotFoundError", "No module named 'nothing_such'", 2, "load", -4}},
		{"x = 1\nif x\n  pass", nil, failure{"SyntaxError", "expected ':' (<string>, line 2)", 2, "load", -4}},
		{"def add(a,\n", &add, failure{"SyntaxError", "", 1, "load", -4}},
		{"def add(a, b):\n    return a[0]", &add, failure{"TypeError", "'int' object is not subscriptable", 2, "test", -4}},
		{"raise SystemExit(3)", &add, failure{"SystemExit", "3", 1, "load", -5}},
		{"raise ValueError('x' * 1000)", nil, failure{"ValueError", "", 1, "test", -4}},
	} {
		job := program{Func: c.fn, Source: c.source, Inputs: []string{"1\n2"}}
		result := r.run(t, job)
		got := result.failure(t)
		if c.want.Message == "" {
			if len(got.Message) == 0 || len(got.Message) > 300 {
				t.Errorf("%q: message of %d bytes, want 1 to 300", c.source, len(got.Message))
			}
			got.Message = ""
		}
		if got != c.want {
			t.Errorf("%q: %+v, want %+v", c.source, got, c.want)
		}
		if loaded := c.want.Where == "test"; result.loaded != loaded {
			t.Errorf("%q: loaded %v, want %v", c.source, result.loaded, loaded)
		}
	}
}

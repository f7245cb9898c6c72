package driver_test

import (
	"testing"

	"github.com/lcbq/lcbq/worker/judge"
)

// TestScript runs programs as real scripts: what the official runner breaks
// works.
func TestScript(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "script")
	for _, c := range []struct {
		name, source string
		failed       string // the exception's type, or none
	}{
		{"iterates sys.stdin", "import sys\nfor l in sys.stdin: print(sum(map(int,l.split())))", ""},
		{"opens 0", "print(sum(map(int,open(0).read().split())))", ""},
		{"reads /dev/stdin's descriptor", "import os\nprint(sum(map(int,os.read(0,99).split())))", ""},
		{"opens /dev/stdin", "print(sum(map(int,open('/dev/stdin').read().split())))", ""},
		{"reads /dev/stdin as a path", "from pathlib import Path\nprint(sum(map(int,Path('/dev/stdin').read_text().split())))", ""},
		{"opens a descriptor by its path", "import os\nprint(sum(map(int,os.read(os.open('/proc/self/fd/0',os.O_RDONLY),99).split())))", ""},
		{"writes to /dev/stdout", "with open('/dev/stdout','w') as f: print(3,file=f)", ""},
		{"writes to /dev/stderr", "print(4,file=open('/dev/stderr','w'))\nprint(3)", ""},
		{"has open in a class", "class A: of = open\nprint(sum(map(int,A().of(0).read().split())))", ""},
		{"writes to the buffer", "import sys\nsys.stdout.buffer.write(b'3')", ""},
		{"reads the buffer", "import sys\nprint(sum(map(int,sys.stdin.buffer.readline().split())))", ""},
		{"writes to descriptor 1", "import os\nos.write(1,b'3')", ""},
		{"imports stdin and stdout", "from sys import stdin, stdout\nstdout.write(str(sum(map(int,stdin.readline().split()))))", ""},
		{"shares globals", "cnt=2\ndef f():\n    global cnt\n    cnt+=1\nf()\nprint(cnt)", ""},
		{"runs a guard anywhere", "def main(): print(3)\nif '__main__' == __name__: main()\nx=1", ""},
		{"imports from the future", "from __future__ import annotations\nprint(3)", ""},
		{"evaluates class annotations by name", "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int' = 3\nprint(A().x)", ""},
		{"pickles its own classes", "import pickle\nclass A: pass\npickle.dumps(A())\nprint(3)", ""},
		{"exits", "print(3)\nexit(1)", ""},
		{"quits", "print(3)\nquit()", ""},
		{"exits at once", "import sys,os\nprint(3)\nsys.stdout.flush()\nos._exit(0)", ""},
		{"waits for threads", "import threading,time\nthreading.Thread(target=lambda: (time.sleep(0.05), print(3))).start()", ""},
		{"runs exit functions", "import atexit\natexit.register(lambda: print(3))", ""},
		{"flushes files of its own", "f=open(1,'w',closefd=False)\nf.write('3')", ""},
		{"does not print errors of stderr", "import sys\nprint(3)\nprint(4,file=sys.stderr)", ""},
		{"closes stdout", "import sys\nprint(3)\nsys.stdout.close()", ""},
		{"starts with a byte order mark", "\ufeffprint(3)", ""},
		{"has os.getcwd", "import os\nos.getcwd()\nprint(3)", ""},
		{"knows nothing of the preamble", "print(gcd(3,6))", "NameError"},
		{"has the interpreter's own recursion limit", "def f(n): return n and f(n-1)\nf(5000)", "RecursionError"},
		{"fails by an exception", "print(3)\nraise ValueError", "ValueError"},
		{"does not parse", "print(", "SyntaxError"},
	} {
		result := r.run(t, program{Source: c.source, Inputs: []string{"1 2\n"}})
		if c.failed != "" {
			if f := result.failure(t); f.Type != c.failed {
				t.Errorf("%s: %+v, want %s", c.name, f, c.failed)
			}
			continue
		}
		if n := len(result.answers); n != 1 || result.answers[0].status != done {
			t.Errorf("%s: answers %q, want one that it is done", c.name, result.answers)
		}
		if o, detail := judge.Lines(result.printed, "3"); o != judge.Equal {
			t.Errorf("%s: printed %q: %v", c.name, result.printed, detail)
		}
	}
}

// TestScriptFunctional calls functions without the preamble's surprises.
func TestScriptFunctional(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "script")
	add := "add"
	for _, c := range []struct {
		name, source, output string
		code                 int
	}{
		{"a method", "class Solution:\n    def add(self, a: List[int], b: Optional[int]): return a+b", "3", 0},
		{"a function beside a comment", "# class Solution\ndef add(a,b): return a+b", "3", 0},
		{"names taken for granted", "def add(a,b): return [gcd(4,6), bisect.bisect([1],1), bisect_left([1],1), len(deque([1])), heapq.nlargest(1,[1])[0], pow(2,3,5), inf > 1]", "[2,1,0,1,1,3,true]", 0},
		{"from the future", "from __future__ import annotations\ndef add(a: X, b): return 3", "3", 0},
		{"nothing for an empty program", "", "3", -4},
		{"deep recursion", "def add(a,b):\n    f=lambda n: n and 1+f(n-1)\n    return f(20000)", "20000", 0},
	} {
		job := program{Func: &add, Source: c.source, Inputs: []string{"1\n2"}}
		if got := judged(t, r.run(t, job), true, []string{c.output}); got.code != c.code {
			t.Errorf("%s: code %d (%s), want %d", c.name, got.code, got.detail, c.code)
		}
	}
}

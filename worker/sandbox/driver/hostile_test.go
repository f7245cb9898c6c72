package driver_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestHostileStdin runs programs that turn on the harness. Each has to end in
// an answer or a death of its own, and the honest program after it must pass.
func TestHostileStdin(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	for _, q := range []quirk{
		{"stdout is None", "import sys\nprint(3)\nsys.stdout=None", 0, "", ""},
		{"stdout is deleted", "import sys\nprint(3)\ndel sys.stdout", 0, "", ""},
		{"stdout is closed below", "import sys,io\nprint(3)\nio.StringIO.close(sys.stdout)", -4, "", ""},
		{"stdout is another's", "import sys\nclass A:\n    def write(self,s): raise SystemExit\nsys.stdout=A()\nprint(4)", -2, "", ""},
		{"stdin is closed", "import sys\nsys.stdin.close()\nprint(3)", 0, "", ""},
		{"stdin is None", "import sys\nsys.stdin=None\nprint(3)", 0, "", ""},
		{"modules are gone", "import sys\nsys.modules.clear()\nprint(3)", 0, "", ""},
		{"some modules are gone", "import sys\nfor m in ('json','os','io','struct','builtins','sys'): sys.modules.pop(m,None)\nprint(3)", 0, "", ""},
		{"builtins are replaced", "import builtins\nprint(3)\nfor n in 'len type str int repr isinstance exec compile open print getattr setattr iter next'.split(): setattr(builtins,n,None)", -5, "", ""},
		{"builtins that nobody needs are replaced", "import builtins\nprint(3)\nfor n in 'int repr exec compile open print dict Exception'.split(): setattr(builtins,n,None)", 0, "", ""},
		{"StringIO is replaced", "import io,os,json,struct\nprint(3)\nio.StringIO=json.dumps=struct.pack=os.write=None", 0, "", ""},
		{"the stream's class is replaced", "import sys\ntype(sys.stdout).getvalue=lambda s: '9'\nprint(3)", 0, "", ""},
		{"getvalue is replaced", "import sys\nsys.stdout.getvalue=lambda: '9'\nprint(3)", 0, "", ""},
		{"a tracer raises", "import sys\ndef t(*a):\n    raise SystemExit\nprint(3)\nsys.settrace(t)\nsys.setprofile(t)", -5, "", ""},
		{"a gc callback raises", "import gc\ndef f(*a): raise ValueError\ngc.callbacks.append(f)\ngc.set_threshold(1)\nprint(3)", 0, "", ""},
		{"deletion prints", "class A:\n    def __del__(self): print(4)\nimport sys\nsys.a=A()\nprint(3)", 0, "", ""},
		{"repr raises", "class E(Exception):\n    def __repr__(self): raise ValueError\nraise E", -4, "", ""},
		{"repr exits", "class E(Exception):\n    def __repr__(self): raise SystemExit\nraise E", -5, "", ""},
		{"str raises", "class E(Exception):\n    def __str__(self): raise KeyboardInterrupt\nraise E", -4, "", ""},
		{"str is no string", "class E(Exception):\n    def __str__(self): return 3\nraise E", -4, "", ""},
		{"str is huge", "class E(Exception):\n    def __str__(self): return 'x'*10**8\nraise E", -4, "", ""},
		{"a str subclass", "class S(str):\n    def __getitem__(self,i): raise SystemExit\n    def encode(self,*a): raise SystemExit\nclass E(Exception):\n    def __str__(self): return S('m')\nraise E('timeoutexception')", -3, "", ""},
		{"the class has a hostile metaclass", "class M(type):\n    def __getattribute__(self,n): raise SystemExit\n    def __eq__(self,o): raise SystemExit\n    def __hash__(self): raise SystemExit\nclass E(Exception,metaclass=M): pass\nraise E", -4, "", ""},
		{"a BaseException of its own", "class B(BaseException): pass\nraise B", -5, "", ""},
		{"a frame walk finds nothing", "import sys\nf=sys._getframe()\nwhile f:\n    for k,v in f.f_locals.items():\n        if 'want' in k or 'expect' in k or 'out' in k and v=='3': print(v)\n    f=f.f_back", -2, "", ""},
		{"a heap walk finds nothing", "import gc\nprint([o for o in gc.get_objects() if isinstance(o,list) and o==['the expected text']] and 3)", -2, "", "the expected text"},
		{"parentheses nest", "print(" + strings.Repeat("(", 500) + "3" + strings.Repeat(")", 500) + ")", -4, "", ""},
		{"signs nest", "x=" + strings.Repeat("-", 200000) + "1", -4, "", ""},
		{"a lone surrogate in the source", "print('\ufffd')", -2, "", ""},
		{"a byte order mark", "\ufeffprint(3)", -4, "", ""},
		{"a coding line", "# coding: latin-1\nprint('é')", 0, "", "é"},
		{"carriage returns", "a=1\r\nif a:\r\n    print(3)\r\n", 0, "", ""},
		{"form feeds", "a=1\n\f\nprint(3)", 0, "", ""},
		{"a huge source", "x=[" + strings.Repeat("1,\n", 200000) + "]\nprint(3)", 0, "", ""},
		{"a low recursion limit", "import sys\nprint(3)\nsys.setrecursionlimit(60)", 0, "", ""},
	} {
		if q.output == "" {
			q.output = "3"
		}
		job := program{Source: q.source, Inputs: []string{"1"}, CPU: 20}
		if got := judged(t, r.run(t, job), false, []string{q.output}); got.code != q.code {
			t.Errorf("%s: code %d (%s), want %d", q.name, got.code, got.detail, q.code)
		}
		honest := program{Source: "print(input())", Inputs: []string{"5"}}
		if got := judged(t, r.run(t, honest), false, []string{"5"}); got.code != 0 {
			t.Fatalf("after %s an honest program: code %d (%s)", q.name, got.code, got.detail)
		}
	}
}

// TestBuiltinsTaken wants of a program that takes a builtin away what the official runner
// comes to, which calls some of them after the program: recorded, one by one.
func TestBuiltinsTaken(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	const printed, method = "import builtins,sys\n%s\nsys.stdout.write('3')", "import builtins\ndef add(a):\n    %s\n    return 3"
	for _, row := range []struct {
		form, take, names string
		code              int
	}{
		{printed, "builtins.%s=None", "list set tuple BaseException iter next setattr hasattr bool object zip enumerate callable StopIteration issubclass", -4},
		{printed, "builtins.%s=None", "str len type isinstance getattr bytes super AttributeError __import__", -5},
		{printed, "del builtins.%s", "str type isinstance", -5},
		{printed, "builtins.%s=None", "open int dict map sum range Exception repr hash id float any all sorted min max abs ord chr eval ValueError TypeError format", 0},
		{printed, "class N(%[1]s): pass\nbuiltins.%[1]s=N", "list StopIteration", -4},
		{printed, "class N(%[1]s): pass\nbuiltins.%[1]s=N", "str type bytes AttributeError", -5},
		{printed, "class N(%[1]s): pass\nbuiltins.%[1]s=N", "set tuple BaseException object super zip enumerate", 0},
		{printed, "old=builtins.%[1]s\nbuiltins.%[1]s=lambda *a,**k: old(*a,**k)", "isinstance iter next getattr setattr hasattr callable __import__ issubclass", 0},
		{printed, "sys.modules['%s']=None", "sys builtins", -4},
		{printed, "sys.modules.pop('%s',None)", "sys builtins os io json", 0},
		{method, "builtins.%s=None", "tuple", -4},
		{method, "builtins.%s=None", "str len type isinstance getattr bytes super AttributeError __import__", -5},
		{method, "builtins.%s=None", "list set iter next setattr hasattr bool object zip enumerate callable StopIteration issubclass", 0},
		{"import builtins\n%s\ndef add(a): return 3", "builtins.%s=None", "zip", -4},
	} {
		for name := range strings.FieldsSeq(row.names) {
			job := program{Source: fmt.Sprintf(row.form, fmt.Sprintf(row.take, name)), Inputs: []string{"1", "2"}, Cap: 1 << 10, CPU: 20}
			if row.form != printed {
				add := "add"
				job.Func = &add
			}
			if got := judged(t, r.run(t, job), job.Func != nil, []string{"3", "3"}); got.code != row.code {
				t.Errorf("%s: code %d (%s), want %d", fmt.Sprintf(row.take, name), got.code, got.detail, row.code)
			}
		}
	}
}

// TestHostileBetweenTests checks that what a program does in one test does not
// keep the harness from the next.
func TestHostileBetweenTests(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	for _, source := range []string{
		"import builtins\nprint(input())\nfor n in 'int repr exec compile dict Exception'.split(): setattr(builtins,n,None)",
		"import sys\nprint(input())\nsys.modules.clear()",
		"import sys\nprint(input())\nsys.stdout=sys.stdin=None",
		"import io,os\nprint(input())\nio.StringIO=os.write=None",
		"import gc,sys\nprint(input())\ngc.disable()\nsys.settrace(lambda *a: None)",
		"import sys,threading\nprint(input())\nthreading.Thread(target=lambda: [None for _ in range(10**5)]).start()",
	} {
		job := program{Source: source, Inputs: []string{"1", "2", "3"}}
		if got := judged(t, r.run(t, job), false, []string{"1", "2", "3"}); got.code != 0 {
			t.Errorf("%q: code %d at %d (%s)", source, got.code, got.tests, got.detail)
		}
	}
}

// TestHostileValues runs functional programs whose values turn on the judge.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	for _, q := range []quirk{
		{"an object that equals all", "class A:\n    def __eq__(self,o): return True\ndef add(a): return A()", -2, "", ""},
		{"a list that equals all", "class A(list):\n    def __eq__(self,o): return True\ndef add(a): return A()", -2, "", "[3]"},
		{"an int that equals all, within", "class A(int):\n    def __eq__(self,o): return True\n    __hash__=int.__hash__\ndef add(a): return [A(1)]", -2, "", "[3]"},
		{"mock.ANY", "from unittest.mock import ANY\ndef add(a): return ANY", -2, "", ""},
		{"a patched json", "import json\njson.loads=lambda s: 3\njson.JSONDecoder.decode=None\nadd=lambda a: a", 0, "3", ""},
		{"no zip", "import builtins\nbuiltins.zip=lambda *a: []\nadd=lambda a: 4", -2, "", ""},
		{"a list that holds itself", "x=[]\nx.append(x)\nadd=lambda a: x", -2, "", "[[]]"},
		{"a dict that holds itself", "x={}\nx['a']=x\nadd=lambda a: x", -2, "", `{"a":{}}`},
		{"a list nested too deep", "x=[]\nfor _ in range(10**6): x=[x]\nadd=lambda a: x", -2, "", "[[]]"},
		{"a list that doubles 60 times", "x=[1]\nfor _ in range(60): x=[x,x]\nadd=lambda a: x", -2, "", "[[]]"},
		{"a string over the cap", "add=lambda a: 'x'*10**8", -2, "", ""},
		{"an int over the cap", "add=lambda a: 1<<10**8", -2, "", ""},
		{"a list over the cap", "add=lambda a: [0]*10**7", -2, "", "[0]"},
		{"a generator", "def add(a): yield 3", -2, "", ""},
		{"a coroutine", "async def add(a): return 3", -2, "", ""},
		{"a class with a hostile metaclass", "class M(type):\n    def __getattribute__(s,n): raise SystemExit\n    def __eq__(s,o): raise SystemExit\n    def __hash__(s): raise SystemExit\nclass A(metaclass=M): pass\nadd=lambda a: [A()]", -2, "", "[3]"},
		{"an object that lies about its class", "class A:\n    __class__=int\n    def __iter__(s): raise SystemExit\nadd=lambda a: A()", -2, "", ""},
		{"a str key subclass", "class A(str):\n    def __eq__(s,o): return True\n    def __hash__(s): return hash('b')\nadd=lambda a: {A('x'):1}", -2, "", `{"b":1}`},
		{"a patched encoder", "import array,decimal\narray.array=None\ndecimal.Decimal.__str__=None\nadd=lambda a: [1,2]", -4, "", "[1,2]"},
		{"a Fraction of strange parts", "from fractions import Fraction as F\ndef add(a):\n    f=F(3)\n    f._denominator=[]\n    return f", -2, "", ""},
		{"a numpy module of its own", "import sys\nclass N:\n    generic=object\n    ndarray=object\nsys.modules['numpy']=N\nclass A: pass\nadd=lambda a: A()", -4, "", ""},
		{"a tuple that iterates otherwise", "class A(tuple):\n    def __iter__(s): return iter([3])\nadd=lambda a: A((1,))", -2, "", "[3]"},
		{"a tracer within", "import sys\ndef t(*a): raise SystemExit\ndef add(a):\n    sys.settrace(t)\n    sys.setprofile(t)\n    return 3", -5, "", ""},
	} {
		if q.input == "" {
			q.input = "1"
		}
		if q.output == "" {
			q.output = "3"
		}
		add := "add"
		job := program{Func: &add, Source: q.source, Inputs: []string{q.input}, Cap: 1 << 20, CPU: 20}
		if got := judged(t, r.run(t, job), true, []string{q.output}); got.code != q.code {
			t.Errorf("%s: code %d (%s), want %d", q.name, got.code, got.detail, q.code)
		}
	}
}

// TestOutputCap checks the cap at its edge, and that no program can go on
// behind it.
func TestOutputCap(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "lcb")
	for _, c := range []struct {
		name, source string
		status       byte
	}{
		{"at the cap", "print('x'*999)", output},
		{"one over it", "print('x'*1000)", limit},
		{"over it in bytes alone", "print('é'*500)", limit},
		{"bit by bit", "while True: print(1)", limit},
		{"against an except", "while True:\n    try:\n        print('x'*600)\n    except BaseException: pass", limit},
		{"through writelines", "import sys\nsys.stdout.writelines(['x']*2000)", limit},
	} {
		result := r.run(t, program{Source: c.source, Inputs: []string{"", ""}, Cap: 1000})
		if n := len(result.answers); n == 0 || result.answers[n-1].status != c.status {
			t.Errorf("%s: %d answers, the last of status %v, want %d", c.name, n, result.answers, c.status)
		}
		if want := map[byte]int{output: 2, limit: 1}[c.status]; len(result.answers) != want {
			t.Errorf("%s: %d answers, want %d", c.name, len(result.answers), want)
		}
	}
}

package driver_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/pythontest"
	"github.com/lcbq/lcbq/worker/sandbox/driver"
)

// A former is a Python process that makes normal forms.
type former struct {
	in  *json.Encoder
	out *bufio.Scanner
}

func newFormer(t *testing.T) *former {
	t.Helper()
	source := filepath.Join(t.TempDir(), "driver.py")
	if err := os.WriteFile(source, []byte(driver.Source), 0o600); err != nil {
		t.Fatal(err)
	}
	in, out := pythontest.Start(t, "-I", "testdata/normal.py", source)
	return &former{json.NewEncoder(in), bufio.NewScanner(out)}
}

// form returns a source's normal form, "-" for none, and what it compiles to without places and
// docstrings.
func (f *former) form(t *testing.T, source string, script bool) (form, code string) {
	t.Helper()
	if err := f.in.Encode(map[string]any{"source": source, "script": script}); err != nil {
		t.Fatal(err)
	}
	if !f.out.Scan() {
		t.Fatalf("no answer to %.80q: %v", source, f.out.Err())
	}
	form, code, _ = strings.Cut(f.out.Text(), " ")
	return form, code
}

// TestNormalForm compares pairs of programs that do the same, and pairs that do not.
func TestNormalForm(t *testing.T) {
	t.Parallel()
	const base = "import sys\ndef f(a, b):\n    return a + b\nprint(f(1, 2))\n"
	same := map[string][2]string{
		"comments":            {base, "#!/usr/bin/env python\nimport sys # why\n# so\ndef f(a, b): # adds\n    # here\n    return a + b\nprint(f(1, 2)) # end"},
		"blank lines":         {base, "\n\nimport sys\n\n\ndef f(a, b):\n\n    return a + b\n\n\n\nprint(f(1, 2))\n\n"},
		"spaces":              {base, "import  sys\ndef f(a,b):\n\treturn a+b\nprint( f( 1,\n  2 ) )"},
		"lines":               {base, "import sys\ndef f(a, b): return a + b\nprint(f(\\\n  1, 2));"},
		"parentheses":         {base, "import sys\ndef f(a, b):\n    return (a + b)\n(print)(f(1, (2)))\n"},
		"a function's text":   {base, "import sys\ndef f(a, b):\n    \"\"\"Adds.\"\"\"\n    return a + b\nprint(f(1, 2))\n"},
		"a module's text":     {base, "'''Adds.\n\n    Twice.'''\nimport sys\ndef f(a, b):\n    return a + b\nprint(f(1, 2))\n"},
		"text as a comment":   {base, "import sys\ndef f(a, b):\n    return a + b\n    'never'\n'now'\nprint(f(1, 2))\n"},
		"a class's text":      {"class A:\n    x = 1\nprint(A.x)", "class A:\n    'text'\n    x = 1\nprint(A.x)"},
		"text alone":          {"def f(): pass\nprint(f())", "def f():\n    'nothing'\nprint(f())"},
		"quotes and numbers":  {"print('a', 255, 1000)", "print(\"a\", 0xff, 1_000)"},
		"joined strings":      {"print('ab')", "print('a' 'b')"},
		"names that are code": {"code = token = cmd = 1\nprint(code)", "code=token=cmd=1 # three\nprint(code)"},
	}
	other := map[string][2]string{
		"another constant":        {base, strings.Replace(base, "2)", "3)", 1)},
		"another name":            {base, strings.ReplaceAll(base, "f(", "g(")},
		"another order":           {"a = 1\nb = 2", "b = 2\na = 1"},
		"indentation":             {"if 0:\n  x = 1\n  y = 2", "if 0:\n  x = 1\ny = 2"},
		"another branch":          {"if a:\n  x\nelse:\n  y", "if a:\n  x\n  y"},
		"true for one":            {"print(1)", "print(True)"},
		"a float for an int":      {"print(1)", "print(1.0)"},
		"minus zero":              {"print(0.0)", "print(-0.0)"},
		"bytes for text":          {"print('a')", "print(b'a')"},
		"spaces in a string":      {"print('a b')", "print('a  b')"},
		"a hash in a string":      {"print('# a')", "print('# b')"},
		"an f-string's own text":  {"x = 1\nprint(f'{x=}')", "x = 1\nprint(f'{x = }')"},
		"a text that is used":     {"def f():\n    return 'a'\nprint(f())", "def f():\n    return 'b'\nprint(f())"},
		"a program of imports":    {"import sys", "'text'\nimport sys"},
		"imports in a main guard": {"if __name__ == '__main__':\n    import sys", "'text'\nif __name__ == '__main__':\n    import sys"},
		"text after a main guard": {"def f(): pass\nif __name__ == '__main__':\n    f()", "def f(): pass\nif __name__ == '__main__':\n    f()\n'end'"},
		"nothing and pass":        {"# nothing", "pass"},
		"a comment that is read":  {"class A:\n    pass", "class A:\n    pass # class Solution"},
		"numpy in a comment":      {"print(1)", "print(1) # not numpy"},
		"a subclass's text":       {"import enum\nclass A(enum.Enum):\n    x = 1", "import enum\nclass A(enum.Enum):\n    'text'\n    x = 1"},
		"type arguments":          {"print(...)", "print(('Ellipsis',))"},
		"a base":                  {"class A: pass", "class A(object): pass"},
	}
	none := map[string]string{
		"its docstring":         "def f():\n    'a'\nprint(f.__doc__)",
		"by getattr":            "def f():\n    'a'\nprint(getattr(f, '__do' + 'c__'))",
		"by a format":           "def f():\n    'a'\nprint('{0.__doc__}'.format(f))",
		"by a format it makes":  "def f():\n    'a'\nprint(('{0.__do' + 'c__}').format(f))",
		"by a format it passes": "def f():\n    'a'\ns = '{0.__do'\nprint(str.format(s + 'c__}', f))",
		"by a star":             "from operator import *\ndef f():\n    'a'\nprint(attrgetter('__do' + 'c__')(f))",
		"by its variables":      "def f():\n    'a'\nprint(vars(f.__class__))",
		"by a pattern":          "def f():\n    'a'\nmatch f:\n    case object(__doc__=x):\n        print(x)",
		"by eval":               "print(eval('1'))",
		"its line":              "import sys\nprint(sys._getframe().f_lineno)",
		"its traceback":         "try:\n    1/0\nexcept Exception as e:\n    print(e.__traceback__.tb_lineno)",
		"a module for that":     "import traceback\ntry:\n    1/0\nexcept Exception:\n    print(traceback.format_exc())",
		"such a module's part":  "from logging.handlers import X",
		"another's module":      "import dataclasses\nprint(dataclasses.inspect.getsource)",
		"its code":              "def f(): pass\nprint(f.__code__.co_consts)",
		"a generator's frame":   "g = (x for x in '')\nprint(g.gi_frame)",
		"where errors go":       "import sys, threading\nsys.stderr = sys.stdout\nthreading.Thread(target=int, args=('x',)).start()",
		"how errors go":         "import sys, threading\nsys.stderr.write = print",
		"what copies it":        "import functools\nclass A:\n    def __setattr__(self, name, value):\n        print(value)\ndef f():\n    'a'\nfunctools.update_wrapper(A(), f)",
		"a property":            "class A(property):\n    def __setattr__(self, name, value):\n        print(value)\nclass B:\n    @A\n    def f(self):\n        'a'",
		"by a class's pattern":  "class A:\n    'a'\n    __match_args__ = ('__do' + 'c__',)\nmatch A():\n    case A(x):\n        print(x)",
		"by fields":             "import dataclasses\nB = dataclasses.make_dataclass('B', [('__do' + 'c__', str)])\nclass A:\n    'a'\nA.__dataclass_fields__ = B.__dataclass_fields__\nprint(dataclasses.astuple(A()))",
		"by an annotation":      "import functools\n@functools.singledispatch\ndef g(x): pass\ndef f(x: 'print(f.__do' + 'c__)'):\n    'a'\ng.register(f)",
		"by a class it makes":   "A = type('A', (), {'__seta' + 'ttr__': lambda self, name, value: print(value)})",
		"a task":                "import asyncio\nasync def f():\n    print(asyncio.current_task())\nasyncio.run(f())",
		"a module in C":         "import _pickle\nprint(_pickle.loads(b'cbuiltins\\ngetattr\\n.')",
		"a finder of modules":   "import sys\ndef f():\n    'a'\nprint(sys.meta_path[0].load_module('g' + 'c').get_referents(f))",
		"an error's report":     "import cgitb, sys\ntry:\n    1/0\nexcept Exception:\n    cgitb.Hook(file=sys.stdout).handle()",
		"a log":                 "import concurrent.futures.thread as t\nclass A:\n    level = 0\n    def handle(self, record):\n        print(record)\nt._base.LOGGER.addHandler(A())\nt._base.LOGGER.error('a')",
		"what redirects":        "import contextlib, io\nclass A(contextlib.redirect_stdout):\n    _stream = 'std' + 'err'\nwith A(io.StringIO()):\n    pass",
		"what errors print":     "import os, threading\nos.close(1)\nos.close(2)\nr, w = os.pipe()\nt = threading.Thread(target=int, args=('x',))\nt.start()\nt.join()\nprint(os.read(r, 1000))",
		"what evaluates":        "import typing\nprint(typing.get_type_hints(int))",
		"a module's own":        "import dataclasses\nprint(dataclasses._process_class)",
		"a metaclass":           "class M(type):\n    def __new__(c, n, b, d):\n        print(len(d))\nclass A(metaclass=M):\n    'a'",
		"a future":              "from __future__ import annotations\nprint(1)",
		"no program":            "def f(:\n    pass",
		"a null byte":           "print(1)\x00",
		"deep nesting":          "x = " + strings.Repeat("-", 5000) + "1",
		"deep brackets":         "x = " + strings.Repeat("(", 150) + "1" + strings.Repeat(")", 150) + " if " + strings.Repeat("not ", 3000) + "1 else 0",
		"many blocks":           strings.Repeat("if 1:\n ", 1) + strings.Repeat("[", 190) + strings.Repeat("]", 190) + "\n" + "x" + strings.Repeat(".a", 400),
		"a large text":          "#" + strings.Repeat("x", 1<<16),
		"a large number":        "print(" + strings.Repeat("9", 60000) + ")",
	}
	f := newFormer(t)
	for name, pair := range same {
		a, codeA := f.form(t, pair[0], false)
		b, codeB := f.form(t, pair[1], false)
		if a != b || a == "-" {
			t.Errorf("%s: forms %s and %s, want one", name, a, b)
		}
		if codeA != codeB {
			t.Errorf("%s: these are two programs", name)
		}
	}
	for name, pair := range other {
		a, _ := f.form(t, pair[0], false)
		b, _ := f.form(t, pair[1], false)
		if a == b || a == "-" || b == "-" {
			t.Errorf("%s: forms %s and %s, want two", name, a, b)
		}
	}
	for name, source := range none {
		if form, _ := f.form(t, source, false); form != "-" {
			t.Errorf("%s: form %s, want none", name, form)
		}
	}
	// A script is read as a file is, so that the first line may say how.
	coded := "# coding: latin-1\nprint('\u00e4')"
	a, _ := f.form(t, coded, true)
	b, _ := f.form(t, strings.TrimPrefix(coded, "# coding: latin-1\n"), true)
	if a == b || a == "-" {
		t.Errorf("a script's encoding: forms %s and %s, want two", a, b)
	}
}

// TestNormalFormsOfRecorded makes the forms of all recorded programs. Those of one form must
// compile to the same and have one official verdict, on each question; a part of the
// questions is looked at unless -full is given.
func TestNormalFormsOfRecorded(t *testing.T) {
	t.Parallel()
	type completion struct {
		Question string `json:"question_id"`
		ID       string `json:"completion_id"`
		Code     string
	}
	verdicts := map[string]recordedVerdict{}
	for _, v := range rows[recordedVerdict](t, shared(t, "official_verdicts.jsonl")) {
		verdicts[v.Completion] = v
	}
	type program struct{ question, text string }
	type known struct {
		code string
		v    recordedVerdict
	}
	texts, forms := map[program]bool{}, map[program]known{}
	slow, slowForms, without := 0, map[program]bool{}, 0
	f := newFormer(t)
	for _, c := range rows[completion](t, shared(t, "completions.jsonl")) {
		k := program{c.Question, c.Code}
		if c.Code == "" || texts[k] || !drawn(c.Question, 8) {
			continue
		}
		texts[k] = true
		form, code := f.form(t, c.Code, false)
		if form == "-" {
			without++
			form = c.Code
		}
		v := verdicts[c.ID]
		of := program{c.Question, form}
		if v.ErrorCode != nil && *v.ErrorCode == -3 {
			slow++
			slowForms[of] = true
		}
		first, seen := forms[of]
		if !seen {
			forms[of] = known{code, v}
			continue
		}
		if first.code != code {
			t.Errorf("%s and %s have one form and are two programs", first.v.Completion, c.ID)
		}
		if first.v.Passed != v.Passed || (v.ErrorCode == nil) != (first.v.ErrorCode == nil) || v.ErrorCode != nil && *v.ErrorCode != *first.v.ErrorCode {
			t.Errorf("%s and %s have one form and two verdicts", first.v.Completion, c.ID)
		}
	}
	t.Logf("%d texts, %d forms, %d texts without one; %d texts that timed out, %d forms", len(texts), len(forms), without, slow, len(slowForms))
	if len(texts) < 30 || without > 2+len(texts)/50 || len(forms) >= len(texts) {
		t.Error("want at least 30 texts, forms for 98 % of them, and fewer forms than texts")
	}
}

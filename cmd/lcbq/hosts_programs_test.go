//go:build hosts

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostPrograms is how many programs each host judges.
const hostPrograms = 200

// A hostProgram is a program for the matrix, and its verdict.
type hostProgram struct{ verdict, code string }

// The two questions: add two numbers of standard input, and double each number of a list.
const (
	adds    = "a, b = map(int, input().split())\n"
	doubles = "class Solution:\n    def twice(self, x):\n        "
)

// oddPrograms ask of the host what must not reach a program, and end as programs do.
var oddPrograms = []hostProgram{
	{"passed", "import os\n" + adds + "print(a + b if not os.environ.get('HOME') and not os.environ.get('PATH') else 0)"},
	{"passed", "import time\n" + adds + "print(a + b if time.tzname[0] == 'UTC' and time.localtime(0).tm_hour == 0 else 0)"},
	{"passed", "import locale, sys\n" + adds + "print(a + b if locale.getpreferredencoding(False).upper() == 'UTF-8' and sys.getfilesystemencoding() == 'utf-8' else 0)"},
	{"passed", adds + "print(a + b if '\u0130I'.lower() == 'i\u0307i' and 'i'.upper() == 'I' and 'T\u0130TLE'.isupper() else 0)"},
	{"passed", "import random\n" + adds + "random.seed(0)\nx = random.random()\nprint(a + b if x == 0.8444218515250481 else 0)"},
	{"passed", adds + "print(a + b if [*{str(i): 0 for i in range(9)}] == list('012345678') and hash('abc') != 0 else 0)"},
	{"passed", adds + "def f(n): return 0 if n == 0 else 1 + f(n - 1)\nprint(a + b if f(20000) == 20000 else 0)"},
	{"passed", adds + "print(a + b if len(str(7 ** 9000)) == 7606 else 0)"},
	{"passed", adds + "x = bytearray(150 << 20)\nprint(a + b)"},
	{"passed", "import threading\n" + adds + "r = []\nt = [threading.Thread(target=r.append, args=(i,)) for i in range(16)]\n[x.start() for x in t]; [x.join() for x in t]\nprint(a + b if len(r) == 16 else 0)"},
	{"passed", "import sys\n" + adds + "print('debugging', file=sys.stderr)\nprint(a + b)"},
	{"passed", adds + "print(f'{a + b:d}' if f'{1234.5:,.1f}' == '1,234.5' else 0)"},
	{"wrong_answer", adds + "print(a - b)"},
	{"wrong_answer", adds + "print(f'{a + b:n}'.replace('', ','))"},
	{"runtime_error", adds + "print(1 // 0)"},
	{"runtime_error", "import os\nos.fork()\n" + adds + "print(a + b)"},
	{"runtime_error", "open('/tmp/lcbq-hosts', 'w')\n" + adds + "print(a + b)"},
	{"runtime_error", "open('/etc/passwd')\n" + adds + "print(a + b)"},
	{"runtime_error", "import socket\nsocket.create_connection(('127.0.0.1', 4222))\n" + adds + "print(a + b)"},
	{"memory_limit", adds + "x = [0] * (1 << 30)\nprint(a + b)"},
	{"compile_error", "print(a +"},
	{"time_limit", "while True: pass"},
	{"no_code", ""},
	{"passed", doubles + "return tuple(i + i for i in x)"},
	{"wrong_answer", doubles + "return [str(i + i) for i in x]"},
	{"runtime_error", doubles + "return x.twice"},
	{"runtime_error", doubles + "raise SystemExit(0)"},
	{"runtime_error", "class Solution:\n    def thrice(self, x):\n        return x"},
}

// hostProgramAt returns program i: the odd ones, then variants of right and wrong ones.
func hostProgramAt(i int) hostProgram {
	if i < len(oddPrograms) {
		return oddPrograms[i]
	}
	switch i % 4 {
	case 0:
		return hostProgram{"passed", fmt.Sprintf("%sx = %d\nprint(a + b + x - x)", adds, i)}
	case 1:
		return hostProgram{"passed", fmt.Sprintf("%sreturn [i * 2 + %d - %d for i in x]", doubles, i, i)}
	case 2:
		return hostProgram{"wrong_answer", fmt.Sprintf("%sprint(a + b + %d)", adds, i)}
	default:
		return hostProgram{"runtime_error", fmt.Sprintf("%sprint([a][%d])", adds, i)}
	}
}

// hostVerdict is what program i must get.
func hostVerdict(i int) string { return hostProgramAt(i).verdict }

// writeHostFiles writes the questions, the completions and the job.
func writeHostFiles(t *testing.T, dir string) {
	t.Helper()
	question := func(id, starter, kind, in, out, metadata string) string {
		tests, err := json.Marshal([]map[string]string{{"input": in, "output": out, "testtype": kind}})
		if err != nil {
			t.Fatal(err)
		}
		row, err := json.Marshal(map[string]string{
			"question_title": id, "question_content": id, "platform": "own", "question_id": id, "contest_id": "", "contest_date": "",
			"starter_code": starter, "difficulty": "easy", "public_test_cases": string(tests), "private_test_cases": "[]", "metadata": metadata,
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(row) + "\n"
	}
	problems := question("adds", "", "stdin", "20 22\n", "42\n", "{}") +
		question("doubles", "class Solution:", "functional", "[1, 2, 30]", "[2, 4, 60]", `{"func_name": "twice"}`)
	var completions strings.Builder
	for i := range hostPrograms {
		p := hostProgramAt(i)
		id := "adds"
		if strings.Contains(p.code, "class Solution") {
			id = "doubles"
		}
		row, err := json.Marshal(map[string]string{"question_id": id, "completion_id": fmt.Sprint("p", i), "code": p.code})
		if err != nil {
			t.Fatal(err)
		}
		completions.Write(append(row, '\n'))
	}
	for name, text := range map[string]string{"p.jsonl": problems, "c.jsonl": completions.String(), "job": hostJob} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

package lcb

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestRobust wants the program found in what models make of the form that they were asked for. Each row is
// a kind, none is from a recording.
func TestRobust(t *testing.T) {
	t.Parallel()
	const prog = "a, b = map(int, input().split())\nprint(a + b)"
	const called = "class Solution:\n    def add(self, a: int, b: int) -> int:\n        return a + b"
	in := func(before, lang, after string) string { return before + "```" + lang + "\n" + prog + "\n```" + after }
	for name, c := range map[string]struct{ output, want string }{
		"plain":                     {in("Hi\n", "python", "\nBye."), prog},
		"unclosed":                  {"Sure:\n```python\n" + prog + "\n", prog},
		"unclosed after a draft":    {"```python\nprint(input())\n```\nBetter:\n```python\n" + prog, prog},
		"cut off after a whole one": {in("", "python", "\nFaster:\n```python\na, b = map(int, input().split("), prog},
		"unclosed, then another":    {"```python\nimport sys\nWait, again:\n```python\n" + prog + "\n```", prog},
		"indented":                  {"1. Code:\n   ```python\n   a, b = map(int, input().split())\n   print(a + b)\n   ```", prog},
		"indented by tabs":          {"- Code:\n\t```python\n\ta, b = map(int, input().split())\n\tprint(a + b)\n\t```\n", prog},
		"quoted":                    {"> ```python\n> a, b = map(int, input().split())\n> print(a + b)\n> ```", prog},
		"only the fence indented":   {"  ```python\n" + prog + "\n  ```", prog},
		"stray closer":              {prog + "\n```", prog},
		"stray closer and prose":    {prog + "\n```\nThis reads two numbers and prints their sum.", prog},
		"tilde":                     {"~~~python\n" + prog + "\n~~~", prog},
		"four backticks":            {"````python\n" + prog + "\n````\nand ``` is a fence", prog},
		"end token after the fence": {in("", "python", "<|im_end|>"), prog},
		"end token in the fence":    {"```python\n" + prog + "<|im_end|>\n", prog},
		"end token alone":           {prog + "</s>", prog},
		"another turn":              {in("", "python", "<|eot_id|>\n<|start_header_id|>user<|end_header_id|>\n```python\nprint(input())\n```"), prog},
		"start token":               {"<|im_start|>assistant\n" + prog + "\n<|im_end|>", prog},
		"usage last":                {in("", "python", "\nRun:\n```bash\npython main.py\n```"), prog},
		"usage without a tag":       {in("", "", "\nRun:\n```\n$ python3 main.py < in.txt\n```"), prog},
		"sample output last":        {in("", "python", "\nOutput:\n```\n3\n```\nand\n```text\nYes\nNo\n```"), prog},
		"example in Python last":    {"```python\n" + called + "\n```\nFor example:\n```python\nprint(Solution().add(1, 2))\n```", called},
		"explanation of a line":     {in("", "python", "\nHere\n```python\nprint(a + b)\n```\nprints."), prog},
		"idea first":                {in("```\nread a and b, add them up, print.\n```\n", "python", ""), prog},
		"two solutions":             {"```python\nprint(sum(map(int, input().split())))\n```\nCleaner:\n" + in("", "python", ""), prog},
		"C++ too":                   {in("", "python", "\nIn C++:\n```cpp\n#include <iostream>\nint main() { int a, b; std::cin >> a >> b; }\n```"), prog},
		"no fence":                  {prog, prog},
		"no fence, prose around":    {"Here is the solution:\n\n" + prog + "\n\nIt reads two numbers.", prog},
		"no fence, called":          {"\n" + called + "\n", called},
		"thoughts":                  {"<think>\nLet me try\n```python\nprint(1)\n```\n</think>\n" + in("", "python", ""), prog},
		"thoughts without a start":  {"I could\n```python\nx = int(input())\n```\n</think>\n\n" + prog, prog},
		"harmony":                   {"<|channel|>analysis<|message|>add<|end|><|start|>assistant<|channel|>final<|message|>" + in("", "python", "<|return|>"), prog},
		"only in the thoughts":      {"<think>\n" + in("", "python", "\nThat is it.\n</think>\nThe answer is above."), prog},
		"thoughts cut off":          {"<think>\nMaybe\n" + in("", "python", "\nWait"), prog},
		"fence behind text":         {"The code: ```python\n" + prog + "\n```", prog},
		"closer behind code":        {"```python\n" + prog + "```", prog},
		"attributes":                {"```python title=\"main.py\"\n" + prog + "\n```", prog},
		"braces":                    {"```{.python}\n" + prog + "\n```", prog},
		"tag of another kind":       {in("", "text", ""), prog},
		"carriage returns":          {"```python\r\nprint(input())\r\n```\r\n", "print(input())\r"},
		"one line":                  {"`x` is\n```python print(input())```\n", "print(input())"},
		"string over lines":         {"```python\ns = \"\"\"\nThis is no code. It is text.\nNeither is this.\n\"\"\"\nprint(input() + s)\n```", "s = \"\"\"\nThis is no code. It is text.\nNeither is this.\n\"\"\"\nprint(input() + s)"},
		"nothing":                   {"", ""},
		"prose":                     {"I cannot solve this. The input is (as I read it) too long.", ""},
		"prose with a call":         {"Use input() to read it, then call print(a) and so on, which is for you to do.", ""},
		"only usage":                {"```bash\npython main.py\n```", ""},
		"only data":                 {"```\n3 4\n7\n```", ""},
	} {
		got, err := Extract(c.output, ExtractRobust)
		if got != c.want || err != nil {
			t.Errorf("%s: %q, %v\nwant %q", name, got, err, c.want)
		}
	}
}

// TestRobustRecorded holds the robust rule against the official one on real completions: what the official
// rule finds and Python can parse, the robust one must find too, nearly always.
func TestRobustRecorded(t *testing.T) {
	t.Parallel()
	f := shared(t, "completions.jsonl")
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<26)
	type pair struct{ LCB, Robust string }
	var pairs []pair
	rows := 0
	for lines.Scan() {
		var c struct {
			Output string `json:"output"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		rows++
		a, err := Extract(c.Output, ExtractLCB)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Extract(c.Output, ExtractRobust)
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(a) != strings.TrimSpace(b) {
			pairs = append(pairs, pair{a, b})
		}
	}
	if lines.Err() != nil || rows == 0 {
		t.Fatalf("%d rows, %v", rows, lines.Err())
	}
	python, ok := os.LookupEnv("LCBQ_PYTHON")
	if !ok {
		python = "python3"
	}
	const script = "import ast, json, sys\ndef ok(s):\n try:\n  return bool(s.strip()) and bool(ast.parse(s).body)\n except Exception:\n  return False\nprint(json.dumps([[ok(p['LCB']), ok(p['Robust'])] for p in json.load(sys.stdin)]))"
	cmd := exec.CommandContext(t.Context(), python, "-W", "ignore", "-c", script)
	in, err := json.Marshal(pairs)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("no Python to parse programs with: %v", err)
	}
	var parse [][2]bool
	if err := json.Unmarshal(out, &parse); err != nil {
		t.Fatal(err)
	}
	lost, won, found := 0, 0, 0
	for i, p := range pairs {
		switch {
		case parse[i][0] && !parse[i][1]:
			if lost++; lost <= 5 {
				t.Logf("lost:\n%s\n--- for\n%s", p.LCB, p.Robust)
			}
		case !parse[i][0] && parse[i][1]:
			won++
		}
		if strings.TrimSpace(p.LCB) == "" && p.Robust != "" {
			found++
		}
	}
	t.Logf("%d rows, %d differ: %d parse only by the robust rule, %d only by the official one; %d without a program hold one", rows, len(pairs), won, lost, found)
	if lost*500 > rows || won <= lost {
		t.Errorf("of %d rows %d parse only by the official rule, %d only by the robust one", rows, lost, won)
	}
}

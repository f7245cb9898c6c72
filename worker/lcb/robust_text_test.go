package lcb

import "testing"

// TestRobustText wants the program without what was written around it, into it or over it.
func TestRobustText(t *testing.T) {
	t.Parallel()
	const prog = "a, b = map(int, input().split())\nprint(a + b)"
	const called = "class Solution:\n    def add(self, a: int, b: int) -> int:\n        return a + b"
	const short = "print(sum(map(int, input().split())))"
	const block = "```python\n" + prog + "\n```"
	const doc = "\"\"\"\nExample:\n```\n1 2\n```\n\"\"\"\n" + prog
	for name, c := range map[string]struct{ output, want string }{
		"entities":                        {"```python\nif 1 &lt; 2:\n    print(&quot;%d&quot; % int(input()))\n```", "if 1 < 2:\n    print(\"%d\" % int(input()))"},
		"entities in a string":            {"```python\nprint(input().replace('<', '&lt;'))\n```", "print(input().replace('<', '&lt;'))"},
		"template last":                   {"```python\n" + called + "\n```\nThe starter code was:\n```python\nclass Solution:\n    def add(self, a: int, b: int) -> int:\n        \n```", called},
		"template that passes last":       {"```python\n" + called + "\n```\nTemplate:\n```python\nclass Solution:\n    def add(self, a, b):\n        pass\n```", called},
		"template alone":                  {"```python\nclass Solution:\n    def add(self, a, b):\n        pass\n```", "class Solution:\n    def add(self, a, b):\n        pass"},
		"lines shown again":               {block + "\nStep by step:\n```python\na, b = map(int, input().split())\n```\nreads, and\n```python\nprint(a + b)\n```\nprints.", prog},
		"shorter at last":                 {"```python\nimport sys\n" + prog + "\n```\nsys is not needed:\n" + block, prog},
		"heading behind no fence":         {"## Solution\n\n" + prog + "\n\n## Explanation\n\nIt reads two numbers.", prog},
		"fence of another kind within":    {"~~~markdown\n" + block + "\n~~~", prog},
		"session":                         {"```python\n>>> a, b = map(int, input().split())\n>>> print(a + b)\n```", prog},
		"prose in a block without an end": {"```python\n" + prog + "\n\nThis program reads two integers and prints the sum.", prog},
		"heading in it":                   {"```python\n" + prog + "\n\n### Explanation\n\n- It reads two numbers.", prog},
		"prose of another script in it":   {"```python\n" + prog + "\n\nЭта программа читает два числа.", prog},
		"prose without spaces in it":      {"```python\n" + prog + "\n\n这个程序读取两个整数。", prog},
		"tag behind a space":              {"```python\nprint(input())\n``` python\n" + prog + "\n```", prog},
		"headings of the program":         {"```python\nn = int(input())\n\n## Answer\nprint(n)\n", "n = int(input())\n\n## Answer\nprint(n)"},
		"text behind the closer":          {"```python\n" + prog + "\n``` This is it.", prog},
		"code behind the opener":          {"```python a, b = map(int, input().split())\nprint(a + b)\n```", prog},
		"attribute behind the opener":     {"```python title = \"main.py\"\n" + prog + "\n```", "title = \"main.py\"\n" + prog},
		"fences in a doc string":          {"```python\n" + doc + "\n```", doc},
		"doc string without an end":       {"```python\n\"\"\"Adds\n" + short + "\n```\nAgain:\n" + block, prog},
		"shorter closer":                  {"````python\n" + prog + "\n```", prog},
		"JSON":                            {`{"explanation": "sum", "code": "a, b = map(int, input().split())\nprint(a + b)"}`, prog},
		"JSON with a fence, in a fence":   {"```json\n{\"answer\": \"```python\\n" + short + "\\n```\"}\n```", short},
		"within a line":                   {"The answer is `" + short + "`.", short},
		"a call within a line":            {"Use `input()` to read, then `print(x)`.", ""},
		"tool token":                      {"<|python_tag|>" + prog, prog},
	} {
		got, err := Extract(c.output, ExtractRobust)
		if got != c.want || err != nil {
			t.Errorf("%s: %q, %v\nwant %q", name, got, err, c.want)
		}
	}
}

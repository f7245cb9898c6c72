package lcb

import (
	"strings"
	"testing"
)

func TestRender(t *testing.T) {
	t.Parallel()
	stdin := &Problem{Content: "Add."}
	called := &Problem{Content: "Add.", StarterCode: "class Solution:\n    def f(self):\n        ", FuncName: "f"}

	const (
		system = "You are an expert Python programmer. You will be given a question (problem specification) and will generate a correct Python program that matches the specification and passes all tests."
		plain  = "### Question:\nAdd.\n\n" +
			"### Format: Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT.\n" +
			"```python\n# YOUR CODE HERE\n```\n\n### Answer: (use the provided format with backticks)\n\n"
		starter = "### Question:\nAdd.\n\n" +
			"### Format: You will use the following starter code to write the solution to the problem and enclose your code within delimiters.\n" +
			"```python\nclass Solution:\n    def f(self):\n        \n```\n\n### Answer: (use the provided format with backticks)\n\n"
		qwen = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n\n" +
			"You will be given a question (problem specification) and will generate a correct Python program that matches the specification and passes all tests. You will NOT return anything except for the program.\n\n" +
			"Question: Add.\n\n" +
			"You will use the following starter code to write the solution to the problem and enclose your code within delimiters.\n" +
			"```python\nclass Solution:\n    def f(self):\n        \n```\n\n<|im_end|>\n<|im_start|>assistant\n"
		qwq = "<|im_start|>system\nYou are a helpful and harmless assistant. You are Qwen developed by Alibaba. You should think step-by-step.<|im_end|>\n<|im_start|>user\n\n" +
			"You will be given a question (problem specification) and will generate a correct Python program that matches the specification and passes all tests.\n\n" +
			"Question: Add.\n\nRead the inputs"
	)
	for _, c := range []struct {
		style PromptStyle
		p     *Problem
		want  []Message
	}{
		{PromptLCB, stdin, []Message{{"system", system}, {"user", plain}}},
		{PromptLCB, called, []Message{{"system", system}, {"user", starter}}},
		{PromptSingle, stdin, []Message{{"user", system + "\n\n" + plain}}},
	} {
		got := c.style.Render(c.p)
		if got.Raw != "" || len(got.Messages) != len(c.want) {
			t.Fatalf("%s: %+v", c.style, got)
		}
		for i, m := range got.Messages {
			if m != c.want[i] {
				t.Errorf("%s: message %d = %q, want %q", c.style, i, m, c.want[i])
			}
		}
	}
	if got := PromptQwen.Render(called); got.Raw != qwen || got.Messages != nil {
		t.Errorf("qwen = %q, want %q", got.Raw, qwen)
	}
	if got := PromptQwQ.Render(stdin); !strings.HasPrefix(got.Raw, qwq) || !strings.HasSuffix(got.Raw, "STDOUT.\n```python\n# YOUR CODE HERE\n```\n\n<|im_end|>\n<|im_start|>assistant\n") {
		t.Errorf("qwq = %q", got.Raw)
	}
}

func TestParsePromptStyle(t *testing.T) {
	t.Parallel()
	for _, style := range PromptStyles() {
		if got, err := ParsePromptStyle(string(style)); err != nil || got != style {
			t.Errorf("ParsePromptStyle(%s) = %s, %v", style, got, err)
		}
	}
	if got, err := ParsePromptStyle(""); err != nil || got != PromptLCB {
		t.Errorf(`ParsePromptStyle("") = %s, %v`, got, err)
	}
	if _, err := ParsePromptStyle("chat"); err == nil || !strings.Contains(err.Error(), "[lcb single qwen qwq]") {
		t.Errorf(`ParsePromptStyle("chat") = %v, want the names`, err)
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	p := &Problem{ID: "q1", Content: "Add <a> & b.", StarterCode: "class Solution:"}

	raw, err := ParseTemplate("t", "[{{.ID}}] {{.Content}}{{if .StarterCode}} {{.Format}}{{end}}")
	if err != nil {
		t.Fatal(err)
	}
	got, err := raw.Render(p)
	if want := "[q1] Add <a> & b. You will use the following starter code to write the solution to the problem and enclose your code within delimiters.\n```python\nclass Solution:\n```"; err != nil || got.Raw != want || got.Messages != nil {
		t.Errorf("Render = %+v, %v, want %q", got, err, want)
	}

	chat, err := ParseTemplate("t", `{{define "system"}}Be brief.{{end}}
{{define "user"}}{{.Content}}{{end}}`)
	if err != nil {
		t.Fatal(err)
	}
	got, err = chat.Render(p)
	if err != nil || got.Raw != "" || len(got.Messages) != 2 || got.Messages[0] != (Message{"system", "Be brief."}) || got.Messages[1] != (Message{"user", p.Content}) {
		t.Errorf("Render = %+v, %v", got, err)
	}
}

func TestTemplateRefused(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"{{.Content":                                  "parse prompt template",
		"{{.Contents}}":                               "Contents",
		"Solve it.":                                   "never shows the statement",
		"{{if .StarterCode}}{{.Content}}{{end}}":      "never shows the statement",
		`{{define "system"}}{{.Content}}{{end}}`:      `not "user"`,
		`{{define "user"}}{{.Content}}{{end}} please`: "text outside",
		"{{.Content}}{{range 1000000000}}" + strings.Repeat("and again ", 10_000) + "{{end}}": "longer than 16 MiB",
		`{{define "a"}}{{.Content}}{{template "a" .}}{{end}}{{template "a" .}}`:               "prompt",
	} {
		if _, err := ParseTemplate("t", text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("ParseTemplate(%q) = %v, want %q", text, err, says)
		}
	}
}

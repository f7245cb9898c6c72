package lcb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"
)

// A Message is one turn of a chat prompt.
type Message struct {
	Role    string // system or user
	Content string
}

// A Prompt is what a model is asked. Exactly one of its fields is set: Messages
// for a chat endpoint, which applies the model's own template, or Raw for a
// completion endpoint, which takes the text as it is.
type Prompt struct {
	Messages []Message
	Raw      string
}

// A PromptStyle is a way to ask, one of the official runner's. Its text is its
// name on the command line and in results.
type PromptStyle string

// The styles.
const (
	// PromptLCB is the official generic prompt: a system and a user message.
	PromptLCB PromptStyle = "lcb"
	// PromptSingle is the same two texts in one user message, as the official
	// runner asks models that have no system role.
	PromptSingle PromptStyle = "single"
	// PromptQwen is the official ChatML text for Qwen models. It is not what the
	// tokenizer's own template makes: there is a blank line more after the user
	// header and before the end of the turn.
	PromptQwen PromptStyle = "qwen"
	// PromptQwQ is the official ChatML text for QwQ.
	PromptQwQ PromptStyle = "qwq"
)

// PromptStyles returns the styles, the default first.
func PromptStyles() []PromptStyle {
	return []PromptStyle{PromptLCB, PromptSingle, PromptQwen, PromptQwQ}
}

// ParsePromptStyle returns the style of that name; "" is the official generic
// one.
func ParsePromptStyle(name string) (PromptStyle, error) {
	if name == "" {
		return PromptLCB, nil
	}
	for _, style := range PromptStyles() {
		if string(style) == name {
			return style, nil
		}
	}
	return "", fmt.Errorf("unknown prompt style %q, want one of %v or a template file", name, PromptStyles())
}

// The benchmark's own sentences. A changed byte here is another benchmark.
const (
	taskSentence = "You will be given a question (problem specification) and will generate a correct Python program that matches the specification and passes all tests."
	systemText   = "You are an expert Python programmer. " + taskSentence
	onlyProgram  = " You will NOT return anything except for the program."

	starterSentence = "You will use the following starter code to write the solution to the problem and enclose your code within delimiters."
	stdinSentence   = "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample inputs). " +
		"Enclose your code within delimiters as follows. " +
		"Ensure that when the python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT."
	codePlaceholder = "# YOUR CODE HERE"

	qwenSystem = "You are a helpful assistant."
	qwqSystem  = "You are a helpful and harmless assistant. You are Qwen developed by Alibaba. You should think step-by-step."
)

// Render returns the prompt for p. An unknown style is the official generic one.
func (style PromptStyle) Render(p *Problem) Prompt {
	switch style {
	case PromptSingle:
		return Prompt{Messages: []Message{{"user", systemText + "\n\n" + genericText(p)}}}
	case PromptQwen:
		return Prompt{Raw: chatML(qwenSystem, taskSentence+onlyProgram, p)}
	case PromptQwQ:
		return Prompt{Raw: chatML(qwqSystem, taskSentence, p)}
	default:
		return Prompt{Messages: []Message{{"system", systemText}, {"user", genericText(p)}}}
	}
}

// genericText is the user's message of the generic prompt.
func genericText(p *Problem) string {
	return "### Question:\n" + p.Content + "\n\n" +
		"### Format: " + formatText(p) + "\n\n" +
		"### Answer: (use the provided format with backticks)\n\n"
}

// formatText is the sentence on the form of the answer, and the fence below it.
func formatText(p *Problem) string {
	sentence, code := stdinSentence, codePlaceholder
	if p.StarterCode != "" {
		sentence, code = starterSentence, p.StarterCode
	}
	return sentence + "\n```python\n" + code + "\n```"
}

func chatML(system, task string, p *Problem) string {
	return "<|im_start|>system\n" + system + "<|im_end|>\n" +
		"<|im_start|>user\n\n" + task + "\n\n" +
		"Question: " + p.Content + "\n\n" +
		formatText(p) + "\n\n<|im_end|>\n" +
		"<|im_start|>assistant\n"
}

// A Template is a prompt of the user's own, in the language of text/template. It
// sees ID, Title, Content, StarterCode, FuncName, Platform, Difficulty,
// ContestID and ContestDate, and Format: the official sentence on the form of
// the answer with its fence.
//
// A file that defines "user", and perhaps "system", makes chat messages; any
// other file makes raw text for a completion endpoint.
type Template struct{ t *template.Template }

// templateData is what a template sees: text only, so that it can reach nothing.
type templateData struct {
	ID, Title, Content, StarterCode, FuncName, Platform, Difficulty, ContestID, ContestDate, Format string
}

// ParseTemplate parses a template and tries it, so that an unknown field is
// found now and not after the first question. The name is for error texts.
func ParseTemplate(name, text string) (*Template, error) {
	t, err := template.New(name).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse prompt template: %w", err)
	}
	tmpl := &Template{t}
	if t.Lookup("system") != nil && t.Lookup("user") == nil {
		return nil, fmt.Errorf("parse prompt template: %s defines %q but not %q", name, "system", "user")
	}
	const mark = "statement of the question"
	for _, starter := range []string{"", "class Solution: ..."} {
		prompt, err := tmpl.Render(&Problem{ID: "1", Content: mark, StarterCode: starter})
		if err != nil {
			return nil, err
		}
		shows := func(m Message) bool { return strings.Contains(m.Content, mark) }
		if !strings.Contains(prompt.Raw, mark) && !slices.ContainsFunc(prompt.Messages, shows) {
			return nil, fmt.Errorf("parse prompt template: %s never shows the statement; write {{.Content}} where it belongs", name)
		}
	}
	return tmpl, nil
}

// Render returns the prompt for p.
func (t *Template) Render(p *Problem) (Prompt, error) {
	data := templateData{
		ID: p.ID, Title: p.Title, Content: p.Content, StarterCode: p.StarterCode, FuncName: p.FuncName, Platform: p.Platform,
		Difficulty: p.Difficulty, ContestID: p.ContestID, ContestDate: p.ContestDate, Format: formatText(p),
	}
	if t.t.Lookup("user") == nil {
		text, err := execute(t.t, data)
		return Prompt{Raw: text}, err
	}
	// What stands outside the definitions would be lost without a word.
	if outside, err := execute(t.t, data); err != nil {
		return Prompt{}, err
	} else if strings.TrimSpace(outside) != "" {
		return Prompt{}, fmt.Errorf("render prompt: %s has text outside its definitions", t.t.Name())
	}
	var prompt Prompt
	for _, role := range []string{"system", "user"} {
		if part := t.t.Lookup(role); part != nil {
			text, err := execute(part, data)
			if err != nil {
				return Prompt{}, err
			}
			prompt.Messages = append(prompt.Messages, Message{role, text})
		}
	}
	return prompt, nil
}

// maxPrompt bounds a rendered prompt: a template may loop for ever.
const maxPrompt = 16 << 20

var errPromptTooLong = errors.New("prompt is longer than 16 MiB")

func execute(t *template.Template, data templateData) (string, error) {
	var buf bytes.Buffer
	if err := t.Execute(&limitedWriter{&buf, maxPrompt}, data); err != nil {
		return "", fmt.Errorf("render prompt: %w", err)
	}
	return buf.String(), nil
}

type limitedWriter struct {
	w    io.Writer
	left int
}

func (l *limitedWriter) Write(b []byte) (int, error) {
	if l.left -= len(b); l.left < 0 {
		return 0, errPromptTooLong
	}
	return l.w.Write(b)
}

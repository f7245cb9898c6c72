package openai

import (
	"strings"
	"testing"
)

// TestBeside wants an answer read whatever shape stands beside its text.
func TestBeside(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ beside, thoughts string }{
		{`"reasoning":"so"`, "so"},
		{`"reasoning":{"text":"so"}`, "so"},
		{`"reasoning_content":[{"type":"t","text":"s"},{"content":"o"}]`, "so"},
		{`"reasoning":["s",{"content":["o"]}]`, "so"},
		{`"reasoning":{"effort":7}`, ""},
		{`"reasoning":{"text":{"deep":[1,2]}}`, ""},
		{`"reasoning":[7,null,true]`, ""},
		{`"reasoning":3.5`, ""},
		{`"reasoning":null`, ""},
		{`"logprobs":{"token_logprobs":[NaN,-Infinity,Infinity,-0.5]}`, ""},
		{`"logprobs":NaN,"note":"\" NaN \\"`, ""},
	} {
		answer := `{"choices":[{"message":{"content":"x = NaN # \"-Infinity\\",` + c.beside + `},"logprobs":{"content":[{"logprob":-Infinity}]},"finish_reason":"stop"}]}`
		drafts, _, err := readWhole(strings.NewReader(answer))
		if err != nil || len(drafts) != 1 {
			t.Errorf("%s: %v, %v", c.beside, drafts, err)
			continue
		}
		text, thoughts := drafts[0].text.String(), drafts[0].thoughts.String()
		if text != `x = NaN # "-Infinity\` || thoughts != c.thoughts {
			t.Errorf("%s: text %q, reasoning %q, want %q", c.beside, text, thoughts, c.thoughts)
		}
	}
}

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

// TestAnsweredAs wants the model that an answer names, from whole answers and streams, and the asked one
// told from others whatever its case and tag.
func TestAnsweredAs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ named, want string }{
		{`"mini"`, "mini"},
		{`"  org/model name\u0000\u001b[1m\ufffd "`, "org/model name[1m"},
		{`"` + strings.Repeat("é", 300) + `"`, strings.Repeat("é", 100)},
		{`7`, ""},
		{`null`, ""},
		{`{"id":"m"}`, ""},
	} {
		piece := `{"model":` + c.named + `,"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}]}`
		whole, _, err := readWhole(strings.NewReader(piece))
		if err != nil || len(whole) != 1 || whole[0].completion().AnsweredAs != c.want {
			t.Errorf("%s: %+v, %v, want %q", c.named, whole, err, c.want)
		}
		last := `{"model":null,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
		streamed, _, err := readStream(strings.NewReader("data: "+piece+"\n\ndata: "+last+"\n\ndata: [DONE]\n\n"), 1, func() {})
		if err != nil || len(streamed) != 1 || streamed[0].completion().AnsweredAs != c.want {
			t.Errorf("%s streamed: %+v, %v, want %q", c.named, streamed, err, c.want)
		}
	}
	for _, c := range []struct {
		answered, asked string
		same            bool
	}{{"", "m", true}, {"m", "m", true}, {"M", "m", true}, {"m:latest", "m", true}, {"m", "m:latest", true}, {"m:7b", "m", false}, {"m-mini", "m", false}} {
		if got := sameModel(c.answered, c.asked); got != c.same {
			t.Errorf("sameModel(%q, %q) = %v", c.answered, c.asked, got)
		}
	}
}

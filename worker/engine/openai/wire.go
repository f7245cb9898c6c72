package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/pyjson"
)

// An option is a request field that not every server knows. Off says that the
// request means what the server does without the field, so that it may be left
// out where it is refused; else a server that refuses it cannot serve at all.
type option struct {
	name    string
	value   any
	off     bool
	samples bool // the server draws by it
}

// options returns the fields beyond OpenAI's first interface that r asks for.
// They are sent even where they are off: a server's default, taken from the
// model's generation_config.json, would be something else.
func options(r engine.Request, stream bool) []option {
	s := r.Sampling
	topK := s.TopK
	if topK == 0 {
		topK = -1 // how every server that has the field spells off; old vLLM and SGLang refuse 0
	}
	all := []option{
		{name: "top_k", value: topK, off: s.TopK <= 0, samples: true},
		{name: "min_p", value: s.MinP, off: s.MinP == 0, samples: true},
		{name: "repetition_penalty", value: or1(s.RepetitionPenalty), off: or1(s.RepetitionPenalty) == 1, samples: true},
		{name: "presence_penalty", value: s.PresencePenalty, off: s.PresencePenalty == 0, samples: true},
		{name: "frequency_penalty", value: s.FrequencyPenalty, off: s.FrequencyPenalty == 0, samples: true},
		{name: "return_token_ids", value: true, off: true},
	}
	if or1(s.RepetitionPenalty) != 1 {
		// llama.cpp's name for it; those who know the other one ignore this.
		all = append(all, option{name: "repeat_penalty", value: s.RepetitionPenalty, off: true})
	}
	if stream {
		all = append(all, option{name: "stream_options", value: map[string]bool{"include_usage": true}, off: true})
	}
	if r.Thinking != nil && r.Raw == "" {
		all = append(all, option{name: "chat_template_kwargs", value: map[string]bool{"enable_thinking": *r.Thinking}})
	}
	return all
}

// or1 reads the zero value of a factor as 1.
func or1(v float64) float64 {
	if v == 0 {
		return 1
	}
	return v
}

// body returns the request for n choices in JSON, for one without a number if n is 0, leaving out what the endpoint
// refused before. It returns a rejected fault where that would change what is
// asked for.
func body(r engine.Request, model string, n int, stream bool, t traits) ([]byte, error) {
	s := r.Sampling
	m := map[string]any{
		"model":       model,
		"temperature": s.Temperature,
		"top_p":       or1(s.TopP),
	}
	if n > 0 {
		m["n"] = n
	}
	if r.Raw != "" {
		m["prompt"] = r.Raw
	} else {
		m["messages"] = r.Messages
	}
	if len(s.Stop) > 0 {
		m["stop"] = s.Stop
	}
	if stream {
		m["stream"] = true
	}
	// Left out, /completions would stop after 16 tokens.
	if t.newMax {
		m["max_completion_tokens"] = s.MaxTokens
	} else {
		m["max_tokens"] = s.MaxTokens
	}
	for _, o := range options(r, stream) {
		switch {
		case !t.without[o.name]:
			m[o.name] = o.value
		case !o.off:
			return nil, &fault{kind: rejected, err: fmt.Errorf("the endpoint does not take %s = %v\nleave it at its default, or use a server that has it, such as vLLM", o.name, o.value)}
		}
	}
	return json.Marshal(m)
}

// sent returns the fields of options that a request of the given traits holds.
func sent(r engine.Request, stream bool, t traits) []option {
	return slices.DeleteFunc(options(r, stream), func(o option) bool { return t.without[o.name] })
}

// obeying returns t without the fields that the endpoint's words of refusal name. It returns
// false where they name none.
func obeying(r engine.Request, stream bool, t traits, said string) (traits, bool) {
	if !t.newMax && mentions(said, "max_tokens") && mentions(said, "max_completion_tokens") {
		t.newMax = true
		return t, true
	}
	named := slices.DeleteFunc(sent(r, stream, t), func(o option) bool { return !mentions(said, o.name) })
	return t.leaving(named), len(named) > 0
}

// leftOut names the fields of sampling that r asks to be off and that t leaves out, so that
// the server's own default takes their place.
func leftOut(r engine.Request, stream bool, t traits) string {
	if len(t.without) == 0 {
		return ""
	}
	var names []string
	for _, o := range options(r, stream) {
		if o.samples && t.without[o.name] {
			names = append(names, o.name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// leaving returns t without the given fields as well.
func (t traits) leaving(some []option) traits {
	all := map[string]bool{}
	for name := range t.without {
		all[name] = true
	}
	for _, o := range some {
		all[o.name] = true
	}
	t.without = all
	return t
}

// taking returns t with one field that it left out.
func (t traits) taking(o option) traits {
	all := maps.Clone(t.without)
	delete(all, o.name)
	t.without = all
	return t
}

// same reports whether t makes the same request as o.
func (t traits) same(o traits) bool { return t.newMax == o.newMax && maps.Equal(t.without, o.without) }

// missing lists the fields that the endpoint refused, for the log.
func (t traits) missing() string {
	names := slices.Sorted(maps.Keys(t.without))
	if t.newMax {
		names = append(names, "max_tokens")
	}
	return strings.Join(names, " ")
}

// mentions reports whether text holds the word.
func mentions(text, word string) bool {
	for rest := text; ; {
		i := strings.Index(rest, word)
		if i < 0 {
			return false
		}
		before, after := rest[:i], rest[i+len(word):]
		if (before == "" || !wordByte(before[len(before)-1])) && (after == "" || !wordByte(after[0])) {
			return true
		}
		rest = after
	}
}

func wordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// A choice is one sample as any of the servers sends it, whole or in pieces.
type choice struct {
	Index        int         `json:"index"`
	Text         pyjson.Text `json:"text"` // of /completions
	Message      turn        `json:"message"`
	Delta        turn        `json:"delta"`
	FinishReason *string     `json:"finish_reason"`
	TokenIDs     count       `json:"token_ids"`
}

// A turn is what the model said. Servers that take a model's thoughts out of its
// text send them beside it under either name.
type turn struct {
	Content          prose   `json:"content"`
	ReasoningContent thought `json:"reasoning_content"`
	Reasoning        thought `json:"reasoning"`
}

// Prose is text that comes whole or in a list of parts.
type prose string

// UnmarshalJSON implements json.Unmarshaler.
func (p *prose) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '[' {
		return (*pyjson.Text)(p).UnmarshalJSON(b)
	}
	var parts []struct {
		Text pyjson.Text `json:"text"`
	}
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	for _, part := range parts {
		*p += prose(part.Text)
	}
	return nil
}

// thoughts returns the reasoning, under whichever name it came. A server that
// sends both sends the same twice.
func (t turn) thoughts() string {
	if t.ReasoningContent != "" {
		return string(t.ReasoningContent)
	}
	return string(t.Reasoning)
}

// A count is the length of a JSON list of numbers, 0 for null. The numbers
// themselves, several kilobytes a sample, are of no use.
type count int

// UnmarshalJSON implements json.Unmarshaler.
func (c *count) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '[' {
		return nil // null, or something a stranger calls by this name
	}
	if inner := bytes.TrimSpace(b[1 : len(b)-1]); len(inner) > 0 {
		*c = count(bytes.Count(inner, []byte{','}) + 1)
	}
	return nil
}

// An answer is a response body, or one event of a stream.
type answer struct {
	Model   label           `json:"model"` // that wrote it, as the server says
	Choices []choice        `json:"choices"`
	Usage   *usage          `json:"usage"`
	Error   json.RawMessage `json:"error"`
}

// usage counts the tokens of an answer. Whether that is all its choices together
// or one of them depends on the server.
type usage struct {
	CompletionTokens amount `json:"completion_tokens"`
}

// An amount is a number of tokens as a server tells it. What is none, or none that an answer
// can have, is 0: nobody counted.
type amount int

// mostTokens is beyond the context of every model.
const mostTokens = 1 << 30

// UnmarshalJSON implements json.Unmarshaler.
func (a *amount) UnmarshalJSON(b []byte) error {
	var n float64
	if json.Unmarshal(b, &n) != nil || n < 0 || n > mostTokens {
		n = 0
	}
	*a = amount(n)
	return nil
}

// failure returns the error that an answer with status 200 holds, if any.
func (a *answer) failure(raw []byte) error {
	if len(a.Error) == 0 || string(a.Error) == "null" {
		return nil
	}
	var inner struct {
		Code any `json:"code"`
	}
	_ = json.Unmarshal(a.Error, &inner) // an error without a code, or not an object, has none
	if code, ok := inner.Code.(float64); ok && code >= 400 && code < 600 {
		return ofStatus(int(code), nil, raw)
	}
	f := &fault{kind: broken, cause: "error in the answer", err: fmt.Errorf("the server answers with an error: %s", message(raw))}
	if textual(message(raw)) {
		f.kind, f.cause = ofText, refusedText
	}
	return f
}

// A draft is a sample while its pieces come in.
type draft struct {
	model          label
	text, thoughts strings.Builder
	tokens         int
	finish         string
	finished       bool
}

// add appends what a choice carries. It returns false if the choice had ended before and
// there is more text of it: two choices under one index.
func (d *draft) add(c choice) bool {
	if d.finished && c.Text+pyjson.Text(c.Message.Content)+pyjson.Text(c.Delta.Content) != "" {
		return false
	}
	for _, s := range []string{string(c.Text), string(c.Message.Content), string(c.Delta.Content)} {
		d.text.WriteString(s)
	}
	d.thoughts.WriteString(c.Message.thoughts())
	d.thoughts.WriteString(c.Delta.thoughts())
	d.tokens += int(c.TokenIDs)
	if c.FinishReason != nil && *c.FinishReason != "" {
		d.finish, d.finished = *c.FinishReason, true
	}
	return true
}

// completion returns the sample. Thoughts that the server took out of the text
// are put back as the model writes them, so that the same model gives the same
// text whether its server has a reasoning parser or not.
func (d *draft) completion() engine.Completion {
	text := d.text.String()
	if d.thoughts.Len() > 0 {
		thoughts := "<think>\n" + strings.Trim(d.thoughts.String(), "\n")
		if text != "" || d.finish == "stop" {
			thoughts += "\n</think>\n\n" + strings.TrimLeft(text, "\n")
		}
		text = thoughts
	}
	return engine.Completion{Text: text, Tokens: d.tokens, FinishReason: d.finish, AnsweredAs: string(d.model)}
}

// abandoned reports whether a finish reason says that the server gave the choice up.
func abandoned(reason string) bool {
	switch reason {
	case "abort", "error", "cancelled", "canceled":
		return true
	}
	return false
}

// samples makes completions of the drafts of one answer. Some of them may be abandoned; if all
// are, it returns an error.
func samples(drafts []*draft, use *usage, n int) ([]engine.Completion, counting, error) {
	if len(drafts) == 0 {
		return nil, unknown, &fault{kind: broken, cause: unreadable, err: errors.New("the answer holds no choice")}
	}
	if len(drafts) > n {
		return nil, unknown, &fault{kind: broken, cause: unreadable, err: fmt.Errorf("the answer holds %d choices, asked for %d", len(drafts), n)}
	}
	all := make([]engine.Completion, len(drafts))
	if !slices.ContainsFunc(drafts, func(d *draft) bool { return !abandoned(d.finish) }) {
		return nil, unknown, &fault{kind: broken, cause: givenUp, err: fmt.Errorf("the server gave every choice up: finish_reason %s", drafts[0].finish)}
	}
	counts := byAnswer
	for i, d := range drafts {
		all[i] = d.completion()
		if d.tokens > 0 {
			counts = byIDs
		}
	}
	if counts == byAnswer && n == 1 && use != nil {
		all[0].Tokens = int(use.CompletionTokens)
	}
	return all, counts, nil
}

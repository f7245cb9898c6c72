package openai_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
)

// TestQuirks asks servers that each deviate in one way, in both forms of answer
// and both interfaces, and wants every sample once. The most requests say that
// what was found out is remembered: 60 samples come in three calls of 20.
func TestQuirks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spoil func(*exchange) bool
		most  int // requests in all
	}{
		// One alone to find out how tokens are counted, then 8 at a time; the first
		// call's requests may all be under way before the answer to the first.
		{"nothing wrong", nil, 20 + 3 + 3},
		{"n above 4 is refused without a word about it", func(x *exchange) bool {
			return x.n > 4 && x.status(400, `{"error":{"code":400,"message":"Value must be between 1 <= value <= 4","type":"invalid_request_error"}}`)
		}, 20 + 5 + 5 + 3 + 2},
		{"n is ignored", func(x *exchange) bool { x.texts = x.texts[:1]; return false }, 60 + 5},
		{"fewer choices now and then", func(x *exchange) bool {
			if x.k%5 == 4 && x.n > 1 {
				x.texts = x.texts[:x.n-1]
			}
			return false
		}, 20 + 5 + 5 + 2},
		{"no token ids", func(x *exchange) bool { x.ids = false; return false }, 60},
		{"token ids are refused", func(x *exchange) bool {
			return x.body["return_token_ids"] != nil && x.status(400, `{"error":{"message":"Unrecognized request argument supplied: return_token_ids"}}`)
		}, 60 + 20},
		{"unknown fields are refused by name", func(x *exchange) bool {
			return x.body["top_k"] != nil && x.status(400, `{"error":{"message":"Unrecognized request arguments supplied: min_p, repetition_penalty, top_k","code":null}}`)
		}, 20 + 20 + 3 + 3},
		{"unknown fields are refused one at a time", func(x *exchange) bool {
			for _, name := range []string{"top_k", "min_p", "repetition_penalty"} {
				if x.body[name] != nil {
					return x.status(422, `{"detail":[{"type":"extra_forbidden","loc":["body","`+name+`"],"msg":"Extra inputs are not permitted"}]}`)
				}
			}
			return false
		}, 20 + 60 + 3 + 3},
		{"unknown fields are refused without a word", func(x *exchange) bool {
			return x.body["top_k"] != nil && x.status(400, `bad request`)
		}, 20 + 80 + 60},
		{"max_tokens is of yesterday", func(x *exchange) bool {
			return x.body["max_tokens"] != nil && x.status(400, `{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."}}`)
		}, 20 + 20 + 3 + 3},
		{"429 with Retry-After in seconds", func(x *exchange) bool {
			x.w.Header().Set("Retry-After", "0.02")
			return x.k%4 == 1 && x.status(429, `{"error":{"message":"slow down"}}`)
		}, 60},
		{"429 with Retry-After as a date gone by", func(x *exchange) bool {
			x.w.Header().Set("Retry-After", "Mon, 02 Jan 2006 15:04:05 GMT")
			return x.k == 3 && x.status(429, ``)
		}, 60},
		{"503 while loading", func(x *exchange) bool {
			return x.k < 4 && x.status(503, `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`)
		}, 60},
		{"500 now and then", func(x *exchange) bool {
			return x.k%6 == 2 && x.status(500, `{"object":"error","message":"EngineCore died"}`)
		}, 60},
		{"connections cut before an answer", func(x *exchange) bool {
			if x.k%5 != 2 {
				return false
			}
			x.bad()
			panic(http.ErrAbortHandler)
		}, 60},
		{"connections cut within an answer", func(x *exchange) bool { return x.k%5 == 2 && x.cut(x.whole()[:30]) }, 60},
		{"empty choices", func(x *exchange) bool { return x.k%5 == 2 && x.status(200, `{"choices":[]}`) }, 60},
		{"no choices", func(x *exchange) bool { return x.k%5 == 2 && x.status(200, `{}`) }, 60},
		{"not JSON", func(x *exchange) bool { return x.k%5 == 2 && x.status(200, `<html>`) }, 60},
		{"an error with status 200", func(x *exchange) bool {
			return x.k%5 == 2 && x.status(200, `{"error":{"message":"upstream gone","code":502}}`)
		}, 60},
		{"too many choices", func(x *exchange) bool {
			if x.k%5 == 2 {
				x.bad()
				x.texts = append(x.texts, "extra")
			}
			return false
		}, 60},
		{"choices given up", func(x *exchange) bool {
			if x.k%5 == 2 {
				x.bad()
				x.finish = "abort"
			}
			return false
		}, 60},
	} {
		for _, stream := range []bool{false, true} {
			for _, raw := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/stream=%t/raw=%t", tt.name, stream, raw), func(t *testing.T) {
					t.Parallel()
					f := newFake(t, tt.spoil)
					c := newClient(t, func(cfg *openai.Config) { cfg.Stream = stream; cfg.InFlight = 60; cfg.Attempts = 12 }, f)
					all := []engine.Completion{}
					for range 3 {
						r := request(20)
						if raw {
							r.Raw = "hi"
						}
						got, err := c.Generate(t.Context(), r)
						if err != nil {
							t.Fatal(err)
						}
						all = append(all, got...)
					}
					examine(t, 60, all, f)
					if n := f.requests(); n > tt.most {
						t.Errorf("%d requests, want at most %d", n, tt.most)
					}
				})
			}
		}
	}
}

// TestBrokenStreams wants a stream that is not whole to be asked for again.
func TestBrokenStreams(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spoil func(x *exchange, events []string) []string
	}{
		{"ends before DONE", func(_ *exchange, e []string) []string { return e[:len(e)-1] }},
		{"ends within a choice", func(x *exchange, e []string) []string { return append(e[:2+x.n], "data: [DONE]\n\n") }},
		{"ends in an error", func(_ *exchange, e []string) []string {
			return append(e[:len(e)-2], `data: {"error":{"message":"EngineDeadError","type":"InternalServerError","code":500}}`+"\n\n", "data: [DONE]\n\n")
		}},
		{"holds a choice nobody asked for", func(x *exchange, e []string) []string {
			return append([]string{fmt.Sprintf(`data: {"choices":[{"index":%d,"text":"!"}]}`+"\n\n", x.n)}, e...)
		}},
		{"holds nonsense", func(_ *exchange, e []string) []string { return append([]string{"data: {]\n\n"}, e...) }},
		{"is empty", func(*exchange, []string) []string { return nil }},
		{"is cut within a line", func(_ *exchange, e []string) []string { return append(e[:len(e)-3], e[len(e)-3][:9]) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(x *exchange) bool {
				if x.k%3 != 2 {
					return false
				}
				x.bad()
				x.stream(tt.spoil(x, x.events()))
				return true
			})
			c := newClient(t, func(cfg *openai.Config) { cfg.Stream = true; cfg.Attempts = 12 }, f)
			generate(t, c, request(20), f)
			generate(t, c, request(20), f)
		})
	}
}

func TestStreamIgnored(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(x *exchange) bool {
		delete(x.body, "stream")
		return false
	})
	generate(t, newClient(t, func(cfg *openai.Config) { cfg.Stream = true }, f), request(20), f)
}

// TestOwnSampling wants every parameter of sampling in every request: a default
// of the server must never take part.
func TestOwnSampling(t *testing.T) {
	t.Parallel()
	f := newFake(t, nil)
	c := newClient(t, nil, f)
	thinks := false
	for _, tt := range []struct {
		change func(*engine.Request)
		want   string
	}{
		{func(*engine.Request) {}, `{"frequency_penalty":0,"max_tokens":100,"messages":[{"content":"hi","role":"user"}],"min_p":0,"model":"m","n":1,` +
			`"presence_penalty":0,"repetition_penalty":1,"return_token_ids":true,"temperature":0.7,"top_k":-1,"top_p":1}`},
		{func(r *engine.Request) {
			r.Raw, r.Thinking = "raw", &thinks
			r.Sampling = engine.Sampling{Temperature: 2, TopP: 0.9, TopK: 5, MinP: 0.1, RepetitionPenalty: 1.1, PresencePenalty: 0.2, FrequencyPenalty: 0.3, MaxTokens: 7, Stop: []string{"x"}}
		}, `{"frequency_penalty":0.3,"max_tokens":7,"min_p":0.1,"model":"m","n":1,"presence_penalty":0.2,"prompt":"raw","repeat_penalty":1.1,` +
			`"repetition_penalty":1.1,"return_token_ids":true,"stop":["x"],"temperature":2,"top_k":5,"top_p":0.9}`},
		{func(r *engine.Request) { r.Thinking = &thinks; r.Sampling = engine.Sampling{MaxTokens: 1} }, `{"chat_template_kwargs":{"enable_thinking":false},"frequency_penalty":0,` +
			`"max_tokens":1,"messages":[{"content":"hi","role":"user"}],"min_p":0,"model":"m","n":1,"presence_penalty":0,"repetition_penalty":1,"return_token_ids":true,"temperature":0,"top_k":-1,"top_p":1}`},
	} {
		r := request(1)
		tt.change(&r)
		generate(t, c, r, f)
		f.mu.Lock()
		got, err := json.Marshal(f.asked[len(f.asked)-1])
		f.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != tt.want {
			t.Errorf("request = %s\nwant %s", got, tt.want)
		}
	}
}

// TestRemembersLimits wants what was found out to be in the next request.
func TestRemembersLimits(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*exchange) bool{
		"refused": func(x *exchange) bool { return x.n > 2 && x.status(400, "") },
		"ignored": func(x *exchange) bool { x.texts = x.texts[:min(x.n, 2)]; return false },
	} {
		f := newFake(t, spoil)
		c := newClient(t, nil, f)
		for range 3 {
			generate(t, c, request(8), f)
		}
		before := f.requests()
		generate(t, c, request(8), f)
		for _, asked := range f.asked[before:] {
			if asked["n"] != 2.0 {
				t.Errorf("limit of 2 %s: asked for n = %v, want 2", name, asked["n"])
			}
		}
	}
}

// TestTokenIDsVanish wants no wrong counts from a server that stops telling the
// tokens of each choice.
func TestTokenIDsVanish(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(x *exchange) bool { x.ids = x.k == 1; return false })
	c := newClient(t, nil, f)
	generate(t, c, request(1), f)
	got, err := c.Generate(t.Context(), request(8))
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range got {
		if s.Tokens != 0 {
			t.Errorf("sample %d with %d tokens, want 0: nobody counted", i, s.Tokens)
		}
	}
	generate(t, c, request(8), f)
}

func TestGreedyAsksForOneChoice(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(x *exchange) bool {
		return x.n > 1 && x.body["temperature"] == 0.0 && x.status(400, `{"message":"n must be 1 when using greedy sampling, got 8."}`)
	})
	c := newClient(t, nil, f)
	generate(t, c, request(8), f)
	r := request(8)
	r.Sampling.Temperature = 0
	before := f.requests()
	generate(t, c, r, f)
	if n := f.requests() - before; n != 8 {
		t.Errorf("greedy: %d requests for 8 samples, want 8", n)
	}
	before = f.requests()
	generate(t, c, request(8), f)
	if n := f.requests() - before; n != 1 {
		t.Errorf("after greedy: %d requests for 8 samples, want 1", n)
	}
}

func TestReasoning(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, choice, want string }{
		{"as vLLM wrote it once", `{"message":{"content":"code","reasoning_content":"hm\n"},"finish_reason":"stop"}`, "<think>\nhm\n</think>\n\ncode"},
		{"as it writes it now", `{"message":{"content":"\n\ncode","reasoning":"hm"},"finish_reason":"stop"}`, "<think>\nhm\n</think>\n\ncode"},
		{"both names", `{"message":{"content":"code","reasoning":"hm","reasoning_content":"hm"},"finish_reason":"stop"}`, "<think>\nhm\n</think>\n\ncode"},
		{"cut while thinking", `{"message":{"content":null,"reasoning_content":"hm"},"finish_reason":"length"}`, "<think>\nhm"},
		{"no thought", `{"message":{"content":"code","reasoning_content":null},"finish_reason":"stop"}`, "code"},
		{"in parts", `{"message":{"content":[{"type":"text","text":"co"},{"type":"text","text":"de"}]},"finish_reason":"stop"}`, "code"},
		{"silence", `{"message":{"content":null},"finish_reason":"stop"}`, ""},
		{"no finish reason", `{"message":{"content":"code"}}`, "code"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(x *exchange) bool { return x.status(200, `{"choices":[`+tt.choice+`]}`) })
			got, err := newClient(t, nil, f).Generate(t.Context(), request(1))
			if err != nil || len(got) != 1 || got[0].Text != tt.want {
				t.Errorf("Generate = %+v, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// TestRejected wants errors that no retry can mend to be final, few and clear.
func TestRejected(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spoil func(*exchange) bool
		r     func(*engine.Request)
		want  string
		most  int
	}{
		{"prompt beyond the context", func(x *exchange) bool {
			return x.status(400, `{"object":"error","message":"This model's maximum context length is 2182 tokens. However, you requested 100 tokens for max_tokens and 3000 in the messages, please reduce top_k","code":400}`)
		}, nil, "maximum context length is 2182", 8},
		{"a parameter that is asked for and not taken", func(x *exchange) bool {
			return x.body["top_k"] != nil && x.status(400, `{"error":{"message":"unknown field top_k"}}`)
		}, func(r *engine.Request) { r.Sampling.TopK = 20 }, "does not take top_k = 20", 8},
		{"whatever is asked", func(x *exchange) bool { return x.status(400, `{"error":"no"}`) }, nil, "status 400: no", 100},
		{"too large", func(x *exchange) bool { return x.status(413, ``) }, nil, "status 413 Request Entity Too Large", 8},
		{"no samples", nil, func(r *engine.Request) { r.N = 0 }, "0 samples", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, tt.spoil)
			c := newClient(t, nil, f)
			r := request(8)
			if tt.r != nil {
				tt.r(&r)
			}
			got, err := c.Generate(t.Context(), r)
			final := engine.ErrRejected
			if tt.name == "whatever is asked" { // it may take it another time
				final = engine.ErrRefused
			}
			if !errors.Is(err, final) || !strings.Contains(fmt.Sprint(err), tt.want) || got != nil {
				t.Errorf("Generate = %v, %v, want %v with %q", got, err, final, tt.want)
			}
			if n := f.requests(); n > tt.most {
				t.Errorf("%d requests, want at most %d", n, tt.most)
			}
		})
	}
}

// TestReasoningStreamed wants the thoughts of interleaved choices with their own choice, and their
// tokens counted.
func TestReasoningStreamed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"reasoning", "reasoning_content"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(x *exchange) bool {
				if x.n < 2 {
					return false // finds out how tokens are counted
				}
				piece := func(index int, field, text, finish string) string {
					return fmt.Sprintf(`data: {"choices":[{"index":%d,"delta":{%q:%q},"finish_reason":%s,"token_ids":[1,2]}]}`+"\n\n", index, field, text, finish)
				}
				x.stream([]string{
					piece(1, name, "hm", "null"), piece(0, name, "so", "null"), piece(1, name, " yes", "null"),
					piece(1, "content", "b()", `"stop"`), piece(0, "content", "a()", `"stop"`), "data: [DONE]\n\n",
				})
				return true
			})
			c := newClient(t, func(cfg *openai.Config) { cfg.Stream = true }, f)
			generate(t, c, request(1), f)
			got, err := c.Generate(t.Context(), request(2))
			want := []engine.Completion{
				{Text: "<think>\nso\n</think>\n\na()", Tokens: 4, FinishReason: "stop"},
				{Text: "<think>\nhm yes\n</think>\n\nb()", Tokens: 6, FinishReason: "stop"},
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("Generate = %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

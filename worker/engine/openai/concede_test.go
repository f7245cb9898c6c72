package openai_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
)

// TestPassingRefusals wants refusals that pass, in words that say nothing, to change neither
// the fields nor the number of choices of any request, however long they last.
func TestPassingRefusals(t *testing.T) {
	t.Parallel()
	for _, row := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 30, 60} {
		f := newFake(t, nil)
		f.spoil = func(x *exchange) bool { return x.k > 2 && x.k <= 2+row && x.status(400, `{"error":"bad luck"}`) }
		c := newClient(t, nil, f)
		generate(t, c, request(2), f) // finds out how tokens are counted
		refused := 0
		for {
			got, err := c.Generate(t.Context(), request(8))
			if err == nil {
				examine(t, 8, got, f)
				for _, s := range got {
					if s.LeftOut != "" {
						t.Errorf("%d refusals: a sample was drawn without %s", row, s.LeftOut)
					}
				}
				break
			}
			if refused++; !errors.Is(err, engine.ErrRefused) || errors.Is(err, engine.ErrRejected) || refused > 30 {
				t.Fatalf("%d refusals: Generate = %v, want ErrRefused some times", row, err)
			}
		}
		before := f.requests()
		generate(t, c, request(8), f)
		f.mu.Lock()
		last := f.asked[before]
		f.mu.Unlock()
		if f.requests() != before+1 || last["n"] != 8.0 || last["top_k"] == nil || last["return_token_ids"] == nil {
			t.Errorf("%d refusals: afterwards %d requests, the first %v; want one as before", row, f.requests()-before, last)
		}
	}
}

// TestGivenUpFields wants the fields given up that a server does not take, no other ones, and
// said of each sample; whether the server names them or not.
func TestGivenUpFields(t *testing.T) {
	t.Parallel()
	for name, words := range map[string]string{"named": `{"error":"unknown: min_p"}`, "without a word": `{"error":"no"}`} {
		f := newFake(t, func(x *exchange) bool { return x.body["min_p"] != nil && x.status(400, words) })
		c := newClient(t, nil, f)
		for range 2 {
			got, err := c.Generate(t.Context(), request(6))
			if err != nil {
				t.Fatal(err)
			}
			examine(t, 6, got, f)
			for i, s := range got {
				if s.LeftOut != "min_p" {
					t.Errorf("%s: sample %d was drawn without %q, want min_p", name, i, s.LeftOut)
				}
			}
		}
		f.mu.Lock()
		last := f.asked[len(f.asked)-1]
		f.mu.Unlock()
		if last["top_k"] == nil || last["repetition_penalty"] == nil || last["return_token_ids"] == nil || last["min_p"] != nil {
			t.Errorf("%s: the last request is %v, want it without min_p alone", name, last)
		}
	}
}

// refusing answers the given share of texts as a server does whose parser fails on them.
func refusing(code int, words string, every int) func(*exchange) bool {
	return func(x *exchange) bool {
		for _, s := range x.texts {
			if tokens(s)%every == 0 && x.body["max_tokens"] != 1.0 {
				return x.status(code, words)
			}
		}
		return false
	}
}

// TestRefusedTexts wants a text that the server refuses to be a sample that failed, each
// alone, whether its words say so or its state; and drawn again where that is asked for.
func TestRefusedTexts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spoil func(*exchange) bool
		cause string
	}{
		{"parser", refusing(500, `{"error":{"message":"Failed to parse input at pos 42: <tool_call>","code":500}}`, 7), "refused text"},
		{"filter", refusing(400, `{"error":{"message":"The response was filtered due to the content management policy","code":"content_filter"}}`, 7), "refused text"},
		{"error in an answer", refusing(200, `{"error":"could not parse tool call output"}`, 7), "refused text"},
		{"each try of one sample breaks, and nothing else", func(x *exchange) bool {
			return x.body["max_tokens"] != 1.0 && x.body["temperature"] == 1.5 && x.status(500, `{"error":"oops"}`)
		}, "status 500"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, tt.spoil)
			c := newClient(t, func(cfg *openai.Config) { cfg.Attempts = 3 }, f)
			generate(t, c, engine.Request{QuestionID: "q", N: 1, Messages: request(1).Messages, Sampling: engine.Sampling{Temperature: 0.7, MaxTokens: 1}}, f)
			r := request(40)
			if tt.cause == "status 500" {
				r.N, r.Sampling.Temperature = 1, 1.5
			}
			got, err := c.Generate(t.Context(), r)
			if err != nil || len(got) != r.N {
				t.Fatalf("Generate gives %d samples, %v; want %d", len(got), err, r.N)
			}
			failed, redrawn := 0, 0
			for _, s := range got {
				redrawn += len(strings.Split(s.Redrawn, ", "))
				if s.Redrawn == "" {
					redrawn--
				} else if !strings.HasPrefix(s.Redrawn, tt.cause) {
					t.Errorf("a sample was drawn again for %q, want %q", s.Redrawn, tt.cause)
				}
				if s.FinishReason == "refused" {
					failed++
					if s.Text != "" {
						t.Errorf("a refused sample holds %q", s.Text)
					}
				}
			}
			// One text in seven is refused; a request of several choices is lost with one of them.
			if failed == 0 || failed > max(1, r.N/2) || redrawn == 0 {
				t.Errorf("%d of %d samples are refused and %d were drawn again, want some of both", failed, r.N, redrawn)
			}
			if tt.cause == "status 500" {
				return
			}
			r.Redraw = true
			c = newClient(t, func(cfg *openai.Config) { cfg.Attempts = 30 }, f)
			got, err = c.Generate(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			examine(t, r.N, got, f)
		})
	}
}

// TestStateIsNoText wants the faults of a server's state drawn again, and counted.
func TestStateIsNoText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		spoil func(*exchange) bool
		cause string
	}{
		{func(x *exchange) bool {
			return x.status(500, `{"error":{"message":"CUDA error: an illegal memory access"}}`)
		}, "status 500"},
		{func(x *exchange) bool { return x.status(502, `<html>bad gateway`) }, "status 502"},
		{func(x *exchange) bool { return x.cut(x.whole()[:20]) }, "cut off"},
		{func(x *exchange) bool { x.bad(); x.finish = "abort"; return false }, "given up"},
		{func(x *exchange) bool { return x.status(200, `{"choices":[]}`) }, "unreadable answer"},
	} {
		f := newFake(t, func(x *exchange) bool { return x.k == 3 && tt.spoil(x) })
		c := newClient(t, nil, f)
		generate(t, c, request(2), f)
		got, err := c.Generate(t.Context(), request(8))
		if err != nil {
			t.Fatal(err)
		}
		examine(t, 8, got, f)
		for i, s := range got {
			if s.Redrawn != tt.cause {
				t.Errorf("sample %d was drawn again for %q, want %q", i, s.Redrawn, tt.cause)
			}
		}
	}
}

// TestAbortedChoiceIsDrawnAlone wants the choices beside one that the server gave up to be used, and only
// that one asked for again.
func TestAbortedChoiceIsDrawnAlone(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string]bool{"whole": false, "stream": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const stop, abort = `"finish_reason":"stop"`, `"finish_reason":"abort"`
			f := newFake(t, func(x *exchange) bool {
				if x.k != 2 {
					return false
				}
				x.f.mu.Lock()
				x.f.spoilt[x.texts[0]] = true // the first to end is the first choice
				x.f.mu.Unlock()
				if stream {
					x.stream([]string{strings.Replace(strings.Join(x.events(), ""), stop, abort, 1)})
				} else {
					_, _ = io.WriteString(x.w, strings.Replace(x.whole(), stop, abort, 1))
				}
				return true
			})
			c := newClient(t, func(cfg *openai.Config) { cfg.Stream = stream }, f)
			generate(t, c, request(1), f) // learns how the server counts
			got, err := c.Generate(t.Context(), request(8))
			if err != nil {
				t.Fatal(err)
			}
			examine(t, 8, got, f)
			redrawn := 0
			for _, s := range got {
				if s.Redrawn == "given up" {
					redrawn++
				} else if s.Redrawn != "" {
					t.Errorf("a sibling was drawn again for %q", s.Redrawn)
				}
			}
			if n := f.requests(); redrawn != 1 || n != 3 || f.asked[2]["n"] != 1.0 {
				t.Errorf("%d samples were drawn again by %d requests, want one by the third, for one choice: %v", redrawn, n, f.asked)
			}
		})
	}
}

// TestSiblingsAreKept wants what was drawn beside a request that failed to be part of the
// next attempt, and only what is missing asked for.
func TestSiblingsAreKept(t *testing.T) {
	t.Parallel()
	broken := true
	f := newFake(t, nil)
	f.spoil = func(x *exchange) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !broken || x.k < 3 || x.k > 4 {
			return false
		}
		for _, s := range x.texts {
			f.spoilt[s] = true
		}
		x.w.WriteHeader(502)
		return true
	}
	c := newClient(t, func(cfg *openai.Config) { cfg.Attempts, cfg.MaxN, cfg.InFlight = 1, 1, 1 }, f)
	r := request(10)
	r.Run, r.First = "r", 100
	if _, err := c.Generate(t.Context(), r); err == nil || errors.Is(err, engine.ErrRejected) {
		t.Fatalf("Generate = %v, want the two requests that broke", err)
	}
	if n := f.requests(); n != 10 {
		t.Errorf("%d requests, want 10: the others go on", n)
	}
	f.mu.Lock()
	broken = false
	f.mu.Unlock()
	other := r
	other.First = 200
	generate(t, c, other, f)
	before := f.requests()
	got, err := c.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	examine(t, 10, got, f)
	if n := f.requests() - before; n != 2 {
		t.Errorf("%d requests, want 2: eight samples were there", n)
	}
	redrawn := 0
	for _, s := range got {
		if s.Redrawn == "status 502" {
			redrawn++
		}
	}
	if redrawn != 2 {
		t.Errorf("%d samples say that they were drawn again, want 2", redrawn)
	}
	before = f.requests()
	generate(t, c, r, f)
	if n := f.requests() - before; n != 10 {
		t.Errorf("%d requests for a unit that was complete, want 10", n)
	}
}

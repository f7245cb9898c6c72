package openai_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
)

func TestMain(m *testing.M) {
	// The tests wait for answers: eight do so at once, however few the processors.
	patience.AtOnce(8)
	goleak.VerifyTestMain(m)
}

// A fake is a model server written by hand, whose every answer a test can spoil.
// Each choice it ever makes has a text of its own, so that a test can tell which
// answer a sample comes from.
type fake struct {
	*httptest.Server
	spoil func(*exchange) bool // answers a request itself and returns true, or lets the fake do it

	mu      sync.Mutex
	made    int
	asked   []map[string]any // bodies of requests for samples, in order of arrival
	busy    int              // choices being made
	busiest int
	spoilt  map[string]bool // texts of choices that no client may use
}

// An exchange is one request for samples, and what the fake would answer.
type exchange struct {
	f       *fake
	w       http.ResponseWriter
	r       *http.Request
	k       int // number of the request, from 1
	n       int
	body    map[string]any
	ids     bool     // whether to return token ids
	noUsage bool     // whether to leave usage out
	texts   []string // of the choices
	finish  string
}

// newFake starts a server of the model m.
func newFake(t *testing.T, spoil func(*exchange) bool) *fake {
	t.Helper()
	f := &fake{spoil: spoil, spoilt: map[string]bool{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/models"):
		_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
	case strings.HasSuffix(r.URL.Path, "/completions"):
		f.generate(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (f *fake) generate(w http.ResponseWriter, r *http.Request) {
	x := &exchange{f: f, w: w, r: r, finish: "stop", ids: true}
	if err := json.NewDecoder(r.Body).Decode(&x.body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	x.n = 1
	if n, ok := x.body["n"].(float64); ok {
		x.n = int(n)
	}
	f.mu.Lock()
	f.asked = append(f.asked, x.body)
	x.k = len(f.asked)
	for range x.n {
		f.made++
		x.texts = append(x.texts, fmt.Sprintf("s%d", f.made))
	}
	f.busy += x.n
	f.busiest = max(f.busiest, f.busy)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.busy -= x.n
		f.mu.Unlock()
	}()
	if f.spoil == nil || !f.spoil(x) {
		x.answer()
	}
}

// requests returns how many requests for samples came.
func (f *fake) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// bad remembers that the choices of this exchange may not be used, and returns
// true.
func (x *exchange) bad() bool {
	x.f.mu.Lock()
	defer x.f.mu.Unlock()
	for _, s := range x.texts {
		x.f.spoilt[s] = true
	}
	return true
}

// status answers with an error.
func (x *exchange) status(code int, body string) bool {
	x.w.WriteHeader(code)
	_, _ = io.WriteString(x.w, body)
	return x.bad()
}

// tokens is how many tokens the choice with this text is said to have: another
// number for each, so that a mixed up count shows.
func tokens(text string) int {
	n := 0
	_, _ = fmt.Sscanf(text, "s%d", &n)
	return n%7 + 1
}

// counted reports whether the choices carry their token ids.
func (x *exchange) counted() bool {
	asked, ok := x.body["return_token_ids"].(bool)
	return ok && asked && x.ids
}

// raw reports whether the request is for /completions.
func (x *exchange) raw() bool { return x.body["prompt"] != nil }

// whole returns a good answer that comes in one piece.
func (x *exchange) whole() string {
	all, sum := []map[string]any{}, 0
	for i, s := range x.texts {
		c := map[string]any{"index": i, "finish_reason": x.finish}
		if x.raw() {
			c["text"] = s
		} else {
			c["message"] = map[string]any{"role": "assistant", "content": s}
		}
		if x.counted() {
			c["token_ids"] = make([]int, tokens(s))
		}
		sum += tokens(s)
		all = append(all, c)
	}
	a := map[string]any{"id": "x", "choices": all}
	if !x.noUsage {
		a["usage"] = map[string]int{"completion_tokens": sum}
	}
	return encode(a)
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// events returns a good answer as a stream: each text in two pieces, the choices
// interleaved, then one chunk with the usage, then [DONE].
func (x *exchange) events() []string {
	event := func(v any) string { return "data: " + encode(v) + "\n\n" }
	all := []string{": hello\n\n", event(map[string]any{"choices": []any{map[string]any{"index": 0, "delta": map[string]any{"role": "assistant", "content": nil}}}})}
	sum := 0
	for piece := range 2 {
		for i, s := range x.texts {
			c := map[string]any{"index": i, "finish_reason": nil}
			part, ids := s[:1], tokens(s)-1
			if piece == 1 {
				part, ids, c["finish_reason"] = s[1:], 1, x.finish
			}
			if x.raw() {
				c["text"] = part
			} else {
				c["delta"] = map[string]any{"content": part}
			}
			if x.counted() {
				c["token_ids"] = make([]int, ids)
			}
			sum += ids
			all = append(all, event(map[string]any{"choices": []any{c}}))
		}
	}
	if !x.noUsage {
		all = append(all, event(map[string]any{"choices": []any{}, "usage": map[string]int{"completion_tokens": sum}}))
	}
	return append(all, "data: [DONE]\n\n")
}

// answer sends a good answer in the form asked for.
func (x *exchange) answer() {
	if asked, ok := x.body["stream"].(bool); ok && asked {
		x.stream(x.events())
		return
	}
	x.w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(x.w, x.whole())
}

// stream sends events.
func (x *exchange) stream(events []string) {
	x.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	for _, e := range events {
		_, _ = io.WriteString(x.w, e)
	}
}

// cut sends the beginning of an answer and breaks the connection.
func (x *exchange) cut(part string) bool {
	x.bad()
	x.w.Header().Set("Content-Length", "1000000")
	_, _ = io.WriteString(x.w, part)
	if f, ok := x.w.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}

// hang keeps the request until the client leaves.
func (x *exchange) hang() bool {
	x.bad()
	<-x.r.Context().Done()
	return true
}

// newClient returns a client of the fakes with limits short enough for tests.
func newClient(t *testing.T, change func(*openai.Config), fakes ...*fake) *openai.Client {
	t.Helper()
	cfg := openai.Config{Model: "m", Patience: patience.Now(5 * time.Second), Timeout: 2 * time.Minute, MaxN: 8, InFlight: 16}
	for _, f := range fakes {
		cfg.Endpoints = append(cfg.Endpoints, f.URL)
	}
	if change != nil {
		change(&cfg)
	}
	c, err := openai.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// request returns an ordinary request for n samples.
func request(n int) engine.Request {
	return engine.Request{
		QuestionID: "q", N: n,
		Messages: []engine.Message{{Role: "user", Content: "hi"}},
		Sampling: engine.Sampling{Temperature: 0.7, TopP: 1, MaxTokens: 100},
	}
}

// generate asks for samples and examines them.
func generate(t *testing.T, c *openai.Client, r engine.Request, f *fake) {
	t.Helper()
	got, err := c.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	examine(t, r.N, got, f)
}

// examine wants n samples, each once, each from a good answer and with its own
// count of tokens.
func examine(t *testing.T, n int, got []engine.Completion, f *fake) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("Generate returns %d samples, want %d", len(got), n)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[string]bool{}
	for i, s := range got {
		switch {
		case !strings.HasPrefix(s.Text, "s") || seen[s.Text]:
			t.Errorf("sample %d = %q, want a text of its own", i, s.Text)
		case f.spoilt[s.Text]:
			t.Errorf("sample %d = %q comes from a failed answer", i, s.Text)
		case s.Tokens != tokens(s.Text):
			t.Errorf("sample %d = %q with %d tokens, want %d", i, s.Text, s.Tokens, tokens(s.Text))
		case s.FinishReason != "stop":
			t.Errorf("sample %d: finish reason %q, want stop", i, s.FinishReason)
		}
		seen[s.Text] = true
	}
}

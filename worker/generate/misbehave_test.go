package generate_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/health"
)

// An odd server answers one request for samples, of n choices; k counts them.
type odd func(w http.ResponseWriter, r *http.Request, k, n int)

// rightly returns a rightly formed answer of n choices, and change changes it.
func rightly(k, n int, change func(answer map[string]any, choices []map[string]any)) string {
	var choices []map[string]any
	for i := range n {
		text := fmt.Sprintf("Answer %d.%d to the question, as the model wrote it:\n```python\nprint(%d)\n```\n", k, i, k)
		choices = append(choices, map[string]any{"index": i, "finish_reason": "stop", "message": map[string]any{"content": text}})
	}
	answer := map[string]any{"choices": choices, "usage": map[string]any{"completion_tokens": 25 * n}}
	if change != nil {
		change(answer, choices)
	}
	b, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func says(text string) odd {
	return func(w http.ResponseWriter, _ *http.Request, _, _ int) { _, _ = io.WriteString(w, text) }
}

func changed(change func(answer map[string]any, choices []map[string]any)) odd {
	return func(w http.ResponseWriter, _ *http.Request, k, n int) {
		_, _ = io.WriteString(w, rightly(k, n, change))
	}
}

// each changes every choice.
func each(change func(c map[string]any)) odd {
	return changed(func(_ map[string]any, choices []map[string]any) {
		for _, c := range choices {
			change(c)
		}
	})
}

// raw answers with bytes that need not be HTTP, and resets the connection after them.
func raw(text string) odd {
	return func(w http.ResponseWriter, _ *http.Request, _, _ int) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(c, text)
		if t, ok := c.(*net.TCPConn); ok && text == "" {
			_ = t.SetLinger(0)
		}
		_ = c.Close()
	}
}

// trickle sends pieces and flushes each; every piece after the first waits, and hang is a
// piece that waits for the client to leave.
func trickle(kind string, pause time.Duration, pieces func(k, n int) []string) odd {
	return func(w http.ResponseWriter, r *http.Request, k, n int) {
		w.Header().Set("Content-Type", kind)
		for _, p := range pieces(k, n) {
			if p == hang {
				<-r.Context().Done()
				return
			}
			if _, err := io.WriteString(w, p); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(pause):
			}
		}
	}
}

const (
	hang   = "hang"
	events = "text/event-stream"
)

func endless(piece string) func(int, int) []string {
	return func(int, int) []string { return strings.Split(strings.Repeat(piece+"\x00", 10_000), "\x00") }
}

// sometimes misbehaves at every third request.
func sometimes(o odd) odd {
	return func(w http.ResponseWriter, r *http.Request, k, n int) {
		if k%3 == 2 {
			o(w, r, k, n)
			return
		}
		_, _ = io.WriteString(w, rightly(k, n, nil))
	}
}

// A misconduct is a way of a server, and what is to come of it.
type misconduct struct {
	name   string
	odd    odd
	want   string // well, fails, or the code of a finding
	says   string // in the error
	stalls bool   // the server makes the client wait: limits are short
}

const (
	well  = "well"  // every sample is what the model wrote
	fails = "fails" // no sample: an error
)

// TestMisbehavingServers asks servers that each misbehave in a way of their own. None may
// hang a run or crash it, and none may yield a number without a note: there is an error with
// words, or a finding, or all samples are what the model wrote.
func TestMisbehavingServers(t *testing.T) {
	t.Parallel()
	half := rightly(1, 1, nil)[:60]
	for _, tt := range []misconduct{
		{"says nothing at all", trickle("", 0, func(int, int) []string { return []string{hang} }), fails, "no complete answer within", true},
		{"stops in mid-answer and keeps the connection", trickle("", 0, func(int, int) []string { return []string{half, hang} }), fails, "no complete answer within", true},
		{"is slow", trickle("", time.Millisecond, func(k, n int) []string { return strings.SplitAfter(rightly(k, n, nil), ",") }), well, "", false},
		{"keeps alive before the answer", trickle("", 0, func(k, n int) []string { return []string{"\n  \n", " \n", rightly(k, n, nil)} }), well, "", false},
		{"keeps alive for ever", trickle(events, time.Millisecond, endless(": keep-alive\n\n")), fails, "no complete answer within", true},
		{"streams for ever", trickle(events, time.Millisecond, endless(`data: {"choices":[{"index":0,"delta":{"content":"a"}}]}`+"\n\n")), fails, "no complete answer within", true},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request, _, _ int) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, half)
		}, fails, "read answer: unexpected EOF", false},
		{"half an answer, and says that it is whole", says(half), fails, "decode answer", false},
		{"half an answer now and then", sometimes(says(half)), string(health.Redrawn), "", false},
		{"resets", raw(""), fails, "connection reset", false},
		{"resets now and then", sometimes(raw("")), string(health.Redrawn), "", false},
		{"speaks another protocol", raw("SSH-2.0-OpenSSH_9.2\r\n"), fails, "malformed HTTP", false},
		{"wrong chunks", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"), fails, "invalid byte in chunk length", false},
		{"headers without end", raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n{}"), fails, "header", false},
		{"gzip that is none", func(w http.ResponseWriter, _ *http.Request, k, n int) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, rightly(k, n, nil))
		}, fails, "gzip: invalid header", false},
		{"gzip", func(w http.ResponseWriter, _ *http.Request, k, n int) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, rightly(k, n, nil))
			_ = z.Close()
		}, well, "", false},
		{"names another model", changed(func(a map[string]any, _ []map[string]any) { a["model"] = "m-mini" }), string(health.OtherModel), "", false},
		{"names another model now and then", sometimes(changed(func(a map[string]any, _ []map[string]any) { a["model"] = "m-mini" })), string(health.OtherModel), "", false},
		{"names a model of a megabyte", changed(func(a map[string]any, _ []map[string]any) {
			a["model"] = strings.Repeat("\x1b[31mé", 100_000)
		}), string(health.OtherModel), "", false},
		{"names the model with a tag", changed(func(a map[string]any, _ []map[string]any) { a["model"] = "M:latest" }), well, "", false},
		{"names a number as the model", changed(func(a map[string]any, _ []map[string]any) { a["model"] = 7 }), well, "", false},
		{"calls JSON HTML", func(w http.ResponseWriter, _ *http.Request, k, n int) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, rightly(k, n, nil))
		}, well, "", false},
		{"calls JSON a stream", func(w http.ResponseWriter, _ *http.Request, k, n int) {
			w.Header().Set("Content-Type", events)
			_, _ = io.WriteString(w, rightly(k, n, nil))
		}, fails, "the stream ends before [DONE]", false},
		{"two lines of JSON", func(w http.ResponseWriter, _ *http.Request, k, n int) {
			_, _ = io.WriteString(w, rightly(k, n, nil)+"\n"+rightly(k, n, nil))
		}, fails, "after top-level value", false},
		{"a page with status 200", says("<html>log in</html>"), fails, "log in", false},
		{"an error with status 200", says(`{"error":{"message":"the model runner has ended"}}`), fails, "the model runner has ended", false},
		{"an error as text with status 200", says(`{"error":"no memory"}`), fails, "no memory", false},
		{"no content", func(w http.ResponseWriter, _ *http.Request, _, _ int) { w.WriteHeader(http.StatusNoContent) }, fails, "status 204", false},
		{"redirects for ever", func(w http.ResponseWriter, r *http.Request, _, _ int) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		}, fails, "stopped after 10 redirects", false},
		{"redirects to a page", func(w http.ResponseWriter, r *http.Request, _, _ int) {
			http.Redirect(w, r, "/login", http.StatusFound)
		}, fails, "log in", false},
		{"come back in a thousand years", func(w http.ResponseWriter, _ *http.Request, _, _ int) {
			w.Header().Set("Retry-After", "31536000000")
			w.WriteHeader(http.StatusTooManyRequests)
		}, fails, "status 429", true},
		{"no choices", says(`{"choices":[]}`), fails, "no choice", false},
		{"choices in an object", says(`{"choices":{"0":{"message":{"content":"a"}}}}`), fails, "decode answer", false},
		{"more choices than asked for", func(w http.ResponseWriter, _ *http.Request, k, n int) {
			_, _ = io.WriteString(w, rightly(k, n+1, nil))
		}, fails, "asked for", false},
		{"one index twice", trickle(events, 0, func(int, int) []string {
			one := `data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}` + "\n\n"
			return []string{one, one, "data: [DONE]\n\n"}
		}), fails, "more of choice 0 after its end", false},
		{"an index that is none", trickle(events, 0, func(int, int) []string {
			return []string{`data: {"choices":[{"index":-7,"delta":{"content":"a"},"finish_reason":"stop"}]}` + "\n\n", "data: [DONE]\n\n"}
		}), fails, "choice -7", false},
		{"nested without end", says(strings.Repeat(`{"choices":[`, 20_000)), fails, "decode answer", false},
		{"text that is a number", each(func(c map[string]any) { c["message"] = map[string]any{"content": 42} }), fails, "decode answer", false},
		{"a reason that is a number", each(func(c map[string]any) { c["finish_reason"] = 3 }), fails, "decode answer", false},
		{"no reason", each(func(c map[string]any) { delete(c, "finish_reason") }), string(health.Unfinished), "", false},
		{"no text, and tokens", each(func(c map[string]any) { c["message"] = map[string]any{"content": nil} }), string(health.Empty), "", false},
		{"text in a field of its own", each(func(c map[string]any) { c["message"] = map[string]any{"output": "print(1)"} }), string(health.Empty), "", false},
		{"the same text always", each(func(c map[string]any) {
			c["message"] = map[string]any{"content": strings.Repeat("the very same answer to everybody ", 3)}
		}), string(health.Identical), "", false},
		{"no counts", changed(func(a map[string]any, _ []map[string]any) { delete(a, "usage") }), string(health.Uncounted), "", false},
		{"counts below nothing", changed(func(a map[string]any, _ []map[string]any) { a["usage"] = map[string]any{"completion_tokens": -5} }), string(health.Uncounted), "", false},
		{"counts beyond everything", changed(func(a map[string]any, _ []map[string]any) { a["usage"] = map[string]any{"completion_tokens": 1e18} }), string(health.Uncounted), "", false},
		{"counts in words", changed(func(a map[string]any, _ []map[string]any) { a["usage"] = map[string]any{"completion_tokens": "many"} }), string(health.Uncounted), "", false},
		{"counts of the prompt too", changed(func(a map[string]any, _ []map[string]any) { a["usage"] = map[string]any{"completion_tokens": 5000} }), string(health.Counting), "", false},
		{"filters all", each(func(c map[string]any) {
			c["message"], c["finish_reason"] = map[string]any{"content": ""}, "content_filter"
		}), string(health.Empty), "", false},
		{"forgets the model on the way", func(w http.ResponseWriter, _ *http.Request, k, n int) {
			if k > 5 {
				http.Error(w, `{"error":{"message":"model m not found, try m-v2"}}`, http.StatusNotFound)
				return
			}
			_, _ = io.WriteString(w, rightly(k, n, nil))
		}, fails, "model m not found", false},
		{"wants another key on the way", func(w http.ResponseWriter, _ *http.Request, k, n int) {
			if k > 5 {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = io.WriteString(w, rightly(k, n, nil))
		}, fails, "OPENAI_API_KEY", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.check(t)
		})
	}
}

// check asks the server, and wants what the misconduct says.
func (tt misconduct) check(t *testing.T) {
	t.Helper()
	got, err := misbehave(t, tt.odd, func(cfg *openai.Config) {
		if tt.want == fails {
			cfg.Attempts = 2
		}
		if tt.stalls {
			cfg.Timeout, cfg.Patience = 200*time.Millisecond, 200*time.Millisecond
		}
	})
	if err != nil {
		if tt.want != fails || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("error %v, want %s %q", err, tt.want, tt.says)
		}
		return
	}
	var c stream.Counts
	texts := map[string]bool{}
	for i, one := range got {
		s := stream.Sample{Index: i, Completion: one.Text, Code: "print", Tokens: one.Tokens, FinishReason: one.FinishReason, LeftOut: one.LeftOut, Redrawn: one.Redrawn, AnsweredAs: one.AnsweredAs}
		if one.Text == "" {
			s.Code = ""
		}
		if len(one.AnsweredAs) > 200 || strings.Contains(one.AnsweredAs, "\x1b") {
			t.Errorf("sample %d names the model %q", i, one.AnsweredAs)
		}
		if one.Tokens < 0 {
			t.Errorf("sample %d has %d tokens", i, one.Tokens)
		}
		c.Count(&s, &stream.Judgement{Verdict: stream.WrongAnswer})
		texts[one.Text] = true
	}
	c.Answers.Texts = len(texts)
	found := health.Of([]health.Cell{{Temperature: 0.7, Counts: c}}, health.Settings{MaxTokens: 100_000, Engine: stream.EngineOpenAI})
	switch {
	case tt.want == fails:
		t.Errorf("%d samples without an error, want %q", len(got), tt.says)
	case tt.want == well:
		if len(found) > 0 || len(texts) != len(got) {
			t.Errorf("findings %+v and %d texts of %d samples, want every text and nothing to tell", found, len(texts), len(got))
		}
	case len(found) == 0 || string(found[0].Code) != tt.want:
		t.Errorf("findings %+v, want %s", found, tt.want)
	}
}

// TestRefusalsOfNoKind wants nothing left out of the requests to a server that refuses every
// third one, whatever is in it. One is asked at a time: which ones are refused must not
// depend on how busy this machine is.
func TestRefusalsOfNoKind(t *testing.T) {
	t.Parallel()
	got, err := misbehave(t, sometimes(func(w http.ResponseWriter, _ *http.Request, _, _ int) {
		http.Error(w, `{"error":"no"}`, http.StatusBadRequest)
	}), func(cfg *openai.Config) { cfg.InFlight = 1 })
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]bool{}
	for i, one := range got {
		texts[one.Text] = true
		if one.LeftOut != "" {
			t.Errorf("sample %d was drawn without %s", i, one.LeftOut)
		}
	}
	if len(texts) != 24 {
		t.Errorf("%d texts of 24 samples", len(texts))
	}
}

// misbehave asks an odd server for 24 samples, as a run does, with its check.
func misbehave(t *testing.T, o odd, change func(*openai.Config)) ([]engine.Completion, error) {
	t.Helper()
	var mu sync.Mutex
	k := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/models"):
			_, _ = io.WriteString(w, `{"data":[{"id":"m"}]}`)
		case r.URL.Path == "/login":
			_, _ = io.WriteString(w, "<html>log in</html>")
		case strings.HasSuffix(r.URL.Path, "/chat/completions"):
			var body struct{ N int }
			_ = json.NewDecoder(bufio.NewReader(r.Body)).Decode(&body) // after a redirect there is none
			mu.Lock()
			k++
			now := k
			mu.Unlock()
			o(w, r, now, max(body.N, 1))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	cfg := openai.Config{Endpoints: []string{srv.URL}, Model: "m", Attempts: 12, MaxN: 4, InFlight: 4, Timeout: patience.Longest(time.Minute), Patience: patience.Longest(time.Minute)}
	change(&cfg)
	c, err := openai.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := patience.Context(t.Context(), time.Minute)
	defer cancel()
	if err := c.Check(ctx); err != nil {
		return nil, err
	}
	wanted := engine.Request{
		QuestionID: "q", N: 24, Messages: []engine.Message{{Role: "user", Content: "hi"}},
		Sampling: engine.Sampling{Temperature: 0.7, TopP: 1, MaxTokens: 100_000},
	}
	for tries := 1; ; tries++ {
		got, err := c.Generate(ctx, wanted)
		if !errors.Is(err, engine.ErrRefused) || tries == 10 { // a generator tries such a unit again
			return got, err
		}
	}
}

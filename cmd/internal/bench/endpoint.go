package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// endpointTokens is the length of each answer of an endpoint, about that of a small model's.
const endpointTokens = 400

// An endpoint answers as vLLM's server does, token ids included, at a pace and with texts that were made
// before. It asks no model.
type endpoint struct {
	url    string
	tps    float64 // tokens a second; 0 is unpaced
	texts  []answer
	server *http.Server
	served chan struct{} // closed when the server has ended

	mu   sync.Mutex
	free time.Time // when the tokens promised so far will have been made
}

// An answer is the text and the token ids of a choice, in JSON.
type answer struct{ content, ids []byte }

// texts returns answers that hold a program each. They compress about as well as those of a model.
func texts() []answer {
	const many, bytesPerToken = 4096, 3.5
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // texts, not secrets
	words := strings.Fields("total count value index left right best queue stack node edge cost limit seen first second answer table row column depth start end size")
	all := make([]answer, many)
	for i := range all {
		var b strings.Builder
		fmt.Fprintf(&b, "We read the input and compute the answer step by step.\n\n```python\nimport sys\n# sample %d\n", i)
		for b.Len() < endpointTokens*bytesPerToken-60 {
			w := func() string { return words[random.IntN(len(words))] }
			fmt.Fprintf(&b, "%s = %s + %d * %s(%q)\n", w(), w(), random.IntN(1000), w(), w())
		}
		b.WriteString("print(total)\n```\n\nThis runs in linear time.")
		ids := make([]int, endpointTokens)
		for j := range ids {
			ids[j] = random.IntN(150_000)
		}
		all[i] = answer{must(json.Marshal(b.String())), must(json.Marshal(ids))}
	}
	return all
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err) // texts and numbers
	}
	return b
}

// startEndpoint serves on a port of this machine's own address until close.
func startEndpoint(tps float64, texts []answer) (*endpoint, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not block
	if err != nil {
		return nil, fmt.Errorf("open a port for an endpoint: %w", err)
	}
	e := &endpoint{url: "http://" + l.Addr().String() + "/v1", tps: tps, texts: texts, served: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"`+endpointModel+`","object":"model"}]}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", e.complete)
	e.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(e.served)
		_ = e.server.Serve(l) // ends with close
	}()
	return e, nil
}

func (e *endpoint) close() error {
	err := e.server.Close()
	<-e.served
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// complete answers a request when the engine would have made its tokens.
func (e *endpoint) complete(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		N int `json:"n"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	n := max(asked.N, 1)
	if e.wait(r.Context(), n*endpointTokens) != nil {
		return // the client has left
	}
	body := []byte(`{"id":"bench","object":"chat.completion","model":"` + endpointModel + `","choices":[`)
	for i := range n {
		a := e.texts[rand.IntN(len(e.texts))] //nolint:gosec // texts, not secrets
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"index":%d,"message":{"role":"assistant","content":%s},"finish_reason":"stop","token_ids":%s}`, i, a.content, a.ids)
	}
	body = fmt.Appendf(body, `],"usage":{"prompt_tokens":300,"completion_tokens":%d,"total_tokens":%d}}`, n*endpointTokens, 300+n*endpointTokens)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // a client that has left asks again
}

// wait returns when so many more tokens would have been made, or an error if the client leaves.
func (e *endpoint) wait(ctx context.Context, tokens int) error {
	if e.tps == 0 {
		return nil
	}
	e.mu.Lock()
	now := time.Now()
	if e.free.Before(now) {
		e.free = now
	}
	e.free = e.free.Add(time.Duration(float64(tokens) / e.tps * float64(time.Second)))
	left := e.free.Sub(now)
	e.mu.Unlock()
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

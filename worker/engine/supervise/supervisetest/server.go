package supervisetest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Program is the program in every answer of the fake. It reads nothing and prints a number.
const Program = "```python\nprint(1)\n```"

// A batch is the fake's scheduler: so many sequences run, the others wait.
type batch struct {
	slots            chan struct{}
	pace             time.Duration // of one token of a sequence
	running, waiting atomic.Int64
	generated        atomic.Int64
}

// sequence takes the time of one sequence of so many tokens, as long as the client waits for it.
func (b *batch) sequence(ctx context.Context, tokens int) {
	b.waiting.Add(1)
	select {
	case b.slots <- struct{}{}:
		b.waiting.Add(-1)
	case <-ctx.Done():
		b.waiting.Add(-1)
		return
	}
	b.running.Add(1)
	defer func() {
		b.running.Add(-1)
		<-b.slots
	}()
	if b.pace > 0 {
		t := time.NewTimer(time.Duration(tokens) * b.pace)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
	b.generated.Add(int64(tokens))
}

// A server answers like one of the model that it was started with.
type server struct {
	model  string
	holds  int  // tokens of its context
	llama  bool // plays llama.cpp's server
	batch  batch
	sickly bool
	looks  atomic.Int64
	texts  atomic.Int64  // that were written
	served chan struct{} // told of each answer
	looked chan struct{} // told of each look at its health
}

// ask is what the fake reads of a request.
type ask struct {
	N           int  `json:"n"`
	MaxTokens   int  `json:"max_tokens"`
	ReturnIDs   bool `json:"return_token_ids"`
	Temperature *float64
	TopP        *float64 `json:"top_p"`
	TopK        *int     `json:"top_k"`
	MinP        *float64 `json:"min_p"`
	Repetition  *float64 `json:"repetition_penalty"`
}

// choice is one choice of an answer.
type choice struct {
	Index   int `json:"index"`
	Message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"message"`
	Text   string `json:"text"`
	Finish string `json:"finish_reason"`
	IDs    []int  `json:"token_ids,omitempty"`
}

func (s *server) complete(w http.ResponseWriter, r *http.Request) {
	var q ask
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if s.llama && q.N > cap(s.batch.slots) {
		http.Error(w, fmt.Sprintf(`{"error":{"message":"Value must be between 1 <= value <= %d","code":400}}`, cap(s.batch.slots)), http.StatusBadRequest)
		return
	}
	if q.Temperature == nil || q.TopP == nil || q.TopK == nil || q.MinP == nil || q.Repetition == nil {
		http.Error(w, `{"error":{"message":"the fake wants every sampling parameter sent"}}`, http.StatusBadRequest)
		return
	}
	choices := make([]choice, max(q.N, 1))
	done := make(chan struct{})
	total := 0
	for i := range choices {
		c := &choices[i]
		tokens := 1 + rand.N(max(q.MaxTokens, 1))
		// A model at a hot temperature does not write the same text twice.
		c.Index, c.Finish, c.Text = i, "stop", fmt.Sprintf("from %d, text %d\n%s", os.Getpid(), s.texts.Add(1), Program)
		c.Message.Role, c.Message.Content = "assistant", c.Text
		if tokens == q.MaxTokens {
			c.Finish = "length"
		}
		if q.ReturnIDs {
			c.IDs = make([]int, tokens)
		}
		total += tokens
		go func(ctx context.Context) {
			s.batch.sequence(ctx, tokens)
			done <- struct{}{}
		}(r.Context())
	}
	for range choices {
		<-done
	}
	answer := map[string]any{"choices": choices, "usage": map[string]int{"completion_tokens": total}}
	if err := json.NewEncoder(w).Encode(answer); err == nil && s.served != nil {
		s.served <- struct{}{}
	}
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	if s.looked != nil {
		s.looked <- struct{}{}
	}
	if s.looks.Add(1) > 1 && s.sickly {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (s *server) metrics(w http.ResponseWriter, _ *http.Request) {
	if s.llama {
		fmt.Fprintf(w, "llamacpp:requests_processing %d\nllamacpp:requests_deferred %d\nllamacpp:tokens_predicted_total %d\n",
			s.batch.running.Load(), s.batch.waiting.Load(), s.batch.generated.Load())
		return
	}
	for name, v := range map[string]int64{
		"num_requests_running": s.batch.running.Load(), "num_requests_waiting": s.batch.waiting.Load(), "generation_tokens_total": s.batch.generated.Load(),
	} {
		fmt.Fprintf(w, "vllm:%s{engine=\"0\",model_name=%q} %d\n", name, s.model, v)
	}
}

// tokenize counts a prompt as if four bytes were a token.
func (s *server) tokenize(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Prompt   string
		Messages []struct{ Content string }
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	size := len(q.Prompt)
	for _, m := range q.Messages {
		size += len(m.Content)
	}
	fmt.Fprintf(w, `{"count":%d,"max_model_len":%d}`, size/4+1, s.holds)
}

// listenAndServe serves until the process is killed.
func listenAndServe(args []string, dies, sickly bool) int {
	network, at, seqs := "tcp", "127.0.0.1:", 512
	model, llama, holds := args[0], false, 1<<20
	for i, a := range args[:len(args)-1] {
		switch a {
		case "--uds":
			network, at = "unix", args[i+1]
		case "--host":
			if strings.HasSuffix(args[i+1], ".sock") { // llama.cpp's server takes this for a socket
				network, at, llama = "unix", args[i+1], true
			}
		case "--alias":
			model = args[i+1]
		case "--parallel":
			if n, err := strconv.Atoi(args[i+1]); err == nil {
				seqs = n
			}
		case "--port":
			at += args[i+1]
		case "--max-model-len":
			if n, err := strconv.Atoi(args[i+1]); err == nil {
				holds = n
			}
		case "--max-num-seqs":
			if n, err := strconv.Atoi(args[i+1]); err == nil {
				seqs = n
			}
		}
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), network, at)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "ERROR", err)
		return 1
	}
	text, _ := os.LookupEnv(Pace)
	pace, _ := strconv.Atoi(text) // none is 0
	s := &server{model: model, holds: holds, llama: llama, sickly: sickly, batch: batch{slots: make(chan struct{}, seqs), pace: time.Duration(pace) * time.Millisecond}}
	mux := http.NewServeMux()
	mux.HandleFunc("/health", s.health)
	mux.HandleFunc("/metrics", s.metrics)
	mux.HandleFunc("/v1/chat/completions", s.complete)
	mux.HandleFunc("/v1/completions", s.complete)
	mux.HandleFunc("/v1/models", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"data":[{"id":%q}]}`, s.model) })
	if !llama { // llama.cpp's server does not tell
		mux.HandleFunc("/tokenize", s.tokenize)
		mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"version":"0.99"}`) })
	}
	if dies {
		s.served, s.looked = make(chan struct{}, 100), make(chan struct{}, 100)
		go func() {
			<-s.served // the first token, asked for before anybody waits for samples
			for len(s.looked) > 0 {
				<-s.looked
			}
			<-s.looked // so whoever asks knows that it came
			os.Exit(3) //nolint:forbidigo // this process is not the test
		}()
	}
	_, _ = fmt.Fprintln(os.Stderr, "INFO serving at", at)
	_ = (&http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}).Serve(l)
	return 1
}

package openai_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
)

func TestDeadline(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string]bool{"whole": false, "stream": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(x *exchange) bool { return x.body["temperature"] == 0.5 && x.hang() })
			c := newClient(t, func(cfg *openai.Config) { cfg.Stream, cfg.InFlight = stream, 8 }, f)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			r := request(20)
			r.Sampling.Temperature = 0.5
			if got, err := c.Generate(ctx, r); !errors.Is(err, context.DeadlineExceeded) || got != nil {
				t.Errorf("Generate = %v, %v, want DeadlineExceeded", got, err)
			}
			generate(t, c, request(20), f) // finds all places free
		})
	}
}

// TestSilence wants servers that say nothing, at the beginning or within an
// answer, to be given up and asked again.
func TestSilence(t *testing.T) {
	t.Parallel()
	silence := patience.Now(time.Second) // which an attempt that is answered must not reach
	for _, tt := range []struct {
		name   string
		change func(*openai.Config)
		part   int
	}{
		{"whole", func(c *openai.Config) { c.Timeout = silence }, 0},
		{"stream, from the beginning", func(c *openai.Config) { c.Stream, c.Idle = true, silence }, 0},
		{"stream, in its middle", func(c *openai.Config) { c.Stream, c.Idle = true, silence }, 3},
		{"stream, for longer than an attempt may take", func(c *openai.Config) { c.Stream, c.Timeout = true, silence }, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(x *exchange) bool {
				if x.k%2 == 0 {
					return false
				}
				if tt.part > 0 {
					x.stream(x.events()[:tt.part])
					if f, ok := x.w.(http.Flusher); ok {
						f.Flush()
					}
				}
				return x.hang()
			})
			generate(t, newClient(t, tt.change, f), request(1), f)
		})
	}
}

// TestAttemptsEnd wants a request that breaks every time to fail, with what the
// server said, and not as one to give up for ever.
func TestAttemptsEnd(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(x *exchange) bool { return x.status(500, `{"error":{"message":"CUDA error"}}`) })
	c := newClient(t, func(cfg *openai.Config) { cfg.Attempts = 3 }, f)
	_, err := c.Generate(t.Context(), request(1))
	if err == nil || errors.Is(err, engine.ErrRejected) || !strings.Contains(err.Error(), "3 attempts: "+f.URL+"/v1: status 500: CUDA error") {
		t.Errorf("Generate = %v, want 3 attempts and the server's words", err)
	}
	if n := f.requests(); n != 4 {
		t.Errorf("%d requests, want 3, and one that shows that the server gives not even a token", n)
	}
}

func TestRefusedKey(t *testing.T) {
	t.Parallel()
	deny := newFake(t, func(x *exchange) bool { return x.status(401, `{"error":{"message":"Incorrect API key"}}`) })
	c := newClient(t, nil, deny)
	_, err := c.Generate(t.Context(), request(20))
	if err == nil || errors.Is(err, engine.ErrRejected) || !strings.Contains(err.Error(), "OPENAI_API_KEY") {
		t.Errorf("Generate = %v, want a word about the key", err)
	}
	if n := deny.requests(); n > 20 {
		t.Errorf("%d requests for 20 samples, want none made again", n)
	}
	good := newFake(t, nil)
	generate(t, newClient(t, nil, deny, good), request(20), good)
}

// TestSeveralEndpoints wants the work shared, and none lost where one of the
// servers is not there.
func TestSeveralEndpoints(t *testing.T) {
	t.Parallel()
	var open sync.WaitGroup
	open.Add(4)
	both := func(*exchange) bool { // each waits until the first four are there
		open.Done()
		open.Wait()
		return false
	}
	a, b := newFake(t, both), newFake(t, both)
	c := newClient(t, func(cfg *openai.Config) { cfg.InFlight = 2 }, a, b)
	if _, err := c.Generate(t.Context(), request(4)); err != nil {
		t.Fatal(err)
	}
	if a.requests() != 2 || b.requests() != 2 {
		t.Errorf("%d and %d requests, want 2 for each server", a.requests(), b.requests())
	}

	f := newFake(t, nil)
	c = newClient(t, func(cfg *openai.Config) { cfg.Endpoints = []string{closedPort(t), f.URL, closedPort(t) + "/v1"} })
	generate(t, c, request(40), f)
	generate(t, c, request(40), f)
}

// TestInFlight wants the bound kept, and reached.
func TestInFlight(t *testing.T) {
	t.Parallel()
	full, over := make(chan struct{}), make(chan struct{})
	fill, overflow := sync.OnceFunc(func() { close(full) }), sync.OnceFunc(func() { close(over) })
	defer patience.After(patience.Base, fill)()
	f := newFake(t, nil)
	f.spoil = func(x *exchange) bool {
		if x.k == 1 {
			return false // finds out how tokens are counted
		}
		f.mu.Lock()
		busy := f.busy
		f.mu.Unlock()
		if busy >= 24 {
			fill()
		}
		if busy > 24 {
			overflow()
		}
		<-full
		select { // long enough for one too many to come
		case <-over:
		case <-time.After(100 * time.Millisecond):
		}
		return false
	}
	c := newClient(t, func(cfg *openai.Config) { cfg.InFlight = 24 }, f)
	generate(t, c, request(1), f)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { generate(t, c, request(16), f) })
	}
	wg.Wait()
	if f.busiest != 24 {
		t.Errorf("at most %d samples in flight, want 24", f.busiest)
	}
}

// TestEverySampleOnce asks three servers that fail in every way they know, in
// random order, for many units at once, and wants each sample exactly once.
func TestEverySampleOnce(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string]bool{"whole": false, "stream": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			soup := func(x *exchange) bool {
				switch rand.N(24) {
				case 0:
					return x.status(500, "oops")
				case 1:
					x.w.Header().Set("Retry-After", "0.01")
					return x.status(429, "")
				case 2:
					return x.status(503, "")
				case 3:
					return x.cut(x.whole()[:20])
				case 4:
					return x.status(200, `{"choices":[]}`)
				case 5:
					x.texts = x.texts[:1]
				case 6:
					x.bad()
					x.finish = "abort"
				case 7:
					x.bad()
					e := x.events()
					x.stream(e[:rand.N(len(e)-1)])
					return true
				case 8:
					if x.n > 3 {
						return x.status(400, "no")
					}
				case 9:
					return x.status(200, `{"error":{"message":"gone","code":503}}`)
				case 10:
					x.bad()
					panic(http.ErrAbortHandler)
				case 11:
					x.noUsage = true
				}
				return false
			}
			f := newFake(t, soup)
			other := []*http.Server{{Handler: f, ReadHeaderTimeout: time.Minute}, {Handler: f, ReadHeaderTimeout: time.Minute}}
			var wg sync.WaitGroup
			c := newClient(t, func(cfg *openai.Config) {
				cfg.Stream, cfg.Attempts, cfg.Patience, cfg.InFlight = stream, 50, time.Minute, 64
				for _, s := range other { // one fake at three addresses: its texts stay unique
					l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
					if err != nil {
						t.Fatal(err)
					}
					wg.Go(func() { _ = s.Serve(l) })
					cfg.Endpoints = append(cfg.Endpoints, "http://"+l.Addr().String())
				}
			}, f)
			var mu sync.Mutex
			var all []engine.Completion
			var units sync.WaitGroup
			for range 30 {
				units.Go(func() {
					got, err := c.Generate(t.Context(), request(25))
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					all = append(all, got...)
					mu.Unlock()
				})
			}
			units.Wait()
			examine(t, 30*25, all, f)
			for _, s := range other {
				_ = s.Close()
			}
			wg.Wait()
		})
	}
}

// TestCancelledSiblings wants one final failure to end a request's other parts.
func TestCancelledSiblings(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(x *exchange) bool {
		if x.k == 1 {
			return false
		}
		if x.k == 3 {
			return x.status(413, "")
		}
		return x.hang()
	})
	c := newClient(t, nil, f)
	generate(t, c, request(1), f)
	wait := patience.Begin(patience.Base)
	if _, err := c.Generate(t.Context(), request(16)); !errors.Is(err, engine.ErrRejected) {
		t.Errorf("Generate = %v, want ErrRejected", err)
	}
	if wait.Over() {
		t.Error("Generate waited for the other parts")
	}
}

func TestMissingUsage(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(x *exchange) bool { x.ids, x.noUsage = false, true; return false })
	got, err := newClient(t, nil, f).Generate(t.Context(), request(3))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range got {
		if s.Tokens != 0 {
			t.Errorf("tokens = %d, want 0 where nobody counts", s.Tokens)
		}
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       openai.Load
		bad        bool
	}{
		{"vllm with two engines", `# HELP vllm:num_requests_running x
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a b} c"} 5.0
vllm:num_requests_running{engine="1",model_name="a"} 7.0
vllm:num_requests_waiting{engine="0"} 3.0 1700000000
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:kv_cache_usage_perc{engine="1"} 0.5
vllm:generation_tokens_total{engine="0"} 1.5e+06
vllm:generation_tokens_created{engine="0"} 9
vllm:num_preemptions_total{engine="0"} 2
`, openai.Load{Running: 12, Waiting: 3, CacheUsage: 0.5, Generated: 1.5e6, Preemptions: 2}, false},
		{"llama.cpp", "llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\nllamacpp:tokens_predicted_total 9\n", openai.Load{Running: 2, Waiting: 1, Generated: 9}, false},
		{"something else", "go_goroutines 3\n", openai.Load{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, nil)
			f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/metrics" {
					_, _ = io.WriteString(w, tt.text)
				}
			})
			got, err := newClient(t, nil, f).Load(t.Context())
			if got != tt.want || (err != nil) != tt.bad {
				t.Errorf("Load = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

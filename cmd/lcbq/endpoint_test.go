package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// chatServer answers as an OpenAI-compatible server does, always with the same
// program, and keeps what it was asked.
func chatServer(t *testing.T, asked *atomic.Value) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, `{"object":"list","data":[{"id":"tiny","object":"model"}]}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			N           int
			Temperature float64
			Messages    []struct{ Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if len(q.Messages) > 1 { // not the check before the run
			asked.Store(fmt.Sprint(q.Temperature, " ", q.Messages[1].Content))
		}
		var choices []string
		for i := range max(q.N, 1) {
			choices = append(choices, fmt.Sprintf("{\"index\":%d,\"finish_reason\":\"stop\",\"message\":{\"role\":\"assistant\",\"content\":\"```python\\nprint(1)\\n```\"}}", i))
		}
		fmt.Fprintf(w, `{"id":"x","object":"chat.completion","model":"tiny","choices":[%s],"usage":{"prompt_tokens":1,"completion_tokens":%d}}`,
			strings.Join(choices, ","), 7*len(choices))
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

// TestAttachedEndpoint runs a sweep through an endpoint, from the prompt to the
// files.
func TestAttachedEndpoint(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	srv := chatServer(t, &asked)
	dir := filepath.Join(t.TempDir(), "results")
	out, err := command(t, "run", "--engine", "openai", "--endpoint", srv.URL+"/v1", "--end", "2", "--n", "30", "--unit-size", "10",
		"--temperatures", "0.3", "-o", dir, "--listen", "127.0.0.1:0").CombinedOutput()
	if err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	if text, _ := asked.Load().(string); !strings.HasPrefix(text, "0.3 ### Question:\n") || !strings.Contains(text, "# YOUR CODE HERE") {
		t.Errorf("the endpoint was asked %q, want LiveCodeBench's prompt at temperature 0.3", text)
	}
	s, err := result.ReadSummary(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Results[0]
	if r.N != 30 || r.Passed != 0 || r.Tokens != 30*7 || r.UniquePrograms != 1 || s.Model != "tiny" || s.Engine != "openai" || s.Simulated {
		t.Errorf("summary = %+v, want 30 samples of 7 tokens from model tiny", s)
	}
}

// TestAttachedEndpointIsFilled wants a server that says that it has room given more
// than a generator begins with. It answers nobody before that.
func TestAttachedEndpointIsFilled(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	var asked atomic.Value
	chat := chatServer(t, &asked)
	var inFlight atomic.Int64
	filled := make(chan struct{})
	var once sync.Once
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "vllm:num_requests_running{model_name=\"tiny\"} %d\nvllm:num_requests_waiting{model_name=\"tiny\"} 0\n", inFlight.Load())
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		var q struct{ N int }
		if json.Unmarshal(body, &q) == nil && q.N > 0 && bytes.Contains(body, []byte("### Question:")) {
			defer inFlight.Add(-int64(q.N))
			if inFlight.Add(int64(q.N)) > openai.DefaultInFlight {
				once.Do(func() { close(filled) })
			}
			late, enough := patience.Context(r.Context(), 30*time.Second)
			defer enough()
			select {
			case <-filled:
			case <-late.Done(): // the client is gone, or the test has failed, and says so below
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		chat.Config.Handler.ServeHTTP(w, r)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	cmd := command(t, "run", "--engine", "openai", "--endpoint", srv.URL+"/v1", "--end", "2", "--n", "200", "--unit-size", "10",
		"--temperatures", "0.3", "-o", filepath.Join(t.TempDir(), "results"), "--listen", "127.0.0.1:0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	select {
	case <-filled:
	default:
		t.Errorf("never more than %d samples in flight", openai.DefaultInFlight)
	}
}

// TestServerRefusals starts runs where another server is: on its store, and on its
// port. Both are refused with a remedy, and nothing is made.
func TestServerRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, url := startServer(t, filepath.Join(dir, "store"))
	defer interrupt(t, server)
	results := filepath.Join(dir, "results")
	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"its port", "port in use", []string{"--listen", strings.TrimPrefix(url, "nats://")}},
		{"its store", "store directory in use", []string{"--store-dir", filepath.Join(dir, "store"), "--listen", "127.0.0.1:0"}},
	} {
		cmd := command(t, append([]string{"run", "-o", results}, tt.args...)...)
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), tt.want) || !strings.Contains(string(out), "choose another") {
			t.Errorf("run on %s: %v, want %q and a remedy\n%s", tt.name, err, tt.want, out)
		}
		if files, err := filepath.Glob(filepath.Join(results, "*")); err != nil || len(files) > 0 {
			t.Errorf("run on %s left %v", tt.name, files)
		}
	}
}

// TestEndpointRefusals wants a wrong key and a model that is not served said before anything is made.
func TestEndpointRefusals(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer right" {
			http.Error(w, `{"error":{"message":"Incorrect API key provided"}}`, http.StatusUnauthorized)
			return
		}
		fmt.Fprintln(w, `{"object":"list","data":[{"id":"tiny"},{"id":"small"}]}`)
	}))
	defer srv.Close()
	results := filepath.Join(t.TempDir(), "results")
	for _, tt := range []struct {
		name, key, model string
		want             []string
	}{
		{"a wrong key", "wrong", "tiny", []string{"status 401", "Incorrect API key", "OPENAI_API_KEY"}},
		{"no key", "", "tiny", []string{"status 401", "OPENAI_API_KEY"}},
		{"another model", "right", "huge", []string{`model "huge" is not served`, "served are: tiny, small"}},
		{"no model", "right", "", []string{"no model is chosen", "--model"}},
	} {
		cmd := command(t, "run", "--engine", "openai", "--endpoint", srv.URL+"/v1", "--model", tt.model, "-o", results)
		cmd.Env = append(cmd.Env, "OPENAI_API_KEY="+tt.key)
		out, err := cmd.CombinedOutput()
		for _, want := range tt.want {
			if err == nil || !strings.Contains(string(out), want) {
				t.Errorf("%s: %v, want %q in\n%s", tt.name, err, want, out)
			}
		}
		if _, err := os.Stat(results); err == nil {
			t.Errorf("%s: the results folder was made", tt.name)
		}
	}
}

// TestRefusedTextsAreSamples runs a sweep against a server whose parser fails on some of the
// texts that the model writes, and wants them counted as failed and told, or drawn again.
func TestRefusedTextsAreSamples(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	chat := chatServer(t, &asked)
	for choice, want := range map[string]struct {
		failed bool
		said   []string
	}{
		"fail":   {true, []string{"texts that the model wrote were refused by the server and count as failed", "without its tool parser"}},
		"redraw": {false, []string{"completions were broken off or refused and drawn again (refused text: ", "--reasoning-format none"}},
	} {
		t.Run(choice, func(t *testing.T) {
			t.Parallel()
			var made atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/completions") && made.Add(1)%4 == 3 && made.Load() > 8 { // the check has passed
					w.WriteHeader(http.StatusInternalServerError)
					fmt.Fprintln(w, `{"error":{"message":"Failed to parse input at pos 7: <tool_call>","code":500}}`)
					return
				}
				chat.Config.Handler.ServeHTTP(w, r)
			}))
			defer srv.Close()
			dir := filepath.Join(t.TempDir(), "results")
			out, err := command(t, "run", "--engine", "openai", "--endpoint", srv.URL+"/v1", "--end", "1", "--n", "40", "--unit-size", "10",
				"--temperatures", "0.1", "--on-refused", choice, "-o", dir, "--listen", "127.0.0.1:0").CombinedOutput()
			if err != nil {
				t.Fatalf("run: %v\n%s", err, out)
			}
			summary, err := os.ReadFile(result.RunSummaryPath(dir))
			if err != nil {
				t.Fatal(err)
			}
			report, err := os.ReadFile(filepath.Join(dir, result.ReportName))
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range want.said {
				for where, text := range map[string][]byte{"terminal": out, "run_summary.json": summary, "report": report} {
					if !bytes.Contains(text, []byte(word)) {
						t.Errorf("%s: the %s lacks %q", choice, where, word)
					}
				}
			}
			s, err := result.ReadSummary(dir, 0)
			if err != nil {
				t.Fatal(err)
			}
			r := s.Results[0]
			if r.N != 40 || (r.Verdicts[stream.Refused] > 0) != want.failed || (len(r.Answers.Redrawn) > 0) == want.failed {
				t.Errorf("%s: %d samples, verdicts %v, redrawn %v", choice, r.N, r.Verdicts, r.Answers.Redrawn)
			}
		})
	}
}

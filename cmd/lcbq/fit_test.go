package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestMaxTokensElsewhere submits a run where the server has room for its answers, and wants a generator
// for a server with a smaller context refused before any work, with the largest number that fits the
// run's longest prompt.
func TestMaxTokensElsewhere(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	longest := 0
	serving := func(context int) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch body, _ := io.ReadAll(r.Body); {
			case strings.HasSuffix(r.URL.Path, "/models"):
				_, _ = fmt.Fprintf(w, `{"data":[{"id":"m","max_model_len":%d}]}`, context)
			case r.URL.Path == "/tokenize":
				var asked struct{ Messages []struct{ Content string } }
				_ = json.Unmarshal(body, &asked)
				count := 0
				for _, m := range asked.Messages {
					count += len(m.Content)
				}
				mu.Lock()
				longest = max(longest, count)
				mu.Unlock()
				_, _ = fmt.Fprintf(w, `{"count":%d,"max_model_len":%d}`, count, context)
			case strings.HasSuffix(r.URL.Path, "/chat/completions"):
				_, _ = io.WriteString(w, `{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}`)
			default:
				http.NotFound(w, r)
			}
		}))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	server, url := startServer(t, t.TempDir())
	says(t, 0, "submit", "--nats", url, "--endpoint", serving(100_000), "-n", "2", "--temperatures", "0.2", "--max-tokens", "8000", "-o", t.TempDir())
	atSubmit := longest
	longest = 0
	out := says(t, 1, "generate", "--nats", url, "--endpoint", serving(9000))
	if want := fmt.Sprintf("pass --max-tokens %d or less", 9000-atSubmit); longest != atSubmit || atSubmit < 1000 || !strings.Contains(out, want) {
		t.Errorf("the longest prompt has %d tokens here and had %d at submit; want %q in\n%s", longest, atSubmit, want, out)
	}
	interrupt(t, server)
}

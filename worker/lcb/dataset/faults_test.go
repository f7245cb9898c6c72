package dataset

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestFetchFaults holds what the store may do, and how Fetch ends.
func TestFetchFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		part  int // bytes there before; negative: damaged
		fault func(n int64, w http.ResponseWriter, r *http.Request, body []byte) bool
		gets  int    // requests to the store
		says  string // "" is success
	}{
		{name: "goes on where a part ends", part: 600_000, gets: 1},
		{name: "part is whole", part: 700_000, gets: 0},
		{name: "part is damaged", part: -400_000, gets: 2},
		{name: "part is too long", part: 800_000, gets: 1},
		{name: "another range", part: 1000, gets: 2, fault: func(n int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("Content-Range", "bytes 500-699999/700000")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(body[500:])
			return true
		}},
		{name: "a range unasked for", gets: 2, fault: func(n int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
			if n == 1 {
				w.Header().Set("Content-Range", "bytes 500-699999/700000")
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(body[500:])
			}
			return n == 1
		}},
		{name: "slow", gets: 1, fault: func(_ int64, w http.ResponseWriter, r *http.Request, body []byte) bool {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			for chunk := range slices.Chunk(body, len(body)/4) {
				_, _ = w.Write(chunk)
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(400 * time.Millisecond): // less than the silence allowed, all together more
				case <-r.Context().Done():
				}
			}
			return true
		}},
		{name: "range refused", part: 1000, gets: 2, fault: func(n int64, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			if n == 1 {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			}
			return n == 1
		}},
		{name: "unavailable for a while", gets: 4, fault: func(n int64, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			if n < 4 {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return n < 4
		}},
		{name: "unavailable", gets: 6, says: "503 Service Unavailable", fault: func(_ int64, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}},
		{name: "forbidden", gets: 1, says: "403 Forbidden", fault: func(_ int64, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			w.WriteHeader(http.StatusForbidden)
			return true
		}},
		{name: "silent", gets: 2, fault: func(n int64, w http.ResponseWriter, r *http.Request, body []byte) bool {
			if n == 1 {
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
				_, _ = w.Write(body[:1000])
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}
			return n == 1
		}},
		{name: "wrong bytes", gets: 1, says: "wrong digest: sha256", fault: func(_ int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
			body[350_000]++
			_, _ = w.Write(body)
			return true
		}},
		{name: "wrong bytes twice", part: 1000, gets: 2, says: "wrong digest: sha256", fault: func(_ int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
			body[350_000]++
			return false
		}},
		{name: "too many bytes", gets: 1, says: "more than the 700000 bytes", fault: func(_ int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
			_, _ = w.Write(append(body, 'x'))
			return true
		}},
		{name: "too few bytes for ever", gets: 6, says: "ends after 1000 of 700000 bytes", fault: func(_ int64, w http.ResponseWriter, _ *http.Request, body []byte) bool {
			_, _ = w.Write(body[:1000])
			return true
		}},
		{name: "a page for an error", gets: 1, says: "wrong digest", fault: func(_ int64, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			_, _ = w.Write([]byte(strings.Repeat("<p>please log in</p>", 35_000)))
			return true
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t)
			var n atomic.Int64
			if c.fault != nil {
				h.fault = func(w http.ResponseWriter, r *http.Request, body []byte) bool { return c.fault(n.Add(1), w, r, body) }
			}
			cfg := h.config(t)
			switch c.name {
			case "silent":
				cfg.Stall = 100 * time.Millisecond
			case "slow":
				cfg.Stall = time.Second
			}
			if size := max(c.part, -c.part); size > 0 {
				b := append(content("test6.jsonl"), make([]byte, 200_000)...)[:size]
				if c.part < 0 {
					b[0]++
				}
				writePart(t, cfg, "test6.jsonl", b)
			}
			set, err := Fetch(t.Context(), cfg, "v6")
			more := cfg.Stall > 0 // a server without a processor is silent too, and is asked again
			if len(h.gets) != c.gets && (!more || len(h.gets) < c.gets) {
				t.Errorf("%d requests %q, want %d", len(h.gets), h.gets, c.gets)
			}
			if c.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				holds(t, cfg, set, "test6.jsonl")
				if _, err := os.Stat(part(cfg, "test6.jsonl")); !missing(err) {
					t.Errorf("the part is left: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "fetch test6.jsonl of livecodebench/code_generation_lite: ") {
				t.Errorf("Fetch = %v, want %q", err, c.says)
			}
			if strings.Contains(c.says, "digest") != errors.Is(err, ErrDigest) && !strings.Contains(c.says, "more than") {
				t.Errorf("errors.Is(%v, ErrDigest) = %v", err, errors.Is(err, ErrDigest))
			}
			if _, left := os.Stat(part(cfg, "test6.jsonl")); errors.Is(err, ErrDigest) && !missing(left) {
				t.Error("the bad part is left")
			}
			cfg.Offline = true
			if set, err := Fetch(t.Context(), cfg, "v6"); err == nil {
				t.Errorf("a refused file is in the cache: %+v", set)
			}
		})
	}
}

// TestHubFaults holds what the hub may answer before any byte.
func TestHubFaults(t *testing.T) {
	t.Parallel()
	header := func(key, value string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("X-Repo-Commit", commitOne)
			w.Header().Set("Etag", digestOf(nil))
			w.Header().Set("X-Linked-Size", "5")
			w.Header().Set(key, value)
			return true
		}
	}
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
	}
	for _, c := range []struct {
		name, token, says string
		head              func(http.ResponseWriter, *http.Request) bool
		heads             int
	}{
		{"not found", "", "no such file at revision main", status(http.StatusNotFound), 1},
		{"no token", "", "set HF_TOKEN", status(http.StatusUnauthorized), 1},
		{"bad token", "x", "is HF_TOKEN valid", status(http.StatusForbidden), 1},
		{"broken", "", "502 Bad Gateway", status(http.StatusBadGateway), 6},
		{"busy", "", "429", status(http.StatusTooManyRequests), 6},
		{"no digest", "", "announces no sha256", header("Etag", `W/"abc"`), 1},
		{"no commit", "", "names no commit", header("X-Repo-Commit", "main"), 1},
		{"no size", "", "announces no size", header("X-Linked-Size", "-1"), 1},
		{"elsewhere", "", "names no commit", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Etag", digestOf(nil))
			http.Redirect(w, r, "http://other.invalid/", http.StatusFound)
			return true
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t)
			h.head = c.head
			cfg := h.config(t)
			cfg.Token = c.token
			if _, err := Fetch(t.Context(), cfg, "v6"); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Fetch = %v, want %q", err, c.says)
			}
			if len(h.heads) != c.heads || len(h.gets) != 0 {
				t.Errorf("%d questions to the hub, %d to the store, want %d and none", len(h.heads), len(h.gets), c.heads)
			}
		})
	}
}

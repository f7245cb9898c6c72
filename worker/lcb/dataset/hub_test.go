package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	commitOne = "1111111111111111111111111111111111111111"
	commitTwo = "2222222222222222222222222222222222222222"
)

// content is what the file of that name holds: the same at every call.
func content(name string) []byte {
	r := rand.NewChaCha8(sha256.Sum256([]byte(name)))
	b := make([]byte, 700_000)
	_, _ = r.Read(b)
	return b
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// A hub is a hub and the store that it redirects to, on two hosts, with faults
// to order.
type hub struct {
	url   string
	fault func(w http.ResponseWriter, r *http.Request, body []byte) bool // of the store; true: it has answered
	head  func(w http.ResponseWriter, r *http.Request) bool              // of the hub

	mu     sync.Mutex // guards what follows
	heads  []string   // paths asked for
	gets   []string   // names and ranges that the store was asked for
	sent   int64      // bytes that the store has sent
	tokens map[string]bool
}

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{tokens: map[string]bool{}}
	store := httptest.NewServer(http.HandlerFunc(h.store))
	t.Cleanup(store.Close)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.resolve(w, r, store.URL) }))
	t.Cleanup(front.Close)
	h.url = front.URL
	return h
}

func (h *hub) resolve(w http.ResponseWriter, r *http.Request, store string) {
	h.mu.Lock()
	h.tokens["hub "+r.Header.Get("Authorization")] = true
	if r.Method == http.MethodHead {
		h.heads = append(h.heads, r.URL.Path)
	}
	h.mu.Unlock()
	if h.head != nil && h.head(w, r) {
		return
	}
	prefix := "/datasets/livecodebench/code_generation_lite/resolve/"
	revision, name, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, prefix), "/")
	if !strings.HasPrefix(r.URL.Path, prefix) || !ok {
		http.NotFound(w, r)
		return
	}
	if revision == "main" {
		revision = commitOne
	}
	body := content(name)
	w.Header().Set("X-Repo-Commit", revision)
	w.Header().Set("X-Linked-Etag", `"`+digestOf(body)+`"`)
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(body)))
	http.Redirect(w, r, store+"/"+name, http.StatusFound)
}

func (h *hub) store(w http.ResponseWriter, r *http.Request) {
	body := content(strings.TrimPrefix(r.URL.Path, "/"))
	h.mu.Lock()
	h.gets = append(h.gets, strings.TrimPrefix(r.URL.Path, "/")+" "+r.Header.Get("Range"))
	h.tokens["store "+r.Header.Get("Authorization")] = true
	h.mu.Unlock()
	counting := &counter{ResponseWriter: w, h: h}
	if h.fault != nil && h.fault(counting, r, body) {
		return
	}
	start, ranged := rangeOf(r)
	if ranged {
		counting.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(body)-1, len(body)))
	}
	counting.Header().Set("Content-Length", strconv.Itoa(len(body)-start))
	if ranged {
		counting.WriteHeader(http.StatusPartialContent)
	}
	_, _ = counting.Write(body[start:])
}

func rangeOf(r *http.Request) (start int, ranged bool) {
	_, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start)
	return start, err == nil
}

// A counter counts the bytes that the store sends.
type counter struct {
	http.ResponseWriter
	h *hub
}

func (c *counter) Write(b []byte) (int, error) {
	c.h.mu.Lock()
	c.h.sent += int64(len(b))
	c.h.mu.Unlock()
	return c.ResponseWriter.Write(b)
}

func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (h *hub) config(t *testing.T) Config {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return Config{
		Endpoint: h.url, Home: t.TempDir(), HTTPClient: &http.Client{Transport: transport},
		Backoff: time.Millisecond, Stall: 20 * time.Second,
	}
}

// holds checks that the set is on disk, whole, in the hub's layout,
// and of the commit that main stands for.
func holds(t *testing.T, cfg Config, set *Set, names ...string) {
	t.Helper()
	if set.Revision != commitOne || len(set.Files) != len(names) {
		t.Fatalf("set = %+v, want %v of %s", set, names, commitOne)
	}
	for i, name := range names {
		want := content(name)
		f := set.Files[i]
		got, err := os.ReadFile(f.Path)
		if err != nil || string(got) != string(want) || f.Name != name || f.Size != int64(len(want)) || f.Digest != digestOf(want) {
			t.Errorf("file %d = %+v with %d bytes, %v", i, f, len(got), err)
		}
		root := filepath.Join(cfg.Home, "hub", "datasets--livecodebench--code_generation_lite")
		if f.Path != filepath.Join(root, "snapshots", commitOne, name) {
			t.Errorf("path = %s", f.Path)
		}
		if target, err := os.Readlink(f.Path); err != nil || target != filepath.Join("..", "..", "blobs", f.Digest) {
			t.Errorf("link = %s, %v", target, err)
		}
	}
}

func part(cfg Config, name string) string {
	return cfg.cache().part(digestOf(content(name)))
}

func writePart(t *testing.T, cfg Config, name string, b []byte) {
	t.Helper()
	path := part(cfg, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

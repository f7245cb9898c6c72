package dataset

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"v1": "test.jsonl", "v6": "test6.jsonl", "v5_v6": "test5.jsonl test6.jsonl", "v1_v3": "test.jsonl test2.jsonl test3.jsonl",
		"release_v1": "test.jsonl", "release_v2": "test.jsonl test2.jsonl",
		"release_v6":     "test.jsonl test2.jsonl test3.jsonl test4.jsonl test5.jsonl test6.jsonl",
		"release_latest": "test.jsonl test2.jsonl test3.jsonl test4.jsonl test5.jsonl test6.jsonl",
	} {
		if got, err := Files(version); err != nil || strings.Join(got, " ") != want {
			t.Errorf("Files(%s) = %v, %v, want %s", version, got, err, want)
		}
	}
	for _, version := range []string{"", "v0", "v7", "6", "v06", "v6_v5", "v5_", "release_v7", "release_v5_v6", "release_6", "latest", "V6", "v1_v2_v3"} {
		if got, err := Files(version); err == nil || Named(version) {
			t.Errorf("Files(%q) = %v, want an error", version, got)
		}
	}
	for _, version := range Versions() {
		if !Named(version) {
			t.Errorf("Named(%s) = false", version)
		}
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	cfg := h.config(t)
	var told []Progress
	cfg.Progress = func(p Progress) { told = append(told, p) }
	cfg.Token = "secret"
	set, err := Fetch(t.Context(), cfg, "v5_v6")
	if err != nil {
		t.Fatal(err)
	}
	holds(t, cfg, set, "test5.jsonl", "test6.jsonl")
	if !slices.Equal(h.gets, []string{"test5.jsonl ", "test6.jsonl "}) {
		t.Errorf("the store was asked for %q", h.gets)
	}
	if !h.tokens["hub Bearer secret"] || h.tokens["hub "] || !h.tokens["store "] || h.tokens["store Bearer secret"] {
		t.Errorf("tokens sent: %v, want it at the hub and never at the store", h.tokens)
	}
	if last := told[len(told)-1]; last.File != "test6.jsonl" || last.Done != 700_000 || last.Total != 700_000 || last.Resumed != 700_000 && last.Resumed != 0 {
		t.Errorf("last progress = %+v", last)
	}

	// All of it is there now: only asked about again, and not at all offline.
	h.gets = nil
	if set, err = Fetch(t.Context(), cfg, "v6"); err != nil {
		t.Fatal(err)
	}
	holds(t, cfg, set, "test6.jsonl")
	heads := len(h.heads)
	cfg.Offline = true
	if set, err = Fetch(t.Context(), cfg, "v5_v6"); err != nil {
		t.Fatal(err)
	}
	holds(t, cfg, set, "test5.jsonl", "test6.jsonl")
	if len(h.gets) != 0 || len(h.heads) != heads {
		t.Errorf("fetched again: %v, %d requests offline", h.gets, len(h.heads)-heads)
	}
	cfg.Revision = commitOne
	if set, err = Fetch(t.Context(), cfg, "v6"); err != nil {
		t.Fatal(err)
	}
	holds(t, cfg, set, "test6.jsonl")
}

func TestFetchOneCommit(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	cfg := h.config(t)
	if _, err := Fetch(t.Context(), cfg, "release_v2"); err != nil {
		t.Fatal(err)
	}
	want := []string{"/main/test.jsonl", "/" + commitOne + "/test2.jsonl"}
	for i, path := range h.heads {
		if !strings.HasSuffix(path, want[i]) {
			t.Errorf("request %d is for %s, want ...%s", i, path, want[i])
		}
	}
}

func TestFetchCutConnections(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	var n atomic.Int64
	h.fault = func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if n.Add(1) > 9 {
			return false // and at last the rest
		}
		start, ranged := rangeOf(r)
		if ranged {
			w.Header().Set("Content-Range", "bytes "+strconv.Itoa(start)+"-")
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)-start))
		if ranged {
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(body[start : start+50_000])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	cfg := h.config(t)
	cfg.Attempts = 2 // each gets further: many failures, never two in a row without a new byte
	set, err := Fetch(t.Context(), cfg, "v6")
	if err != nil {
		t.Fatal(err)
	}
	holds(t, cfg, set, "test6.jsonl")
	if h.sent > 1_000_000 || len(h.gets) != 10 {
		t.Errorf("%d bytes sent in %d requests, want no byte twice but those in flight", h.sent, len(h.gets))
	}
}

func TestFetchRangesIgnored(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	var n atomic.Int64
	h.fault = func(w http.ResponseWriter, _ *http.Request, body []byte) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if n.Add(1) == 1 {
			_, _ = w.Write(body[:300_000])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(body)
		return true
	}
	cfg := h.config(t)
	set, err := Fetch(t.Context(), cfg, "v6")
	if err != nil {
		t.Fatal(err)
	}
	holds(t, cfg, set, "test6.jsonl")
	if len(h.gets) != 2 || h.gets[1] == "test6.jsonl " {
		t.Errorf("requests %q, want the second for a range", h.gets)
	}
}

func TestRenamedRepository(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	h.head = func(w http.ResponseWriter, r *http.Request) bool {
		old, moved := strings.CutPrefix(r.URL.Path, "/old")
		if moved {
			w.Header().Set("Location", old)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
		return moved
	}
	cfg := h.config(t)
	cfg.Endpoint += "/old/"
	cfg.Token = "secret"
	set, err := Fetch(t.Context(), cfg, "v1")
	if err != nil {
		t.Fatal(err)
	}
	holds(t, cfg, set, "test.jsonl")
	if h.tokens["store Bearer secret"] || h.tokens["hub "] {
		t.Errorf("tokens sent: %v", h.tokens)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	h.fault = func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if r.Header.Get("Range") != "" {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:100_000])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	}
	cfg := h.config(t)
	cfg.Progress = func(p Progress) {
		if p.Done > 0 {
			cancel(stop)
		}
	}
	if _, err := Fetch(ctx, cfg, "v6"); !errors.Is(err, stop) {
		t.Fatalf("Fetch = %v, want the cause", err)
	}
	info, err := os.Stat(part(cfg, "test6.jsonl"))
	if err != nil || info.Size() == 0 {
		t.Fatalf("no part is left to go on with: %v", err)
	}
	cfg.Progress = nil
	set, err := Fetch(t.Context(), cfg, "v6")
	if err != nil {
		t.Fatal(err)
	}
	holds(t, cfg, set, "test6.jsonl")
	if want := "test6.jsonl bytes=" + strconv.FormatInt(info.Size(), 10) + "-"; h.gets[len(h.gets)-1] != want {
		t.Errorf("last request %q, want %q", h.gets[len(h.gets)-1], want)
	}
}

func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	cfg := h.config(t)
	done := make(chan error)
	for range 4 {
		go func() {
			_, err := Fetch(t.Context(), cfg, "v6")
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if len(h.gets) != 1 {
		t.Errorf("the store was asked %d times, want once", len(h.gets))
	}
}

func TestDamagedOnDisk(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	cfg := h.config(t)
	set, err := Fetch(t.Context(), cfg, "v6")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(set.Files[0].Path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("damage"), 1000); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	offline := cfg
	offline.Offline = true
	if _, err := Fetch(t.Context(), offline, "v6"); !errors.Is(err, ErrDigest) {
		t.Errorf("offline Fetch = %v, want the wrong digest", err)
	}
	if set, err = Fetch(t.Context(), cfg, "v6"); err != nil {
		t.Fatal(err)
	}
	holds(t, cfg, set, "test6.jsonl")
}

func TestOfflineMissing(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	cfg := h.config(t)
	cfg.Offline = true
	if _, err := Fetch(t.Context(), cfg, "v6"); err == nil || !strings.Contains(err.Error(), "revision main is not in") || !strings.Contains(err.Error(), "HF_HUB_OFFLINE") {
		t.Errorf("Fetch = %v", err)
	}
	cfg.Offline = false
	if _, err := Fetch(t.Context(), cfg, "v6"); err != nil {
		t.Fatal(err)
	}
	cfg.Offline = true
	if _, err := Fetch(t.Context(), cfg, "v5_v6"); err == nil || !strings.Contains(err.Error(), "test5.jsonl is not in") {
		t.Errorf("Fetch = %v", err)
	}
	cfg.Revision = commitTwo
	if _, err := Fetch(t.Context(), cfg, "v6"); err == nil || !strings.Contains(err.Error(), "test6.jsonl is not in") {
		t.Errorf("Fetch = %v", err)
	}
}

func TestConfigRefused(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"no home": {}, "endpoint": {Home: "x", Endpoint: "hub.example"}, "file endpoint": {Home: "x", Endpoint: "file:///etc"},
		"revision up": {Home: "x", Revision: "../../etc"}, "revision with query": {Home: "x", Revision: "main?x"}, "revision from the root": {Home: "x", Revision: "/etc"},
	} {
		if _, err := Fetch(t.Context(), cfg, "v6"); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := Fetch(t.Context(), Config{Home: "x"}, "v9"); err == nil || !strings.Contains(err.Error(), "release_latest") {
		t.Errorf("Fetch(v9) = %v, want the names", err)
	}
}

func TestNoPermission(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	cfg := h.config(t)
	cfg.Home = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(cfg.Home, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Fetch(t.Context(), cfg, "v6"); err == nil || !strings.Contains(err.Error(), "create cache folder") {
		t.Errorf("Fetch = %v, want why the folder cannot be made", err)
	}
	if len(h.gets) != 0 {
		t.Error("bytes were fetched that cannot be stored")
	}
}

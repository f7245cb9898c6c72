package web

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// TestManyViewers share what is read, and one that never reads costs only itself.
func TestManyViewers(t *testing.T) {
	t.Parallel()
	r := newRig(t, small())
	s := r.open(t, "127.0.0.1:0")
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	for range maxViewers {
		c, err := net.Dial("tcp", u.Host) //nolint:noctx // it ends with the test
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		fmt.Fprintf(c, "GET /api/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", u.Host, s.Viewer)
		if _, err := bufio.NewReaderSize(c, 16).ReadString('\n'); err != nil { // it is accepted, and not read any further
			t.Fatal(err)
		}
	}
	if got := ask(t, "GET", s.URL+"api/events", "", bearer(s.Viewer)...); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("one more than %d: %d", maxViewers, got.status)
	}
	if got := ask(t, "GET", s.URL+"healthz", ""); got.status != http.StatusOK {
		t.Errorf("beside them /healthz is %d", got.status)
	}
	began := time.Now()
	r.mu.Lock()
	from := r.looks
	r.mu.Unlock()
	const more = 4
	for looks := from; looks < from+more; {
		<-time.After(10 * time.Millisecond)
		r.mu.Lock()
		looks = r.looks
		r.mu.Unlock()
	}
	// At most one look a second, however many follow. The first two may come late, and so together with the next.
	if took := time.Since(began); took < (more-2)*frameEvery {
		t.Errorf("%d looks within %v for %d viewers", more, took, maxViewers)
	}
}

// TestSlowViewer: a page that never reads is cut, and its place is another's.
func TestSlowViewer(t *testing.T) {
	t.Parallel()
	big := small()
	big.Questions[0].Title = strings.Repeat("x", 16<<20) // more than the sockets' buffers hold
	h := newHub(func(context.Context, string) (*snapshot.Snapshot, error) { return big, nil }, "test", slog.New(slog.DiscardHandler))
	h.patience = 100 * time.Millisecond
	cut := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		close(cut)
	}))
	t.Cleanup(s.Close)
	c, err := net.Dial("tcp", s.Listener.Addr().String()) //nolint:noctx // it ends with the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	late := make(chan struct{})
	defer patience.After(20*time.Second, func() { close(late) })()
	select {
	case <-cut:
	case <-late:
		_ = c.Close() // or the server waits for it
		t.Fatal("a page that never reads is not cut")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count != 0 || len(h.feeds) != 0 {
		t.Errorf("it still counts: %d pages, %d feeds", h.count, len(h.feeds))
	}
}

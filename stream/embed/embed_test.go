package embed_test

import (
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/stream/embed"
)

func TestMain(m *testing.M) {
	if serveChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, cfg embed.Config) *embed.Server {
	t.Helper()
	srv, err := embed.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

func stop(t *testing.T, srv *embed.Server) {
	t.Helper()
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
}

// TestMessagesOutliveTheServer stops a server in good order and starts another on
// its directory, connecting over the network as a worker elsewhere does.
func TestMessagesOutliveTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := start(t, embed.Config{Dir: dir, Open: true})
	publish(t, srv.URL())
	stop(t, srv)

	srv = start(t, embed.Config{Dir: dir, Open: true})
	defer stop(t, srv)
	nc, err := nats.Connect(srv.URL(), nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "S")
	if err != nil || s.CachedInfo().State.Msgs != 1 {
		t.Errorf("stream after restart: %v, want 1 message", err)
	}
}

func publish(t *testing.T, url string) {
	t.Helper()
	nc, err := nats.Connect(url, nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("x")); err != nil {
		t.Fatal(err)
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := start(t, embed.Config{Dir: dir})
	defer stop(t, srv)
	u, err := url.Parse(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	_, p, err := net.SplitHostPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		cfg  embed.Config
		want error
	}{
		{"a directory in use", embed.Config{Dir: dir}, embed.ErrStoreInUse},
		{"a port in use", embed.Config{Dir: t.TempDir(), Port: port}, embed.ErrPortInUse},
		{"no directory", embed.Config{}, nil},
		{"a file for a directory", embed.Config{Dir: file}, nil},
	}
	for _, tt := range tests {
		srv, err := embed.Start(tt.cfg)
		if err == nil {
			stop(t, srv)
			t.Errorf("Start on %s = nil, want an error", tt.name)
			continue
		}
		if tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("Start on %s = %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestPortTakenMeanwhile wants a start refused at once when the port was taken after the look at it:
// the server itself would be waited for for half an hour.
func TestPortTakenMeanwhile(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // it was only in the way
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listening on %v", l.Addr())
	}
	cfg := embed.Config{Dir: t.TempDir(), Port: addr.Port}
	if err := embed.StartUnlooked(cfg); !errors.Is(err, embed.ErrPortInUse) {
		t.Errorf("start = %v, want a port in use", err)
	}
	cfg.Port = 0
	stop(t, start(t, cfg)) // nothing of the first is in the way
}

// TestOwner wants to know who runs on a store directory, as long as somebody does.
func TestOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nobody := func(when string) {
		t.Helper()
		if o, err := embed.OwnerOf(dir); !errors.Is(err, embed.ErrNotRunning) {
			t.Errorf("OwnerOf %s = %+v, %v, want ErrNotRunning", when, o, err)
		}
	}
	nobody("before")
	for _, name := range []string{"a long name of the first", "the second"} {
		srv := start(t, embed.Config{Dir: dir, Owner: name})
		o, err := embed.OwnerOf(dir)
		if want := (embed.Owner{Process: name, URL: srv.URL()}); err != nil || o != want {
			t.Errorf("OwnerOf = %+v, %v, want %+v", o, err, want)
		}
		stop(t, srv)
		nobody("after")
	}
}

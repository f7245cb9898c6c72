package openai_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
)

// closedPort returns an address where nobody listens, which is taken until the test ends: the next who listens anywhere
// could be given it.
func closedPort(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	var at unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err = unix.Bind(fd, at); err == nil {
		at, err = unix.Getsockname(fd)
	}
	taken, ok := at.(*unix.SockaddrInet4)
	if err != nil || !ok {
		t.Fatalf("take a port: %v, %v", at, err)
	}
	return fmt.Sprint("http://127.0.0.1:", taken.Port)
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 40} { // alone, and while others make the endpoint rest
		c := newClient(t, func(cfg *openai.Config) {
			cfg.Endpoints = []string{closedPort(t)}
			cfg.Patience = 300 * time.Millisecond
		})
		_, err := c.Generate(t.Context(), request(n))
		if err == nil || errors.Is(err, engine.ErrRejected) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("Generate %d = %v, want connection refused", n, err)
		}
	}
}

// TestServerComesBack kills a server and starts another one at its address while
// requests are under way.
func TestServerComesBack(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	listen := func() net.Listener {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
		if err != nil {
			t.Error(err)
		}
		return l
	}
	back := make(chan struct{})
	f := newFake(t, nil)
	first := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(back)
		panic(http.ErrAbortHandler)
	}), ReadHeaderTimeout: time.Minute}
	var wg sync.WaitGroup
	serve := func(s *http.Server) {
		l := listen()
		wg.Go(func() { _ = s.Serve(l) })
	}
	serve(first)
	second := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	wg.Go(func() {
		<-back
		_ = first.Close()
		serve(second)
	})
	c := newClient(t, func(cfg *openai.Config) { cfg.Endpoints = []string{"unix://" + socket} })
	generate(t, c, request(1), f)
	generate(t, c, request(20), f)
	_ = second.Close()
	wg.Wait()
}

// TestLeastBusy wants a slow server left alone while another is free.
func TestLeastBusy(t *testing.T) {
	t.Parallel()
	held, release := make(chan struct{}), make(chan struct{})
	slow := newFake(t, func(x *exchange) bool {
		if x.k > 1 {
			t.Error("a request at the busy server")
		}
		close(held)
		<-release
		return false
	})
	fast := newFake(t, nil)
	c := newClient(t, nil, slow, fast)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c.Generate(t.Context(), request(1)); err != nil {
			t.Error(err)
		}
	})
	<-held
	for range 6 {
		generate(t, c, request(1), fast)
	}
	close(release)
	wg.Wait()
}

// TestOneOutage cuts many requests at once and wants the server asked again
// after the shortest rest, not after one doubled by each of them.
func TestOneOutage(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	all.Add(16)
	f := newFake(t, func(x *exchange) bool {
		if x.k > 16 {
			return false
		}
		all.Done()
		all.Wait()
		return x.status(500, "")
	})
	generate(t, newClient(t, nil, f), request(16), f)
}

// TestRetryAfter wants the server's wish respected, and not beyond the patience.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(x *exchange) bool {
		x.w.Header().Set("Retry-After", "1")
		return x.k == 1 && x.status(429, "")
	})
	began := time.Now()
	generate(t, newClient(t, nil, f), request(1), f)
	if took := time.Since(began); took < time.Second {
		t.Errorf("asked again after %v, want 1s", took)
	}
	f = newFake(t, func(x *exchange) bool {
		x.w.Header().Set("Retry-After", "3600")
		return x.status(429, "")
	})
	began = time.Now()
	_, err := newClient(t, func(cfg *openai.Config) { cfg.Patience = 200 * time.Millisecond }, f).Generate(t.Context(), request(1))
	if took := time.Since(began); err == nil || took >= time.Hour {
		t.Errorf("Generate = %v after %v, want an error after 200ms, not the hour that it was told to wait", err, took)
	}
}

// TestWaitingIsNoFault wants a request to wait for a busy server as long as it
// takes, with another one dead.
func TestWaitingIsNoFault(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(*exchange) bool { <-time.After(300 * time.Millisecond); return false })
	c := newClient(t, func(cfg *openai.Config) {
		cfg.Endpoints, cfg.InFlight, cfg.Patience = []string{closedPort(t), f.URL}, 1, 100*time.Millisecond
	})
	generate(t, c, request(4), f)
}

// TestSteadyStream wants a stream read to its end that takes longer than it may
// be silent.
func TestSteadyStream(t *testing.T) {
	t.Parallel()
	idle := patience.Now(500 * time.Millisecond)
	f := newFake(t, func(x *exchange) bool {
		for _, e := range x.events() {
			<-time.After(idle / 4)
			x.stream([]string{e})
			if f, ok := x.w.(http.Flusher); ok {
				f.Flush()
			}
		}
		return true
	})
	c := newClient(t, func(cfg *openai.Config) { cfg.Stream, cfg.Idle, cfg.Attempts = true, idle, 1 }, f)
	generate(t, c, request(1), f)
}

// A bell is a log handler that tells of every record.
type bell struct {
	slog.Handler
	ring chan struct{}
}

func (b bell) Enabled(context.Context, slog.Level) bool { return true }

func (b bell) Handle(context.Context, slog.Record) error { b.ring <- struct{}{}; return nil }

// TestServerComesLate wants a server that is down waited for, however few
// attempts a request may have in its hands.
func TestServerComesLate(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	f := newFake(t, nil)
	log := bell{slog.DiscardHandler, make(chan struct{}, 100)}
	c := newClient(t, func(cfg *openai.Config) {
		cfg.Endpoints, cfg.Attempts, cfg.Log = []string{"unix://" + socket}, 1, slog.New(log)
	})
	s := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	var wg sync.WaitGroup
	wg.Go(func() {
		<-log.ring
		<-log.ring
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
		if err != nil {
			t.Error(err)
			return
		}
		_ = s.Serve(l)
	})
	generate(t, c, request(1), f)
	_ = s.Close()
	wg.Wait()
}

// TestAdapt wants the server's metrics to raise the bound, and to be asked no
// more when the context is done.
func TestAdapt(t *testing.T) {
	t.Parallel()
	f := newFake(t, nil)
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "vllm:num_requests_running 100\nvllm:num_requests_waiting 0\n")
	})
	c := newClient(t, nil, f)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { c.Adapt(ctx, time.Millisecond, 40) })
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.InFlight() != 40 {
		<-tick.C
	}
	cancel()
	wg.Wait()
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/cmd/internal/locate"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/streamtest"
)

func TestReconnectDelay(t *testing.T) {
	t.Parallel()
	seen := make(map[int64]bool)
	for attempt := range 100 {
		for range 20 {
			d := reconnectDelay(attempt)
			if d < firstDelay/2 || d > mostDelay || attempt <= 1 && d > firstDelay || attempt > 10 && d < mostDelay/2 {
				t.Fatalf("delay before attempt %d = %v", attempt, d)
			}
			seen[int64(d)] = true
		}
	}
	if len(seen) < 1000 {
		t.Errorf("%d distinct delays of 2000: workers would come back in step", len(seen))
	}
}

// busyOnce listens before a server. It answers the first client with the given refusal, the others are the server's.
func busyOnce(t *testing.T, server, refusal string) (address string) {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = ln.Close() // the loop may have closed it
		<-done
	})
	go func() {
		defer close(done)
		first, err := ln.Accept()
		if err != nil {
			return
		}
		fmt.Fprintf(first, "INFO {\"max_payload\":1024}\r\n-ERR '%s'\r\n", refusal)
		_, _ = io.Copy(io.Discard, first) // until the client goes: closing before would reset what it has not read
		_ = first.Close()
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			var d net.Dialer
			there, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(server, "nats://"))
			if err != nil {
				_ = c.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(there, c)
				_ = there.Close()
			}()
			go func() {
				_, _ = io.Copy(c, there)
				_ = c.Close()
			}()
		}
	}()
	return "nats://" + ln.Addr().String()
}

// TestBusyServer: a server that takes no client just now is waited for, as one that is not there;
// whoever does not wait hears that it is busy.
func TestBusyServer(t *testing.T) {
	t.Parallel()
	server := streamtest.NewBare(t)
	log := slog.New(slog.DiscardHandler)
	for _, refusal := range []string{"Authentication Timeout", "Maximum Connections Exceeded"} {
		p := locate.ByAddress(busyOnce(t, server, refusal), "")
		nc, _, err := dial(context.Background(), p, config.Client{Wait: true}, "test", log)
		if err != nil {
			t.Errorf("%s, waiting: %v", refusal, err)
			continue
		}
		if nc.Status() != nats.CONNECTED {
			t.Errorf("%s, waiting: %v", refusal, nc.Status())
		}
		nc.Close()
		p = locate.ByAddress(busyOnce(t, server, refusal), "")
		if _, _, err = dial(t.Context(), p, config.Client{}, "test", log); err == nil || !strings.Contains(err.Error(), "the server is busy") {
			t.Errorf("%s, not waiting: %v", refusal, err)
		}
	}
}

// TestMissingFromAStartingServer looks at a server that has made one of its streams and is about to make
// the others: none is gone.
func TestMissingFromAStartingServer(t *testing.T) {
	t.Parallel()
	srv, err := embed.Start(embed.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := srv.Connect(nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	q := queue.New(js)
	if missing, err := missingFrom(t.Context(), q); err != nil || len(missing) != len(stream.Stages) {
		t.Fatalf("missing from an empty server = %v, %v, want all at once", missing, err)
	}
	first := stream.Generate.Stream()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: first, Subjects: []string{"generate.>"}, Retention: jetstream.WorkQueuePolicy}); err != nil {
		t.Fatal(err)
	}
	if missing, err := q.Missing(t.Context()); err != nil || len(missing) != len(stream.Stages)-1 {
		t.Fatalf("missing = %v, %v, want all but %s", missing, err, first)
	}
	made := make(chan error)
	go func() { made <- q.Declare(t.Context(), 1) }()
	missing, err := missingFrom(t.Context(), q)
	if err != nil || len(missing) > 0 {
		t.Errorf("missing from a server that is starting = %v, %v, want none", missing, err)
	}
	if err := <-made; err != nil {
		t.Error(err)
	}
}

// TestSlowDisk: what a server of our own does not answer in time is asked again, as often as it
// takes, until the user has enough. Any other error ends it.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	slow := fmt.Errorf("declare bucket: %w", context.DeadlineExceeded)
	ctx, stop := context.WithCancel(t.Context())
	calls := 0
	try := func(errs ...error) error {
		calls = 0
		return patiently(ctx, slog.New(slog.DiscardHandler), func() error {
			calls++
			if calls == 9 {
				stop()
			}
			return errs[min(calls, len(errs))-1]
		})
	}
	if err := try(slow, slow, nil); err != nil || calls != 3 {
		t.Errorf("after %d tries: %v, want the third to succeed", calls, err)
	}
	if err := try(slow, io.ErrUnexpectedEOF); !errors.Is(err, io.ErrUnexpectedEOF) || calls != 2 {
		t.Errorf("after %d tries: %v, want the second's error", calls, err)
	}
	if err := try(slow); !errors.Is(err, context.DeadlineExceeded) || calls != 9 {
		t.Errorf("after %d tries: %v, want an end when the user stops it", calls, err)
	}
}

// TestServerThatSaysNothing: a server that wants a certificate may close the connection before its word is read. What
// helps is said nevertheless.
func TestServerThatSaysNothing(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("%w: connection closed by remote after TLS handshake: %w", nats.ErrTLS, syscall.EPIPE)
	if got := remedy(err); !strings.Contains(got, "--nats-cert") {
		t.Errorf("remedy(%v) = %q, want it to name the flag of a certificate", err, got)
	}
}

// TestAlerts: what helps where a server of the user's own ends a connection for want of a certificate that it takes.
func TestAlerts(t *testing.T) {
	t.Parallel()
	for alert, want := range map[string]string{
		"certificate required": "wants to know your certificate", "bad certificate": "wants to know your certificate",
		"unknown certificate authority": "an authority which the server knows", "expired certificate": "not over", "internal error": "start one with",
	} {
		if got := remedy(&net.OpError{Op: "remote error", Err: errors.New("tls: " + alert)}); !strings.Contains(got, want) {
			t.Errorf("remedy for the alert %q = %q, want %q", alert, got, want)
		}
	}
}

package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/cmd/internal/locate"
	"github.com/lcbq/lcbq/config"
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

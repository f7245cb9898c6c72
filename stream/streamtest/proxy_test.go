package streamtest_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/stream/streamtest"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

// TestProxySpoilsConnections sends through a proxy in each of its states.
func TestProxySpoilsConnections(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	p := streamtest.NewProxy(t)
	if _, err := nats.Connect(p.URL()); err == nil {
		t.Fatal("connected through a proxy without a target")
	}
	p.Target(strings.TrimPrefix(env.Server.URL(), "nats://"))
	var lost atomic.Int32
	again := make(chan struct{}, 8)
	nc, err := nats.Connect(p.URL(), nats.Timeout(time.Minute), nats.ReconnectWait(time.Millisecond), nats.MaxReconnects(-1), nats.DisconnectErrHandler(func(*nats.Conn, error) { lost.Add(1) }),
		nats.ReconnectHandler(func(*nats.Conn) { again <- struct{}{} }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	flush := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return nc.FlushWithContext(ctx)
	}
	if err := flush(time.Minute); err != nil {
		t.Errorf("flush through a proxy: %v", err)
	}
	p.Cut()
	<-again
	if lost.Load() != 1 {
		t.Errorf("cut %d times, want once", lost.Load())
	}
	p.Hold(true)
	if err := flush(50 * time.Millisecond); err == nil {
		t.Error("bytes went through while they were held")
	}
	p.Hold(false)
	if err := flush(time.Minute); err != nil {
		t.Errorf("flush after a hold: %v", err)
	}
	p.Slow(30 * time.Millisecond)
	began := time.Now()
	if err := flush(time.Minute); err != nil {
		t.Errorf("flush through a slow proxy: %v", err)
	}
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("ping and pong took %v, want twice 30 ms at least", took)
	}
	if lost.Load() != 1 {
		t.Errorf("a held or slow connection was lost: %d", lost.Load())
	}
}

package streamtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// WaitFor waits until ok reports true. It fails the test when that takes longer than package
// patience says, or when ok returns an error; what says in its message what was waited for.
func WaitFor(tb testing.TB, what string, ok func(ctx context.Context) (bool, error)) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	defer cancel()
	began := time.Now()
	defer patience.After(patience.Base, cancel)()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok(ctx)
		if done && err == nil {
			return
		}
		if ctx.Err() != nil {
			tb.Fatalf("wait for %s: still not after %v", what, time.Since(began).Round(time.Second))
		}
		if err != nil {
			tb.Fatalf("wait for %s: %v", what, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// WaitEmpty waits until the stage's stream holds no message.
func (e *Env) WaitEmpty(tb testing.TB, stage stream.Stage) {
	tb.Helper()
	WaitFor(tb, stage.Stream()+" to be empty", func(ctx context.Context) (bool, error) {
		lag, err := e.Queue.Lag(ctx, stage)
		return lag.Stored == 0, err
	})
}

// WaitLag waits until so many units of a stage wait and are in flight. The server has a unit before its consumers know of it.
func (e *Env) WaitLag(tb testing.TB, stage stream.Stage, waiting uint64, inFlight int) {
	tb.Helper()
	WaitFor(tb, fmt.Sprintf("%d units of %s to wait and %d to be in flight", waiting, stage.Stream(), inFlight), func(ctx context.Context) (bool, error) {
		lag, err := e.Queue.Lag(ctx, stage)
		return lag.Waiting == waiting && lag.InFlight == inFlight, err
	})
}

// Next returns the next message of a consumer. It fails the test when none comes in time, as package patience says.
func Next(tb testing.TB, c jetstream.Consumer) jetstream.Msg {
	tb.Helper()
	ctx, cancel := patience.Context(tb.Context(), patience.Base)
	defer cancel()
	// The server need not say every few seconds that it lives: it may have no processor to say it with.
	msg, err := c.Next(jetstream.FetchContext(ctx), jetstream.FetchHeartbeat(patience.Longest(patience.Base)/3))
	if err != nil {
		tb.Fatalf("wait for a message of %s: %v", c.CachedInfo().Name, err)
	}
	return msg
}

// Receive returns what c yields. It fails the test when nothing comes in time, as package patience says.
func Receive[T any](tb testing.TB, what string, c <-chan T) T {
	tb.Helper()
	began, over := time.Now(), make(chan struct{})
	defer patience.After(patience.Base, func() { close(over) })()
	select {
	case v := <-c:
		return v
	case <-over:
		tb.Fatalf("wait for %s: still not after %v", what, time.Since(began).Round(time.Second))
		panic("unreachable: Fatalf ends the goroutine")
	}
}

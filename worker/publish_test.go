package worker_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker"
)

// TestFullStoreIsWaitedFor: generators fill the store faster than evaluators empty
// it. They wait with a warning that names the remedy; no unit is tried twice, none
// is given up, none is lost, and all arrive once there is room.
func TestFullStoreIsWaitedFor(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	env.Queue.StoreMax = 4 << 20 // of which completions get half
	if err := env.Queue.Declare(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	const units = 60 // of 100 KiB
	m := submitRun(t, env, "r1", units)
	var said lines
	log := slog.New(slog.NewTextHandler(&said, nil))
	var calls atomic.Int32
	pulse := worker.NewPulse(stream.Generate, "g", 1)
	waits := func() *store.Trouble {
		if err := pulse.Announce(t.Context(), env.Store); err != nil {
			t.Fatal(err)
		}
		all, err := env.Store.Workers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(all, func(w store.Worker) bool { return w.Name == pulse.Name() })
		return all[i].Trouble
	}
	loop := newLoop(env, func(ctx context.Context, msg worker.Message) error {
		calls.Add(1)
		body := make([]byte, 75<<10) // grows by a third in JSON
		_, _ = rand.Read(body)       // it never fails
		_, err := pulse.Publish(ctx, env.Queue, log, stream.Evaluate, msg.Unit, "", body)
		return err
	})
	loop.Slots = 4
	startLoop(t, loop)
	streamtest.WaitFor(t, "the generators to wait", func(context.Context) (bool, error) { return said.count("output not published, waiting") >= 4, nil })
	if said.count("--store-max") == 0 {
		t.Errorf("the warning names no remedy:\n%s", said.String())
	}
	if got := waits(); got == nil || got.Code != store.TroubleDisk || !strings.Contains(got.Remedy, "--store-max") || got.Since == 0 {
		t.Errorf("the heartbeat says %+v, want that there is no room", got)
	}
	lag, err := env.Queue.Lag(t.Context(), stream.Evaluate)
	if err != nil || lag.Stored < 10 || lag.Stored > 25 {
		t.Fatalf("EVALUATE holds %d units, %v, want 10 to 25 of %d", lag.Stored, err, units)
	}
	// The evaluators come.
	c := env.Consumer(t, stream.Evaluate, "r1")
	seen := make(map[string]bool)
	streamtest.WaitFor(t, "all units to arrive", func(ctx context.Context) (bool, error) {
		batch, err := c.FetchNoWait(10)
		if err != nil {
			return false, err
		}
		for msg := range batch.Messages() {
			seen[msg.Subject()] = true
			if err := msg.DoubleAck(ctx); err != nil {
				return false, err
			}
		}
		return len(seen) == m.Units(), nil
	})
	env.WaitEmpty(t, stream.Generate)
	if got := waits(); got != nil {
		t.Errorf("the heartbeat still says %+v", got)
	}
	if n, err := env.Queue.DeadCount(t.Context(), ""); err != nil || n != 0 || calls.Load() != units {
		t.Errorf("%d dead units, %v, %d tries, want none and %d", n, err, calls.Load(), units)
	}
}

// TestLostServerIsWaitedFor: the stream is away while a worker wants to publish what
// took it minutes. The work is kept, not done again.
func TestLostServerIsWaitedFor(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s, err := env.JS.Stream(t.Context(), stream.Evaluate.Stream())
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	if err := env.JS.DeleteStream(t.Context(), cfg.Name); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(env.Conn)
	if err != nil {
		t.Fatal(err)
	}
	q := queue.New(js)
	var said lines
	published := make(chan error, 1)
	go func() {
		fresh, err := worker.Publish(t.Context(), q, slog.New(slog.NewTextHandler(&said, nil)), stream.Evaluate, unit, "", "x")
		if err == nil && !fresh {
			err = errors.New("it was there already")
		}
		published <- err
	}()
	streamtest.WaitFor(t, "the worker to wait", func(context.Context) (bool, error) { return said.count("output not published, waiting") == 1, nil })
	if _, err := env.JS.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := <-published; err != nil {
		t.Errorf("Publish = %v, want it stored", err)
	}
	if there, err := env.Queue.Has(t.Context(), stream.Evaluate, unit); err != nil || !there {
		t.Errorf("the unit is stored: %v, %v", there, err)
	}
	if said.count("output published after waiting") != 1 {
		t.Errorf("log:\n%s", said.String())
	}
}

// TestPublishGivesUpWhatCannotHelp: neither waits for what waiting does not cure,
// nor beyond its context.
func TestPublishGivesUpWhatCannotHelp(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	log := slog.New(slog.DiscardHandler)
	if _, err := worker.Publish(t.Context(), env.Queue, log, stream.Evaluate, unit, "", make(chan int)); !errors.Is(err, queue.ErrEncode) {
		t.Errorf("Publish of what is no message = %v, want ErrEncode", err)
	}
	body := make([]byte, 16<<20)
	_, _ = rand.Read(body) // it never fails
	if _, err := worker.Publish(t.Context(), env.Queue, log, stream.Evaluate, unit, "", body); !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("Publish of too much = %v, want ErrTooLarge", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := worker.Publish(ctx, env.Queue, log, stream.Evaluate, unit, "", "x"); err == nil {
		t.Error("Publish with a context that is done = nil")
	}
}

package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

var unit = stream.Unit{Cell: stream.Cell{Run: "r1", Question: 1, Temperature: 700}}

func newLoop(env *streamtest.Env, h worker.Handler) *worker.Loop {
	return &worker.Loop{
		Stage: stream.Generate, Queue: env.Queue, Handle: h, Slots: 1, Grace: time.Minute,
		Pulse: worker.NewPulse(stream.Generate, "test", 1), Log: slog.New(slog.DiscardHandler),
	}
}

// newEnv starts a server that serves the run r1.
func newEnv(t *testing.T) *streamtest.Env {
	t.Helper()
	env := streamtest.New(t)
	env.Serve(t, "r1")
	return env
}

func publish(t *testing.T, env *streamtest.Env, u stream.Unit) {
	t.Helper()
	if _, err := env.Queue.Publish(t.Context(), stream.Generate, u, stream.Task{Unit: u, N: 1}); err != nil {
		t.Fatal(err)
	}
}

func TestLoopSettles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		err   error // what the handler returns the first time it is called
		calls int   // handler calls until the queue is empty
		dead  int
	}{
		{"success is acked", nil, 1, 0},
		{"poison is given up at once", fmt.Errorf("decode: %w", stream.ErrPoison), 1, 1},
		{"too large is given up at once", fmt.Errorf("publish: %w", queue.ErrTooLarge), 1, 1},
		{"a fault is tried again", errors.New("engine gone"), 2, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			publish(t, env, unit)
			ctx, cancel := context.WithCancel(t.Context())
			calls := make(chan worker.Message, 8)
			loop := newLoop(env, func(_ context.Context, m worker.Message) error {
				calls <- m
				if m.Deliveries == 1 {
					return tt.err
				}
				return nil
			})
			ran := make(chan error, 1)
			go func() { ran <- loop.Run(ctx) }()
			for i := range tt.calls {
				if m := <-calls; m.Unit != unit || m.Deliveries != uint64(i+1) {
					t.Errorf("call %d got unit %+v, delivery %d", i, m.Unit, m.Deliveries)
				}
			}
			env.WaitEmpty(t, stream.Generate)
			cancel()
			if err := <-ran; err != nil {
				t.Errorf("Run = %v, want nil after cancellation", err)
			}
			if n := len(calls); n != 0 {
				t.Errorf("%d handler calls more than the %d wanted", n, tt.calls)
			}
			dead, err := env.Queue.DeadUnits(t.Context(), "r1")
			if err != nil || len(dead) != tt.dead {
				t.Errorf("%d dead units, %v, want %d", len(dead), err, tt.dead)
			}
		})
	}
}

// TestLoopGate wants as many units in flight as the gate has room for, also when that changes.
func TestLoopGate(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	for i := range 4 {
		u := unit
		u.Index = i
		publish(t, env, u)
	}
	began, end := make(chan struct{}, 4), make(chan struct{})
	loop := newLoop(env, func(context.Context, worker.Message) error {
		began <- struct{}{}
		<-end
		return nil
	})
	loop.Slots = 4 // which the gate stands in for
	gate := worker.NewGate(3)
	loop.Gate = gate
	gate.Limit(1)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- loop.Run(ctx) }()
	for i, limit := range []int{1, 3} {
		gate.Limit(limit)
		for range []int{1, 2}[i] {
			<-began
		}
		select {
		case <-began:
			t.Errorf("more than %d units are in flight", limit)
		case <-time.After(50 * time.Millisecond):
		}
	}
	close(end)
	env.WaitEmpty(t, stream.Generate)
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

// TestLoopBuriesStrangers: a message that no unit could have sent is moved out of
// the way with its body, and the units behind it are served.
func TestLoopBuriesStrangers(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	if _, err := env.JS.Publish(t.Context(), "generate.r1.not.a.unit", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	publish(t, env, unit)
	ctx, cancel := context.WithCancel(t.Context())
	var handled atomic.Int32
	loop := newLoop(env, func(context.Context, worker.Message) error {
		handled.Add(1)
		return nil
	})
	ran := make(chan error, 1)
	go func() { ran <- loop.Run(ctx) }()
	env.WaitEmpty(t, stream.Generate)
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if handled.Load() != 1 {
		t.Errorf("%d messages reached the handler, want the unit alone", handled.Load())
	}
	dead, err := env.Queue.DeadUnits(t.Context(), "")
	if err != nil || len(dead) != 1 || dead[0].Subject != "generate.r1.not.a.unit" || string(dead[0].Body) != "hello" {
		t.Errorf("dead units = %+v, %v, want the stranger", dead, err)
	}
}

// TestLoopHurry wants the grace cut short by a person, before the end of pulling or after it.
func TestLoopHurry(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	publish(t, env, unit)
	hurry := worker.NewHurry()
	ctx, cancel := context.WithCancel(t.Context())
	started, cause := make(chan struct{}), make(chan error, 1)
	loop := newLoop(env, func(ctx context.Context, _ worker.Message) error {
		close(started)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return ctx.Err()
	})
	loop.Grace, loop.Hurry = time.Hour, hurry
	if hurry.Awaited() {
		t.Error("Awaited = true before anybody waits")
	}
	ran := make(chan error, 1)
	go func() { ran <- loop.Run(ctx) }()
	<-started
	cancel()
	if !hurry.Awaited() || hurry.Called() {
		t.Errorf("Awaited = %t, Called = %t, want the loop to wait for it, and nobody to have called it", hurry.Awaited(), hurry.Called())
	}
	hurry.Call()
	hurry.Call() // of no consequence
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if err := <-cause; !errors.Is(err, worker.ErrDrained) {
		t.Errorf("handler was ended by %v, want ErrDrained", err)
	}
	if lag, err := env.Queue.Lag(t.Context(), stream.Generate); err != nil || lag.Stored != 1 {
		t.Errorf("GENERATE holds %d units, %v, want the one given back", lag.Stored, err)
	}
}

// TestLoopGrace shows that pulling and working end apart: the handler still runs
// after the shutdown began, and sees the end of the grace period as the cause.
func TestLoopGrace(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	publish(t, env, unit)
	ctx, cancel := context.WithCancel(t.Context())
	var cause error // why the handler's context ended; read after Run
	loop := newLoop(env, func(ctx context.Context, _ worker.Message) error {
		cancel()     // the shutdown begins while we work
		<-ctx.Done() // and the grace period ends before we do
		cause = context.Cause(ctx)
		return cause
	})
	loop.Grace = 10 * time.Millisecond
	if err := loop.Run(ctx); err != nil {
		t.Fatalf("Run = %v, want nil", err)
	}
	if !errors.Is(cause, worker.ErrDrained) {
		t.Errorf("handler was cancelled by %v, want the end of the grace period", cause)
	}
	// Given back at once, long before the server's ack wait: another takes it now.
	streamtest.Next(t, env.Consumer(t, stream.Generate, "r1"))
}

// TestLoopFinishesWhatItHolds: a handler that is done within the grace period is
// acked although the shutdown has begun.
func TestLoopFinishesWhatItHolds(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	publish(t, env, unit)
	ctx, cancel := context.WithCancel(t.Context())
	loop := newLoop(env, func(ctx context.Context, _ worker.Message) error {
		cancel()
		return ctx.Err() // nil: the work's context lives on
	})
	if err := loop.Run(ctx); err != nil {
		t.Fatalf("Run = %v, want nil", err)
	}
	env.WaitEmpty(t, stream.Generate)
}

func TestLoopEndsWhenUnfit(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	publish(t, env, unit)
	loop := newLoop(env, func(context.Context, worker.Message) error { return fmt.Errorf("python 3.9: %w", worker.ErrUnfit) })
	if err := loop.Run(t.Context()); !errors.Is(err, worker.ErrUnfit) {
		t.Errorf("Run = %v, want ErrUnfit", err)
	}
	if lag, err := env.Queue.Lag(t.Context(), stream.Generate); err != nil || lag.Stored != 1 {
		t.Errorf("after an unfit worker the stream holds %d units, %v, want the one", lag.Stored, err)
	}
}

// TestLoopHalts ends at once where no worker can go on, however long the grace: all units
// stay queued, those in hand as well.
func TestLoopHalts(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	other := unit
	other.Index++
	publish(t, env, unit)
	publish(t, env, other)
	inHand := make(chan struct{})
	loop := newLoop(env, func(ctx context.Context, msg worker.Message) error {
		if msg.Unit == other {
			close(inHand)
			<-ctx.Done()
			return context.Cause(ctx)
		}
		<-inHand
		return fmt.Errorf("no answer holds a text: %w", worker.ErrHalt)
	})
	loop.Slots, loop.Grace = 2, time.Hour
	if err := loop.Run(t.Context()); !errors.Is(err, worker.ErrHalt) {
		t.Errorf("Run = %v, want ErrHalt", err)
	}
	if lag, err := env.Queue.Lag(t.Context(), stream.Generate); err != nil || lag.Stored != 2 {
		t.Errorf("after work that cannot go on the stream holds %d units, %v, want both", lag.Stored, err)
	}
}

// TestLoopBeats holds a unit until it was signalled so often that the server's wait for an ack
// would have been over without the signals.
func TestLoopBeats(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	c := env.Consumer(t, stream.Generate, "r1")
	cfg := c.CachedInfo().Config
	cfg.AckWait = 200 * time.Millisecond
	if _, err := env.JS.UpdateConsumer(t.Context(), stream.Generate.Stream(), cfg); err != nil {
		t.Fatal(err)
	}
	signals, err := env.Conn.SubscribeSync("$JS.ACK.>")
	if err == nil {
		err = env.Conn.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	publish(t, env, unit)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var first sync.Once
	loop := newLoop(env, func(ctx context.Context, _ worker.Message) error {
		first.Do(func() {
			defer cancel()
			for beats := 0; beats < 5; {
				signal, err := signals.NextMsgWithContext(ctx)
				if err != nil {
					t.Errorf("after %d signals: %v", beats, err)
					return
				}
				if string(signal.Data) == "+WPI" {
					beats++
				}
			}
		})
		return nil
	})
	began, long := time.Now(), patience.Begin(10*cfg.AckWait)
	defer patience.After(patience.Base, cancel)()
	if err := loop.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if held := time.Since(began); held < cfg.AckWait || long.Over() {
		t.Errorf("five signals within %v, want four within the %v that the server waits", held, cfg.AckWait)
	}
}

func TestRunsReadsAgainWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	ctx := t.Context()
	m := &store.Manifest{ID: "r1", UnitSize: 10, Temperatures: []stream.Temperature{700}, Questions: []store.Question{{Index: 1, Cuts: []int{10}}}}
	rev, err := env.Store.PutRun(ctx, m, 0)
	if err != nil {
		t.Fatal(err)
	}
	runs := &worker.Runs{Store: env.Store}
	if _, _, task, err := runs.Unit(ctx, unit); err != nil || task.N != 10 || task.First != 0 {
		t.Errorf("Unit = %+v, %v, want samples 0 to 9", task, err)
	}
	second := unit
	second.Index = 1
	if _, _, _, err := runs.Unit(ctx, second); !errors.Is(err, stream.ErrPoison) {
		t.Errorf("Unit beyond the run = %v, want ErrPoison", err)
	}
	m.Questions[0].Cuts = []int{10, 25}
	if _, err := env.Store.PutRun(ctx, m, rev); err != nil {
		t.Fatal(err)
	}
	if _, _, task, err := runs.Unit(ctx, second); err != nil || task.First != 10 || task.N != 10 {
		t.Errorf("Unit of the grown run = %+v, %v, want samples 10 to 19", task, err)
	}
	for _, strange := range []stream.Unit{
		{Cell: stream.Cell{Run: "nobody", Question: 1, Temperature: 700}},
		{Cell: stream.Cell{Run: "r1", Question: 2, Temperature: 700}},
		{Cell: stream.Cell{Run: "r1", Question: 1, Temperature: 800}},
	} {
		if _, _, _, err := runs.Unit(ctx, strange); !errors.Is(err, stream.ErrPoison) {
			t.Errorf("Unit of %s = %v, want ErrPoison", strange.Key(), err)
		}
	}
}

// TestLoopGivesUpAfterTheLastTry: a unit whose every try ended in an error is given up at
// the last delivery that its consumer allows, by the worker that saw it fail.
func TestLoopGivesUpAfterTheLastTry(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	cfg := env.Consumer(t, stream.Generate, "r1").CachedInfo().Config
	cfg.MaxDeliver = 2
	if _, err := env.JS.UpdateConsumer(t.Context(), stream.Generate.Stream(), cfg); err != nil {
		t.Fatal(err)
	}
	publish(t, env, unit)
	calls := make(chan struct{}, 8)
	loop := newLoop(env, func(context.Context, worker.Message) error {
		calls <- struct{}{}
		return errors.New("engine gone")
	})
	startLoop(t, loop)
	env.WaitEmpty(t, stream.Generate)
	d, err := env.Queue.DeadUnit(t.Context(), unit.Subject(stream.Generate))
	if err != nil || d.Reason != stream.Exhausted || d.Deliveries != 2 || d.Error != "engine gone" || d.Worker != loop.Pulse.Name() || len(calls) != 2 {
		t.Errorf("dead unit = %+v, %v after %d tries, want it exhausted after 2", d, err, len(calls))
	}
}

// TestInterruptedPullGivesBack wants a unit that comes with an interruption, or is given back by it, to be handed to the
// next worker at once, not after the ack wait: the pull that was interrupted takes nothing any more.
func TestInterruptedPullGivesBack(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	env.Queue.AckWait = time.Hour
	if err := env.Queue.Declare(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	env.Serve(t, "r1")
	c := env.Consumer(t, stream.Generate, "r1")
	for i := range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		loop := newLoop(env, func(ctx context.Context, _ worker.Message) error {
			<-ctx.Done()
			return ctx.Err()
		})
		loop.Slots, loop.Grace = 2, 0
		ran := make(chan error)
		go func() { ran <- loop.Run(ctx) }()
		streamtest.WaitFor(t, "a pull", func(ctx context.Context) (bool, error) {
			info, err := c.Info(ctx)
			return err == nil && info.NumWaiting > 0, err
		})
		u := unit
		u.Index = i
		publish(t, env, u)
		<-time.After(rand.N(2 * time.Millisecond))
		cancel()
		if err := <-ran; err != nil {
			t.Fatalf("Run = %v, want nil", err)
		}
		if err := streamtest.Next(t, c).DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

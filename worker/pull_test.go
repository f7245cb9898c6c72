package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker"
)

// submitRun publishes a run of n units of one sample each.
func submitRun(t *testing.T, env *streamtest.Env, id string, n int) *store.Manifest {
	t.Helper()
	m := &store.Manifest{ID: id, UnitSize: 1, Temperatures: []stream.Temperature{700}, Questions: []store.Question{{Index: 1, Cuts: []int{n}}}}
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	sub, err := s.Submit(t.Context(), m, func(int) []byte { return []byte("{}") })
	if err != nil {
		t.Fatal(err)
	}
	return sub.Manifest
}

// A recorder is a handler that notes which runs' units it was given.
type recorder struct {
	mu   sync.Mutex
	runs []string
}

func (r *recorder) handle(_ context.Context, m worker.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs = append(r.runs, m.Unit.Run)
	return nil
}

func (r *recorder) count(run string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(strings.Join(r.runs, " ")+" ", run+" ")
}

// before returns how many units of a run came before the last one of another.
func (r *recorder) before(run, other string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, found := 0, 0
	for _, each := range r.runs {
		switch each {
		case run:
			n++
		case other:
			found = n
		}
	}
	return found
}

// startLoop runs the loop until the test ends.
func startLoop(t *testing.T, loop *worker.Loop) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- loop.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}

// TestRunsShareAWorker: a run that was submitted second does not wait for the
// first one's last unit, nor takes more than its share.
func TestRunsShareAWorker(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	submitRun(t, env, "first", 120)
	submitRun(t, env, "second", 40)
	streamtest.WaitFor(t, "the server to have counted what waits", func(ctx context.Context) (bool, error) {
		lag, err := env.Queue.Lag(ctx, stream.Generate)
		return lag.Waiting == 160, err
	})
	r := new(recorder)
	startLoop(t, newLoop(env, r.handle))
	env.WaitEmpty(t, stream.Generate)
	if n := r.before("first", "second"); n < 38 || n > 60 {
		t.Errorf("while the second run got 40 units the first got %d, want as many", n)
	}
	if n := r.count("first"); n != 120 {
		t.Errorf("the first run got %d units in the end, want 120", n)
	}
}

// TestPausedRunRests: no unit of the paused run reaches a worker while another
// run's do, and when it is resumed all come, each for the first time.
func TestPausedRunRests(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	submitRun(t, env, "first", 5)
	if _, err := s.Pause(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	submitRun(t, env, "second", 5)
	r := new(recorder)
	startLoop(t, newLoop(env, func(ctx context.Context, m worker.Message) error {
		if m.Deliveries != 1 {
			t.Errorf("unit %+v was delivered %d times", m.Unit, m.Deliveries)
		}
		return r.handle(ctx, m)
	}))
	streamtest.WaitFor(t, "the second run's units", func(context.Context) (bool, error) { return r.count("second") == 5, nil })
	if n := r.count("first"); n > 0 {
		t.Errorf("%d units of the paused run were handed out", n)
	}
	if _, err := s.Resume(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	env.WaitEmpty(t, stream.Generate)
	if n := r.count("first"); n != 5 {
		t.Errorf("%d units of the resumed run were handed out, want 5", n)
	}
}

// TestEveryRunPaused: a worker with nothing to pull says so once, and goes on when
// it may.
func TestEveryRunPaused(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	submitRun(t, env, "first", 3)
	if _, err := s.Pause(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	r := new(recorder)
	loop := newLoop(env, r.handle)
	var said lines
	loop.Log = slog.New(slog.NewTextHandler(&said, nil))
	startLoop(t, loop)
	streamtest.WaitFor(t, "the worker to say that it waits", func(context.Context) (bool, error) { return said.count("nothing to pull") == 1, nil })
	if _, err := s.Resume(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	env.WaitEmpty(t, stream.Generate)
	if r.count("first") != 3 || said.count("nothing to pull") != 1 || said.count("pulling again") != 1 {
		t.Errorf("handled %d units; log:\n%s", r.count("first"), said.String())
	}
}

// TestConsumerMadeAnew: a consumer that was made anew is no fault of the server's; a
// stream that is gone is named as what it is.
func TestConsumerMadeAnew(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	r := new(recorder)
	loop := newLoop(env, r.handle)
	var said lines
	loop.Log = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	startLoop(t, loop)
	submitRun(t, env, "first", 3)
	env.WaitEmpty(t, stream.Generate)
	runs := []queue.Run{{ID: "first"}}
	for moves := range 3 { // each while a pull waits
		before := said.count("consumer is gone")
		streamtest.WaitFor(t, "the worker to look for the consumer", func(ctx context.Context) (bool, error) {
			if said.count("consumer is gone") > before {
				return true, nil
			}
			c, err := env.JS.Consumer(ctx, stream.Generate.Stream(), queue.ConsumerName(stream.Generate, "first"))
			if err != nil || c.CachedInfo().NumWaiting == 0 {
				return false, err // the next pull knows nothing of it
			}
			return false, env.Queue.Restart(ctx, runs)
		})
		publish(t, env, stream.Unit{Cell: stream.Cell{Run: "first", Question: 1, Temperature: 700}, Index: 3 + moves})
		env.WaitEmpty(t, stream.Generate)
	}
	if r.count("first") != 6 || said.count("does not answer") != 0 {
		t.Errorf("handled %d units, want 6, and no word of the server; log:\n%s", r.count("first"), said.String())
	}
	if err := env.JS.DeleteStream(t.Context(), stream.Generate.Stream()); err != nil {
		t.Fatal(err)
	}
	streamtest.WaitFor(t, "the worker to say that the stream is gone", func(context.Context) (bool, error) {
		return said.count("is gone from the server") == 1, nil
	})
	if err := env.Queue.Declare(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := env.Queue.Serve(t.Context(), runs); err != nil {
		t.Fatal(err)
	}
	streamtest.WaitFor(t, "the worker to pull again", func(context.Context) (bool, error) { return said.count("pulling again") >= 1, nil })
}

// lines is a log that several goroutines write.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) count(what string) int { return strings.Count(l.String(), what) }

// TestUnfitRunsAreLeftToOthers: of two runs a worker takes the units of the one
// that it can serve.
func TestUnfitRunsAreLeftToOthers(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	submitRun(t, env, "first", 4)
	submitRun(t, env, "second", 4)
	r := new(recorder)
	loop := newLoop(env, r.handle)
	loop.Serves = func(_ context.Context, run string) error {
		if run != "second" {
			return fmt.Errorf("run %s: %w", run, worker.ErrUnfit)
		}
		return nil
	}
	startLoop(t, loop)
	streamtest.WaitFor(t, "the second run's units", func(context.Context) (bool, error) { return r.count("second") == 4, nil })
	if n := r.count("first"); n > 0 {
		t.Errorf("%d units of a run that the worker does not serve were handed to it", n)
	}
}

// TestOnlyUnfitRuns: a worker that fits none of the runs that are there ends with the
// reason, at once and with no unit handed out. A paused run that it might fit is waited
// for.
func TestOnlyUnfitRuns(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	submitRun(t, env, "first", 2)
	loop := newLoop(env, func(context.Context, worker.Message) error {
		t.Error("a unit of a run that the worker does not serve was handed to it")
		return nil
	})
	loop.Serves = func(_ context.Context, run string) error { return fmt.Errorf("python 3.9: %w", worker.ErrUnfit) }
	ended := make(chan error, 1)
	go func() { ended <- loop.Run(t.Context()) }()
	if err := streamtest.Receive(t, "the loop to end", ended); !errors.Is(err, worker.ErrUnfit) || !strings.Contains(err.Error(), "python 3.9") {
		t.Errorf("Run = %v, want ErrUnfit and the reason", err)
	}
	env.WaitLag(t, stream.Generate, 2, 0)
}

// TestUnreadableRunCostsItself: a manifest that another program has overwritten is named
// and its units are left alone, while another run's are done. The server is not blamed.
func TestUnreadableRunCostsItself(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	submitRun(t, env, "bad", 2)
	submitRun(t, env, "good", 2)
	kv, err := env.JS.KeyValue(t.Context(), "lcbq_runs")
	if err == nil {
		_, err = kv.Put(t.Context(), "bad", []byte("garbage"))
	}
	if err != nil {
		t.Fatal(err)
	}
	runs := &worker.Runs{Store: env.Store}
	r := new(recorder)
	loop := newLoop(env, r.handle)
	loop.Serves = func(ctx context.Context, run string) error { _, err := runs.Run(ctx, run); return err }
	var said lines
	loop.Log = slog.New(slog.NewTextHandler(&said, nil))
	startLoop(t, loop)
	streamtest.WaitFor(t, "the good run's units", func(context.Context) (bool, error) { return r.count("good") == 2, nil })
	if r.count("bad") != 0 || said.count("run=bad") != 1 || said.count("does not answer") != 0 {
		t.Errorf("%d units of the bad run were handed out; log:\n%s", r.count("bad"), said.String())
	}
}

// TestCancelledUnitsAreDropped: a unit of a cancelled run that turns up late leaves
// the queue, and is not one of the dead.
func TestCancelledUnitsAreDropped(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	m := submitRun(t, env, "r1", 2)
	if _, err := s.Cancel(t.Context(), "r1"); err != nil {
		t.Fatal(err)
	}
	late := m.Tasks(m.Questions[0], 700)[1]
	publish(t, env, late.Unit)
	env.Serve(t, "r1") // as if the unit had been handed out before
	runs := &worker.Runs{Store: env.Store}
	startLoop(t, newLoop(env, func(ctx context.Context, m worker.Message) error {
		_, _, _, err := runs.Unit(ctx, m.Unit)
		if !errors.Is(err, worker.ErrCancelled) {
			t.Errorf("Unit = %v, want ErrCancelled", err)
		}
		return err
	}))
	env.WaitEmpty(t, stream.Generate)
	if n, err := env.Queue.DeadCount(t.Context(), ""); err != nil || n != 0 {
		t.Errorf("%d dead units, %v, want none", n, err)
	}
}

// TestRunsHearOfACancellation: a manifest that is remembered does not hide for long
// that its run was cancelled.
func TestRunsHearOfACancellation(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	m := submitRun(t, env, "r1", 1)
	runs := &worker.Runs{Store: env.Store}
	u := m.Tasks(m.Questions[0], 700)[0].Unit
	if _, _, _, err := runs.Unit(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Cancel(t.Context(), "r1"); err != nil {
		t.Fatal(err)
	}
	streamtest.WaitFor(t, "the cancellation to be known", func(ctx context.Context) (bool, error) {
		_, _, _, err := runs.Unit(ctx, u)
		if err != nil && !errors.Is(err, worker.ErrCancelled) {
			return false, err
		}
		return err != nil, nil
	})
}

// TestLoopSaysWhyUnitsDied: what is buried names its stage, the kind of failure,
// the error and the worker.
func TestLoopSaysWhyUnitsDied(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cause error
		want  stream.Reason
	}{
		{stream.ErrPoison, stream.Poison},
		{queue.ErrTooLarge, stream.TooLarge},
	} {
		env := newEnv(t)
		publish(t, env, unit)
		loop := newLoop(env, func(context.Context, worker.Message) error { return fmt.Errorf("unit: %w", tt.cause) })
		startLoop(t, loop)
		env.WaitEmpty(t, stream.Generate)
		d, err := env.Queue.DeadUnit(t.Context(), unit.Subject(stream.Generate))
		if err != nil || d.Reason != tt.want || d.Stage != stream.Generate || d.Error != "unit: "+tt.cause.Error() ||
			d.Worker != loop.Pulse.Name() || d.Deliveries != 1 || time.Since(time.UnixMilli(d.At)) > time.Hour {
			t.Errorf("dead unit = %+v, %v, want reason %q", d, err, tt.want)
		}
	}
}

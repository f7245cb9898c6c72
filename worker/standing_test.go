package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker"
)

func newStanding(env *streamtest.Env) *worker.Standing {
	return &worker.Standing{
		Store: env.Store, Log: slog.New(slog.DiscardHandler), Every: 5 * time.Millisecond,
		Same: func(a, b *store.Manifest) bool { return a.Model.Name == b.Model.Name },
	}
}

// A turn is what Next returned.
type turn struct {
	run  string // "" for none
	work context.Context
	err  error
}

// next calls Next beside the test.
func next(ctx context.Context, s *worker.Standing) <-chan turn {
	c := make(chan turn, 1)
	go func() {
		m, work, err := s.Next(ctx)
		t := turn{work: work, err: err}
		if m != nil {
			t.run = m.ID
		}
		c <- t
	}()
	return c
}

// model changes which model a run asks for.
func model(t *testing.T, env *streamtest.Env, run string, change func(*store.Manifest)) {
	t.Helper()
	if _, err := env.Store.UpdateRun(t.Context(), run, func(m *store.Manifest) bool { change(m); return true }); err != nil {
		t.Fatal(err)
	}
}

// TestStandingWaitsForRuns: a worker that is there before its runs takes them as they
// come, leaves a paused one alone, turns to one with other settings when nothing else is
// left, and ends with its context.
func TestStandingWaitsForRuns(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	sweeper := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	s := newStanding(env)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := next(ctx, s)
	submitRun(t, env, "first", 1)
	got := streamtest.Receive(t, "the first run", first)
	if got.run != "first" || got.err != nil {
		t.Fatalf("Next = %+v, want the first run", got)
	}
	submitRun(t, env, "other", 1)
	model(t, env, "other", func(m *store.Manifest) { m.Model.Name = "other" })
	submitRun(t, env, "second", 1)
	finish := func(m *store.Manifest) { m.Finished = 1 }
	model(t, env, "first", finish)
	if _, err := sweeper.Pause(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	model(t, env, "second", finish)
	if got.work.Err() != nil {
		t.Error("the work ended while no other run asked for it")
	}
	if _, err := sweeper.Resume(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	streamtest.Receive(t, "the end of the work, for another run's sake", got.work.Done())
	s.Done()
	got = streamtest.Receive(t, "the other run", next(ctx, s))
	if got.run != "other" || got.err != nil {
		t.Errorf("Next = %+v, want the other run", got)
	}
	cancel()
	streamtest.Receive(t, "the end of the work with its context", got.work.Done())
	s.Done()
	if got := streamtest.Receive(t, "the end", next(ctx, s)); got.run != "" || got.err != nil {
		t.Errorf("Next after the end = %+v, want none", got)
	}
}

// TestStandingEnds: with the run that it was started for, or after a time without work.
func TestStandingEnds(t *testing.T) {
	t.Parallel()
	t.Run("run is over", func(t *testing.T) {
		t.Parallel()
		env := streamtest.New(t)
		submitRun(t, env, "first", 1)
		submitRun(t, env, "second", 1)
		s := newStanding(env)
		s.Run = "second"
		got := streamtest.Receive(t, "the run", next(t.Context(), s))
		if got.run != "second" {
			t.Fatalf("Next = %+v, want the second run", got)
		}
		model(t, env, "second", func(m *store.Manifest) { m.Finished = 1 })
		streamtest.Receive(t, "the end of the work", got.work.Done())
		s.Done()
		if got := streamtest.Receive(t, "the end", next(t.Context(), s)); got.run != "" || got.err != nil {
			t.Errorf("Next after the run's end = %+v, want none", got)
		}
	})
	t.Run("nothing to do, without a run", func(t *testing.T) {
		t.Parallel()
		s := newStanding(streamtest.New(t))
		s.Idle = 20 * time.Millisecond
		if got := streamtest.Receive(t, "the end", next(t.Context(), s)); got.run != "" || got.err != nil {
			t.Errorf("Next = %+v, want none", got)
		}
	})
	t.Run("nothing to do, with a run", func(t *testing.T) {
		t.Parallel()
		env := newEnv(t)
		submitRun(t, env, "r1", 1)
		s := newStanding(env)
		s.Idle = 300 * time.Millisecond
		got := streamtest.Receive(t, "the run", next(t.Context(), s))
		release := make(chan struct{})
		loop := newLoop(env, func(context.Context, worker.Message) error { <-release; return nil })
		startLoop(t, loop)
		streamtest.WaitFor(t, "a unit in hand", func(context.Context) (bool, error) { return loop.Pulse.Idle() == 0, nil })
		s.Watch(loop.Pulse) // not before: the idle time may pass until the unit comes
		select {
		case <-got.work.Done():
			t.Error("the work ended with a unit in hand")
		case <-time.After(2 * s.Idle): // the time that would end it
		}
		close(release)
		streamtest.Receive(t, "the end of the work", got.work.Done())
		s.Done()
		if got := streamtest.Receive(t, "the end", next(t.Context(), s)); got.run != "" || got.err != nil {
			t.Errorf("Next after the idle time = %+v, want none", got)
		}
	})
	t.Run("a start that takes longer than the idle time", func(t *testing.T) {
		t.Parallel()
		env := newEnv(t)
		submitRun(t, env, "r1", 1)
		s := newStanding(env)
		s.Idle = time.Nanosecond // over before the run is read
		got := streamtest.Receive(t, "the run", next(t.Context(), s))
		select {
		case <-got.work.Done():
			t.Error("the work ended while it was starting")
		case <-time.After(10 * s.Every): // the looks that would end it
		}
		pulse := worker.NewPulse(stream.Generate, "gen0", 1)
		s.Watch(pulse)
		streamtest.Receive(t, "the end of the work that has nothing to do", got.work.Done())
		s.Done()
	})
	t.Run("the only run cannot be served", func(t *testing.T) {
		t.Parallel()
		env := streamtest.New(t)
		submitRun(t, env, "first", 1)
		s := newStanding(env)
		refusal := errors.New("no engine")
		s.Refuses = func(m *store.Manifest) error {
			if m.ID == "first" {
				return refusal
			}
			return nil
		}
		if got := streamtest.Receive(t, "the refusal", next(t.Context(), s)); !errors.Is(got.err, refusal) {
			t.Errorf("Next = %+v, want the refusal", got)
		}
		submitRun(t, env, "second", 1)
		if got := streamtest.Receive(t, "the other run", next(t.Context(), s)); got.run != "second" {
			t.Errorf("Next = %+v, want the second run", got)
		}
		s.Done()
	})
	t.Run("runs that cannot be read now", func(t *testing.T) {
		t.Parallel()
		env := streamtest.New(t)
		bucket, err := env.JS.Stream(t.Context(), "KV_lcbq_runs")
		if err != nil {
			t.Fatal(err)
		}
		if err := env.JS.DeleteStream(t.Context(), "KV_lcbq_runs"); err != nil {
			t.Fatal(err)
		}
		s := newStanding(env)
		var said lines
		s.Log = slog.New(slog.NewTextHandler(&said, nil))
		waiting := next(t.Context(), s)
		streamtest.WaitFor(t, "the process to say so", func(context.Context) (bool, error) { return said.count("runs not read") == 1, nil })
		if _, err := env.JS.CreateStream(t.Context(), bucket.CachedInfo().Config); err != nil {
			t.Fatal(err)
		}
		submitRun(t, env, "first", 1)
		if got := streamtest.Receive(t, "the run", waiting); got.run != "first" || got.err != nil {
			t.Errorf("Next = %+v, want the run", got)
		}
		s.Done()
	})
	t.Run("always", func(t *testing.T) {
		t.Parallel()
		s := newStanding(streamtest.New(t))
		s.Always = true
		if got := streamtest.Receive(t, "work without a run", next(t.Context(), s)); got.work == nil || got.err != nil {
			t.Errorf("Next = %+v, want work", got)
		}
		s.Done()
	})
}

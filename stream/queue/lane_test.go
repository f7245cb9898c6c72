package queue_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/streamtest"
)

func unitOf(run string, i int) stream.Unit {
	return stream.Unit{Cell: stream.Cell{Run: run, Temperature: 700}, Index: i}
}

func publishUnits(t *testing.T, env *streamtest.Env, run string, n int) {
	t.Helper()
	for i := range n {
		u := unitOf(run, i)
		if _, err := env.Queue.Publish(t.Context(), stream.Generate, u, stream.Task{Unit: u, N: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

func arrange(t *testing.T, env *streamtest.Env, runs ...queue.Lane) {
	t.Helper()
	if err := env.Queue.Arrange(t.Context(), runs); err != nil {
		t.Fatal(err)
	}
}

// outlets says which consumer serves which run: "generators=a generators-b=b|".
func outlets(t *testing.T, env *streamtest.Env) string {
	t.Helper()
	lanes, err := env.Queue.Outlets(t.Context(), stream.Generate, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, o := range lanes {
		text += " " + o.Consumer.CachedInfo().Name + "=" + o.Run
		if o.Paused {
			text += "|"
		}
	}
	return text
}

// take pulls what the consumer has, and returns its subjects.
func take(ctx context.Context, t *testing.T, env *streamtest.Env, consumer string, most int) []string {
	t.Helper()
	c, err := env.JS.Consumer(ctx, stream.Generate.Stream(), consumer)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.FetchNoWait(most)
	if err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for msg := range batch.Messages() {
		subjects = append(subjects, msg.Subject())
		if err := msg.DoubleAck(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return subjects
}

func TestArrange(t *testing.T) {
	t.Parallel()
	a, b, c := queue.Lane{Run: "a"}, queue.Lane{Run: "b"}, queue.Lane{Run: "c"}
	paused := func(l queue.Lane) queue.Lane { l.Paused = true; return l }
	env := streamtest.New(t)
	for _, step := range []struct {
		name string
		runs []queue.Lane
		want string
	}{
		{"nothing", nil, " generators="},
		{"one run has the stage's consumer", []queue.Lane{a}, " generators="},
		{"alone and paused", []queue.Lane{paused(a)}, " generators=|"},
		{"a second run gets its own", []queue.Lane{paused(a), b}, " generators=a| generators-b=b"},
		{"the other is paused", []queue.Lane{a, paused(b)}, " generators=a generators-b=b|"},
		{"a third comes paused", []queue.Lane{a, b, paused(c)}, " generators=a generators-b=b generators-c=c|"},
		{"the first ends", []queue.Lane{b, c}, " generators=a generators-b=b generators-c=c"},
		{"and comes back", []queue.Lane{a, b, c}, " generators=a generators-b=b generators-c=c"},
		{"the third ends, the first again", []queue.Lane{b}, " generators=a generators-b=b"},
		{"another takes the first one's place", []queue.Lane{b, c}, " generators=c generators-b=b"},
		{"all end", nil, " generators="},
	} {
		for range 2 { // what is arranged stays so
			arrange(t, env, step.runs...)
			if got := outlets(t, env); got != step.want {
				t.Errorf("%s: lanes =%s, want%s", step.name, got, step.want)
			}
		}
	}
}

// TestLanesHoldEveryUnitOnce: whatever the lanes were when a unit was published,
// it is handed out once, by one of them.
func TestLanesHoldEveryUnitOnce(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	arrange(t, env, queue.Lane{Run: "a"})
	publishUnits(t, env, "a", 5)
	got := take(t.Context(), t, env, "generators", 2)
	arrange(t, env, queue.Lane{Run: "a"}, queue.Lane{Run: "b"})
	publishUnits(t, env, "b", 5)
	got = append(got, take(t.Context(), t, env, "generators-b", 100)...)
	if len(got) != 2+5 {
		t.Errorf("the second run's lane gave %v, want its 5 units though the first run's wait", got)
	}
	got = append(got, take(t.Context(), t, env, "generators", 100)...)
	arrange(t, env, queue.Lane{Run: "b"})
	arrange(t, env) // both have ended
	publishUnits(t, env, "c", 1)
	got = append(got, take(t.Context(), t, env, "generators", 100)...)
	slices.Sort(got)
	if distinct := slices.Compact(slices.Clone(got)); len(got) != 11 || len(distinct) != 11 {
		t.Errorf("handed out %d units, %d of them distinct, want 11: %v", len(got), len(distinct), got)
	}
}

// TestPausedUnitsRest: a paused run's units are not handed out, come to no
// delivery, and those of another run are.
// TestLaneWithoutFiles makes what two processes leave that made the same lane at the
// same time: a consumer whose files are gone. It can be paused all the same, and the
// units that it had handed out come again.
func TestLaneWithoutFiles(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	arrange(t, env, queue.Lane{Run: "a"}, queue.Lane{Run: "b"})
	publishUnits(t, env, "b", 2)
	c, err := env.JS.Consumer(t.Context(), stream.Generate.Stream(), "generators-b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(env.Dir, "jetstream", "*", "streams", "GENERATE", "obs", "generators-b"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files of the consumer: %v, %v, want one folder", files, err)
	}
	if err := os.Rename(files[0], filepath.Join(t.TempDir(), "gone")); err != nil { // removing it would race with the server's writes
		t.Fatal(err)
	}
	arrange(t, env, queue.Lane{Run: "a"}, queue.Lane{Run: "b", Paused: true})
	if got, want := outlets(t, env), " generators=a generators-b=b|"; got != want {
		t.Errorf("lanes are%s, want%s", got, want)
	}
	arrange(t, env, queue.Lane{Run: "a"}, queue.Lane{Run: "b"})
	if got := take(t.Context(), t, env, "generators-b", 10); len(got) != 2 {
		t.Errorf("the lane gave %v, want both units, the one in flight too", got)
	}
}

func TestPausedUnitsRest(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	arrange(t, env, queue.Lane{Run: "a", Paused: true}, queue.Lane{Run: "b"})
	publishUnits(t, env, "a", 3)
	publishUnits(t, env, "b", 3)
	pull := func(name string) (jetstream.Msg, error) {
		c, err := env.JS.Consumer(t.Context(), stream.Generate.Stream(), name)
		if err != nil {
			t.Fatal(err)
		}
		return c.Next(jetstream.FetchMaxWait(300 * time.Millisecond))
	}
	if msg, err := pull("generators"); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("pull of a paused run = %v, %v, want a time-out", msg, err)
	}
	if got := take(t.Context(), t, env, "generators-b", 100); len(got) != 3 {
		t.Errorf("the other run gave %v, want its 3 units", got)
	}
	// A restart of the server's owner keeps the pause.
	if err := env.Queue.Restart(t.Context(), queue.Lane{Run: "a", Paused: true}, queue.Lane{Run: "b"}); err != nil {
		t.Fatal(err)
	}
	if msg, err := pull("generators"); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("pull of a paused run after a restart = %v, %v, want a time-out", msg, err)
	}
	arrange(t, env, queue.Lane{Run: "a"}, queue.Lane{Run: "b"})
	msg, err := pull("generators")
	if err != nil {
		t.Fatal(err)
	}
	if meta, err := msg.Metadata(); err != nil || meta.NumDelivered != 1 {
		t.Errorf("the pause cost %v deliveries, %v, want none", meta.NumDelivered-1, err)
	}
}

// TestArrangedByMany: processes that arrange at the same time end with what all of
// them want.
func TestArrangedByMany(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	for round := range 5 {
		var runs []queue.Lane
		for i := range 3 {
			runs = append(runs, queue.Lane{Run: fmt.Sprintf("r%d-%d", round, i), Paused: i == 2})
		}
		group, ctx := errgroup.WithContext(t.Context())
		for range 6 {
			group.Go(func() error { return env.Queue.Arrange(ctx, runs) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		lanes, err := env.Queue.Outlets(t.Context(), stream.Generate, nil)
		if err != nil {
			t.Fatal(err)
		}
		served := make(map[string]bool)
		for _, o := range lanes {
			served[o.Run] = true
			if o.Paused != (o.Run == runs[2].Run) {
				t.Errorf("round %d: lane of %s paused = %v", round, o.Run, o.Paused)
			}
		}
		for _, r := range runs {
			if !served[r.Run] {
				t.Errorf("round %d: %s has no lane: %s", round, r.Run, outlets(t, env))
			}
		}
	}
}

func TestPurgeRun(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	for _, run := range []string{"a", "ab"} {
		for i, stage := range stream.Stages {
			if _, err := env.Queue.Publish(ctx, stage, unitOf(run, i), "x"); err != nil {
				t.Fatal(err)
			}
		}
		if err := env.Queue.Bury(ctx, stream.Dead{Subject: unitOf(run, 9).Subject(stream.Evaluate)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := env.Queue.PurgeRun(context.WithoutCancel(ctx), "a"); err != nil {
		t.Fatal(err)
	}
	for i, stage := range stream.Stages {
		gone, err := env.Queue.Has(ctx, stage, unitOf("a", i))
		stays, err2 := env.Queue.Has(ctx, stage, unitOf("ab", i))
		if err := errors.Join(err, err2); err != nil || gone || !stays {
			t.Errorf("%s after the purge: unit of the run %v, of another %v, %v", stage, gone, stays, err)
		}
	}
	if a, err := env.Queue.DeadCount(ctx, "a"); err != nil || a != 0 {
		t.Errorf("%d dead units of the purged run, %v", a, err)
	}
	if b, err := env.Queue.DeadCount(ctx, "ab"); err != nil || b != 1 {
		t.Errorf("%d dead units of the other run, %v, want 1", b, err)
	}
}

// TestWidenedLaneLooksBack: a unit of no run lies before the last one that the
// stage's consumer handed out. When it serves everything again, it comes.
func TestWidenedLaneLooksBack(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	arrange(t, env, queue.Lane{Run: "a"}, queue.Lane{Run: "b"})
	publishUnits(t, env, "ghost", 1)
	publishUnits(t, env, "a", 2)
	if got := take(t.Context(), t, env, "generators", 10); len(got) != 2 {
		t.Fatalf("the first run's lane gave %v, want its 2 units", got)
	}
	arrange(t, env)
	streamtest.WaitFor(t, "the unit of no run", func(ctx context.Context) (bool, error) {
		return len(take(ctx, t, env, "generators", 10)) == 1, nil
	})
}

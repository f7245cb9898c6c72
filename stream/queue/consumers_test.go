package queue_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

func serveRuns(t *testing.T, env *streamtest.Env, runs ...queue.Run) {
	t.Helper()
	if err := env.Queue.Serve(t.Context(), runs); err != nil {
		t.Fatal(err)
	}
}

// consumersOf says which consumers a stage has, the paused ones with a bar:
// " generators-a generators-b|".
func consumersOf(t *testing.T, env *streamtest.Env, stage stream.Stage) string {
	t.Helper()
	all, err := env.Queue.Consumers(t.Context(), stage, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, c := range all {
		if want := queue.ConsumerName(stage, c.Run); c.CachedInfo().Name != want {
			t.Errorf("consumer %s serves run %q, want %s for it", c.CachedInfo().Name, c.Run, want)
		}
		text += " " + c.CachedInfo().Name
		if c.Paused {
			text += "|"
		}
	}
	return text
}

// take pulls the next n units of a consumer, and returns their subjects. The server has a unit before its consumers know of it.
func take(t *testing.T, env *streamtest.Env, consumer string, n int) []string {
	t.Helper()
	c, err := env.JS.Consumer(t.Context(), stream.Generate.Stream(), consumer)
	if err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for range n {
		msg := streamtest.Next(t, c)
		subjects = append(subjects, msg.Subject())
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return subjects
}

// takeAll pulls all that a consumer has, which is n units.
func takeAll(t *testing.T, env *streamtest.Env, consumer string, n int) []string {
	t.Helper()
	subjects := take(t, env, consumer, n)
	c, err := env.JS.Consumer(t.Context(), stream.Generate.Stream(), consumer)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.FetchNoWait(1)
	if err != nil {
		t.Fatal(err)
	}
	for msg := range batch.Messages() {
		t.Errorf("%s gives %s too, after %v", consumer, msg.Subject(), subjects)
	}
	return subjects
}

func TestServe(t *testing.T) {
	t.Parallel()
	a, b, c := queue.Run{ID: "a"}, queue.Run{ID: "b"}, queue.Run{ID: "c"}
	paused := func(r queue.Run) queue.Run { r.Paused = true; return r }
	env := streamtest.New(t)
	for _, step := range []struct {
		name string
		runs []queue.Run
		want string
	}{
		{"nothing", nil, ""},
		{"one run", []queue.Run{a}, " generators-a"},
		{"alone and paused", []queue.Run{paused(a)}, " generators-a|"},
		{"a second run", []queue.Run{paused(a), b}, " generators-a| generators-b"},
		{"the other is paused", []queue.Run{a, paused(b)}, " generators-a generators-b|"},
		{"a third comes paused", []queue.Run{a, b, paused(c)}, " generators-a generators-b generators-c|"},
		{"the first ends", []queue.Run{b, c}, " generators-b generators-c"},
		{"and comes back", []queue.Run{a, b, c}, " generators-a generators-b generators-c"},
		{"all end", nil, ""},
	} {
		for range 2 { // what is set stays so
			serveRuns(t, env, step.runs...)
			if got := consumersOf(t, env, stream.Generate); got != step.want {
				t.Errorf("%s: consumers are%s, want%s", step.name, got, step.want)
			}
			if got, want := consumersOf(t, env, stream.Evaluate), strings.ReplaceAll(step.want, "gener", "evalu"); got != want {
				t.Errorf("%s: consumers are%s, want%s", step.name, got, want)
			}
		}
	}
}

// TestTwentyRunsLeaveNothing: after as many runs have come and gone as a busy month
// has, the server holds no consumer that it did not hold before.
func TestTwentyRunsLeaveNothing(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	var runs []queue.Run
	for i := range 20 {
		runs = append(runs, queue.Run{ID: fmt.Sprintf("r%02d", i)})
		serveRuns(t, env, runs...)
	}
	if got := len(strings.Fields(consumersOf(t, env, stream.Generate))); got != 20 {
		t.Errorf("%d consumers for 20 runs", got)
	}
	serveRuns(t, env)
	for _, name := range []string{"GENERATE", "EVALUATE", "COMBINE"} {
		s, err := env.JS.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if n := s.CachedInfo().State.Consumers; n != map[string]int{"COMBINE": 1}[name] {
			t.Errorf("%s has %d consumers after all runs ended", name, n)
		}
	}
}

// TestSettingsReachConsumers: a consumer that another version made, or an operator
// changed, gets the settings of this one in place. What is in flight stays there.
func TestSettingsReachConsumers(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	config := func() jetstream.ConsumerConfig {
		return env.Consumer(t, stream.Generate, "a").CachedInfo().Config
	}
	serveRuns(t, env, queue.Run{ID: "a", Paused: true})
	if got := config(); got.MaxAckPending != 8192 || got.MaxDeliver != queue.MaxDeliver || got.AckWait != queue.AckWait {
		t.Errorf("new consumer = %+v, want 8192 units in flight, %d tries, ack wait %v", got, queue.MaxDeliver, queue.AckWait)
	}
	for _, change := range []func(*jetstream.ConsumerConfig){
		func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 8 },
		func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 2 },
		func(c *jetstream.ConsumerConfig) { c.AckWait = time.Second },
	} {
		old := config()
		change(&old)
		if _, err := env.JS.UpdateConsumer(t.Context(), "GENERATE", old); err != nil {
			t.Fatal(err)
		}
		serveRuns(t, env, queue.Run{ID: "a", Paused: true})
		if got := config(); got.MaxAckPending != 8192 || got.MaxDeliver != queue.MaxDeliver || got.AckWait != queue.AckWait {
			t.Errorf("after Serve: %+v", got)
		}
		if got := consumersOf(t, env, stream.Generate); got != " generators-a|" {
			t.Errorf("consumers are%s, want the pause kept", got)
		}
	}
	// The owner of the server says how long it waits; every client heeds it.
	env.Queue.AckWait = 17 * time.Second
	if err := env.Queue.Declare(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := queue.New(env.JS).Serve(t.Context(), []queue.Run{{ID: "a"}}); err != nil {
		t.Fatal(err)
	}
	if got := config().AckWait; got != 17*time.Second {
		t.Errorf("ack wait = %v, want the owner's 17 s", got)
	}
	all, err := env.Queue.Consumers(t.Context(), stream.Generate, nil)
	if err != nil || len(all) != 1 || all[0].Beat() != 17*time.Second/4 || all[0].MaxDeliver != queue.MaxDeliver {
		t.Errorf("Consumers = %+v, %v, want a beat of a quarter of 17 s", all, err)
	}
}

// TestSharedConsumersAreReplaced makes the consumers that an older version has: one that
// serves everything, or the oldest run, with units in flight.
func TestSharedConsumersAreReplaced(t *testing.T) {
	t.Parallel()
	for _, filter := range []string{"generate.>", "generate.a.>"} {
		env := streamtest.New(t)
		old, err := env.JS.CreateConsumer(t.Context(), "GENERATE", jetstream.ConsumerConfig{
			Durable: "generators", FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		publishUnits(t, env, "a", 3)
		if _, err := old.Next(); err != nil {
			t.Fatal(err)
		}
		if shared, err := env.Queue.Shared(t.Context()); err != nil || !shared {
			t.Errorf("Shared = %v, %v, want true", shared, err)
		}
		serveRuns(t, env, queue.Run{ID: "a"}, queue.Run{ID: "b"})
		if got := consumersOf(t, env, stream.Generate); got != " generators-a generators-b" {
			t.Errorf("consumers are%s", got)
		}
		takeAll(t, env, "generators-a", 3) // the one in flight too
		if shared, err := env.Queue.Shared(t.Context()); err != nil || shared {
			t.Errorf("Shared after Serve = %v, %v, want false", shared, err)
		}
	}
}

// TestUnreadableRunsAreKept: the consumers of a run whose manifest cannot be read, and
// what they have in flight, are left alone.
func TestUnreadableRunsAreKept(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	serveRuns(t, env, queue.Run{ID: "a"}, queue.Run{ID: "b", Paused: true})
	if err := env.Queue.Serve(t.Context(), nil, "b", "nobody"); err != nil {
		t.Fatal(err)
	}
	if got := consumersOf(t, env, stream.Generate); got != " generators-b|" {
		t.Errorf("consumers are%s, want that of b as it was", got)
	}
	if err := env.Queue.Restart(t.Context(), nil, "b"); err != nil {
		t.Fatal(err)
	}
	if got := consumersOf(t, env, stream.Evaluate); got != " evaluators-b|" {
		t.Errorf("consumers after a restart are%s, want that of b as it was", got)
	}
}

// TestRunsAreServedApart: whatever the consumers were when a unit was published, it is
// handed out once, by its run's.
func TestRunsAreServedApart(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	publishUnits(t, env, "a", 5)
	serveRuns(t, env, queue.Run{ID: "a"})
	got := take(t, env, "generators-a", 2)
	serveRuns(t, env, queue.Run{ID: "a"}, queue.Run{ID: "b"})
	publishUnits(t, env, "b", 5)
	got = append(got, takeAll(t, env, "generators-b", 5)...) // though the first run's wait
	serveRuns(t, env, queue.Run{ID: "b"})
	serveRuns(t, env, queue.Run{ID: "a"}, queue.Run{ID: "b"})
	got = append(got, takeAll(t, env, "generators-a", 3)...)
	slices.Sort(got)
	if distinct := slices.Compact(slices.Clone(got)); len(distinct) != 10 {
		t.Errorf("%d of 10 units are distinct: %v", len(distinct), got)
	}
}

// TestConsumerWithoutFiles makes what two processes leave that made the same consumer at
// the same time: one whose files are gone. Its run can be paused all the same, and the
// units that it had handed out come again.
func TestConsumerWithoutFiles(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	serveRuns(t, env, queue.Run{ID: "a"}, queue.Run{ID: "b"})
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
	if err := os.Rename(files[0], filepath.Join(env.Dir, "gone")); err != nil { // removing it would race with the server's writes
		t.Fatal(err)
	}
	serveRuns(t, env, queue.Run{ID: "a"}, queue.Run{ID: "b", Paused: true})
	if got, want := consumersOf(t, env, stream.Generate), " generators-a generators-b|"; got != want {
		t.Errorf("consumers are%s, want%s", got, want)
	}
	serveRuns(t, env, queue.Run{ID: "a"}, queue.Run{ID: "b"})
	takeAll(t, env, "generators-b", 2) // the one in flight too
}

// TestPausedUnitsRest: a paused run's units are not handed out, come to no
// delivery, and those of another run are.
func TestPausedUnitsRest(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	serveRuns(t, env, queue.Run{ID: "a", Paused: true}, queue.Run{ID: "b"})
	publishUnits(t, env, "a", 3)
	publishUnits(t, env, "b", 3)
	rests := func() (jetstream.Msg, error) {
		return env.Consumer(t, stream.Generate, "a").Next(jetstream.FetchMaxWait(300 * time.Millisecond))
	}
	if msg, err := rests(); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("pull of a paused run = %v, %v, want a time-out", msg, err)
	}
	takeAll(t, env, "generators-b", 3)
	// A restart of the server's owner keeps the pause.
	if err := env.Queue.Restart(t.Context(), []queue.Run{{ID: "a", Paused: true}, {ID: "b"}}); err != nil {
		t.Fatal(err)
	}
	if msg, err := rests(); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("pull of a paused run after a restart = %v, %v, want a time-out", msg, err)
	}
	serveRuns(t, env, queue.Run{ID: "a"}, queue.Run{ID: "b"})
	msg := streamtest.Next(t, env.Consumer(t, stream.Generate, "a"))
	if meta, err := msg.Metadata(); err != nil || meta.NumDelivered != 1 {
		t.Errorf("the pause cost %v deliveries, %v, want none", meta.NumDelivered-1, err)
	}
}

// TestServedByMany: processes that set the consumers at the same time end with what all
// of them want.
func TestServedByMany(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	for round := range 5 {
		var runs []queue.Run
		want := ""
		for i := range 3 {
			runs = append(runs, queue.Run{ID: fmt.Sprintf("r%d-%d", round, i), Paused: i == 2})
			want += " generators-" + runs[i].ID
		}
		group, ctx := errgroup.WithContext(t.Context())
		for range 6 {
			group.Go(func() error { return env.Queue.Serve(ctx, runs) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if got := consumersOf(t, env, stream.Generate); got != want+"|" {
			t.Errorf("round %d: consumers are%s, want%s|", round, got, want)
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

package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/streamtest"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

func unit(q, i int) stream.Unit {
	return stream.Unit{Cell: stream.Cell{Run: "r1", Question: q, Temperature: 700}, Index: i}
}

// TestFirstOutputWins publishes one unit from many goroutines with different
// bodies: one is stored, and the others are told that it is there.
func TestFirstOutputWins(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	for _, stage := range stream.Stages {
		var fresh atomic.Int32
		var winner atomic.Int32
		var wg sync.WaitGroup
		for attempt := range 8 {
			wg.Go(func() {
				stored, err := env.Queue.Publish(t.Context(), stage, unit(1, 2), stream.Batch{Generator: fmt.Sprint(attempt)})
				if err != nil {
					t.Error(err)
				}
				if stored {
					fresh.Add(1)
					winner.Store(int32(attempt))
				}
			})
		}
		wg.Wait()
		if fresh.Load() != 1 {
			t.Errorf("%s: %d of 8 publishes were stored, want 1", stage, fresh.Load())
		}
		var got stream.Batch
		if err := env.Queue.Get(t.Context(), stage, unit(1, 2), &got); err != nil || got.Generator != fmt.Sprint(winner.Load()) {
			t.Errorf("%s: stored attempt %q, %v, want that of the winner, %d", stage, got.Generator, err, winner.Load())
		}
	}
}

// TestStrangersCannotOverwrite publishes without the expected sequence, as any
// NATS client could.
func TestStrangersCannotOverwrite(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	if _, err := env.Queue.Publish(t.Context(), stream.Combine, unit(0, 0), stream.Scored{Evaluator: "first"}); err != nil {
		t.Fatal(err)
	}
	if _, err := env.JS.Publish(t.Context(), unit(0, 0).Subject(stream.Combine), []byte("{}")); err == nil {
		t.Error("a plain publish replaced a stored unit")
	}
	var got stream.Scored
	if err := env.Queue.Get(t.Context(), stream.Combine, unit(0, 0), &got); err != nil || got.Evaluator != "first" {
		t.Errorf("stored %+v, %v, want the first", got, err)
	}
}

func TestPublishRefusesWhatTheServerWouldNotTake(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	noise := make([]byte, 2*embed.MaxPayload) // does not compress
	x := uint32(1)
	for i := range noise {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		noise[i] = byte(x)
	}
	_, err := env.Queue.Publish(t.Context(), stream.Evaluate, unit(0, 0), noise)
	if !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("Publish of %d bytes = %v, want ErrTooLarge", len(noise), err)
	}
}

func TestLookUps(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	for q := range 2 {
		for i := range 3 {
			if _, err := env.Queue.Publish(ctx, stream.Combine, unit(q, i), stream.Scored{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if there, err := env.Queue.Has(ctx, stream.Combine, unit(1, 1)); err != nil || !there {
		t.Errorf("Has a stored unit = %v, %v", there, err)
	}
	if there, err := env.Queue.Has(ctx, stream.Evaluate, unit(1, 1)); err != nil || there {
		t.Errorf("Has a unit of another stage = %v, %v", there, err)
	}
	if err := env.Queue.Purge(ctx, stream.Combine, unit(0, 0).Cell); err != nil {
		t.Fatal(err)
	}
	if units, err := env.Queue.Units(ctx, stream.Combine, unit(0, 0).Cell); err != nil || len(units) != 0 {
		t.Errorf("Units of a purged cell = %v, %v, want none", units, err)
	}
	if err := env.Queue.Remove(ctx, stream.Combine, unit(1, 0)); err != nil {
		t.Fatal(err)
	}
	units, err := env.Queue.Units(ctx, stream.Combine, unit(1, 0).Cell)
	if err != nil || len(units) != 2 || !units[1] || !units[2] {
		t.Errorf("Units = %v, %v, want 1 and 2", units, err)
	}
	if err := env.Queue.Get(ctx, stream.Combine, unit(1, 0), new(stream.Scored)); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("Get of a removed unit = %v, want ErrNotFound", err)
	}
}

// TestRestartHandsOutAgain takes units without settling them, as a killed worker
// does: without Restart they would come back only after AckWait.
func TestRestartHandsOutAgain(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	if _, err := env.Queue.Publish(ctx, stream.Generate, unit(0, 0), stream.Task{}); err != nil {
		t.Fatal(err)
	}
	env.Serve(t, "r1")
	streamtest.Next(t, env.Consumer(t, stream.Generate, "r1"))
	env.WaitLag(t, stream.Generate, 0, 1)
	if err := env.Queue.Restart(ctx, []queue.Run{{ID: "r1"}}); err != nil {
		t.Fatal(err)
	}
	env.WaitLag(t, stream.Generate, 1, 0)
	streamtest.Next(t, env.Consumer(t, stream.Generate, "r1"))
}

func TestDeadUnitsCanBePutBack(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	task := stream.Task{Unit: unit(3, 1), First: 100, N: 100}
	body, err := stream.Encode(task)
	if err != nil {
		t.Fatal(err)
	}
	dead := stream.Dead{Subject: task.Subject(stream.Generate), Reason: stream.Exhausted, Error: "engine gone", Worker: "gpu0", Deliveries: 12, Body: body}
	for range 2 { // a crash between burying and terminating buries twice
		if err := env.Queue.Bury(ctx, dead); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := env.Queue.DeadUnits(ctx, "another"); err != nil || len(got) != 0 {
		t.Errorf("DeadUnits of another run = %v, %v", got, err)
	}
	got, err := env.Queue.DeadUnits(ctx, "r1")
	if err != nil || len(got) != 1 || got[0].Reason != stream.Exhausted || got[0].Error != "engine gone" || got[0].Stage != stream.Generate || got[0].Deliveries != 12 {
		t.Fatalf("DeadUnits = %+v, %v, want the one buried", got, err)
	}
	if err := env.Queue.Requeue(ctx, got[0]); err != nil {
		t.Fatal(err)
	}
	var back stream.Task
	if err := env.Queue.Get(ctx, stream.Generate, task.Unit, &back); err != nil || back != task {
		t.Errorf("requeued task = %+v, %v, want %+v", back, err, task)
	}
	if got, err := env.Queue.DeadUnits(ctx, ""); err != nil || len(got) != 0 {
		t.Errorf("DeadUnits after Requeue = %v, %v", got, err)
	}
}

// TestDeadUnitsOfOthersMaking: an evaluator may give units up, and writes into the message what it likes. It must not have
// another unit put back, nor keep the list from being read.
func TestDeadUnitsOfOthersMaking(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	body, err := stream.Encode(stream.Dead{Subject: unit(3, 1).Subject(stream.Combine), Stage: stream.Combine, Reason: stream.Exhausted, Body: []byte("lies")})
	if err != nil {
		t.Fatal(err)
	}
	for u, text := range map[stream.Unit][]byte{unit(4, 1): body, unit(5, 1): []byte("nonsense")} {
		if _, err := env.JS.Publish(ctx, u.DeadSubject(stream.Evaluate), text); err != nil {
			t.Fatal(err)
		}
	}
	dead, err := env.Queue.DeadUnits(ctx, "")
	if err != nil || len(dead) != 2 {
		t.Fatalf("DeadUnits = %+v, %v, want 2", dead, err)
	}
	for i, u := range []stream.Unit{unit(4, 1), unit(5, 1)} {
		if dead[i].Subject != u.Subject(stream.Evaluate) || dead[i].Stage != stream.Evaluate {
			t.Errorf("dead unit = %+v, want the one of its subject, %s", dead[i], u.Subject(stream.Evaluate))
		}
	}
	if dead[1].Reason != stream.Poison || string(dead[1].Body) != "nonsense" {
		t.Errorf("dead unit = %+v, want it poison, with what it says", dead[1])
	}
}

func TestCheckNeedsTheStreams(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	if err := env.Queue.Check(t.Context()); err != nil {
		t.Errorf("Check of a declared server = %v", err)
	}
	if err := env.JS.DeleteStream(context.WithoutCancel(t.Context()), stream.Evaluate.Stream()); err != nil {
		t.Fatal(err)
	}
	if err := queue.New(env.JS).Check(t.Context()); !errors.Is(err, queue.ErrNotDeclared) {
		t.Errorf("Check without EVALUATE = %v, want ErrNotDeclared", err)
	}
}

// TestRequeueOfTheLedger: a unit that the combiner gave up lies in COMBINE, acknowledged.
// Put back it is handed out anew, with what DEAD holds of it.
func TestRequeueOfTheLedger(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	u := unit(0, 0)
	if _, err := env.Queue.Publish(ctx, stream.Combine, u, stream.Scored{Evaluator: "eval0"}); err != nil {
		t.Fatal(err)
	}
	c := env.Consumer(t, stream.Combine, "r1")
	msg := streamtest.Next(t, c)
	d := stream.Dead{Subject: u.Subject(stream.Combine), Body: msg.Data()}
	if err := errors.Join(env.Queue.Bury(ctx, d), msg.DoubleAck(ctx)); err != nil {
		t.Fatal(err)
	}
	if err := env.Queue.Requeue(ctx, d); err != nil {
		t.Fatal(err)
	}
	if again := streamtest.Next(t, c); string(again.Data()) != string(d.Body) {
		t.Errorf("the unit put back = %s, want it handed out again", again.Data())
	}
}

// TestCountRun counts a run in every stage and among the units given up, and no other.
func TestCountRun(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	for i, stage := range stream.Stages {
		for n := range i + 1 {
			if _, err := env.Queue.Publish(ctx, stage, unit(0, 10*i+n), "x"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := env.Queue.Bury(ctx, stream.Dead{Subject: unit(9, 9).Subject(stream.Evaluate)}); err != nil {
		t.Fatal(err)
	}
	for run, want := range map[string]int{"r1": 1 + 2 + 3 + 1, "r": 0, "r11": 0} {
		if n, err := env.Queue.CountRun(ctx, run); err != nil || n != want {
			t.Errorf("CountRun(%s) = %d, %v, want %d", run, n, err, want)
		}
	}
}

// TestRunLag wants of each run what waits of it, and nothing of its neighbour.
func TestRunLag(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	serveRuns(t, env, queue.Run{ID: "a"}, queue.Run{ID: "b"})
	for run, n := range map[string]int{"a": 3, "b": 5} {
		for i := range n {
			u := stream.Unit{Cell: stream.Cell{Run: run, Temperature: 100}, Index: i}
			if _, err := env.Queue.Publish(t.Context(), stream.Evaluate, u, stream.Batch{Unit: u}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for run, n := range map[string]uint64{"a": 3, "b": 5, "c": 0} {
		streamtest.WaitFor(t, fmt.Sprintf("%d units of run %s to wait", n, run), func(ctx context.Context) (bool, error) {
			lag, err := env.Queue.RunLag(ctx, stream.Evaluate, run)
			return lag.Waiting == n && lag.Stored == n && lag.InFlight == 0, err
		})
	}
}

// TestLostDeclaration wants a stream to be declared again where the request was lost, as a cluster loses it whose leader ends.
func TestLostDeclaration(t *testing.T) {
	t.Parallel()
	js := streamtest.Lossy(t, streamtest.NewOwn(t, streamtest.Guard{}), "$JS.API.STREAM.CREATE.EVALUATE")
	if err := queue.New(js).Declare(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

package combine

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// liesAbout returns what says of a unit that all of it passed.
func liesAbout(task stream.Task, receipt string) stream.Scored {
	s := scored(task)
	s.Receipt, s.Evaluator = receipt, "forger"
	for i := range s.Judgements {
		s.Judgements[i] = stream.Judgement{Verdict: stream.Passed}
	}
	return s
}

// forge stores what is no verdict of a unit.
func (b *bench) forge(tb testing.TB, u stream.Unit, v any) {
	tb.Helper()
	if fresh, err := b.Queue.Publish(tb.Context(), stream.Combine, u, v); err != nil || !fresh {
		tb.Fatalf("forge %s: fresh %v, %v", u.Subject(stream.Combine), fresh, err)
	}
}

// waitGone waits until COMBINE holds nothing of a unit.
func (b *bench) waitGone(tb testing.TB, u stream.Unit) {
	tb.Helper()
	streamtest.WaitFor(tb, u.Subject(stream.Combine)+" to be removed", func(ctx context.Context) (bool, error) {
		there, err := b.Queue.Has(ctx, stream.Combine, u)
		return !there, err
	})
}

// TestForgedVerdicts stores verdicts in the place of units before the true ones come, without a receipt and with wrong
// ones. Each must be removed and counted, the true ones that come then count, and a unit that the forger took off its
// queue be generated again.
func TestForgedVerdicts(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 50, 200)
	tasks := b.tasks(0, 200)
	for _, task := range tasks[1:] { // all but the first are with evaluators
		if err := b.Queue.Remove(t.Context(), stream.Generate, task.Unit); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Queue.Publish(t.Context(), stream.Evaluate, task.Unit, scored(task).Batch); err != nil {
			t.Fatal(err)
		}
	}
	stop := b.start(t, b.worker())
	elsewhere := tasks[0].Unit
	elsewhere.Run = "r2"
	last := tasks[4]
	for _, x := range []struct {
		unit stream.Unit
		body any
	}{
		{tasks[0].Unit, liesAbout(tasks[0], "")},
		{tasks[1].Unit, liesAbout(tasks[1], tasks[0].Receipt)},
		{tasks[2].Unit, liesAbout(tasks[2], stream.NewIssuer().Receipt(tasks[2].Unit))},
		{tasks[3].Unit, liesAbout(tasks[3], b.issuer.Receipt(elsewhere))},
		{last.Unit, "no unit at all"},
	} {
		b.forge(t, x.unit, x.body)
		b.waitGone(t, x.unit)
	}
	// The forger takes a unit off its queue too.
	if err := b.Queue.Remove(t.Context(), stream.Evaluate, last.Unit); err != nil {
		t.Fatal(err)
	}
	b.forge(t, last.Unit, liesAbout(last, ""))
	streamtest.WaitFor(t, "the unit that is nowhere to be generated again", func(ctx context.Context) (bool, error) {
		var task stream.Task
		err := b.Queue.Get(ctx, stream.Generate, last.Unit, &task)
		if errors.Is(err, queue.ErrNotFound) {
			return false, nil
		}
		if err == nil && task != last {
			t.Errorf("it comes again as %+v, want %+v", task, last)
		}
		return err == nil, err
	})
	b.waitGone(t, last.Unit)
	for i, task := range tasks[1:4] {
		if again, err := b.Queue.Has(t.Context(), stream.Generate, task.Unit); again || err != nil {
			t.Errorf("unit %d is generated again, though it waits to be judged: %v, %v", i+1, again, err)
		}
	}
	if done, err := b.Store.CellDone(t.Context(), b.cell(0, 200), 1); done || err != nil {
		t.Errorf("the cell is written with forged verdicts: %v, %v", done, err)
	}
	b.publish(t, tasks...)
	b.waitFinished(t)
	stop()
	b.prove(t, 50)
	readCell(t, b.dir+"/q0/t0_2_combined.json", 50)
	if dead := b.dead(t); len(dead) != 0 {
		t.Errorf("units were given up: %+v", dead)
	}
	if m, _, err := b.Store.Run(t.Context(), "r1"); err != nil || m.Refused == nil || m.Refused.Messages != 6 || m.Refused.Last != last.Subject(stream.Combine) {
		t.Errorf("the manifest says %+v, %v, want 6 messages", m.Refused, err)
	}
}

// TestForgedWhileNobodyCombines fills a whole cell with forged verdicts before a combiner starts. It must not write them,
// also where it is handed one no more, and must say how many there were.
func TestForgedWhileNobodyCombines(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 200)
	tasks := b.tasks(0, 200)
	for _, task := range tasks {
		b.forge(t, task.Unit, liesAbout(task, ""))
	}
	b.acknowledge(t, 1) // of this one only the cell's turn tells
	w := b.worker()
	stop := b.start(t, w)
	for _, task := range tasks {
		b.waitGone(t, task.Unit)
	}
	b.publish(t, tasks...)
	b.waitFinished(t)
	stop() // it notes the rest at its end
	b.prove(t, 30)
	readCell(t, b.dir+"/q0/t0_2_combined.json", 30)
	m, _, err := b.Store.Run(t.Context(), "r1")
	if err != nil || m.Refused == nil || m.Refused.Messages != 3 || !slices.ContainsFunc(tasks, func(task stream.Task) bool { return task.Subject(stream.Combine) == m.Refused.Last }) || m.Refused.At == 0 {
		t.Errorf("the manifest says %+v, %v, want 3 messages", m.Refused, err)
	}
}

// TestRunsWithoutReceipts: the verdicts of a run that was made by an earlier lcbq count as they are.
func TestRunsWithoutReceipts(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 20, 200)
	m, revision, err := b.Store.Run(t.Context(), "r1")
	if err != nil {
		t.Fatal(err)
	}
	m.Receipts = ""
	if _, err := b.Store.PutRun(t.Context(), m, revision); err != nil {
		t.Fatal(err)
	}
	b.publish(t, b.m.Tasks(b.m.Questions[0], 200)...) // which have none
	stop := b.start(t, b.worker())
	b.waitFinished(t)
	stop()
	b.prove(t, 20)
}

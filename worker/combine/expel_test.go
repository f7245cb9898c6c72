package combine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// TestExpel bans a guest that has judged a unit of a written cell and one of a cell that waits. Both must be judged
// again, with the rest of the written cell, from the texts that were generated; the run ends with what is so then, and
// other cells are left alone. A crash after any step loses nothing: all is looked at again.
func TestExpel(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 20, 200, 700)
	if err := b.Store.DeclareBans(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	const id = "UABCDEFGHIJKLMNOPQRSTUVWXYZ"
	lie := func(task stream.Task) {
		t.Helper()
		s := scored(task)
		s.Evaluator = stream.GuestJudge(id)
		for i := range s.Judgements {
			s.Judgements[i] = stream.Judgement{Verdict: stream.Passed}
		}
		if fresh, err := b.Queue.Publish(t.Context(), stream.Combine, task.Unit, s); err != nil || !fresh {
			t.Fatalf("publish a lie: %v, %v", fresh, err)
		}
	}
	w := b.worker()
	stop := b.start(t, w)
	written, honest, waits, later := b.tasks(0, 200), b.tasks(0, 700), b.tasks(1, 200), b.tasks(1, 700)
	lie(written[0])
	b.publish(t, written[1])
	b.publish(t, honest...)
	lie(waits[1])
	b.waitCell(t, b.cell(0, 200), 20)
	b.waitCell(t, b.cell(0, 700), 20)
	before, _, err := b.Store.Cell(t.Context(), b.cell(0, 700))
	if err != nil {
		t.Fatal(err)
	}

	if err := b.Store.PutBan(t.Context(), store.Ban{ID: id, Judge: stream.GuestJudge(id), Run: "r1", Reason: "it lied"}); err != nil {
		t.Fatal(err)
	}
	if err := w.expelGuests(t.Context()); err != nil {
		t.Fatal(err)
	}
	var again []stream.Unit
	for _, task := range append(append([]stream.Task{}, written...), waits[1]) {
		var batch stream.Batch
		if err := b.Queue.Get(t.Context(), stream.Evaluate, task.Unit, &batch); err != nil {
			t.Errorf("unit %s is not judged again: %v", task.Key(), err)
			continue
		}
		if want := scored(task).Samples; len(batch.Samples) != len(want) || batch.Samples[3] != want[3] || batch.Generator != "gpu0" || batch.Started == 0 {
			t.Errorf("unit %d of %s comes again as %+v", task.Index, task.Key(), batch)
		}
		if !b.m.Issued(task.Unit, batch.Receipt) {
			t.Errorf("unit %d of %s comes again without its receipt", task.Index, task.Key())
		}
		again = append(again, task.Unit)
	}
	if there, err := b.Queue.Has(t.Context(), stream.Combine, waits[1].Unit); there || err != nil {
		t.Errorf("a false unit is still in COMBINE: %v, %v", there, err)
	}
	if dead := b.dead(t); len(dead) > 0 {
		t.Errorf("%d units are left in DEAD", len(dead))
	}
	if done, err := b.Store.CellDone(t.Context(), b.cell(0, 200), 20); done || err != nil {
		t.Errorf("the cell with a false unit is done: %v, %v", done, err)
	}
	if after, _, err := b.Store.Cell(t.Context(), b.cell(0, 700)); err != nil || after.Digest != before.Digest || after.N != 20 {
		t.Errorf("an honest cell was touched: %+v, %v", after, err)
	}
	if known, err := b.Store.Cells(t.Context(), "r1", -1); err != nil || known[b.cell(0, 200)].N != 0 {
		t.Errorf("the cell counts still: %+v, %v", known[b.cell(0, 200)], err)
	}
	bans, err := b.Store.Bans(t.Context())
	if err != nil || len(bans) != 1 || bans[0].Requeued != 3 || len(bans[0].Cells) != 1 || bans[0].Expelled == 0 {
		t.Errorf("the ban says %+v, %v, want 3 units, one cell", bans, err)
	}

	// An evaluator judges them, and the run ends.
	for _, u := range again {
		if err := b.Queue.Remove(t.Context(), stream.Evaluate, u); err != nil {
			t.Fatal(err)
		}
	}
	b.publish(t, written...)
	b.publish(t, waits...)
	b.publish(t, later...)
	b.waitFinished(t)
	stop()
	b.prove(t, 20)
	readCell(t, b.dir+"/q0/t0_2_combined.json", 20)
	readCell(t, b.dir+"/q1/t0_2_combined.json", 20)
}

// TestExpelBeforeTheEnd: a run whose last unit comes after a guest was banned is not finished with what the guest judged,
// however seldom the combiner looks by itself.
func TestExpelBeforeTheEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 20, 200)
	if err := b.Store.DeclareBans(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	const id = "UABC"
	tasks := b.tasks(0, 200)
	s := scored(tasks[0])
	s.Evaluator = stream.GuestJudge(id)
	if _, err := b.Queue.Publish(t.Context(), stream.Combine, tasks[0].Unit, s); err != nil {
		t.Fatal(err)
	}
	stop := b.start(t, b.worker())
	if err := b.Store.PutBan(t.Context(), store.Ban{ID: id, Judge: stream.GuestJudge(id)}); err != nil {
		t.Fatal(err)
	}
	b.publish(t, tasks[1])
	streamtest.WaitFor(t, "the cell to be judged again", func(ctx context.Context) (bool, error) {
		units, err := b.Queue.Units(ctx, stream.Evaluate, b.cell(0, 200))
		return len(units) >= 1, err
	})
	stop() // after what it had begun
	if m, _, err := b.Store.Run(t.Context(), "r1"); err != nil || m.Finished != 0 {
		t.Errorf("the run is finished (%v) with a false unit, %v", m.Finished, err)
	}
}

// TestExpelRepeats crashes between the steps: a unit that is in DEAD for its judge's sake comes back whatever else is
// done already, and units that are there for other reasons stay.
func TestExpelRepeats(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 200)
	if err := b.Store.DeclareBans(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w := b.worker()
	tasks := b.tasks(0, 200)
	// Somebody who was not handed it stores a unit in the guest's name: to have it judged again would make it true.
	forged := liesAbout(tasks[2], "")
	forged.Evaluator = stream.GuestJudge("UABC")
	b.forge(t, tasks[2].Unit, forged)
	if err := w.distrust(t.Context(), b.m, scored(tasks[0]).Batch); err != nil {
		t.Fatal(err)
	}
	other := stream.Dead{Subject: tasks[1].Subject(stream.Evaluate), Stage: stream.Evaluate, Reason: stream.Exhausted, At: time.Now().UnixMilli()}
	if err := b.Queue.Bury(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if err := b.Store.PutBan(t.Context(), store.Ban{ID: "UABC", Judge: stream.GuestJudge("UABC")}); err != nil {
		t.Fatal(err)
	}
	w.expelled = map[string]bool{} // it ran before the ban
	if err := w.expelGuests(t.Context()); err != nil {
		t.Fatal(err)
	}
	if there, err := b.Queue.Has(t.Context(), stream.Evaluate, tasks[0].Unit); !there || err != nil {
		t.Errorf("the unit does not come again: %v, %v", there, err)
	}
	if there, err := b.Queue.Has(t.Context(), stream.Evaluate, tasks[2].Unit); there || err != nil {
		t.Errorf("a forged unit is to be judged: %v, %v", there, err)
	}
	if dead := b.dead(t); len(dead) != 1 || dead[0].Reason != stream.Exhausted {
		t.Errorf("in DEAD are %+v, want the other unit", dead)
	}
	if err := b.Store.PutBan(t.Context(), store.Ban{ID: "UABC"}); !errors.Is(err, store.ErrChanged) {
		t.Errorf("a second ban of one guest = %v, want the first to stay", err)
	}
}

package combine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// A guest is an evaluator that nobody trusts. Where one was found out, all that it judged in runs that are not over is
// judged again: the units of it in COMBINE, and the whole cells that hold some in their files. Each unit is put into
// DEAD first, then it stops to count, and then it goes from DEAD to EVALUATE. So a crash between any two steps loses
// none, and the next look takes the steps that are left.

// expelGuests is expel for who does not hold w.writing.
func (w *Worker) expelGuests(ctx context.Context) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	_, err := w.expel(ctx)
	return err
}

// expel has everything judged again that guests judged who were found out since the last look. It reports whether
// that was anything. w.writing is held: no file with such a unit is on its way.
func (w *Worker) expel(ctx context.Context) (taken bool, err error) {
	bans, err := w.Store.Bans(ctx)
	if err != nil {
		return false, err
	}
	if w.expelled == nil {
		w.expelled = make(map[string]bool)
		for _, b := range bans {
			w.expelled[b.ID] = b.Expelled != 0
		}
	}
	for _, b := range bans {
		if w.expelled[b.ID] {
			continue
		}
		if err := w.expelOne(ctx, &b); err != nil {
			return taken, fmt.Errorf("judge again what %s judged: %w", b.Judge, err)
		}
		taken = taken || b.Requeued > 0
		b.Expelled = time.Now().UnixMilli()
		if err := w.Store.PutBan(ctx, b); err != nil && !errors.Is(err, store.ErrChanged) { // another combiner did the same
			return taken, err
		}
		w.expelled[b.ID] = true
		w.Log.Warn("what an evaluator judged that gave false verdicts is judged again", "judge", b.Judge, "units", b.Requeued, "cells_written_anew", len(b.Cells))
	}
	return taken, nil
}

func (w *Worker) expelOne(ctx context.Context, b *store.Ban) error {
	runs, _, err := w.Store.Runs(ctx)
	if err != nil {
		return err
	}
	for _, m := range runs {
		if !m.Open() {
			continue
		}
		for _, q := range m.Questions {
			if err := w.expelFrom(ctx, b, m, q); err != nil {
				return err
			}
		}
	}
	return nil
}

// expelFrom puts the units of a question into DEAD that a guest judged, sees to it that they do not count, and puts
// them into EVALUATE.
func (w *Worker) expelFrom(ctx context.Context, b *store.Ban, m *store.Manifest, q store.Question) error {
	cells, err := w.Store.Cells(ctx, m.ID, q.Index)
	if err != nil {
		return err
	}
	for id, st := range cells {
		c := w.newCell(m, q, id)
		holds, err := c.holdsOf(b.Judge, st)
		if err != nil {
			return err
		}
		if holds {
			if err := c.reopen(ctx); err != nil {
				return err
			}
			b.Cells = append(b.Cells, id.Key())
		}
	}
	units, err := w.Queue.QuestionUnits(ctx, stream.Combine, m.ID, q.Index)
	if err != nil {
		return err
	}
	for _, u := range units {
		var s stream.Scored
		err := w.Queue.Get(ctx, stream.Combine, u, &s)
		switch {
		case errors.Is(err, queue.ErrNotFound), errors.Is(err, stream.ErrPoison): // none of its
			continue
		case err != nil:
			return err
		case s.Evaluator != b.Judge, !m.Issued(u, s.Receipt):
			continue
		}
		if err := w.distrust(ctx, m, s.Batch); err != nil {
			return err
		}
		if err := w.Queue.Remove(ctx, stream.Combine, u); err != nil {
			return err
		}
		w.mu.Lock()
		delete(w.ledger[u.Cell], u.Index)
		w.mu.Unlock()
	}
	return w.requeueUntrusted(ctx, b, m.ID, q.Index)
}

// distrust puts a unit into DEAD, as it was before it was judged.
func (w *Worker) distrust(ctx context.Context, m *store.Manifest, b stream.Batch) error {
	issuer, err := w.Store.Issuer(ctx, m)
	if err != nil {
		return err
	}
	b.Receipt = issuer.Receipt(b.Unit)
	body, err := stream.Encode(b)
	if err != nil {
		return err
	}
	return w.Queue.Bury(ctx, stream.Dead{
		Subject: b.Subject(stream.Evaluate), Stage: stream.Evaluate, Reason: stream.Untrusted,
		Error: "judged by an evaluator that gave false verdicts", Worker: w.Pulse.Name(), At: time.Now().UnixMilli(), Body: body,
	})
}

// requeueUntrusted puts the units of a question that are in DEAD for their judge's sake back into EVALUATE.
func (w *Worker) requeueUntrusted(ctx context.Context, b *store.Ban, run string, question int) error {
	dead, err := w.Queue.DeadIn(ctx, run, question)
	if err != nil {
		return err
	}
	for u, stage := range dead {
		if stage != stream.Evaluate {
			continue
		}
		d, err := w.Queue.DeadUnit(ctx, u.Subject(stage))
		switch {
		case errors.Is(err, queue.ErrNotFound), err == nil && d.Reason != stream.Untrusted:
			continue
		case err != nil:
			return err
		}
		if err := w.Queue.Requeue(ctx, d); err != nil {
			return err
		}
		b.Requeued++
	}
	return nil
}

// holdsOf reports whether the file of a cell has a sample that a guest judged.
func (c *cell) holdsOf(judge string, st store.CellState) (holds bool, err error) {
	file, err := result.OpenCell(c.path(st.File))
	if err != nil {
		return false, fmt.Errorf("look into cell %s: %w", c.id.Key(), err)
	}
	for s, bad := range file.Samples() {
		if bad != nil {
			err = bad
			break
		}
		if s.Evaluator == judge {
			holds = true
			break
		}
	}
	return holds, errors.Join(err, file.Close())
}

// reopen puts all units of a cell into DEAD, and then records that the cell holds no samples. Its file is replaced when
// they are judged.
func (c *cell) reopen(ctx context.Context) error {
	if err := c.look(ctx); err != nil || c.state.Held() == 0 {
		return err
	}
	tasks := c.m.Tasks(c.q, c.id.Temperature)
	var unit stream.Batch
	next := 0
	begin := func() {
		unit = stream.Batch{Unit: tasks[next].Unit, Started: c.state.Generated.From, Ended: c.state.Generated.To}
	}
	begin()
	err := c.visitFile(func(s *result.Sample) error {
		if next >= len(tasks) {
			return fmt.Errorf("cell %s holds more samples than its run wants", c.id.Key())
		}
		unit.Samples, unit.Generator = append(unit.Samples, s.Sample), s.Generator
		if len(unit.Samples) < tasks[next].N {
			return nil
		}
		if err := c.distrust(ctx, c.m, unit); err != nil {
			return err
		}
		if next++; next < len(tasks) {
			begin()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if claim := c.state.Claim; claim != nil { // nothing may appear under it any more
		if err := os.Remove(c.path(claim.Temp)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("take cell %s over: %w", c.id.Key(), err)
		}
	}
	err = c.Store.PutCell(ctx, c.id, store.CellState{File: c.state.File}, c.revision)
	if errors.Is(err, store.ErrChanged) {
		return errOvertaken
	}
	return err
}

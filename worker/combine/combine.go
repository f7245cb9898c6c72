// Package combine turns judged units into the results folder. A cell's file is
// written when all its units are there, made durable, marked done by
// compare-and-set, and only then purged from COMBINE: a crash between any two of
// these steps repeats the step. It judges nothing and computes no statistics
// beyond pass@k.
package combine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/background"
)

// A Worker writes the cells of every run on its server. One is enough, and several do no
// harm.
type Worker struct {
	Queue    *queue.Queue
	Store    *store.Store
	Runs     *worker.Runs
	Dir      string // results folder, instead of the one that a run's manifest names
	Only     string // the run that Dir is for; all if ""
	Compress bool   // write .json.zst
	Pulse    *worker.Pulse
	Grace    time.Duration
	Hurry    *worker.Hurry // cuts Grace short; may be nil
	Log      *slog.Logger
	// Closed, if set, is called when the summary of a run has been written into dir.
	// It is called by the combiner that finishes the run, and again when the run has grown and
	// is finished anew. Its context outlives the drain by Grace. No cell is written meanwhile.
	Closed func(ctx context.Context, dir string)

	mu     sync.Mutex                   // of ledger, bad and good
	ledger map[stream.Cell]map[int]bool // good units seen, of the cells that are not written yet
	bad    map[stream.Unit]bool         // units that no file can hold; written by handle and giveUp, read by the sweep
	good   map[stream.Unit]uint64       // sequences of messages whose receipts were looked at, of the cells in the ledger

	writing  sync.Mutex      // held while a cell or a summary is written
	expelled map[string]bool // guests of whom nothing counts any more, by token; guarded by writing

	refused refused

	syncDir  func(path string) error // instead of result.SyncDir, in tests
	mostKept int64                   // instead of the constant, in tests
}

// sweepEvery is how often the cells in progress are counted in the stream itself. That
// finds units that were handed to another combiner.
const sweepEvery = 15 * time.Second

// Run writes cells until ctx is done. It begins with what an earlier combiner left: units
// already acknowledged, and cells without a summary.
func (w *Worker) Run(ctx context.Context) error {
	w.ledger, w.bad, w.good = make(map[stream.Cell]map[int]bool), make(map[stream.Unit]bool), make(map[stream.Unit]uint64)
	// Wait for a server whose disk is full or that was killed meanwhile.
	if err := patiently(ctx, w.Log, w.Pulse, w.recover); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted, as asked; the next life recovers again
		}
		return fmt.Errorf("recover: %w", err)
	}
	stop := background.Start(ctx, w.sweep)
	defer stop()
	defer w.tellLast(ctx)
	loop := worker.Loop{
		Stage: stream.Combine, Queue: w.Queue, Handle: w.handle,
		// Several units are noted while one cell is being written.
		Slots: 4, Grace: w.Grace, Hurry: w.Hurry, Pulse: w.Pulse, Log: w.Log,
	}
	return loop.Run(ctx)
}

// handle notes one judged unit and writes its cell if it was the last.
func (w *Worker) handle(ctx context.Context, msg worker.Message) error {
	m, q, task, err := w.Runs.Unit(ctx, msg.Unit)
	if errors.Is(err, worker.ErrCancelled) {
		w.forget(msg.Unit.Cell)
		return errors.Join(err, w.Queue.Remove(ctx, stream.Combine, msg.Unit))
	}
	if err != nil {
		return err
	}
	have, err := w.have(ctx, task.Cell)
	if err != nil {
		return err
	}
	if task.First < have { // the cell was purged: this is a late duplicate, and the state decides
		w.Log.Info("late duplicate dropped", "unit", msg.Unit.Subject(stream.Combine))
		return w.Queue.Remove(ctx, stream.Combine, msg.Unit)
	}
	// A unit that no file can hold is given up when it comes. Its cell may wait for hours for
	// other units, and a person should know before that.
	err = w.admit(ctx, msg, m, task)
	if forged, ok := errors.AsType[*forgedError](err); ok {
		return w.refuse(ctx, m, forged)
	}
	if err != nil {
		return err
	}
	if w.note(msg.Unit, m.Tasks(q, task.Temperature), have) {
		return w.finish(ctx, m, q, msg.Unit.Cell)
	}
	return nil
}

// have returns how many samples the cell's file holds.
func (w *Worker) have(ctx context.Context, c stream.Cell) (int, error) {
	st, _, err := w.Store.Cell(ctx, c)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return st.Held(), err
}

// note records a unit and reports whether its cell may be complete: whether it has seen
// every unit that the cell needs beyond the samples it has. Units of samples that the cell
// already has may still be in the stream or in the ledger. They do not count.
func (w *Worker) note(u stream.Unit, tasks []stream.Task, have int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ledger[u.Cell] == nil {
		w.ledger[u.Cell] = make(map[int]bool)
	}
	w.ledger[u.Cell][u.Index] = true
	for _, task := range tasks {
		if task.First >= have && !w.ledger[u.Cell][task.Index] {
			return false
		}
	}
	return true
}

// forget drops the cell from the ledger.
func (w *Worker) forget(c stream.Cell) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for index := range w.ledger[c] {
		delete(w.good, stream.Unit{Cell: c, Index: index})
	}
	delete(w.ledger, c)
}

// finish writes a cell and what depends on it. While the folder cannot be written it waits,
// with the cell not marked: giving the unit up would lose a cell. Other cells are written
// meanwhile. A unit of the cell that no file can hold is given up, and the cell waits until
// the unit is generated again.
func (w *Worker) finish(ctx context.Context, m *store.Manifest, q store.Question, id stream.Cell) error {
	log := w.Log.With("folder", w.dir(m), "cell", id.Key())
	err := w.insist(ctx, log, w.newCell(m, q, id).write)
	if forged, ok := errors.AsType[*forgedError](err); ok {
		return w.refuse(ctx, m, forged) // its cell goes on when the true one comes
	}
	if bad, ok := errors.AsType[*badUnitError](err); ok {
		log.Error("unit given up", "unit", bad.unit.Subject(stream.Combine), "err", bad.err)
		return w.giveUp(ctx, bad.unit, err)
	}
	if err != nil {
		return err
	}
	w.forget(id)
	return w.insist(ctx, log, func(ctx context.Context) error {
		return w.sumUp(ctx, m.ID, func(m *store.Manifest) error {
			now, ok := m.Question(q.Index)
			if !ok {
				return fmt.Errorf("run %s has no question %d: %w", m.ID, q.Index, stream.ErrPoison)
			}
			return w.summarise(ctx, m, now)
		})
	})
}

// sumUp has summaries written as the stored manifest wants them. If the run was extended
// while they were written, it writes them again: they may have replaced newer ones of
// another combiner.
func (w *Worker) sumUp(ctx context.Context, run string, write func(m *store.Manifest) error) error {
	m, _, err := w.Store.Run(ctx, run)
	for err == nil {
		if err = write(m); err != nil {
			break
		}
		var now *store.Manifest
		if now, _, err = w.Store.Run(ctx, run); err == nil && now.Samples() == m.Samples() {
			return nil
		}
		m = now
	}
	return err
}

// dir returns the results folder of a run.
func (w *Worker) dir(m *store.Manifest) string {
	if w.Dir != "" && (w.Only == "" || w.Only == m.ID) {
		return filepath.Clean(w.Dir)
	}
	return m.OutputDir
}

// sweep counts the cells in progress in the stream until ctx is done.
func (w *Worker) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		cells := make([]stream.Cell, 0, len(w.ledger))
		for c := range w.ledger {
			cells = append(cells, c)
		}
		w.mu.Unlock()
		for _, c := range cells {
			if err := w.recount(ctx, c); err != nil && ctx.Err() == nil {
				w.Log.Warn("cell not counted", "cell", c.Key(), "err", err)
			}
		}
		if err := w.expelGuests(ctx); err != nil && ctx.Err() == nil {
			w.Log.Error("verdicts of a guest that was found out still count, trying again", "err", err)
		}
		if err := w.tellRefused(ctx); err != nil && ctx.Err() == nil {
			w.Log.Warn("messages without a receipt are not noted in their runs, trying again", "err", err)
		}
		if err := w.lookAgain(ctx); err != nil && ctx.Err() == nil {
			w.Log.Warn("runs that end by how well they are known were not looked at, trying again", "err", err)
		}
	}
}

// recount brings a cell's ledger up to what the stream holds, and finishes the
// cell if that is all of it.
func (w *Worker) recount(ctx context.Context, c stream.Cell) error {
	m, q, _, err := w.Runs.Unit(ctx, stream.Unit{Cell: c})
	if errors.Is(err, worker.ErrCancelled) {
		w.forget(c)
		return nil
	}
	if err != nil {
		return err
	}
	have, err := w.have(ctx, c)
	if err != nil {
		return err
	}
	if have >= m.Wanted(q, c.Temperature) { // written by another combiner, or noted while it was being written
		w.forget(c)
		return nil
	}
	units, err := w.Queue.Units(ctx, stream.Combine, c)
	if err != nil {
		return err
	}
	complete := false
	for u := range units {
		if w.isBad(stream.Unit{Cell: c, Index: u}) {
			continue // given up; its cell waits until it is generated again
		}
		complete = w.note(stream.Unit{Cell: c, Index: u}, m.Tasks(q, c.Temperature), have)
	}
	if complete {
		return w.finish(ctx, m, q, c)
	}
	return nil
}

// recover rebuilds the ledger from the stream, finishes cells whose last unit was
// acknowledged before the file was durable, purges those whose state was set
// before the purge, and writes summaries that are missing.
func (w *Worker) recover(ctx context.Context) error {
	runs, _, err := w.Store.Runs(ctx) // a run that cannot be read costs no other run anything
	if err != nil {
		return err
	}
	for _, m := range runs {
		if !m.Open() {
			continue
		}
		// Units that were given up here are still in COMBINE. If the missing file was put
		// back meanwhile it is found. If not, the units are given up again.
		if err := w.Queue.ForgiveCombine(ctx, m.ID); err != nil {
			return err
		}
		for _, q := range m.Questions {
			if err := w.recoverQuestion(ctx, m, q); err != nil {
				return err
			}
		}
		if err := w.recoverSummaries(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) recoverQuestion(ctx context.Context, m *store.Manifest, q store.Question) error {
	done, err := w.Store.Cells(ctx, m.ID, q.Index)
	if err != nil {
		return err
	}
	units, err := w.Queue.QuestionUnits(ctx, stream.Combine, m.ID, q.Index)
	if err != nil {
		return err
	}
	touched := make(map[stream.Cell]bool)
	complete := make(map[stream.Cell]bool)
	for _, u := range units {
		touched[u.Cell] = true
		if w.note(u, m.Tasks(q, u.Temperature), store.Held(done, u.Cell)) {
			complete[u.Cell] = true
		}
	}
	for c := range touched {
		switch {
		case store.Held(done, c) >= m.Wanted(q, c.Temperature):
			if err := w.newCell(m, q, c).purge(ctx); err != nil {
				return err
			}
			w.forget(c)
		case complete[c]:
			err := w.finish(ctx, m, q, c)
			if errors.Is(err, stream.ErrPoison) || errors.Is(err, errIncomplete) {
				// A cell that cannot be written, or that another combiner has just
				// written, keeps nobody from the others. The sweep tries it again.
				w.Log.Error("cell not written", "cell", c.Key(), "err", err)
				err = w.giveUpLast(ctx, m, q, c, err)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// recoverSummaries writes the summaries that a run is ready for.
func (w *Worker) recoverSummaries(ctx context.Context, m *store.Manifest) error {
	return w.insist(ctx, w.Log.With("folder", w.dir(m)), func(ctx context.Context) error {
		return w.sumUp(ctx, m.ID, func(m *store.Manifest) error { return w.summariseAll(ctx, m) })
	})
}

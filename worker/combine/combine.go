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
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
)

// A Worker writes the cells of every run on its server. One is enough; a second
// one does no harm.
type Worker struct {
	Queue    *queue.Queue
	Store    *store.Store
	Runs     *worker.Runs
	Dir      string // results folder, instead of the one that a run's manifest names
	Only     string // the run that Dir is for; all if ""
	Compress bool   // write .json.zst
	Pulse    *worker.Pulse
	Grace    time.Duration
	Log      *slog.Logger
	// Closed, if set, is called when the summary of a run has been written into dir.
	// It may be called again for the same run. No cell is written meanwhile.
	Closed func(ctx context.Context, dir string)

	mu     sync.Mutex
	ledger map[stream.Cell]map[int]bool // units seen of the cells not written yet
	cell   sync.Mutex                   // held while a cell or a summary is written
}

// sweepEvery is how often the cells in progress are counted in the stream itself,
// for the units that another combiner was handed.
const sweepEvery = 15 * time.Second

// Run writes cells until ctx is done. It first looks at what its former life left
// behind: units already acknowledged, cells without a summary.
func (w *Worker) Run(ctx context.Context) error {
	w.ledger = make(map[stream.Cell]map[int]bool)
	// A server whose disk is full, or that was killed meanwhile, is waited for.
	if err := insist(ctx, w.Log, func() error { return w.recover(ctx) }); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // interrupted, as asked; the next life recovers again
		}
		return fmt.Errorf("recover: %w", err)
	}
	swept := make(chan struct{})
	sweep, stop := context.WithCancel(ctx)
	go func() {
		defer close(swept)
		w.sweep(sweep)
	}()
	loop := worker.Loop{
		Stage: stream.Combine, Queue: w.Queue, Handle: w.handle,
		// Several units are noted while one cell is being written.
		Slots: 4, Grace: w.Grace, Pulse: w.Pulse, Log: w.Log,
	}
	err := loop.Run(ctx)
	stop()
	<-swept
	return err
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
	if task.First < have { // a duplicate of a cell that was purged: its state decides, for ever
		w.Log.Info("late duplicate dropped", "unit", msg.Unit.Subject(stream.Combine))
		return w.Queue.Remove(ctx, stream.Combine, msg.Unit)
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
	return st.N, err
}

// note remembers a unit and reports whether its cell may be complete: whether all
// units were seen that the cell needs beyond the samples it has. Units of those
// samples may still be in the stream, or in the ledger; they stand for no others.
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
	delete(w.ledger, c)
}

// fullPause is how long the combiner waits when the results folder takes no more.
const fullPause = 5 * time.Second

// finish writes a cell and what depends on it. A folder that cannot be written is
// waited for, with the cell not marked: giving the unit up would lose a cell.
func (w *Worker) finish(ctx context.Context, m *store.Manifest, q store.Question, c stream.Cell) error {
	w.cell.Lock()
	defer w.cell.Unlock()
	log := w.Log.With("folder", w.dir(m), "cell", c.Key())
	err := insist(ctx, log, func() error { return w.write(ctx, m, q, c) })
	if err != nil {
		return err
	}
	w.forget(c)
	return insist(ctx, log, func() error {
		return w.sumUp(ctx, m.ID, func(m *store.Manifest) error {
			now, ok := m.Question(q.Index)
			if !ok {
				return fmt.Errorf("run %s has no question %d: %w", m.ID, q.Index, stream.ErrPoison)
			}
			return w.summarise(ctx, m, now)
		})
	})
}

// sumUp has summaries written as the present manifest wants them. Another combiner
// may write them too: if the run was raised while this one wrote, it may have replaced
// the other's, and writes again.
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

// insist calls f until it succeeds, ctx is done, or no waiting would help.
func insist(ctx context.Context, log *slog.Logger, f func() error) error {
	for {
		err := f()
		if err == nil || ctx.Err() != nil || errors.Is(err, stream.ErrPoison) || errors.Is(err, errIncomplete) || errors.Is(err, nats.ErrConnectionClosed) {
			return err
		}
		log.Error("results not written, waiting", "err", err, "retry_in", fullPause, "remedy", remedy(err))
		select {
		case <-time.After(fullPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// remedy says what a person may do about a folder that cannot be written.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on the results folder's disk"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "let lcbq write to the results folder"
	default:
		return "none is needed if this passes by itself"
	}
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
	if have >= q.N() { // written by another combiner, or noted while it was being written
		w.forget(c)
		return nil
	}
	units, err := w.Queue.Units(ctx, stream.Combine, c)
	if err != nil {
		return err
	}
	complete := false
	for u := range units {
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
	runs, err := w.Store.Runs(ctx)
	if err != nil {
		return err
	}
	for _, m := range runs {
		if !m.Open() {
			continue
		}
		// Units that were given up here are still here: a file that was put back
		// since then is found, one that was not gives them up again.
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
		if w.note(u, m.Tasks(q, u.Temperature), done[u.Cell].N) {
			complete[u.Cell] = true
		}
	}
	for c := range touched {
		switch {
		case done[c].N >= q.N():
			if err := w.removeWritten(ctx, m, q, c); err != nil {
				return err
			}
			w.forget(c)
		case complete[c]:
			err := w.finish(ctx, m, q, c)
			if errors.Is(err, stream.ErrPoison) || errors.Is(err, errIncomplete) {
				// A cell that cannot be written, or that another combiner has just
				// written, keeps nobody from the others. The sweep tries it again.
				w.Log.Error("cell not written", "cell", c.Key(), "err", err)
				err = w.giveUp(ctx, m, q, c, err)
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
	w.cell.Lock()
	defer w.cell.Unlock()
	return insist(ctx, w.Log.With("folder", w.dir(m)), func() error {
		return w.sumUp(ctx, m.ID, func(m *store.Manifest) error { return w.summariseAll(ctx, m) })
	})
}

// giveUp puts the last unit of a cell that cannot be written among the dead, as
// the loop does with a unit that was handed out. The unit stays in COMBINE.
func (w *Worker) giveUp(ctx context.Context, m *store.Manifest, q store.Question, c stream.Cell, cause error) error {
	if !errors.Is(cause, stream.ErrPoison) {
		return nil
	}
	tasks := m.Tasks(q, c.Temperature)
	last := tasks[len(tasks)-1].Unit
	body, err := w.Queue.Body(ctx, stream.Combine, last)
	if err != nil {
		return err
	}
	return w.Queue.Bury(ctx, stream.Dead{
		Subject: last.Subject(stream.Combine), Reason: stream.Poison, Error: cause.Error(), Worker: w.Pulse.Name(), At: time.Now().UnixMilli(), Body: body,
	})
}

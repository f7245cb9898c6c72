package combine

import (
	"context"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// summarise writes the question's summary if its last cell is done, and closes the run if
// that was the last question. A second call writes the same again. w.writing is held.
func (w *Worker) summarise(ctx context.Context, m *store.Manifest, q store.Question) error {
	if err := w.publishRaised(ctx, m); err != nil {
		return err
	}
	cells, err := w.Store.Cells(ctx, m.ID, q.Index)
	if err != nil || !complete(cells, m, q) {
		return err
	}
	all, err := w.Store.Cells(ctx, m.ID, -1)
	if err != nil {
		return err
	}
	if complete(all, m, m.Questions...) {
		return w.closeRun(ctx, m, all)
	}
	return w.writeSummary(cells, m, q)
}

// summariseAll does the same for every question of the run.
func (w *Worker) summariseAll(ctx context.Context, m *store.Manifest) error {
	if err := w.publishRaised(ctx, m); err != nil {
		return err
	}
	all, err := w.Store.Cells(ctx, m.ID, -1)
	if err != nil {
		return err
	}
	if complete(all, m, m.Questions...) {
		return w.closeRun(ctx, m, all)
	}
	for _, q := range m.Questions {
		if complete(all, m, q) {
			if err := w.writeSummary(all, m, q); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *Worker) writeSummary(cells map[stream.Cell]store.CellState, m *store.Manifest, q store.Question) error {
	s, err := summary.Question(cells, m, q)
	if err != nil {
		return err
	}
	return result.WriteSummary(w.dir(m), s)
}

// complete reports whether every cell of the questions holds the samples wanted.
func complete(cells map[stream.Cell]store.CellState, m *store.Manifest, questions ...store.Question) bool {
	for _, q := range questions {
		for _, t := range m.Temperatures {
			if store.Held(cells, stream.Cell{Run: m.ID, Question: q.Index, Temperature: t}) < m.Wanted(q, t) {
				return false
			}
		}
	}
	return true
}

// anyTime is later than the time of any file, whatever clock set that.
var anyTime = time.Unix(1<<40, 0)

// closeRun gives a run more samples where its rule asks for them. Otherwise it writes the summaries
// of all questions and run_summary.json, and marks the run finished. It writes all summaries, because a combiner may have died after it
// marked a question's last cell and before it wrote that question's summary, and a
// finished run is not looked at again. The run ends with its last cell, not by the
// clock: written twice, the file is the same.
func (w *Worker) closeRun(ctx context.Context, m *store.Manifest, cells map[stream.Cell]store.CellState) error {
	// A guest is banned before the last unit that it judged can count.
	if taken, err := w.expel(ctx); taken || err != nil {
		return err
	}
	// A cached manifest may lack the last readings of the engines.
	m, _, err := w.Store.Run(ctx, m.ID)
	if err != nil {
		return err
	}
	if more, err := w.raise(ctx, m, cells); more || err != nil {
		return err
	}
	run, err := summary.Of(m, cells)
	if err != nil {
		return err
	}
	for _, q := range m.Questions {
		if err := w.writeSummary(cells, m, q); err != nil {
			return err
		}
	}
	if err := result.WriteJSONAtomic(result.RunSummaryPath(w.dir(m)), run); err != nil {
		return err
	}
	// Every cell is done, so no temporary file is needed. Those that killed combiners left
	// would fail `lcbq verify`. A slower combiner finds its own gone and the cell done.
	if _, err := result.Sweep(w.dir(m), anyTime); err != nil {
		return err
	}
	ours := false // this call finishes the run; another may at the same time
	m, err = w.Store.UpdateRun(ctx, m.ID, func(m *store.Manifest) bool {
		ours = false
		if m.Finished != 0 || m.Samples() != run.Samples+run.Unscored {
			return false // finished before, or raised while we wrote
		}
		m.Finished = run.Finished.UnixMilli()
		ours = true
		return true
	})
	if err != nil {
		return err
	}
	w.Runs.Learn(m)
	if ours && w.Closed != nil {
		// A finished run drains its workers, this one too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.Grace)
		defer cancel()
		w.Closed(ctx, w.dir(m))
	}
	return nil
}

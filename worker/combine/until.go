package combine

import (
	"context"
	"math"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker/combine/summary"
)

// raise gives a run whose cells are all there more samples, where its rule asks for them, and
// reports whether it has more to do than m says. A run only ever grows: what its rule does not
// need was never published, so nothing is given up. Of several combiners one raises it.
func (w *Worker) raise(ctx context.Context, m *store.Manifest, cells map[stream.Cell]store.CellState) (bool, error) {
	u, err := summary.UntilOf(m, cells)
	// Without an interval somewhere (what was drawn could not be judged) more would be drawn blindly.
	if err != nil || u == nil {
		return false, err
	}
	before, raised := m.Samples(), false
	m, err = w.Store.UpdateRun(ctx, m.ID, func(m *store.Manifest) bool {
		raised = m.Open() && m.Samples() == before && m.Until != nil && *m.Until == u.Until && u.Raise(m)
		if raised {
			m.Published = false
		}
		return raised
	})
	if err != nil || !raised {
		return m != nil && m.Samples() != before, err
	}
	w.Runs.Learn(m)
	w.Log.Info("not known well enough: more samples are drawn", "run", m.ID, "samples", before, "now", m.Samples(),
		"temperatures", u.Left(), "half_width_points", math.Round(1e4*u.Widest)/100, "wanted", 100*u.Half, "temperature", u.At)
	return true, w.publishRaised(ctx, m)
}

// publishRaised publishes what a run was given by its rule. It does nothing where that was
// done, so a combiner that takes over from one that died in between does the rest.
func (w *Worker) publishRaised(ctx context.Context, m *store.Manifest) error {
	if m.Until == nil || m.Published || !m.Open() {
		return nil
	}
	for _, q := range m.Questions {
		if len(q.Cuts) > 1 {
			return sweep.Sweeper{Queue: w.Queue, Store: w.Store}.Publish(ctx, &sweep.Submission{Manifest: m})
		}
	}
	return nil
}

// lookAgain looks at the runs with a rule that wait for no unit: a rule may have been made
// narrower after all cells were there.
func (w *Worker) lookAgain(ctx context.Context) error {
	runs, _, err := w.Store.Runs(ctx)
	if err != nil {
		return err
	}
	for _, m := range runs {
		if m.Until == nil || !m.Open() {
			continue
		}
		cells, err := w.Store.Cells(ctx, m.ID, -1)
		if err != nil {
			return err
		}
		if !complete(cells, m, m.Questions...) {
			continue
		}
		if err := w.recoverSummaries(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

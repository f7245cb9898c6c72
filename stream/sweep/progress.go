package sweep

import (
	"cmp"
	"context"
	"slices"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
)

// A Progress is how far a run is. Lags are the run's, but for bytes and the combiner's stage: those are
// the server's. Workers are the server's, in the order of the stages and their names.
type Progress struct {
	Manifest *store.Manifest            `json:"run"`
	Cells    int                        `json:"cells"`   // finished
	Samples  int                        `json:"samples"` // in finished cells
	Passed   int                        `json:"passed"`  // of those
	Dead     int                        `json:"dead"`    // units given up
	Lost     int                        `json:"lost"`    // units in no queue; Progress leaves it 0
	Lag      map[stream.Stage]queue.Lag `json:"lag"`
	Workers  []store.Worker             `json:"workers"`
}

// Finished reports whether every cell of the run is written.
func (p *Progress) Finished() bool { return p.Manifest.Finished != 0 }

// Progress reads how far a run is.
func (s Sweeper) Progress(ctx context.Context, run string) (*Progress, error) {
	m, _, err := s.Store.Run(ctx, run)
	if err != nil {
		return nil, err
	}
	p := &Progress{Manifest: m, Lag: make(map[stream.Stage]queue.Lag)}
	cells, err := s.Store.Cells(ctx, run, -1)
	if err != nil {
		return nil, err
	}
	for c, st := range cells {
		p.Samples += st.Held()
		p.Passed += st.Passed
		if q, ok := m.Question(c.Question); ok && st.Held() >= m.Wanted(q, c.Temperature) {
			p.Cells++
		}
	}
	for _, stage := range stream.Stages {
		if p.Lag[stage], err = s.Queue.RunLag(ctx, stage, run); err != nil {
			return nil, err
		}
	}
	if p.Dead, err = s.Queue.DeadCount(ctx, run); err != nil {
		return nil, err
	}
	p.Workers, err = s.Store.Workers(ctx)
	slices.SortFunc(p.Workers, func(a, b store.Worker) int {
		return cmp.Or(cmp.Compare(slices.Index(stream.Stages, a.Stage), slices.Index(stream.Stages, b.Stage)), cmp.Compare(a.Name, b.Name))
	})
	return p, err
}

// Stuck reports whether the run can get no further by itself: every unit of its
// unfinished cells is either judged and waiting for its cell, or given up.
func (s Sweeper) Stuck(ctx context.Context, run string) (bool, error) {
	m, _, err := s.Store.Run(ctx, run)
	if err != nil || !m.Published {
		return false, err
	}
	gone, err := s.Queue.DeadIn(ctx, run, -1)
	if err != nil || len(gone) == 0 {
		return false, err
	}
	done, err := s.Store.Cells(ctx, run, -1)
	if err != nil {
		return false, err
	}
	for _, q := range m.Questions {
		waiting, err := s.waiting(ctx, m, q, gone, done)
		if err != nil || waiting {
			return false, err
		}
	}
	return true, nil
}

// waiting reports whether a unit of the question is still to be generated or judged.
func (s Sweeper) waiting(ctx context.Context, m *store.Manifest, q store.Question, gone map[stream.Unit]stream.Stage, done map[stream.Cell]store.CellState) (bool, error) {
	cell := func(t stream.Temperature) stream.Cell {
		return stream.Cell{Run: m.ID, Question: q.Index, Temperature: t}
	}
	if !slices.ContainsFunc(m.Temperatures, func(t stream.Temperature) bool { return store.Held(done, cell(t)) < m.Wanted(q, t) }) {
		return false, nil // no request needed
	}
	units, err := s.Queue.QuestionUnits(ctx, stream.Combine, m.ID, q.Index)
	if err != nil {
		return false, err
	}
	judged := make(map[stream.Unit]bool, len(units))
	for _, u := range units {
		judged[u] = true
	}
	for _, t := range m.Temperatures {
		incomplete := false
		for _, task := range m.Tasks(q, t) {
			stage, dead := gone[task.Unit]
			switch {
			case task.First+task.N <= store.Held(done, task.Cell):
			case dead && (stage == stream.Combine || !judged[task.Unit]):
				incomplete = true
			case !judged[task.Unit]:
				return true, nil
			}
		}
		// All its units are judged: the combiner has yet to write it.
		if !incomplete && store.Held(done, cell(t)) < m.Wanted(q, t) {
			return true, nil
		}
	}
	return false, nil
}

package sweep

import (
	"context"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// An Audit says where the units of a run are. A unit that moves between two stages during
// the audit may be counted in both.
type Audit struct {
	Run      string `json:"run"`
	Units    int    `json:"units"` // of the run
	Done     int    `json:"done"`  // in finished cells
	Generate int    `json:"generate"`
	Evaluate int    `json:"evaluate"`
	Combine  int    `json:"combine"`
	Dead     int    `json:"dead"` // given up
	Lost     int    `json:"lost"` // nowhere: no worker will ever be handed them
}

// Audit looks for every unit of a run and calls lost, unless it is nil, with those that
// are in no stage, not given up and not in a finished cell, in order. It asks the
// server a few times a question, never once a unit, and holds one question's units at
// a time.
//
// It reads the stages in the order in which units move, and the cells last, so that a unit
// that moves meanwhile is not taken for lost. Units move between GENERATE and DEAD in both
// directions: DEAD is read before and after.
func (s Sweeper) Audit(ctx context.Context, m *store.Manifest, lost func(stream.Task) error) (Audit, error) {
	a := Audit{Run: m.ID, Units: m.Units()}
	before, err := s.Store.Cells(ctx, m.ID, -1)
	if err != nil {
		return a, err
	}
	for _, q := range m.Questions {
		if done(m, q, before) {
			a.Done += m.UnitsOf(q)
			continue // a finished cell stays finished
		}
		if err := s.auditQuestion(ctx, m, q, &a, lost); err != nil {
			return a, err
		}
	}
	return a, nil
}

// done reports whether every cell of a question holds all its samples.
func done(m *store.Manifest, q store.Question, cells map[stream.Cell]store.CellState) bool {
	for _, t := range m.Temperatures {
		if store.Held(cells, stream.Cell{Run: m.ID, Question: q.Index, Temperature: t}) < m.Wanted(q, t) {
			return false
		}
	}
	return true
}

func (s Sweeper) auditQuestion(ctx context.Context, m *store.Manifest, q store.Question, a *Audit, lost func(stream.Task) error) error {
	there := make(map[stream.Unit]bool)
	dead := make(map[stream.Unit]bool)
	givenUp := func() error {
		units, err := s.Queue.DeadIn(ctx, m.ID, q.Index)
		for u := range units {
			dead[u], there[u] = true, true
		}
		return err
	}
	if err := givenUp(); err != nil {
		return err
	}
	counts := []*int{&a.Generate, &a.Evaluate, &a.Combine}
	for i, stage := range stream.Stages {
		units, err := s.Queue.QuestionUnits(ctx, stage, m.ID, q.Index)
		if err != nil {
			return err
		}
		for _, u := range units {
			there[u] = true
		}
		*counts[i] += len(units)
	}
	if err := givenUp(); err != nil {
		return err
	}
	a.Dead += len(dead)
	cells, err := s.Store.Cells(ctx, m.ID, q.Index)
	if err != nil {
		return err
	}
	for _, t := range m.Temperatures {
		for _, task := range m.Tasks(q, t) {
			switch {
			case task.First+task.N <= cells[task.Cell].N:
				a.Done++
			case !there[task.Unit]:
				a.Lost++
				if lost == nil {
					continue
				}
				if err := lost(task); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Short returns how many units of a published run are nowhere, by counts alone: at
// least that many, and 0 if the counts prove nothing. It costs a handful of requests,
// whatever the size of the run.
func (s Sweeper) Short(ctx context.Context, m *store.Manifest) (int, error) {
	if !m.Published || !m.Open() {
		return 0, nil
	}
	// In nearly every look all units are with consumers, and nothing need be listed.
	missing, err := s.missing(ctx, m, s.Queue.CountServed)
	if err != nil || missing == 0 {
		return 0, err
	}
	return s.missing(ctx, m, s.Queue.CountRun)
}

// missing returns how many units fewer are counted than cells wait for.
func (s Sweeper) missing(ctx context.Context, m *store.Manifest, count func(context.Context, string) (int, error)) (int, error) {
	counted, err := count(ctx, m.ID)
	if err != nil {
		return 0, err
	}
	cells, err := s.Store.Cells(ctx, m.ID, -1) // last, as in Audit
	if err != nil {
		return 0, err
	}
	wanted := 0
	for _, q := range m.Questions {
		for _, t := range m.Temperatures {
			wanted += m.UnitsAfter(q, t, cells[stream.Cell{Run: m.ID, Question: q.Index, Temperature: t}].N)
		}
	}
	return max(0, wanted-counted), nil
}

// Lost returns how many units of a published run are nowhere. It audits the run only
// if the counts say that some are missing.
func (s Sweeper) Lost(ctx context.Context, m *store.Manifest) (int, error) {
	short, err := s.Short(ctx, m)
	if err != nil || short == 0 {
		return 0, err
	}
	a, err := s.Audit(ctx, m, nil)
	return a.Lost, err
}

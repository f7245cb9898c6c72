package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/sweep"
)

// runsCmd lists the runs of a server.
type runsCmd struct {
	located `embed:""`
}

// A listed run is one row of `lcbq runs`.
type listedRun struct {
	ID        string `json:"id"`
	State     string `json:"state"`
	Engine    string `json:"engine"`
	Model     string `json:"model"`
	Cells     int    `json:"cells"` // finished
	CellsAll  int    `json:"cells_all"`
	Samples   int    `json:"samples"` // in finished cells
	SampleAll int    `json:"samples_all"`
	Dead      int    `json:"dead"` // units given up
	Created   int64  `json:"created_ms"`
	OutputDir string `json:"output_dir"`
}

// Run prints the runs, the oldest first.
func (c *runsCmd) Run(a *app) error {
	return attach(a, c.server, c.OutputDir, "runs", looks, func(s *session) error {
		all, unread, err := s.store.Runs(a.ctx)
		if err != nil {
			return err
		}
		for _, u := range unread {
			a.log.Warn("a run cannot be read and is left alone", "run", u.Key, "err", u.Err)
		}
		rows := make([]listedRun, 0, len(all))
		for _, m := range all {
			p, err := s.sweeper().Progress(a.ctx, m.ID)
			if err != nil {
				return err
			}
			m = p.Manifest
			state := m.State()
			if s.idle && m.Open() && m.Paused == 0 {
				state = snapshot.Stopped
			}
			rows = append(rows, listedRun{
				ID: m.ID, State: state, Engine: string(m.Model.Engine), Model: m.Model.Name, Cells: p.Cells, CellsAll: m.Cells(),
				Samples: p.Samples, SampleAll: m.Samples(), Dead: p.Dead, Created: m.Created, OutputDir: m.OutputDir,
			})
		}
		if a.json {
			return a.printJSON(rows)
		}
		fmt.Fprintf(a.out, "%-24s %-15s %-8s %13s %19s %8s  %-19s  %s\n", "run", "state", "engine", "cells", "samples", "given up", "created", "folder")
		for _, r := range rows {
			fmt.Fprintf(a.out, "%-24s %-15s %-8s %13s %19s %8d  %s  %s\n", r.ID, r.State, r.Engine, fmt.Sprintf("%d/%d", r.Cells, r.CellsAll),
				fmt.Sprintf("%d/%d", r.Samples, r.SampleAll), r.Dead, time.UnixMilli(r.Created).Format(time.DateTime), r.OutputDir)
		}
		return nil
	})
}

// pauseCmd stops the handing out of a run's units.
type pauseCmd struct {
	target `embed:""`
}

// Run pauses a run on all hosts.
func (c *pauseCmd) Run(a *app) error {
	return c.change(a, "pause", sweep.Sweeper.Pause, "units in flight are finished; 'lcbq resume' goes on")
}

// resumeCmd takes a pause back.
type resumeCmd struct {
	target `embed:""`
}

// Run resumes a run.
func (c *resumeCmd) Run(a *app) error {
	return c.change(a, "resume", sweep.Sweeper.Resume, "its units are handed out")
}

// cancelCmd ends a run.
type cancelCmd struct {
	target `embed:""`
}

// Run cancels a run.
func (c *cancelCmd) Run(a *app) error {
	return c.change(a, "cancel", sweep.Sweeper.Cancel, "its units are removed, its finished cells stay; submitting it again brings it back")
}

// change connects, does one thing to a run and says what that means.
func (t *target) change(a *app, verb string, f func(sweep.Sweeper, context.Context, string) (*store.Manifest, error), meaning string) error {
	return t.attach(a, verb, func(s *session, m *store.Manifest) error {
		m, err := f(s.sweeper(), a.ctx, m.ID)
		if errors.Is(err, sweep.ErrOver) {
			return fmt.Errorf("%s: %w\n'lcbq runs' lists the runs and their states", verb, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", verb, err)
		}
		if a.json {
			return a.printJSON(map[string]string{"run": m.ID, "state": m.State()})
		}
		fmt.Fprintf(a.out, "run %s is %s: %s\n", m.ID, m.State(), meaning)
		return nil
	})
}

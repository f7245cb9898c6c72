package cli

import (
	"encoding/json"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/sweep"
)

// printJSON writes v to stdout, for programs.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// statusCmd shows how far a run is.
type statusCmd struct {
	target `embed:""`
	Watch  bool          `short:"w" help:"look again until the run is over"`
	Every  time.Duration `default:"2s" help:"interval of --watch"`
}

// Run prints the state of a run, once or until it is over.
func (c *statusCmd) Run(a *app) error {
	return c.attach(a, "status", func(s *session, m *store.Manifest) error {
		for {
			p, err := s.sweeper().Progress(a.ctx, m.ID)
			if err != nil {
				return err
			}
			if err := c.print(a, p); err != nil {
				return err
			}
			if !c.Watch || !p.Manifest.Open() {
				return nil
			}
			select {
			case <-time.After(c.Every):
			case <-a.ctx.Done():
				return errInterrupted
			}
		}
	})
}

func (c *statusCmd) print(a *app, p *sweep.Progress) error {
	if a.json {
		return a.printJSON(p)
	}
	m := p.Manifest
	fmt.Fprintf(a.out, "run %s  %s  engine %s  model %s  judge %s\n", m.ID, m.State(), m.Model.Engine, m.Model.Name, m.Judge.Mode)
	fmt.Fprintf(a.out, "cells %d of %d   samples %d of %d   passed %d   given up %d units\n", p.Cells, m.Cells(), p.Samples, m.Samples(), p.Passed, p.Dead)
	fmt.Fprintf(a.out, "%-9s %9s %10s %12s %9s %12s\n", "stage", "waiting", "in flight", "redelivered", "stored", "bytes")
	for _, stage := range stream.Stages {
		l := p.Lag[stage]
		fmt.Fprintf(a.out, "%-9s %9d %10d %12d %9d %12d\n", stage.Stream(), l.Waiting, l.InFlight, l.Redelivered, l.Stored, l.Bytes)
	}
	for _, w := range p.Workers {
		fmt.Fprintf(a.out, "%-9s %s  %d units, %d samples, %d from cache, %d handed back", w.Stage, w.Name, w.Units, w.Samples, w.Cached, w.Faults)
		if w.Stage == stream.Evaluate {
			fmt.Fprintf(a.out, ", %d programs at once", w.Slots)
		}
		fmt.Fprintln(a.out)
		if w.Engine != nil {
			showEngine(a.out, w.Engine)
			fmt.Fprintf(a.out, "%9s %d units ready, %.1f MiB on their way to the queue, waited %.1f s for it\n", "", w.Ready, float64(w.Publishing)/(1<<20), w.Blocked)
		}
	}
	return nil
}

// versionCmd prints the version.
type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(a *app) error {
	if a.json {
		return a.printJSON(map[string]string{"version": Version()})
	}
	fmt.Fprintln(a.out, "lcbq", Version())
	return nil
}

// Version returns the version that was built: the module's, or "devel".
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

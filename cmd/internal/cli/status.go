package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker/lcb/result"
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
	Watch  bool          `short:"w" help:"look again until the run is finished"`
	Every  time.Duration `default:"2s" help:"interval of --watch"`
}

// Run prints the state of a run, once or until it is finished.
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
			if !c.Watch || p.Finished() {
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
	state := "running"
	switch {
	case p.Finished():
		state = "finished"
	case !m.Published:
		state = "being published"
	}
	fmt.Fprintf(a.out, "run %s  %s  engine %s  model %s  judge %s\n", m.ID, state, m.Model.Engine, m.Model.Name, m.Judge.Mode)
	fmt.Fprintf(a.out, "cells %d of %d   samples %d of %d   passed %d   given up %d units\n", p.Cells, m.Cells(), p.Samples, m.Samples(), p.Passed, p.Dead)
	fmt.Fprintf(a.out, "%-9s %9s %10s %12s %9s %12s\n", "stage", "waiting", "in flight", "redelivered", "stored", "bytes")
	for _, stage := range stream.Stages {
		l := p.Lag[stage]
		fmt.Fprintf(a.out, "%-9s %9d %10d %12d %9d %12d\n", stage.Stream(), l.Waiting, l.InFlight, l.Redelivered, l.Stored, l.Bytes)
	}
	for _, w := range p.Workers {
		fmt.Fprintf(a.out, "%-9s %s  %d units, %d samples, %d from cache, %d handed back\n", w.Stage, w.Name, w.Units, w.Samples, w.Cached, w.Faults)
	}
	return nil
}

// verifyCmd proves a results folder.
type verifyCmd struct {
	Results string `arg:"" type:"existingdir" help:"results folder"`
}

// Run reads every file of the folder and reports what does not add up.
func (c *verifyCmd) Run(a *app) error {
	proof, err := result.Verify(a.ctx, c.Results, result.Expectation{})
	if err != nil {
		return err
	}
	if a.json {
		if err := a.printJSON(proof); err != nil {
			return err
		}
	} else {
		for _, f := range proof.Findings {
			fmt.Fprintln(a.out, f)
		}
		fmt.Fprintf(a.out, "%d cells, %d samples, %d passed\n", proof.Cells, proof.Samples, proof.Passed)
	}
	if !proof.OK() {
		return fmt.Errorf("verify %s: %d findings", c.Results, len(proof.Findings))
	}
	return nil
}

// deadCmd deals with units that were given up.
type deadCmd struct {
	List    deadListCmd    `cmd:"" help:"list the units given up, with the reason"`
	Requeue deadRequeueCmd `cmd:"" help:"put them back where they were"`
}

// deadTarget names the runs whose dead units are meant.
type deadTarget struct {
	config.Server `embed:""`
	RunID         string `name:"run" placeholder:"ID" help:"run whose units are meant; by default all"`
}

// attach connects and calls f with the dead units.
func (t *deadTarget) attach(a *app, f func(s *session, dead []stream.Dead) error) error {
	return attach(a, t.Server, "dead", func(s *session) error {
		dead, err := s.queue.DeadUnits(a.ctx, t.RunID)
		if err != nil {
			return err
		}
		return f(s, dead)
	})
}

type deadListCmd struct {
	deadTarget `embed:""`
}

// Run lists dead units.
func (c *deadListCmd) Run(a *app) error {
	return c.attach(a, func(_ *session, dead []stream.Dead) error {
		if a.json {
			return a.printJSON(dead)
		}
		for _, d := range dead {
			fmt.Fprintf(a.out, "%s  %s  %s after %d deliveries: %s\n", time.UnixMilli(d.At).Format(time.DateTime), d.Subject, d.Worker, d.Deliveries, d.Reason)
		}
		fmt.Fprintf(a.err, "%d units given up\n", len(dead))
		return nil
	})
}

type deadRequeueCmd struct {
	deadTarget `embed:""`
}

// Run puts dead units back.
func (c *deadRequeueCmd) Run(a *app) error {
	return c.attach(a, func(s *session, dead []stream.Dead) error {
		var errs []error
		for _, d := range dead {
			errs = append(errs, s.queue.Requeue(a.ctx, d))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "%d units put back\n", len(dead))
		return nil
	})
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

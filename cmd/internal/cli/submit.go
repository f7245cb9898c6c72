package cli

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/combine"
)

// submitCmd publishes a run.
type submitCmd struct {
	config.Definition `embed:""`
	config.Until      `embed:"" group:"what"`
	server            `embed:""`
}

// Run publishes the run's units and returns.
func (c *submitCmd) Run(a *app) error {
	if err := errors.Join(c.Definition.Check(), c.Until.Check(c.N)); err != nil {
		return usageError{err}
	}
	def, err := define(a.ctx, &c.Definition, config.Pace{}, "vllm", a.args, a.log)
	if err != nil {
		return err
	}
	if err = def.stepwise(c.Until, c.N); err == nil {
		def.begin()
		err = c.submit(a, def)
	}
	return errors.Join(err, def.source.close())
}

// kept returns what run.toml holds: the settings of this command, and for the workers' what 'lcbq run' would take, so
// that it goes on with the run, or repeats it, by that file.
func (c *submitCmd) kept() (config.Config, error) {
	_, run, err := settings()
	if err != nil {
		return config.Config{}, usageError{err}
	}
	kept := run.config()
	kept.Definition, kept.Until, kept.Client, kept.Store = c.Definition, c.Until, c.Client, c.Store
	return kept, nil
}

func (c *submitCmd) submit(a *app, def *definition) error {
	if err := checkFolder(c.OutputDir, def.manifest.ID, &c.Definition); err != nil {
		return err
	}
	return attach(a, c.server, withServer(c.OutputDir), "submit", works, func(s *session) error {
		sub, err := s.sweeper().Define(a.ctx, def.manifest, def.row)
		if err != nil {
			return err
		}
		// The folder before the first unit: a submission that fails leaves nothing behind.
		kept, err := c.kept()
		if err != nil {
			return errors.Join(err, s.sweeper().Withdraw(a.ctx, sub))
		}
		if kept.NATS == "" { // the folder tells where its run is
			if kept.StoreDir, err = filepath.Abs(s.dir); err != nil {
				return errors.Join(err, s.sweeper().Withdraw(a.ctx, sub))
			}
		}
		if err := writeConfig(kept, def.manifest); err != nil {
			return errors.Join(err, s.sweeper().Withdraw(a.ctx, sub))
		}
		if sub.New {
			if sub.Adopted, err = combine.Adopt(a.ctx, s.store, sub.Manifest, c.OutputDir); err != nil {
				return err
			}
		}
		if err := s.sweeper().Publish(a.ctx, &sub); err != nil {
			return fmt.Errorf("%w\nwhat is published stays: the same command publishes the rest, 'lcbq cancel --run %s' takes it back", err, def.manifest.ID)
		}
		m := sub.Manifest
		if a.json {
			return a.printJSON(map[string]any{"run": m.ID, "new": sub.New, "units": sub.Units, "lost": sub.Lost, "adopted": sub.Adopted, "samples": m.Samples(), "cells": m.Cells()})
		}
		if sub.Lost > 0 {
			fmt.Fprintf(a.err, "%d units of run %s were gone from every queue; they are published again\n", sub.Lost, m.ID)
		}
		if sub.Adopted > 0 {
			fmt.Fprintf(a.err, "%d cells are done: another server's, in the results folder\n", sub.Adopted)
		}
		more := ""
		if m.Until != nil {
			more = fmt.Sprintf(" to begin with, at most %d of a cell: the combiner adds what --until-width asks for", m.Until.Most)
		}
		fmt.Fprintf(a.out, "run %s: %d units published, %d samples in %d cells%s\n", m.ID, sub.Units, m.Samples(), m.Cells(), more)
		return nil
	})
}

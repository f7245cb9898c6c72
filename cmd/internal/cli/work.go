package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
)

// serverCmd runs the embedded server alone.
type serverCmd struct {
	config.Server `embed:""`
	Dir           string `default:".lcbq" type:"path" help:"where the server keeps its streams, unless --store-dir says so"`
}

// Run serves until interrupted.
func (c *serverCmd) Run(a *app) error {
	dir := c.StoreDir
	if dir == "" {
		dir = c.Dir
	}
	h, err := serve(a.ctx, c.Server, dir, a.log)
	if err != nil {
		return err
	}
	a.log.Info("serving", "url", h.url, "store", dir)
	<-a.ctx.Done()
	a.log.Info("stopping the server")
	return h.close()
}

// submitCmd publishes a run.
type submitCmd struct {
	config.Sweep   `embed:""`
	config.Model   `embed:""`
	config.Judge   `embed:""`
	config.Workers `embed:"" hidden:""`
	config.Server  `embed:""`
	config.Hub     `embed:""`
}

// Run publishes the run's units and returns.
func (c *submitCmd) Run(a *app) error {
	cfg := config.Config{Sweep: c.Sweep, Model: c.Model, Judge: c.Judge, Workers: c.Workers, Server: c.Server, Hub: c.Hub}
	def, err := define(a.ctx, cfg, a.log)
	if err != nil {
		return err
	}
	return errors.Join(c.submit(a, cfg, def), def.source.close())
}

func (c *submitCmd) submit(a *app, cfg config.Config, def *definition) error {
	if err := checkFolder(cfg.OutputDir, def.manifest.ID); err != nil {
		return err
	}
	s, err := join(a.ctx, c.Server, "submit", a.log)
	if err != nil {
		return err
	}
	defer s.close()
	sub, err := s.sweeper().Submit(a.ctx, def.manifest, def.row)
	if err != nil {
		return err
	}
	if err := writeConfig(cfg, def.manifest.ID); err != nil {
		return err
	}
	m := sub.Manifest
	if a.json {
		return a.printJSON(map[string]any{"run": m.ID, "new": sub.New, "units": sub.Units, "samples": m.Samples(), "cells": m.Cells()})
	}
	fmt.Fprintf(a.out, "run %s: %d units published, %d samples in %d cells\n", m.ID, sub.Units, m.Samples(), m.Cells())
	return nil
}

// pickRun returns the manifest of the named run, or of the only unfinished one.
func pickRun(ctx context.Context, s *session, id string) (*store.Manifest, error) {
	if id != "" {
		m, _, err := s.store.Run(ctx, id)
		return m, err
	}
	ids, err := s.store.Runs(ctx)
	if err != nil {
		return nil, err
	}
	var open []*store.Manifest
	var last *store.Manifest
	for _, id := range ids {
		m, _, err := s.store.Run(ctx, id)
		if err != nil {
			return nil, err
		}
		if m.Finished == 0 {
			open = append(open, m)
		}
		if last == nil || m.Created > last.Created {
			last = m
		}
	}
	switch {
	case len(open) == 1:
		return open[0], nil
	case len(open) > 1:
		return nil, fmt.Errorf("%d runs are unfinished on this server: name one with --run", len(open))
	case last != nil:
		return last, nil
	}
	return nil, fmt.Errorf("%w\npublish one with 'lcbq submit'", errNoRun)
}

// generateCmd is a generator process.
type generateCmd struct {
	config.Model  `embed:""`
	config.Server `embed:""`
	Run_          string `name:"run" placeholder:"ID" help:"run whose engine to use; by default the unfinished one"` //nolint:revive // Run is the method
	Generators    int    `default:"1" help:"generators in this process"`
}

// Run generates until interrupted.
func (c *generateCmd) Run(a *app) error {
	s, err := join(a.ctx, c.Server, "generate", a.log)
	if err != nil {
		return err
	}
	defer s.close()
	m, err := pickRun(a.ctx, s, c.Run_)
	if err != nil {
		return err
	}
	if m.Model.Engine == "replay" && c.Completions == "" {
		return usageError{fmt.Errorf("run %s replays recorded completions: name their file with --completions", m.ID)}
	}
	src, err := newSource(a.ctx, c.Model, m.Model, a.log)
	if err != nil {
		return err
	}
	pulses := newPulses(stream.Generate, "gpu", c.Generators, 1)
	a.log.Info("generating", "run", m.ID, "engine", m.Model.Engine, "model", src.modelName, "server", s.url)
	err = runGenerators(a.ctx, s, &worker.Runs{Store: s.store}, src, c.Generators, src.inFlight(c.Requests, m.UnitSize),
		func(name string) (*slog.Logger, error) { return a.log.With("worker", name), nil }, pulses)
	return errors.Join(interrupted(a, err), src.close())
}

// evaluateCmd is an evaluator process.
type evaluateCmd struct {
	config.Judge   `embed:""`
	config.Workers `embed:""`
	config.Server  `embed:""`
	Run_           string `name:"run" placeholder:"ID" help:"run whose judge settings to use; by default the unfinished one"` //nolint:revive // Run is the method
}

// Run judges until interrupted. Mode and limits are the run's.
func (c *evaluateCmd) Run(a *app) error {
	slots, err := slotsOf(c.Workers)
	if err != nil {
		return err
	}
	s, err := join(a.ctx, c.Server, "evaluate", a.log)
	if err != nil {
		return err
	}
	defer s.close()
	m, err := pickRun(a.ctx, s, c.Run_)
	if err != nil {
		return err
	}
	g, err := newGrader(a.ctx, c.Judge, m.Judge, slots, a.log)
	if err != nil {
		return err
	}
	a.log.Info("judging", "run", m.ID, "judge", m.Judge.Mode, "slots", slots, "sandbox_level", g.Host().Level().String(), "server", s.url)
	pulse := newPulses(stream.Evaluate, "eval", 1, slots)[0]
	err = runEvaluator(a.ctx, s, &worker.Runs{Store: s.store}, g, slots, pulse, a.log)
	return errors.Join(interrupted(a, err), g.Close())
}

// combineCmd is the combiner process.
type combineCmd struct {
	config.Server `embed:""`
	OutputDir     string `short:"o" type:"path" help:"results folder; by default the one that the run was submitted with"`
	Compress      string `default:"none" enum:"none,zstd" help:"compress the cell files"`
}

// Run writes result files until interrupted.
func (c *combineCmd) Run(a *app) error {
	s, err := join(a.ctx, c.Server, "combine", a.log)
	if err != nil {
		return err
	}
	defer s.close()
	a.log.Info("combining", "server", s.url)
	pulse := newPulses(stream.Combine, "combine", 1, 1)[0]
	return interrupted(a, runCombiner(a.ctx, s, &worker.Runs{Store: s.store}, c.OutputDir, c.Compress == "zstd", pulse, a.log))
}

// interrupted is how a worker that runs until it is told to stop ends.
func interrupted(a *app, err error) error {
	if err == nil && a.ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

package cli

import (
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
	config.VLLM    `embed:""`
	config.Judge   `embed:""`
	config.Workers `embed:"" hidden:""`
	config.Server  `embed:""`
	config.Hub     `embed:""`
}

// Run publishes the run's units and returns.
func (c *submitCmd) Run(a *app) error {
	cfg := config.Config{Sweep: c.Sweep, Model: c.Model, VLLM: c.VLLM, Judge: c.Judge, Workers: c.Workers, Server: c.Server, Hub: c.Hub}
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
	return attach(a, c.Server, "submit", func(s *session) error {
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
	})
}

// generateCmd is a generator process.
type generateCmd struct {
	target       `embed:""`
	config.Model `embed:""`
	config.VLLM  `embed:""`
	config.Hub   `embed:""`
	Generators   int    `default:"1" help:"generators in this process; vLLM has one on each GPU, or as many as this with --gpus none"`
	Logs         string `type:"path" placeholder:"DIR" help:"where vLLM's output goes, gpu0.log and so on; by default logs in the run's results folder if this machine has it, else lcbq-logs"`
}

// Run generates until interrupted.
func (c *generateCmd) Run(a *app) error {
	return c.attach(a, "generate", func(s *session, m *store.Manifest) error {
		if m.Model.Engine == "replay" && c.Completions == "" {
			return usageError{fmt.Errorf("run %s replays recorded completions: name their file with --completions", m.ID)}
		}
		here := arrive(a.ctx, s, stream.Generate, a.log)
		defer here.leave()
		if m.Model.Engine == "vllm" {
			return c.onGPUs(a, s, m, here)
		}
		src, err := newSource(a.ctx, c.Model, m.Model, a.log)
		if err != nil {
			return whileStarting(a, err)
		}
		pulses := newPulses(stream.Generate, "gpu", c.Generators, 1)
		here.works(pulses...)
		a.log.Info("generating", "run", m.ID, "engine", m.Model.Engine, "model", src.modelName, "server", s.url)
		logs := func(name string) (*slog.Logger, error) { return a.log.With("worker", name), nil }
		err = runGenerators(a.ctx, s, &worker.Runs{Store: s.store}, src, c.Generators, src.inFlight(c.Requests, m.UnitSize), logs, pulses)
		return errors.Join(interrupted(a, err), src.close())
	})
}

// onGPUs generates with vLLM on this machine's GPUs until interrupted.
func (c *generateCmd) onGPUs(a *app, s *session, m *store.Manifest, here *arrival) error {
	f, err := openFleet(a.ctx, c.VLLM, c.Hub, c.Generators, m.Model, a.log)
	if err != nil {
		return whileStarting(a, err)
	}
	if err := f.Prepare(a.ctx, a.log, engineLogs(c.Logs, m.OutputDir)); err != nil {
		return errors.Join(err, f.Close())
	}
	g := &garage{session: s, run: m, runs: &worker.Runs{Store: s.store}, log: a.log, slots: fleetSlots(c.Requests, c.MaxNumSeqs, m.UnitSize)}
	g.logs = func(name string) (*slog.Logger, error) { return a.log.With("worker", name), nil }
	a.log.Info("generating", "run", m.ID, "engine", m.Model.Engine, "model", m.Model.Name, "engines", len(f.Members()), "server", s.url)
	pulses := fleetPulses(f, g.slots)
	here.works(pulses...)
	return errors.Join(interrupted(a, g.work(a.ctx, f, pulses)), f.Close())
}

// evaluateCmd is an evaluator process.
type evaluateCmd struct {
	target         `embed:""`
	config.Judge   `embed:""`
	config.Workers `embed:""`
}

// Run judges until interrupted. Mode and limits are the run's.
func (c *evaluateCmd) Run(a *app) error {
	if err := c.Workers.Check(); err != nil {
		return usageError{err}
	}
	return c.attach(a, "evaluate", func(s *session, m *store.Manifest) error {
		here := arrive(a.ctx, s, stream.Evaluate, a.log)
		defer here.leave()
		share, err := shareOf(c.Workers, cardsHere(a.ctx))
		if err != nil {
			return err
		}
		g, err := newGrader(a.ctx, c.Judge, m.Judge, share, a.log)
		if err != nil {
			return whileStarting(a, err)
		}
		a.log.Info("judging", "run", m.ID, "judge", m.Judge.Mode, "slots", share.Slots, "cpus_left_to_engines", share.reserved(), "sandbox_level", g.Host().Level().String(), "server", s.url)
		pulse := newPulses(stream.Evaluate, "eval", 1, share.Slots)[0]
		here.works(pulse)
		err = runEvaluator(a.ctx, s, &worker.Runs{Store: s.store}, g, share, pulse, a.log)
		return errors.Join(interrupted(a, err), g.Close())
	})
}

// combineCmd is the combiner process.
type combineCmd struct {
	target    `embed:""`
	OutputDir string `short:"o" type:"path" help:"results folder of the run, instead of the one that it was submitted with; other runs' go where theirs were"`
	Compress  string `default:"none" enum:"none,zstd" help:"compress the cell files"`
}

// Run writes result files until interrupted.
func (c *combineCmd) Run(a *app) error {
	return attach(a, c.Server, "combine", func(s *session) error {
		here := arrive(a.ctx, s, stream.Combine, a.log)
		defer here.leave()
		var dir folderOf
		if c.OutputDir != "" {
			m, err := pickRun(a.ctx, s, c.RunID)
			if err != nil {
				return err
			}
			if err := checkFolder(c.OutputDir, m.ID); err != nil {
				return err
			}
			dir = folderOf{m.ID, c.OutputDir}
		}
		a.log.Info("combining", "server", s.url)
		pulse := newPulses(stream.Combine, "combine", 1, 1)[0]
		here.works(pulse)
		return interrupted(a, runCombiner(a.ctx, s, &worker.Runs{Store: s.store}, dir, c.Compress == "zstd", pulse, a.log))
	})
}

// interrupted is how a worker that runs until it is told to stop ends.
func interrupted(a *app, err error) error {
	if err == nil && a.ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

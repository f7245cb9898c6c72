package cli

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/background"
	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/engine/replay"
	"github.com/lcbq/lcbq/worker/generate"
)

// generateCmd runs generators.
type generateCmd struct {
	target            `embed:""`
	standing          `embed:""`
	config.Source     `embed:"" group:"engine"`
	config.Pace       `embed:"" group:"engine"`
	config.VLLM       `embed:"" group:"engine"`
	config.Llama      `embed:"" group:"engine"`
	config.Generators `embed:"" group:"machine"`
	config.Hub        `embed:"" group:"hub"`
	Logs              string `group:"machine" type:"path" placeholder:"DIR" help:"where vLLM's output goes, gpu0.log and so on; by default logs in the run's results folder if this machine has it, else lcbq-logs"`
}

// Run generates for every run that this machine's engine fits, until interrupted.
func (c *generateCmd) Run(a *app) error {
	if err := errors.Join(c.Pace.Check(), c.VLLM.Check(), c.Generators.Check(), c.check(a.args)); err != nil {
		return usageError{err}
	}
	return attach(a, c.server, c.OutputDir, "generate", works, func(s *session) error {
		w := &worker.Standing{Run: c.RunID, Refuses: c.refuses, Same: sameEngine}
		return c.work(a, s, stream.Generate, w, func(ctx context.Context, m *store.Manifest, here *arrival, watch func(...*worker.Pulse)) error {
			if m.Model.Engine.Supervised() {
				return c.onGPUs(ctx, a, s, m, here, watch)
			}
			var asks openai.Asks
			if m.Model.Engine.Attached() {
				var err error
				if asks, err = asksOfRun(ctx, s.store, m); err != nil {
					return whileStarting(a, err)
				}
			}
			src, err := newSource(ctx, c.Source, c.Pace, m.Model, asks, replay.Options{}, a.log)
			if err != nil {
				return whileStarting(a, err)
			}
			pulses := newPulses(stream.Generate, "gen", c.Generators.Generators, 1)
			watch(pulses...)
			here.works(pulses...)
			a.log.Info("generating", "run", m.ID, "engine", m.Model.Engine, "model", src.modelName, "server", s.url)
			err = newWorkers(a, s, here.helm).generate(ctx, src, c.Generators, src.inFlight(c.Requests, m.UnitSize), pulses)
			return errors.Join(err, src.close())
		})
	})
}

// refuses says why this process cannot generate for a run.
func (c *generateCmd) refuses(m *store.Manifest) error {
	if m.Model.Engine.Recorded() && c.Completions == "" {
		return usageError{fmt.Errorf("run %s replays recorded completions: name their file with --completions", m.ID)}
	}
	if m.Model.Engine.Attached() && len(c.Endpoint) == 0 {
		return usageError{fmt.Errorf("run %s asks an OpenAI-compatible endpoint: name one that serves %s with --endpoint", m.ID, m.Model.Name)}
	}
	if m.Model.Engine == stream.EngineLlama && c.LlamaFile == "" {
		return usageError{fmt.Errorf("run %s wants the model's file %s: say where it lies on this machine with --llama-file", m.ID, m.Model.Name)}
	}
	return nil
}

// sameEngine reports whether the engine of one run generates for another.
func sameEngine(a, b *store.Manifest) bool {
	return a.Model.Engine == b.Model.Engine && a.Model.Name == b.Model.Name && reflect.DeepEqual(a.Model.Serve, b.Model.Serve)
}

// onGPUs generates with vLLM on this machine's GPUs until interrupted.
func (c *generateCmd) onGPUs(ctx context.Context, a *app, s *session, m *store.Manifest, here *arrival, watch func(...*worker.Pulse)) error {
	asks, err := asksOfRun(ctx, s.store, m)
	if err != nil {
		return whileStarting(a, err)
	}
	f, err := openFleet(ctx, c.VLLM, c.Llama, "", c.Hub, c.Generators.Generators, m.Model, asks, a.log)
	if err != nil {
		return whileStarting(a, err)
	}
	if err := f.Prepare(a.log, engineLogs(c.Logs, m.OutputDir), a.hurry); err != nil {
		return errors.Join(err, f.Close())
	}
	g := &generators{workers: newWorkers(a, s, here.helm), run: m, log: a.log, slots: fleetSlots(c.Requests, sequences(m.Model.Engine, c.VLLM, c.Llama), m.UnitSize), unhealthy: onUnhealthy(c.Generators)}
	a.log.Info("generating", "run", m.ID, "engine", m.Model.Engine, "model", m.Model.Name, "engines", len(f.Members()), "server", s.url)
	pulses := fleetPulses(f, g.slots)
	watch(pulses...)
	here.works(firstPulses(f, pulses)...)
	return errors.Join(g.work(ctx, f, pulses), f.Close())
}

// generate runs a generator for each pulse until ctx is done or one of them fails.
func (w *workers) generate(ctx context.Context, src *source, asked config.Generators, inFlight int, pulses []*worker.Pulse) error {
	unhealthy := onUnhealthy(asked)
	group, running := errgroup.WithContext(ctx)
	for i, pulse := range pulses {
		log, err := w.logs(fmt.Sprintf("gen%d", i))
		if err != nil {
			group.Go(func() error { return err })
			break
		}
		e, err := src.each()
		if err != nil {
			group.Go(func() error { return err })
			break
		}
		g := &generate.Worker{
			Queue: w.queue, Store: w.store, Runs: w.runs, Engine: e, Pulse: pulse, Slots: inFlight, Grace: generateGrace, Hurry: w.hurry, Log: log,
			Unhealthy: unhealthy(log),
		}
		if i == 0 {
			// The number in flight follows the server's metrics during the drain too.
			defer background.Start(context.WithoutCancel(ctx), func(ctx context.Context) { src.attend(ctx, log) })()
			defer background.Start(context.WithoutCancel(ctx), func(ctx context.Context) { src.tell(ctx, pulses) })()
		}
		group.Go(func() error { return w.withPulse(running, pulse, log, g.Run) })
	}
	return group.Wait()
}

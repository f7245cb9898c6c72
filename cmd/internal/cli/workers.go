package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/combine"
	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/generate"
	"github.com/lcbq/lcbq/worker/gpu"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// How long units in flight may go on when a worker is told to stop. What is not
// done by then goes back to the queue; nothing is lost but the time.
const (
	generateGrace = 30 * time.Second
	evaluateGrace = 20 * time.Second
	combineGrace  = time.Minute
)

// sandboxConfig returns the judge's settings: those of the run, by the interpreter
// of this machine.
func sandboxConfig(cfg config.Judge, j store.Judge, log *slog.Logger) (sandbox.Config, error) {
	level, err := sandbox.ParseLevel(cfg.SandboxMinLevel)
	if err != nil {
		return sandbox.Config{}, usageError{err}
	}
	limit := time.Duration(j.TimeLimit * float64(time.Second))
	c := sandbox.Config{
		Python: cfg.Python, MinLevel: level, Log: log,
		Limits: sandbox.Limits{CPU: limit, Slack: evaluate.Slack(limit), Wall: limit, Hard: 10 * limit, Memory: j.MemoryLimit, Output: j.OutputLimit},
	}
	if j.Mode == "script" {
		c.Mode = sandbox.Script
	}
	return c, nil
}

// newGrader starts the sandbox slots of this machine.
func newGrader(ctx context.Context, cfg config.Judge, j store.Judge, sh share, log *slog.Logger) (*evaluate.Grader, error) {
	sc, err := sandboxConfig(cfg, j, log)
	if err != nil {
		return nil, err
	}
	sc.CPUs = sh.CPUs
	g, err := evaluate.NewGrader(ctx, evaluate.Config{Sandbox: sc, Slots: sh.Slots, Log: log})
	if err != nil {
		return nil, err
	}
	if env := g.Host().Environment(); env.Packages["numpy"] == "" {
		log.Warn("numpy is not importable: programs that import it fail here, and pass with the official judge; install it, or choose another --python", "python", env.Interpreter)
	}
	return g, nil
}

// A crew is the workers of one stage in this process.
type crew struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // valid once done is closed
}

// launch runs a worker on its own: it is stopped by stop, not by ctx, because the
// stages stop in an order. failed is told when it ends by itself.
func launch(ctx context.Context, failed chan<- error, run func(ctx context.Context) error) *crew {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &crew{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = run(ctx)
		if c.err != nil {
			select {
			case failed <- c.err:
			default: // another one was first; stop reports this one
			}
		}
	}()
	return c
}

// stop drains the worker and returns how it ended.
func (c *crew) stop() error {
	c.cancel()
	<-c.done
	return c.err
}

// withPulse runs a worker with its heartbeat beside it.
func withPulse(ctx context.Context, s *store.Store, p *worker.Pulse, log *slog.Logger, run func(ctx context.Context) error) error {
	beat, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Beat(beat, s, log)
	}()
	err := run(ctx)
	stop()
	<-done
	return err
}

// runGenerators runs n generators until ctx is done.
func runGenerators(ctx context.Context, s *session, runs *worker.Runs, src *source, n, inFlight int, logs func(name string) (*slog.Logger, error), pulses []*worker.Pulse) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, n)
	started := 0
	var failed error
	// What is in flight when ctx ends is finished: the server is attended until then.
	attending, enough := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	defer beside.Wait()
	defer enough()
	for i := range n {
		log, err := logs(fmt.Sprintf("gpu%d", i))
		if err != nil {
			failed = err
			break
		}
		e, err := src.each()
		if err != nil {
			failed = err
			break
		}
		w := &generate.Worker{
			Queue: s.queue, Store: s.store, Runs: runs, Engine: e, Pulse: pulses[i], Slots: inFlight, Grace: generateGrace, Log: log,
		}
		if started == 0 {
			beside.Go(func() { src.attend(attending, log) })
		}
		started++
		go func() { errs <- withPulse(ctx, s.store, pulses[i], log, w.Run) }()
	}
	if failed != nil {
		cancel()
	}
	for range started {
		if err := <-errs; err != nil {
			failed = errors.Join(failed, err)
			cancel()
		}
	}
	return failed
}

// newPulses names n workers of a stage.
func newPulses(stage stream.Stage, label string, n, slots int) []*worker.Pulse {
	ps := make([]*worker.Pulse, n)
	for i := range ps {
		ps[i] = worker.NewPulse(stage, fmt.Sprintf("%s%d", label, i), slots)
	}
	return ps
}

func runEvaluator(ctx context.Context, s *session, runs *worker.Runs, g *evaluate.Grader, sh share, pulse *worker.Pulse, log *slog.Logger) error {
	w := &evaluate.Worker{
		Queue: s.queue, Store: s.store, Runs: runs, Grader: g, Pulse: pulse, Slots: sh.Slots, Grace: evaluateGrace, Log: log,
	}
	if sh.governor == nil {
		return withPulse(ctx, s.store, pulse, log, w.Run)
	}
	w.Units = evaluate.NewUnits(sh.Slots)
	pulse.Look = func(_ context.Context, w *store.Worker) { w.Slots = sh.governor.Now().Slots }
	cards, err := gpu.Open(ctx, gpu.Config{})
	if err != nil { // vLLM for the processor
		now := sh.governor.Look(unread, time.Now())
		w.Limit(now.Slots, now.CPUs)
		return withPulse(ctx, s.store, pulse, log, w.Run)
	}
	every := governEvery
	if cards.Slow() {
		every = slowGovernEvery
	}
	governed, enough := context.WithCancel(context.WithoutCancel(ctx)) // what is in hand at the end too
	var beside sync.WaitGroup
	beside.Go(func() { govern(governed, sh.governor, cards, every, w, log) })
	err = withPulse(ctx, s.store, pulse, log, w.Run)
	enough()
	beside.Wait()
	return errors.Join(err, cards.Close())
}

// A folderOf is where a run's results go, if not where its manifest says. Another
// run's cells never go there.
type folderOf struct{ run, path string }

func runCombiner(ctx context.Context, s *session, runs *worker.Runs, dir folderOf, compress bool, pulse *worker.Pulse, log *slog.Logger) error {
	w := &combine.Worker{
		Queue: s.queue, Store: s.store, Runs: runs, Dir: dir.path, Only: dir.run, Compress: compress, Pulse: pulse, Grace: combineGrace, Log: log,
		Closed: func(ctx context.Context, dir string) { leaveReport(ctx, dir, log) },
	}
	steward := sweep.Steward{Sweeper: s.sweeper(), Log: log}
	return withPulse(ctx, s.store, pulse, log, func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			steward.Run(ctx)
		}()
		err := w.Run(ctx)
		stop()
		<-done
		return err
	})
}

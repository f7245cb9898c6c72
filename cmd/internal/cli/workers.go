package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/background"
)

// How long units in flight may go on after a signal. What is not done by then goes back to the
// queue: only the time is lost.
const (
	generateGrace = 30 * time.Second
	evaluateGrace = 20 * time.Second
	combineGrace  = time.Minute
)

// newPulses names n workers of a stage.
func newPulses(stage stream.Stage, label string, n, slots int) []*worker.Pulse {
	ps := make([]*worker.Pulse, n)
	for i := range ps {
		ps[i] = worker.NewPulse(stage, fmt.Sprintf("%s%d", label, i), slots)
	}
	return ps
}

// workers runs this process's workers. Its fields are what they share.
type workers struct {
	*session
	runs  *worker.Runs
	hurry *worker.Hurry
	helm  *helm                                   // by which they are steered
	lends *access.Keys                            // by which evaluators lend units; nil if they do not
	logs  func(name string) (*slog.Logger, error) // returns the log of the generator with that name
}

// newWorkers returns the workers of a process that serves the runs of s, logs to a and is steered by h.
func newWorkers(a *app, s *session, h *helm) *workers {
	return &workers{session: s, helm: h, runs: &worker.Runs{Store: s.store}, hurry: a.hurry, logs: func(name string) (*slog.Logger, error) { return a.log.With("worker", name), nil }}
}

// withPulse runs a worker with its heartbeat, which goes on while the worker drains.
func (w *workers) withPulse(ctx context.Context, p *worker.Pulse, log *slog.Logger, run func(ctx context.Context) error) error {
	defer w.helm.listen(ctx, w.session, p, log)()
	defer background.Start(context.WithoutCancel(ctx), func(ctx context.Context) { p.Beat(ctx, w.store, log) })()
	return run(ctx)
}

// A part is one of the things that `lcbq run` does at the same time: the workers of one stage, or
// the publishing of units.
type part struct {
	end func()
	err error // valid after end
}

// launch starts a part. Stop ends it, not ctx: the stages stop in an order. An error with which it
// ends by itself is sent to failed.
func launch(ctx context.Context, failed chan<- error, run func(ctx context.Context) error) *part {
	p := new(part)
	p.end = background.Start(context.WithoutCancel(ctx), func(ctx context.Context) {
		if p.err = run(ctx); p.err != nil {
			select {
			case failed <- p.err:
			default: // another one was first; stop reports this one
			}
		}
	})
	return p
}

// stop drains the part and returns how it ended.
func (p *part) stop() error {
	p.end()
	return p.err
}

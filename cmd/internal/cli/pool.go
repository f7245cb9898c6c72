package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
)

// A standing is a worker process that waits for runs.
type standing struct {
	UntilIdle time.Duration `name:"until-idle" aliases:"idle-exit" placeholder:"DURATION" help:"end after this time without work, such as 10m; without it only a signal ends the worker, or the end of the run that --run names"`
	For       time.Duration `name:"for" placeholder:"DURATION" help:"end after this time, such as 2h: what is in hand is finished or given back, as after a signal"`
}

// check returns an error if a time is none to wait for.
func (c standing) check(args []string) error {
	var errs []error
	check := func(name string, d time.Duration, given bool) {
		if d < 0 || d == 0 && given {
			errs = append(errs, fmt.Errorf("--%s = %v: want more than 0, such as 10m; without it there is no end", name, d))
		}
	}
	check("until-idle", c.UntilIdle, named(args, "until-idle") || named(args, "idle-exit"))
	check("for", c.For, named(args, "for"))
	return errors.Join(errs...)
}

// limited returns the context of the command, which also ends when the time of --for is over.
func (c standing) limited(a *app) (context.Context, context.CancelFunc) {
	if c.For <= 0 {
		return context.WithCancel(a.ctx)
	}
	ctx, cancel := context.WithCancel(a.ctx)
	timer := time.AfterFunc(c.For, func() {
		a.log.Info("the time of --for is over, finishing what is in hand", "for", c.For)
		cancel()
	})
	return ctx, func() {
		timer.Stop()
		cancel()
	}
}

// work serves runs as they come, until there is a reason to end. serve works for a run,
// and for those with the same settings, until its context ends; here is the process's
// heartbeat until serve has its own.
func (c standing) work(a *app, s *session, stage stream.Stage, w *worker.Standing, serve func(ctx context.Context, m *store.Manifest, here *arrival, watch func(...*worker.Pulse)) error) error {
	w.Store, w.Idle, w.Log = s.store, c.UntilIdle, a.log
	ctx, cancel := c.limited(a)
	defer cancel()
	if w.Run != "" { // a run that does not exist is a mistake: do not wait for it
		if _, err := pickRun(a.ctx, s, w.Run); err != nil {
			return err
		}
	}
	helm := &helm{drain: func() {
		a.log.Info("asked to drain, finishing what is in hand")
		cancel()
	}}
	defer a.announce(a.log)()
	// A worker whose server is away waits for it: that is no reason to start it anew.
	defer a.supervise(func(context.Context) error { return nil }).stopping()
	for {
		here := arrive(ctx, s, stage, helm, a.log)
		m, working, err := w.Next(ctx)
		if m == nil || err != nil {
			here.leave()
			return errors.Join(interrupted(a, err))
		}
		started := false
		err = serve(working, m, here, func(pulses ...*worker.Pulse) {
			started = true
			w.Watch(pulses...)
		})
		brokenOff := !started && working.Err() != nil && a.ctx.Err() == nil
		w.Done()
		here.leave()
		if errors.Is(err, worker.ErrUnfit) {
			err = w.Unfit(ctx, m, err)
		}
		if err != nil && brokenOff {
			// Before the start was done the time of --for was over, or the run, or an order to drain came.
			a.log.Debug("start broken off", "err", err)
			err = nil
		}
		if err != nil || ctx.Err() != nil {
			return interrupted(a, err)
		}
	}
}

package cli

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
)

// An arrival is the heartbeat of a process that has attached to a server and does not work yet: it
// asks vllm for its flags, reads a recording or starts sandboxes, which takes up to minutes. By it
// 'lcbq stop' finds the process meanwhile, and status shows it.
type arrival struct {
	ctx   context.Context //nolint:containedctx // the life of the heartbeat: it ends with leave, not with a signal
	store *store.Store
	log   *slog.Logger
	end   context.CancelFunc
	done  chan struct{}
}

// arrive makes the process known to the server before it returns, and keeps it known until it works
// or leaves. A server that cannot be told now does not keep it from starting.
func arrive(ctx context.Context, s *session, stage stream.Stage, log *slog.Logger) *arrival {
	pulse := worker.NewPulse(stage, "starting", 0)
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	v := &arrival{ctx: ctx, store: s.store, log: log, end: end, done: make(chan struct{})}
	v.tell(pulse)
	go func() {
		defer close(v.done)
		pulse.Beat(ctx, s.store, log)
	}()
	return v
}

func (v *arrival) tell(p *worker.Pulse) {
	if err := p.Announce(v.ctx, v.store); err != nil {
		v.log.Debug("heartbeat lost", "err", err)
	}
}

// works writes the first heartbeat of each of the process's workers and then leaves: at no time is
// the process unknown. The workers go on with their own.
func (v *arrival) works(pulses ...*worker.Pulse) {
	for _, p := range pulses {
		v.tell(p)
	}
	v.leave()
}

// leave takes the arrival away. A second time it does nothing.
func (v *arrival) leave() {
	v.end()
	<-v.done
}

// whileStarting is how the start of a worker ends that a signal may have cut short.
func whileStarting(a *app, err error) error {
	if a.ctx.Err() != nil {
		return fmt.Errorf("%w while starting: %w", errInterrupted, err)
	}
	return err
}

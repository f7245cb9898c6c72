package cli

import (
	"context"
	"log/slog"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/background"
)

// An arrival is the heartbeat of a process that is attached to a server and still starting: it asks
// vllm for its flags, reads a recording or starts sandboxes, which takes up to minutes. By the
// heartbeat 'lcbq stop' finds the process meanwhile, and status shows it.
type arrival struct {
	ctx   context.Context //nolint:containedctx // the life of the heartbeat: it ends with leave, not with a signal
	store *store.Store
	log   *slog.Logger
	leave func() // takes the arrival away; a second time it does nothing
	helm  *helm  // by which the process is steered, before and after it works
}

// arrive writes the heartbeat before it returns, and goes on writing it until the process works or
// leaves. A heartbeat that cannot be written does not keep the process from starting.
func arrive(ctx context.Context, s *session, stage stream.Stage, h *helm, log *slog.Logger) *arrival {
	pulse := worker.NewArrival(stage)
	v := &arrival{ctx: context.WithoutCancel(ctx), store: s.store, log: log, helm: h}
	v.tell(pulse)
	v.leave = background.Start(v.ctx, func(ctx context.Context) { //nolint:contextcheck // it outlives a signal: it ends with leave
		defer h.listen(ctx, s, pulse, log)()
		pulse.Beat(ctx, s.store, log)
	})
	return v
}

func (v *arrival) tell(p *worker.Pulse) {
	if err := p.Announce(v.ctx, v.store); err != nil {
		v.log.Debug("heartbeat lost", "err", err)
	}
}

// works writes the first heartbeat of each of the process's workers and then leaves, so that there is
// one at all times. The workers go on with their own.
func (v *arrival) works(pulses ...*worker.Pulse) {
	for _, p := range pulses {
		v.tell(p)
	}
	v.leave()
}

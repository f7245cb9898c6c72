package cli

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/lcbq/lcbq/stream/steer"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/background"
)

// A helm is by what others steer this process: 'lcbq set' and the keys of 'lcbq top'. What was ordered
// holds as long as the process lives, for the runs that come later too.
type helm struct {
	drain func() // ends the process in good order; nil where its workers end with a run only

	mu    sync.Mutex
	done  map[string]uint64 // the last order that was left for a worker and carried out, by its name
	slots int               // programs at once, as ordered; 0 for as many as the process began with
	set   func(n int) (before, now int, why string, err error)
}

var (
	errNotDrained = errors.New("it is part of 'lcbq run', which needs it\n'lcbq pause' holds the run, 'lcbq stop' ends it")
	errNoPrograms = errors.New("it judges no programs: it is no evaluator, or is still starting")
)

// steers hands the helm what changes the number of programs, and at once the number that was ordered
// before. The returned function takes it back.
func (h *helm) steers(set func(n int) (before, now int, why string, err error), log *slog.Logger) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.set = set
	if h.slots > 0 {
		if _, _, _, err := set(h.slots); err != nil {
			log.Warn("programs at once not set as ordered", "slots", h.slots, "err", err)
		}
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.set = nil
	}
}

// listen obeys the orders to a worker of the process. Without them the worker works all the same. One in an account of
// its own looks for those that are left for it, if its token lets it.
func (h *helm) listen(ctx context.Context, s *session, p *worker.Pulse, log *slog.Logger) (leave func()) {
	if s.token.Contained() {
		if s.token.Orders == "" {
			return func() {}
		}
		return h.follow(ctx, s.store, s.token.Orders, p, log)
	}
	leave, err := steer.Listen(s.conn, p.Stage(), p.Name(), func(o steer.Order) (steer.Answer, error) { return h.obey(o, log) })
	if err != nil {
		log.Warn("worker cannot be steered from elsewhere", "err", err)
		return func() {}
	}
	return leave
}

// follow obeys the orders that are left for a worker where its token lets it look.
func (h *helm) follow(ctx context.Context, s *store.Store, at string, p *worker.Pulse, log *slog.Logger) (leave func()) {
	who := p.Orders(at)
	h.mu.Lock()
	done := h.done[p.Name()]
	h.mu.Unlock()
	return background.Start(context.WithoutCancel(ctx), func(ctx context.Context) {
		steer.Follow(ctx, s, &who, done, func(o steer.Order) (steer.Answer, error) { return h.obey(o, log) }, func(o store.Obeyed) {
			h.mu.Lock()
			if h.done == nil {
				h.done = make(map[string]uint64)
			}
			h.done[p.Name()] = o.Order
			h.mu.Unlock()
			p.Obeyed(o)
		})
	})
}

func (h *helm) obey(o steer.Order, log *slog.Logger) (steer.Answer, error) {
	if o.Drain {
		if h.drain == nil {
			return steer.Answer{}, errNotDrained
		}
		h.drain()
		return steer.Answer{}, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.set == nil {
		return steer.Answer{}, errNoPrograms
	}
	var a steer.Answer
	var err error
	if a.Before, a.Now, a.Why, err = h.set(o.Slots); err != nil { // 0 is what Auto means
		return steer.Answer{}, err
	}
	h.slots = o.Slots
	log.Info("programs judged at once, as ordered", "slots", a.Now, "before", a.Before)
	return a, nil
}

package evaluate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A pool hands out sandbox slots, preferring one that has the question's inputs
// loaded: loading megabytes of tests costs more than running a small program.
type pool struct {
	gate *worker.Gate // limits how many are in use

	mu   sync.Mutex
	idle []*pooled
	all  []*pooled
}

type pooled struct {
	*sandbox.Slot
	question string // whose inputs are loaded
}

// newPool opens n slots, or as many as the host has room for. It logs if these are fewer.
func newPool(host *sandbox.Host, n int, log *slog.Logger) (*pool, error) {
	asked := n
	fewer := func(n int, why any) {
		log.Warn("fewer programs at once than asked for", "asked", asked, "slots", n, "why", why)
	}
	if room, why := host.Room(); n > room {
		n = room
		fewer(n, why)
	}
	p := &pool{}
	for i := range n {
		slot, err := host.NewSlot(i)
		if errors.Is(err, sandbox.ErrNoRoom) && i > 0 {
			fewer(i, err)
			break
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start slot %d: %w", i, err), p.close())
		}
		s := &pooled{Slot: slot}
		p.all, p.idle = append(p.all, s), append(p.idle, s)
	}
	p.gate = worker.NewGate(len(p.all))
	return p, nil
}

// limit lets at most n slots be in use.
func (p *pool) limit(n int) { p.gate.Limit(min(n, len(p.all))) }

// acquire returns an idle slot, waiting for one until ctx is done.
func (p *pool) acquire(ctx context.Context, question string) (*pooled, error) {
	if !p.gate.Enter(ctx) {
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	take := 0
	for i, s := range p.idle {
		if s.question == question {
			take = i
			break
		}
	}
	s := p.idle[take]
	p.idle = append(p.idle[:take], p.idle[take+1:]...)
	s.question = question
	return s, nil
}

// release gives a slot back. It goes to the end of the line, so that a slot with
// another question's inputs is taken before it.
func (p *pool) release(s *pooled) {
	p.mu.Lock()
	p.idle = append(p.idle, s)
	p.mu.Unlock()
	p.gate.Leave()
}

// close stops all slots; none may be in use.
func (p *pool) close() error {
	var errs []error
	for _, s := range p.all {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

package evaluate

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A pool hands out sandbox slots, preferring one that has the question's inputs
// loaded: loading megabytes of tests costs more than running a small program.
type pool struct {
	gate *worker.Gate // for as many as may be out at once

	mu   sync.Mutex
	idle []*pooled
	all  []*pooled
}

type pooled struct {
	*sandbox.Slot
	question string // whose inputs are loaded
}

func newPool(host *sandbox.Host, n int) (*pool, error) {
	p := &pool{gate: worker.NewGate(n)}
	for i := range n {
		slot, err := host.NewSlot(i)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start slot %d: %w", i, err), p.close())
		}
		s := &pooled{Slot: slot}
		p.all, p.idle = append(p.all, s), append(p.idle, s)
	}
	return p, nil
}

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

package evaluate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/worker/sandbox"
)

// A pool hands out sandbox slots, preferring one that has the question's inputs
// loaded: loading megabytes of tests costs more than running a small program.
type pool struct {
	host *sandbox.Host
	log  *slog.Logger
	who  *places // decides who may use one
	next int     // number of the next slot; no other slot of the process has it

	growing sync.Mutex // held while slots are opened

	mu   sync.Mutex
	idle []*pooled
	all  []*pooled
	most int // how many may be in use
}

type pooled struct {
	*sandbox.Slot
	question string // whose inputs are loaded
	stay     *stay  // of the program that has the slot
}

// newPool opens n slots, or as many as the host has room for; the first is there already.
// It logs if these are fewer.
func newPool(ctx context.Context, host *sandbox.Host, first *sandbox.Slot, n int, log *slog.Logger) (*pool, error) {
	asked := n
	fewer := func(n int, why any) {
		log.Warn("fewer programs at once than asked for", "asked", asked, "programs", n, "why", why)
	}
	if room, why := host.Room(); n > room {
		n = room
		fewer(n, why)
	}
	slots := make([]*sandbox.Slot, n)
	slots[0] = first
	starting, ctx := errgroup.WithContext(ctx)
	starting.SetLimit(host.AtOnce(n))
	for i := 1; i < n; i++ {
		starting.Go(func() (err error) {
			if err := ctx.Err(); err != nil { // another one failed, or nobody wants them any more
				return err
			}
			if slots[i], err = host.NewSlot(i); err != nil {
				return fmt.Errorf("start slot %d: %w", i, err)
			}
			return nil
		})
	}
	err := starting.Wait()
	p := &pool{host: host, log: log, next: n, who: newPlaces(n)}
	for _, slot := range slots {
		if slot != nil {
			s := &pooled{Slot: slot}
			p.all, p.idle = append(p.all, s), append(p.idle, s)
		}
	}
	if errors.Is(err, sandbox.ErrNoRoom) {
		fewer(len(p.all), err)
	} else if err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.limit(len(p.all))
	return p, nil
}

// limit lets at most n slots be in use.
func (p *pool) limit(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = max(1, min(n, len(p.all)))
	p.who.limit(p.most)
}

// now returns how many slots may be in use.
func (p *pool) now() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

// grow opens slots until there are n, or as many as the host has room for. It returns how many there
// are, and what keeps it from opening more. The limit stays.
func (p *pool) grow(n int) (size int, why string, err error) {
	p.growing.Lock()
	defer p.growing.Unlock()
	p.mu.Lock()
	size = len(p.all)
	p.mu.Unlock()
	if n <= size {
		return size, "", nil
	}
	if more, short := p.host.More(size, n-size); more < n-size {
		n, why = size+more, short
	}
	for ; size < n; size++ {
		slot, err := p.host.NewSlot(p.next)
		if errors.Is(err, sandbox.ErrNoRoom) {
			why = err.Error()
			break
		}
		if err != nil {
			return size, "", fmt.Errorf("start slot %d: %w", p.next, err)
		}
		p.next++
		s := &pooled{Slot: slot}
		p.mu.Lock()
		p.all, p.idle = append(p.all, s), append(p.idle, s)
		p.mu.Unlock()
	}
	if why != "" {
		p.log.Warn("fewer programs at once than asked for", "programs", size, "why", why)
	}
	return size, why, nil
}

// slots returns all slots.
func (p *pool) slots() []*pooled {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// acquire returns an idle slot, waiting for one until ctx is done. Of those that wait the one with the
// lowest turn comes first. For the lane of slow programs another slot is opened when there is none.
func (p *pool) acquire(ctx context.Context, question string, t turn) (*pooled, error) {
	for {
		if !p.who.enter(ctx, t) {
			return nil, ctx.Err()
		}
		s := p.take(question)
		if s == nil {
			p.mu.Lock()
			more := len(p.all) + 1
			p.mu.Unlock()
			if size, why, err := p.grow(more); (err != nil || size < more) && p.who.close() {
				p.log.Warn("slow programs are not run beside others: no slot more for that", "why", why, "err", err)
			}
			s = p.take(question)
		}
		if s != nil {
			s.stay = p.who.stays(s.Spent)
			return s, nil
		}
		p.who.leave()
	}
}

// take returns an idle slot, one that has the question's inputs if there is one, and nil if none is idle.
func (p *pool) take(question string) *pooled {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
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
	return s
}

// release gives a slot back. It goes to the end of the line, so that a slot with
// another question's inputs is taken before it.
func (p *pool) release(s *pooled) {
	p.mu.Lock()
	p.idle = append(p.idle, s)
	stay := s.stay
	p.mu.Unlock()
	stay.end()
}

// close stops all slots; none may be in use.
func (p *pool) close() error {
	var errs []error
	for _, s := range p.all {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/lcbq/lcbq/cmd/internal/fleet/percard"
	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/engine/supervise"
	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/gpu"
)

// PerCardAuto is the Config.PerCard that finds how many engines a card carries.
const PerCardAuto = -1

// A place is a card, or the cards of one tensor-parallel engine, and the engines on it.
type place struct {
	index   int
	cards   []gpu.Reading
	members []*Member
	meter   *meter
	share   float64       // of the card's memory that each engine claims; 0 leaves it as the settings say
	turn    chan struct{} // holds the turn of the engine that loads: two that load at once kill one another
	auto    bool

	mu      sync.Mutex
	decider percard.Decider
}

// A life is what a fleet and a generator tell each other of an engine that may come later and end earlier
// than the others.
type life struct {
	wanted, dropped, drained chan struct{} // each is closed once
	want, drop, drain        func()
}

func newLife() life {
	l := life{wanted: make(chan struct{}), dropped: make(chan struct{}), drained: make(chan struct{})}
	l.want = sync.OnceFunc(func() { close(l.wanted) })
	l.drop = sync.OnceFunc(func() { close(l.dropped) })
	l.drain = sync.OnceFunc(func() { close(l.drained) })
	return l
}

// Wanted is closed once the engine is to run.
func (l *life) Wanted() <-chan struct{} { return l.wanted }

// Dropped is closed once the engine is not wanted any more, whether it ran or not: its generator takes
// no more units, finishes those in hand and calls Drained.
func (l *life) Dropped() <-chan struct{} { return l.dropped }

// Drained says that the generator of the engine has ended.
func (l *life) Drained() { l.drain() }

// place adds a place with so many engines. The first engine is wanted at once.
func (f *Fleet) place(index int, cards []gpu.Reading, engines int) *place {
	p := &place{index: index, cards: cards, meter: new(meter), turn: make(chan struct{}, 1)}
	for _, c := range cards {
		p.meter.cards = append(p.meter.cards, cardMeter{now: c})
	}
	for slot := range engines {
		p.members = append(p.members, &Member{Index: index, Slot: slot, Cards: cards, place: p, meter: p.meter, life: newLife()})
	}
	p.members[0].want()
	f.places = append(f.places, p)
	f.members = append(f.members, p.members...)
	return p
}

// arrange decides which engines there may be, and how the memory of each card is shared out.
func (f *Fleet) arrange(groups [][]gpu.Reading) error {
	n := max(f.cfg.PerCard, 1)
	several := f.several()
	var shape percard.Shape
	var unread error
	if several {
		if dir := modelFolder(f.cfg.Engine.Model, f.cfg.Hub); dir == "" {
			unread = errors.New("the model has not been fetched yet, so its size is not known")
		} else {
			shape, unread = percard.ReadShape(dir)
		}
	}
	for i, cards := range groups {
		index := i
		if len(cards) > 0 {
			index = cards[0].Index
		}
		if !several {
			f.place(index, cards, 1)
			continue
		}
		c := f.claim(cards[0])
		if f.cfg.PerCard == PerCardAuto {
			f.placeAuto(index, cards, c, shape, unread, len(groups))
			continue
		}
		if unread == nil {
			if err := shape.Refuse(n, c); err != nil {
				return fmt.Errorf("use GPU %d: %w", index, err)
			}
		} else if i == 0 {
			f.cfg.Log.Warn("whether so many engines fit on a card shows only when they start", "engines_per_gpu", n, "because", unread)
		}
		p := f.place(index, cards, n)
		p.share = c.Each(n)
		p.decider = percard.Decider{Most: n}
		for _, m := range p.members {
			m.want()
		}
	}
	if fit, why := percard.FitProcessors(n, len(groups), f.processors()); several && fit < n {
		f.cfg.Log.Warn("the engines will wait for processors", "engines_per_gpu", n, "because", why)
	}
	return nil
}

// several reports whether a card may have more than one engine.
func (f *Fleet) several() bool { return f.cfg.PerCard == PerCardAuto || f.cfg.PerCard > 1 }

// refuse returns an error where several engines on a card are asked for and cannot be had.
func (f *Fleet) refuse() error {
	e := f.cfg.Engine
	switch {
	case !f.several():
		return nil
	case f.cfg.WithoutGPU > 0:
		return errors.New("--engines-per-gpu wants a GPU, and --gpus none hides every one\nsay --generators for the number of engines without GPUs, and leave --engines-per-gpu at 1")
	case e.TensorParallel > 1:
		return errors.New("--engines-per-gpu puts several engines on one GPU, --tensor-parallel one on several\nleave one of them at 1")
	}
	for _, x := range e.Extra {
		name, _, _ := strings.Cut(strings.ReplaceAll(x, "_", "-"), "=")
		if name == "--gpu-memory-utilization" || name == "--kv-cache-memory-bytes" || name == "--kv-cache-memory" {
			return fmt.Errorf("--engines-per-gpu shares the GPU's memory out, and the further argument %s of vllm would give each engine the same\nsay --gpu-memory-utilization of lcbq, the share for all of them", name)
		}
	}
	return nil
}

// claim returns what the engines of a card share.
func (f *Fleet) claim(card gpu.Reading) percard.Card {
	e := f.cfg.Engine.Defaults()
	c := percard.Card{Total: card.Total, Share: f.share(), Sequences: e.MaxNumSeqs, StepTokens: e.MaxBatchTokens, Longest: e.MaxModelLen, Answer: f.cfg.Answer}
	if c.Answer <= 0 {
		c.Answer = c.Longest
	}
	return c
}

// placeAuto adds a place whose number of engines is found while they run.
func (f *Fleet) placeAuto(index int, cards []gpu.Reading, c percard.Card, shape percard.Shape, unread error, places int) {
	var why string
	most := 1
	if unread != nil {
		why = "memory: " + unread.Error()
	} else {
		most, why = shape.Fit(percard.Most, c)
		if fit, less := percard.FitProcessors(most, places, f.processors()); fit < most {
			most, why = fit, less
		}
	}
	p := f.place(index, cards, most)
	p.auto = true
	p.share = c.Each(most)
	p.decider = percard.Decider{Most: most, Why: why, Need: p.need(c.Total)}
	f.cfg.Log.Info("engines for a GPU", "gpu", index, "at_most", most, "because", why, "memory_share_each", p.share)
}

// processors returns how many this machine has.
func (f *Fleet) processors() int {
	if f.cfg.Processors > 0 {
		return f.cfg.Processors
	}
	m, err := cores.Here()
	if err != nil {
		return 1 // the least that is certain
	}
	return m.Quota
}

// await waits for the turn to load on the card.
func (p *place) await(ctx context.Context) (release func(), err error) {
	select {
	case p.turn <- struct{}{}:
		return func() { <-p.turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// need returns how much memory of the card must be free for one more engine.
func (p *place) need(total uint64) uint64 { return uint64(p.share * float64(total)) }

// others reports whether another engine of the place holds memory.
func (p *place) others(m *Member) bool {
	return slices.ContainsFunc(p.members, func(o *Member) bool {
		if o == m || o.Engine == nil {
			return false
		}
		phase := o.Phase()
		return phase == supervise.Loading || phase == supervise.Serving || phase == supervise.Stopping
	})
}

// OwnsOnCard reports whether a process belongs to the member's engine or to another of the same card.
func (m *Member) OwnsOnCard(pid int) bool { return m.place.owns(pid) }

// owns reports whether a process belongs to one of the place's engines.
func (p *place) owns(pid int) bool {
	return slices.ContainsFunc(p.members, func(m *Member) bool { return m.Engine != nil && m.Owns(pid) })
}

// live runs a member from when it is wanted until ctx is done, or it was dropped and has been drained.
func (f *Fleet) live(ctx context.Context, m *Member) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	select {
	case <-m.wanted:
	case <-m.dropped:
		cancel() // Run then starts nothing, and tells those who wait that it has ended
	case <-ctx.Done():
	}
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-m.dropped:
			select {
			case <-m.drained:
			case <-over:
			}
			cancel()
		case <-over:
		}
	}()
	return m.Run(ctx)
}

// lost tells a place that one of its engines has ended for good.
func (p *place) lost(m *Member, err error) {
	if !p.auto {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	left := 0
	for _, o := range p.members {
		if isClosed(o.wanted) && !isClosed(o.dropped) && o != m && o.Phase() != supervise.Ended {
			left++
		}
	}
	why, _, _ := strings.Cut(err.Error(), "\n")
	p.decider.Lost(left, why)
	p.forget()
}

// forget drops the engines that were never wanted: they will not be. The caller holds mu.
func (p *place) forget() {
	for _, o := range p.members {
		if !isClosed(o.wanted) {
			o.drop()
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// MostPerCard is the most engines that a card is asked to carry.
const MostPerCard = vllm.MostPerCard

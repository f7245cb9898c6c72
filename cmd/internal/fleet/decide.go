package fleet

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/fleet/percard"
	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/engine/supervise"
	"github.com/lcbq/lcbq/worker/gpu"
)

// decideEvery is the interval at which a card's engines are asked how they are.
const decideEvery = time.Second

// decide finds how many engines each card carries until all have settled or ctx is done.
func (f *Fleet) decide(ctx context.Context) *sync.WaitGroup {
	var wg sync.WaitGroup
	for _, p := range f.places {
		if p.auto {
			w := f.watcher(p)
			wg.Go(func() { f.settle(ctx, p, w) })
		}
	}
	return &wg
}

// watcher returns what reads a place whose first engine starts now.
func (f *Fleet) watcher(p *place) *watcher {
	w := &watcher{place: p, gauges: f.cfg.gauges, batch: float64(f.cfg.Engine.Defaults().MaxNumSeqs), left: f.cfg.left, cards: len(f.places)}
	if w.every == 0 {
		w.gauges = realGauges(p)
	}
	w.started = map[*Member]time.Time{p.members[0]: w.now()}
	return w
}

// settle finds how many engines one card carries.
func (f *Fleet) settle(ctx context.Context, p *place, w *watcher) {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		r := w.read(ctx, w.now())
		p.mu.Lock()
		done, why := p.decider.Look(r)
		engines, steps := p.decider.Engines(), p.decider.Steps()
		settled := p.decider.Settled()
		switch done {
		case percard.Add:
			p.members[engines-1].want()
		case percard.Drop:
			p.members[engines].drop()
		default:
		}
		if settled != "" {
			p.forget()
		}
		p.mu.Unlock()
		if done != percard.Keep {
			p.tell(f, engines, steps, why, done == percard.Add)
		}
		if settled != "" {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// gauges are what a decision is made by.
type gauges struct {
	every time.Duration // between readings
	now   func() time.Time
	load  func(context.Context, *Member) (openai.Load, error)
	used  func(*Member) map[int]time.Duration // processor time of an engine's processes
	card  func(context.Context) *gpu.Reading  // nil while it is not known
}

// realGauges reads the engines and the card of a place.
func realGauges(p *place) gauges {
	return gauges{
		every: decideEvery, now: time.Now,
		load: func(ctx context.Context, m *Member) (openai.Load, error) { return m.Load(ctx) },
		used: func(m *Member) map[int]time.Duration { return m.Used() },
		card: func(context.Context) *gpu.Reading { return p.meter.last() },
	}
}

// tell says what was decided.
func (p *place) tell(f *Fleet, engines int, steps []percard.Step, why string, adds bool) {
	attrs := []any{"gpu", p.index, "engines", engines, "because", why}
	if n := len(steps); n > 0 {
		s := steps[n-1]
		if s.Before > 0 {
			attrs = append(attrs, "tokens_per_s_before", int(s.Before))
		}
		attrs = append(attrs, "measured_with", s.Engines, "tokens_per_s", int(s.TokensPer), "gpu_load", int(s.Load), "engine_loop", round(s.Loop), "waiting", int(s.Waiting))
	}
	if adds {
		f.cfg.Log.Info("one more engine for a GPU", attrs...)
		return
	}
	f.cfg.Log.Info("number of engines of a GPU settled", attrs...)
}

// A watcher reads a card and its engines for a decider.
type watcher struct {
	gauges
	place  *place
	batch  float64 // sequences that an engine computes at once
	at     time.Time
	before map[int]time.Duration // processor time by process, at the last reading

	left    func(context.Context) float64 // tokens left for all cards; nil where nobody tells
	cards   int
	lefts   float64               // the last answer of left
	asked   time.Time             // when that was
	started map[*Member]time.Time // engines that do not serve yet, and since when
	loads   time.Duration         // what the last one took
}

// leftEvery is the interval at which it is asked how much work is left.
const leftEvery = 5 * time.Second

// work returns how many tokens are left for the card, 0 where it is not known.
func (w *watcher) work(ctx context.Context, now time.Time) float64 {
	if w.left == nil {
		return 0
	}
	if w.asked.IsZero() || now.Sub(w.asked) >= leftEvery || now.Before(w.asked) {
		w.lefts, w.asked = w.left(ctx), now
	}
	return w.lefts / float64(max(w.cards, 1))
}

// loading notes how long engines load.
func (w *watcher) loading(m *Member, now time.Time) {
	began, known := w.started[m]
	switch serves := m.Phase() == supervise.Serving; {
	case !serves && !known:
		if w.started == nil {
			w.started = map[*Member]time.Time{}
		}
		w.started[m] = now
	case serves && known:
		w.loads = now.Sub(began)
		delete(w.started, m)
	}
}

// read takes a reading.
func (w *watcher) read(ctx context.Context, now time.Time) percard.Reading {
	p := w.place
	r := percard.Reading{At: now, Full: true, Load: percard.Unknown, Loop: percard.Unknown}
	used := map[int]time.Duration{}
	away, latest := 0, false // engines that do not serve, and whether the one that was added last is one
	for i, m := range p.members {
		if !isClosed(m.wanted) || isClosed(m.dropped) || m.Phase() == supervise.Ended {
			continue
		}
		w.loading(m, now)
		load, err := w.load(ctx, m)
		if latest = m.Phase() != supervise.Serving || err != nil; latest {
			latest = i > 0
			away++
			continue
		}
		r.Full = r.Full && (load.Waiting > 0 || load.Running >= 0.9*w.batch)
		r.Tokens += load.Generated
		r.Waiting += load.Waiting
		maps.Copy(used, w.used(m))
	}
	r.Loading = r.Full && latest && away == 1
	r.Full = r.Full && away == 0
	r.Loop = w.loop(used, now)
	r.Left, r.Loads = w.work(ctx, now), w.loads
	if card := w.card(ctx); card != nil {
		r.Free = free(*card)
		if card.Utilization != gpu.Unknown {
			r.Load = float64(card.Utilization)
		}
	}
	return r
}

// loop returns the processor time a second of the process that used most since the last reading.
func (w *watcher) loop(used map[int]time.Duration, now time.Time) float64 {
	took := now.Sub(w.at)
	most := float64(percard.Unknown)
	for pid, t := range used {
		if before, ok := w.before[pid]; ok && took > 0 && t >= before {
			most = max(most, float64(t-before)/float64(took))
		}
	}
	w.before, w.at = used, now
	return most
}

// last returns the last reading of the first card, nil without GPUs.
func (m *meter) last() *gpu.Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.cards) == 0 {
		return nil
	}
	now := m.cards[0].now
	return &now
}

// A Density is how many engines a card has and why.
type Density struct {
	GPU     int
	UUID    string
	Engines int
	Share   float64 // of the card's memory that each claims
	Settled bool
	Why     string // why it is that number; "" while it is not known
	Steps   []percard.Step
}

// Density returns how many engines the member's card has, and reports whether there may be several.
func (m *Member) Density() (Density, bool) {
	p := m.place
	if p.share == 0 && !p.auto {
		return Density{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d := Density{GPU: p.index, UUID: p.cards[0].UUID, Share: p.share, Steps: slices.Clone(p.decider.Steps())}
	if p.auto {
		d.Engines, d.Why = p.decider.Engines(), p.decider.Settled()
		if d.Settled = d.Why != ""; !d.Settled {
			d.Why = p.decider.Waits()
		}
	} else {
		d.Engines, d.Settled, d.Why = len(p.members), true, "asked for"
	}
	return d, true
}

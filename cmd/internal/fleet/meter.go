package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/gpu"
)

// meterEvery is the interval of readings, and slowMeterEvery that of readings that
// start a program each time.
const (
	meterEvery     = 500 * time.Millisecond
	slowMeterEvery = 2 * time.Second
)

// A meter measures the cards of one member while it generates: from the start of its first
// unit to the end of its last one so far, of each run and of all.
type meter struct {
	mu     sync.Mutex
	active bool        // a unit was started
	cards  []cardMeter // of the member's cards, in their order
}

type cardMeter struct {
	now  gpu.Reading // the last one
	all  span
	runs map[string]*span // of the runs that a unit was started of
}

// A span is what was measured from the start of a first unit on.
type span struct {
	running gpu.Usage // until now
	settled gpu.Usage // up to the end of the last unit
}

// A Metered is what was measured of one card.
type Metered struct {
	Now   gpu.Reading // the last reading
	Usage gpu.Usage   // between the first unit and the last
}

// add takes the readings of all cards at one moment.
func (m *meter) add(all []gpu.Reading, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.cards {
		c := &m.cards[i]
		r := reading(all, c.now.UUID)
		if r == nil {
			continue
		}
		c.now = *r
		if m.active {
			c.all.running.Add(*r, at)
		}
		for _, s := range c.runs {
			s.running.Add(*r, at)
		}
	}
}

// begin notes the start of a unit of a run, end its end.
func (m *meter) begin(run string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active = true
	for i := range m.cards {
		c := &m.cards[i]
		if c.runs == nil {
			c.runs = map[string]*span{}
		}
		if c.runs[run] == nil {
			c.runs[run] = new(span)
		}
	}
}

func (m *meter) end(run string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.cards {
		c := &m.cards[i]
		c.all.settled = c.all.running
		if s := c.runs[run]; s != nil {
			s.settled = s.running
		}
	}
}

// read returns what was measured so far.
func (m *meter) read() []Metered {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Metered, len(m.cards))
	for i, c := range m.cards {
		all[i] = Metered{c.now, c.all.settled}
	}
	return all
}

// readRuns returns the same of each run.
func (m *meter) readRuns() map[string][]Metered {
	m.mu.Lock()
	defer m.mu.Unlock()
	runs := map[string][]Metered{}
	for _, c := range m.cards {
		for run, s := range c.runs {
			runs[run] = append(runs[run], Metered{c.now, s.settled})
		}
	}
	return runs
}

// Generate implements engine.Engine. The cards are measured meanwhile.
func (m *Member) Generate(ctx context.Context, r engine.Request) ([]engine.Completion, error) {
	if err := m.Await(ctx); err != nil { // loading is no generating
		return nil, err
	}
	m.meter.begin(r.Run)
	got, err := m.Engine.Generate(ctx, r)
	if err == nil {
		m.meter.end(r.Run)
		m.made.add(r.Run, got)
	}
	return got, err
}

// A Made is what an engine made for a run.
type Made struct{ Samples, Tokens int64 }

// made counts what an engine makes, by run.
type made struct {
	mu   sync.Mutex
	runs map[string]Made
}

func (m *made) add(run string, got []engine.Completion) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs == nil {
		m.runs = map[string]Made{}
	}
	n := m.runs[run]
	n.Samples += int64(len(got))
	for i := range got {
		n.Tokens += int64(got[i].Tokens)
	}
	m.runs[run] = n
}

// MadeFor returns what the member's engine made for a run.
func (m *Member) MadeFor(run string) Made {
	m.made.mu.Lock()
	defer m.made.mu.Unlock()
	return m.made.runs[run]
}

// Measured returns what was measured of the member's cards, whatever they generated for; nothing
// without GPUs.
func (m *Member) Measured() []Metered { return m.meter.read() }

// MeasuredByRun returns what was measured of the member's cards by the run that they generated
// for, between that run's first unit here and its last.
func (m *Member) MeasuredByRun() map[string][]Metered { return m.meter.readRuns() }

// measure reads the cards until ctx is done.
func (f *Fleet) measure(ctx context.Context) {
	every := meterEvery
	if f.source.Slow() {
		every = slowMeterEvery
	}
	failed := false
	gpu.Watch(ctx, f.source, every, func(all []gpu.Reading, err error) {
		if err != nil {
			if !failed {
				f.cfg.Log.Warn("GPUs cannot be read", "err", err)
			}
			failed = true
			return
		}
		failed = false
		now := time.Now()
		for _, p := range f.places {
			p.meter.add(all, now)
		}
	})
}

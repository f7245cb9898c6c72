package worker

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/lcbq/lcbq/stream/store"
)

// A tempo counts the units of each run that a worker settled in the last fifteen minutes, in steps.
// It is safe for concurrent use. The zero value has counted nothing.
type tempo struct {
	mu   sync.Mutex
	runs map[string]*steps // under mu
}

// tempoStep is the width of a step: heartbeats are as far apart.
const tempoStep = 10 * time.Second

const (
	minuteSteps  = int64(time.Minute / tempoStep)
	quarterSteps = 15 * minuteSteps
)

// steps are the counts of a run: the unit settled in step i of the clock is in units[i % quarterSteps].
type steps struct {
	began       time.Time // when the first unit ever was settled
	first, last int64     // its step, and that of the newest unit
	units       [quarterSteps]int32
}

func stepOf(t time.Time) int64 { return t.UnixNano() / int64(tempoStep) }

// count adds a unit of a run, settled now.
func (p *tempo) count(run string, now time.Time) {
	step := stepOf(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.runs[run]
	if s == nil {
		s = &steps{began: now, first: step, last: step}
		if p.runs == nil {
			p.runs = make(map[string]*steps)
		}
		p.runs[run] = s
	}
	s.forward(step)
	s.units[s.last%quarterSteps]++
}

// forward empties the steps that a count must not find full of a quarter of an hour ago. A clock that
// was set back adds to the newest step.
func (s *steps) forward(step int64) {
	for i := max(s.last+1, step-quarterSteps+1); i <= step; i++ {
		s.units[i%quarterSteps] = 0
	}
	s.last = max(s.last, step)
}

// rates returns the rates of the runs of which units were settled in the last fifteen minutes, by run.
// A worker that began less long ago is measured from its first unit on. Runs without one are forgotten.
func (p *tempo) rates(now time.Time) []store.RunRate {
	step := stepOf(now)
	within := float64(now.UnixNano()%int64(tempoStep)) / float64(tempoStep) // of the step of now
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []store.RunRate
	for run, s := range p.runs {
		s.forward(step)
		sum := func(most int64) (units int64, seconds float64) {
			n := min(most, s.last-s.first) // whole steps before that of now
			for i := s.last - n; i <= s.last; i++ {
				units += int64(s.units[((i%quarterSteps)+quarterSteps)%quarterSteps])
			}
			return units, max(1, min((float64(n)+within)*tempoStep.Seconds(), now.Sub(s.began).Seconds()))
		}
		quarter, long := sum(quarterSteps - 1)
		if quarter == 0 {
			delete(p.runs, run)
			continue
		}
		minute, short := sum(minuteSteps)
		out = append(out, store.RunRate{Run: run, Minute: float64(minute) / short, Quarter: float64(quarter) / long})
	}
	slices.SortFunc(out, func(a, b store.RunRate) int { return cmp.Compare(a.Run, b.Run) })
	return out
}

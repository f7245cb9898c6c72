package worker

import (
	"sync"
	"time"

	"github.com/lcbq/lcbq/stream/store"
)

// A lately sums what an evaluator did in its last fifteen minutes, in steps. Time is that of a clock that nobody sets.
// It is safe for concurrent use. The zero value has done nothing.
type lately struct {
	mu     sync.Mutex
	began  time.Time // when the first unit came; zero before
	until  time.Time // up to when time has been added
	slots  int       // programs at once, as last said
	hungry bool      // there is room for a unit and none comes
	last   int64     // the newest step
	steps  [quarterSteps]store.Lately
}

// mostAdded bounds how much time is added at once: twice as much as lies between two heartbeats. A process that
// was stopped for longer has shown no sign of life, and that is said of it.
const mostAdded = 2 * pulseEvery

// add adds the time since the last call, and gives the newest step to do more with.
func (l *lately) add(now time.Time, more func(w *store.Lately)) {
	if l.began.IsZero() {
		return
	}
	step := int64(now.Sub(l.began) / tempoStep)
	for i := max(l.last+1, step-quarterSteps+1); i <= step; i++ {
		l.steps[i%quarterSteps] = store.Lately{}
	}
	l.last = max(l.last, step)
	w := &l.steps[l.last%quarterSteps]
	spent := min(now.Sub(l.until), mostAdded).Seconds()
	l.until = now
	w.Seconds += spent
	w.Slots += spent * float64(l.slots)
	if l.hungry {
		w.Starved += spent
	}
	more(w)
}

// judged adds a sample whose program took so many seconds of a processor.
func (l *lately) judged(cpu float64, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(now, func(w *store.Lately) {
		w.Samples++
		w.CPU += cpu
	})
}

// has says how many programs are judged at once from now on.
func (l *lately) has(slots int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(now, func(*store.Lately) {})
	l.slots = slots
}

// wants says whether there is room for a unit and none has come yet. What comes first begins the account.
func (l *lately) wants(hungry bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.began.IsZero() && !hungry {
		l.began, l.until = now, now
	}
	l.add(now, func(*store.Lately) {})
	l.hungry = hungry
}

// windows returns what was done in the last two minutes and in the last fifteen, or since the first unit.
func (l *lately) windows(now time.Time) []store.Lately {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.began.IsZero() {
		return nil
	}
	l.add(now, func(*store.Lately) {})
	out := make([]store.Lately, 0, 2)
	for _, steps := range []int64{2 * minuteSteps, quarterSteps - 1} {
		var sum store.Lately
		for i := max(0, l.last-steps); i <= l.last; i++ {
			w := &l.steps[i%quarterSteps]
			sum.Seconds, sum.Slots, sum.Starved = sum.Seconds+w.Seconds, sum.Slots+w.Slots, sum.Starved+w.Starved
			sum.Samples, sum.CPU = sum.Samples+w.Samples, sum.CPU+w.CPU
		}
		out = append(out, sum)
	}
	return out
}

package snapshot

import (
	"fmt"
	"math"
	"slices"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// A worker is slow if, for each of its slots, it does less than a third of what the worker in the middle of its stage
// does. Two workers tell nothing of which is slow.
//
// Of an evaluator both its samples and the work of its programs must be few, in its last two minutes or its last
// fifteen: a unit of programs that all take long makes the first few, and one that the verdict cache answers the
// second. Others say what they settled in fifteen minutes.
//
// In a short history chance makes few of many, so that it needs a larger ratio. doubt is by how much the square roots
// of what was to be expected and of what came must differ: four standard deviations where a count varies three times as
// much as one of independent events. So 12 must have been expected where none came, and 68 where a third did.
const (
	slowShare   = 1. / 3
	slowWorkers = 3
	doubt       = 3.5
	leastWindow = 90.  // seconds: less is a start
	leastCPU    = 0.02 // processor seconds a second and slot; where the worker in the middle has less, samples alone tell
	mostStarved = 0.5  // of the time: a worker that had less to do is not slow
	wellShare   = 0.5  // of the samples of the worker in the middle: whoever did as much lately is well again
)

// windows are the names of what an evaluator says of its last minutes.
var windows = []string{"2 minutes", "15 minutes"}

func markSlow(all []Worker) {
	for _, stage := range []stream.Stage{stream.Generate, stream.Evaluate} {
		var tell, rest []*Worker
		for i := range all {
			switch w := &all[i]; {
			case w.Stage != stage || w.State != Working:
			case len(w.lately) == len(windows):
				tell = append(tell, w)
			default:
				rest = append(rest, w)
			}
		}
		for i := range windows {
			slowEvaluators(tell, i)
		}
		slowOthers(rest)
	}
}

// slowEvaluators marks those that judged little in a window.
func slowEvaluators(all []*Worker, window int) {
	var there []*Worker
	speeds := true
	for _, w := range all {
		if l := &w.lately[window]; l.Seconds >= leastWindow && l.Slots > 0 && !starved(&w.lately[0]) {
			there = append(there, w)
			speeds = speeds && w.Speed > 0
		}
	}
	samples := func(w *Worker) float64 { return float64(w.lately[window].Samples) / w.lately[window].Slots }
	work := func(w *Worker) float64 {
		cpu := w.lately[window].CPU / w.lately[window].Slots
		if speeds {
			cpu *= w.Speed // a second of a slow processor is less work
		}
		return cpu
	}
	middle, ok := middleOf(there, samples)
	if !ok {
		return
	}
	busy, _ := middleOf(there, work)
	least := leastCPU
	if speeds {
		typical, _ := middleOf(there, func(w *Worker) float64 { return w.Speed })
		least *= typical
	}
	for _, w := range there {
		if window == 0 {
			w.again = samples(w) >= wellShare*middle
		}
		if w.again {
			continue
		}
		came, due := float64(w.lately[window].Samples), middle*w.lately[window].Slots
		share := samples(w) / middle
		if busy >= least {
			share = max(share, work(w)/busy)
		} else if work(w) >= least {
			continue
		}
		if share < slowShare && surely(due, came) {
			w.slow(share, windows[window])
		}
	}
}

// slowOthers marks those that settled few units in 15 minutes, of all runs.
func slowOthers(all []*Worker) {
	const seconds = 900.
	units := func(w *Worker) float64 { return min(w.all15*seconds, float64(w.Units)) / float64(max(1, w.Slots)) }
	rate := func(w *Worker) float64 { return w.all15 / float64(max(1, w.Slots)) }
	middle, ok := middleOf(all, rate)
	if !ok {
		return
	}
	some, _ := middleOf(all, units)
	for _, w := range all {
		slots := float64(max(1, w.Slots))
		if share := rate(w) / middle; share < slowShare && surely(some*slots, share*some*slots) {
			w.slow(share, windows[1])
		}
	}
}

// surely reports whether it is no chance that so few came where so many were due.
func surely(due, came float64) bool { return math.Sqrt(due)-math.Sqrt(came) >= doubt }

// middleOf returns what the worker in the middle does. It reports false if they are too few, or do nothing.
func middleOf(all []*Worker, of func(*Worker) float64) (float64, bool) {
	if len(all) < slowWorkers {
		return 0, false
	}
	rates := make([]float64, len(all))
	for i, w := range all {
		rates[i] = of(w)
	}
	slices.Sort(rates)
	middle := rates[len(rates)/2]
	return middle, middle > 0
}

// slow marks a worker unless it waits for something: that is said instead.
func (w *Worker) slow(share float64, in string) {
	if w.Slow || w.Trouble != nil {
		return
	}
	w.Slow = true
	w.pace = fmt.Sprintf("in the last %s it did %.0f %% of what the others do for each program at once", in, 100*share)
}

// starved reports whether a worker mostly waited for units.
func starved(l *store.Lately) bool { return l.Starved > mostStarved*l.Seconds }

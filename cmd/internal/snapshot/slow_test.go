package snapshot

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// TestSlow marks one of four evaluators by what it did in its last minutes; the others judge a sample a second with each
// of 8 slots, of half a second of a processor.
func TestSlow(t *testing.T) {
	t.Parallel()
	window := func(seconds, slots, perSlot, cpu, starved float64) store.Lately {
		return store.Lately{Seconds: seconds, Slots: seconds * slots, Samples: int64(math.Round(seconds * slots * perSlot)), CPU: seconds * slots * cpu, Starved: seconds * starved}
	}
	usual := []store.Lately{window(120, 8, 1, .5, .02), window(900, 8, 1, .5, .02)}
	for _, tt := range []struct {
		name   string
		lately []store.Lately
		units  float64 // a second in 15 minutes; the others settle 0.8
		slots  int
		other  func(w *Worker)
		slow   string // of its pace; "" if it is not slow
		tiny   bool   // the programs of the others take no time of a processor
	}{
		{"as the others", usual, .8, 8, nil, "", false},
		{"half as fast", []store.Lately{window(120, 8, .5, .25, 0), window(900, 8, .5, .25, 0)}, .4, 8, nil, "", false},
		{"slow for two minutes", []store.Lately{window(120, 8, .05, .03, 0), window(900, 8, .9, .45, 0)}, .7, 8, nil, "2 minutes it did 6 %", false},
		{"a quarter", []store.Lately{window(120, 8, .25, .125, 0), window(900, 8, .9, .45, 0)}, .7, 8, nil, "2 minutes it did 25 %", false},
		{"came 90 s ago", []store.Lately{window(91, 8, .05, .03, 0), window(91, 8, .05, .03, 0)}, .8, 8, nil, "2 minutes it did 6 %", false},
		{"came just now", []store.Lately{window(85, 8, .05, .03, 0), window(85, 8, .05, .03, 0)}, .8, 8, nil, "", false},
		{"a unit of long programs", []store.Lately{window(120, 8, .05, .5, 0), window(900, 8, .9, .5, 0)}, .7, 8, nil, "", false},
		{"a unit of known programs", []store.Lately{window(120, 8, 1, .01, 0), window(900, 8, 1, .4, 0)}, .8, 8, nil, "", false},
		{"waited for units", []store.Lately{window(120, 8, .05, .03, .9), window(900, 8, .05, .03, .9)}, .04, 8, nil, "", false},
		{"few, a third by chance", []store.Lately{window(90, .5, .3, .15, 0), window(900, 1, .9, .45, 0)}, .09, 1, nil, "", false},
		{"waits for a disk", []store.Lately{window(120, 8, 0, 0, 0), window(900, 8, 0, 0, 0)}, 0, 8, func(w *Worker) { w.Trouble = &store.Trouble{} }, "", false},
		{"well again", []store.Lately{window(120, 8, .9, .5, 0), window(900, 8, .2, .1, 0)}, .2, 8, nil, "", false},
		{"few samples of much work", []store.Lately{window(120, 8, .2, .5, 0), window(900, 8, .2, .5, 0)}, .16, 8, nil, "", false},
		{"a slow processor", []store.Lately{window(120, 8, .2, .5, 0), window(900, 8, .2, .5, 0)}, .16, 8, func(w *Worker) { w.Speed = 7 }, "2 minutes it did 28 %", false},
		{"a slow processor whose speed nobody knows", []store.Lately{window(120, 8, .2, .5, 0), window(900, 8, .2, .5, 0)}, .16, 8, func(w *Worker) { w.Speed = 0 }, "", false},
		{"slow for 15 minutes, and a little less now", []store.Lately{window(120, 8, .4, .2, 0), window(900, 8, .3, .1, 0)}, .24, 8, nil, "15 minutes it did 30 %", false},
		{"given more slots just now", []store.Lately{window(120, 10, 1, .5, 0), window(900, 2.7, 1, .5, 0)}, .27, 32, nil, "", false},
		{"slow with tiny programs", []store.Lately{window(120, 8, .1, .001, 0), window(900, 8, .1, .001, 0)}, .08, 8, nil, "2 minutes it did 10 %", true},
		{"large ones where the others have tiny ones", []store.Lately{window(120, 8, .1, .5, 0), window(900, 8, .1, .5, 0)}, .08, 8, nil, "", true},
		{"works for another run", usual, .8, 8, func(w *Worker) { w.Rate, w.Rate15 = 0, 0 }, "", false},
	} {
		all := make([]Worker, 4)
		for i := range all {
			all[i] = Worker{Stage: stream.Evaluate, Name: fmt.Sprint(i), State: Working, Slots: 8, Rate15: .8, all15: .8, lately: usual, Speed: 25}
		}
		w := &all[2]
		w.lately, w.Rate15, w.all15, w.Slots = tt.lately, tt.units, tt.units, tt.slots
		if tt.other != nil {
			tt.other(w)
		}
		if tt.tiny {
			for i := range all {
				if i != 2 {
					all[i].lately = []store.Lately{window(120, 8, 1, .01, 0), window(900, 8, 1, .01, 0)}
				}
			}
		}
		markSlow(all)
		if w.Slow != (tt.slow != "") || !strings.Contains(w.pace, tt.slow) {
			t.Errorf("%s: slow %v, %q; want %q", tt.name, w.Slow, w.pace, tt.slow)
		}
		if all[0].Slow || all[1].Slow || all[3].Slow {
			t.Errorf("%s: another one is slow", tt.name)
		}
	}
}

// TestSlowSimulated looks every ten seconds for hours at evaluators whose programs take as unevenly long as those of hard
// and easy questions do. None of them is called slow until one becomes so; that one is within three minutes.
func TestSlowSimulated(t *testing.T) {
	t.Parallel()
	const seconds, turns = 5000., 4000. // from when on one is slow
	for _, tt := range []struct {
		hosts, slots, size int
		mean               float64 // seconds of the program in the middle
		slower             float64
	}{
		{20, 8, 100, 2, 20},
		{6, 2, 10, .5, 20},
		{3, 8, 10, 1, 6},
		{8, 1, 10, .3, 20},
		{12, 8, 10, 10, 20},
	} {
		rng := rand.New(rand.NewPCG(1, uint64(tt.hosts*tt.slots))) //nolint:gosec // drawn again the same
		hosts := make([]simulated, tt.hosts)
		for i := range hosts {
			hosts[i].run(rng, seconds, tt.slots, tt.size, tt.mean, func(at float64) float64 {
				if i == 1 && at >= turns {
					return tt.slower
				}
				return 1
			})
		}
		found := math.Inf(1)
		for at := 10.; at < seconds; at += 10 {
			all := make([]Worker, tt.hosts)
			for i := range all {
				all[i] = Worker{Stage: stream.Evaluate, State: Working, Slots: tt.slots, lately: []store.Lately{hosts[i].window(at, 120, tt.slots), hosts[i].window(at, 900, tt.slots)}}
			}
			markSlow(all)
			for i := range all {
				switch {
				case !all[i].Slow:
				case i != 1 || at < turns:
					t.Errorf("%+v: host %d is slow after %v s: %s", tt, i, at, all[i].pace)
				default:
					found = min(found, at-turns)
				}
			}
		}
		if found > 180 {
			t.Errorf("%+v: the slow one was found after %v s", tt, found)
		}
	}
}

// A simulated host: when its programs ended, and the processor time of all up to each of them.
type simulated struct {
	ended []float64
	spent []float64
}

// run judges units, the programs of one after the other in the slots.
func (h *simulated) run(rng *rand.Rand, seconds float64, slots, size int, mean float64, factor func(at float64) float64) {
	free := make([]float64, slots)
	type program struct{ end, cpu float64 }
	var all []program
	for {
		question := mean * math.Exp(1.2*rng.NormFloat64())
		known := rng.IntN(10) == 0 // by the verdict cache
		for range size {
			cpu := min(question*math.Exp(.7*rng.NormFloat64()), 60)
			at := 0
			for i := range free {
				if free[i] < free[at] {
					at = i
				}
			}
			if free[at] > seconds {
				slices.SortFunc(all, func(a, b program) int {
					if a.end < b.end {
						return -1
					}
					return 1
				})
				sum := 0.
				for _, p := range all {
					sum += p.cpu
					h.ended, h.spent = append(h.ended, p.end), append(h.spent, sum)
				}
				return
			}
			if !known {
				free[at] += cpu * factor(free[at])
			}
			all = append(all, program{free[at], cpu})
		}
	}
}

func (h *simulated) window(at, width float64, slots int) store.Lately {
	from := max(0, at-width)
	i, _ := slices.BinarySearch(h.ended, from)
	j, _ := slices.BinarySearch(h.ended, at)
	spent := func(k int) float64 {
		if k == 0 {
			return 0
		}
		return h.spent[k-1]
	}
	return store.Lately{Seconds: at - from, Slots: (at - from) * float64(slots), Samples: int64(j - i), CPU: spent(j) - spent(i)}
}

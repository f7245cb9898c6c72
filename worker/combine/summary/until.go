package summary

import (
	"errors"
	"math"
	"slices"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// An Until is the rule by which a run's number of samples was chosen, and what came of it. Where
// there is one, a point's anytime interval is the one to read on these questions: the others
// take the number of samples for given.
type Until struct {
	store.Until
	Reached      bool               `json:"reached"`               // the interval is as narrow as wanted at every temperature
	N            int                `json:"n"`                     // fewest samples of a cell
	Widest       float64            `json:"widest"`                // half of the widest interval, a share
	At           float64            `json:"widest_at_temperature"` // where it is
	Temperatures []UntilTemperature `json:"temperatures"`          // ascending
}

// An UntilTemperature is what came of the rule at one temperature.
type UntilTemperature struct {
	Temperature float64 `json:"temperature"`
	N           int     `json:"n"`          // fewest samples of a cell
	Half        float64 `json:"half_width"` // of its interval, a share
	Reached     bool    `json:"reached"`    // it is as narrow as wanted: no more samples are drawn here
}

// level is that of the intervals that a rule speaks of.
const level = 0.95

// UntilOf returns what has come of a run's rule by the cells that exist. It is nil if the run
// has no rule, and if a temperature has no question with k samples.
func UntilOf(m *store.Manifest, cells map[stream.Cell]store.CellState) (*Until, error) {
	if m.Until == nil {
		return nil, nil //nolint:nilnil // absent
	}
	u := &Until{Until: *m.Until}
	for i, t := range m.Temperatures {
		var counts []score.Count
		for _, q := range m.Questions {
			st := cells[stream.Cell{Run: m.ID, Question: q.Index, Temperature: t}]
			if st.N >= u.K {
				counts = append(counts, score.Count{N: st.N, C: st.Passed})
			}
		}
		half, fewest, err := curve.Anytime(counts, u.K, level)
		if errors.Is(err, score.ErrUndefined) {
			return nil, nil //nolint:nilnil // absent
		}
		if err != nil {
			return nil, err
		}
		u.Temperatures = append(u.Temperatures, UntilTemperature{t.Float(), fewest, half, half <= u.Half})
		if i == 0 || half > u.Widest {
			u.Widest, u.At = half, t.Float()
		}
		if i == 0 || fewest < u.N {
			u.N = fewest
		}
	}
	u.Reached = u.Widest <= u.Half
	return u, nil
}

// Left returns at how many temperatures pass@k is not known as well as wanted.
func (u *Until) Left() int {
	n := 0
	for _, x := range u.Temperatures {
		if !x.Reached {
			n++
		}
	}
	return n
}

// Raise gives the run, of which u speaks and whose cells are all there, more samples at the
// temperatures that are not known as well as wanted, and leaves the others as they are. It
// reports whether there are any more to draw.
//
// The next look comes when the temperature that needs fewest is about to be known: each ends
// soon after it can. All look at the same numbers of samples, so that a temperature which goes
// on after it had ended, for a narrower width, has the units that the others had.
func (u *Until) Raise(m *store.Manifest) bool {
	last := 0
	for _, q := range m.Questions {
		last = max(last, q.N())
	}
	next := 0
	wanted := make([]int, len(m.Temperatures))
	open := make([]bool, len(m.Temperatures))
	for i, t := range m.Temperatures {
		have := 0 // wanted of a cell so far; where samples could not be judged fewer count
		for _, q := range m.Questions {
			have = max(have, m.Wanted(q, t))
		}
		wanted[i] = have
		x := u.Temperatures[i]
		if open[i] = !x.Reached && have < u.Most; !open[i] {
			continue
		}
		if n := nextLook(have, x.Half, u.Until); next == 0 || n < next {
			next = n
		}
	}
	if next == 0 {
		return false
	}
	if next > last {
		for i := range m.Questions {
			m.Questions[i].Cuts = append(m.Questions[i].Cuts, next)
		}
	} else { // one that goes on again comes to what the others were looked at with
		to := last
		for _, q := range m.Questions {
			if i, _ := slices.BinarySearch(q.Cuts, next); i < len(q.Cuts) {
				to = min(to, q.Cuts[i])
			}
		}
		next = to
	}
	m.Fewer = nil
	for i, t := range m.Temperatures {
		if open[i] {
			wanted[i] = max(wanted[i], next)
		}
		if wanted[i] < max(last, next) {
			m.Fewer = append(m.Fewer, store.Fewer{Temperature: t, N: wanted[i]})
		}
	}
	return true
}

// nextLook is after how many samples of a cell to look again at a temperature that has n and
// whose interval reaches half to either side: about as many as that says will do, a quarter
// more at least and four times as many at most.
func nextLook(n int, half float64, rule store.Until) int {
	ratio := half / rule.Half
	next := int(math.Ceil(float64(n) * min(4, max(1.25, 1.05*ratio*ratio))))
	return min(rule.Most, max(n+1, next))
}

package summary

import (
	"errors"

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
	Reached bool    `json:"reached"`               // the interval is as narrow as wanted at every temperature
	N       int     `json:"n"`                     // fewest samples of a cell
	Widest  float64 `json:"widest"`                // half of the widest interval, a share
	At      float64 `json:"widest_at_temperature"` // where it is
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

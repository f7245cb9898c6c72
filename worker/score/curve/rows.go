package curve

import (
	"fmt"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

// A Row is one question of a sweep, for a table or a heat map. Its lists have one
// entry for each temperature of the sweep.
type Row struct {
	Index int    `json:"question_idx"`
	ID    string `json:"question_id"`
	Title string `json:"question_title"`
	stream.Origin
	N      []int     `json:"n"` // 0: no samples
	Passed []int     `json:"passed"`
	Low    []float64 `json:"low"`    // exact two-sided interval (Clopper-Pearson) for the pass rate; 0 to 1 without samples
	High   []float64 `json:"high"`   // mapped to k by 1-(1-p)^k; as if all programs stopped at a soft limit had passed
	Below  []float64 `json:"below"`  // exact one-sided upper bound: what to print where none passed
	Solved int       `json:"solved"` // temperatures at which a sample passed
}

// Rows returns one row for each question of s, with intervals at the given level;
// 0 means 0.95. The error is a mistake of the caller.
func Rows(s *Sweep, level float64) ([]Row, error) {
	if level == 0 {
		level = defaultLevel
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	out := make([]Row, len(s.Questions))
	for i := range s.Questions {
		q := &s.Questions[i]
		r := Row{Index: q.Index, ID: q.ID, Title: q.Title, Origin: q.Origin}
		for _, c := range q.Cells {
			interval, below := score.Interval{Low: 0, High: 1}, 1.0
			if c.N > 0 {
				var err error
				if interval, err = score.ClopperPearson(c.N, c.Passed, level); err != nil {
					return nil, fmt.Errorf("rows: question %d: %w", q.Index, err)
				}
				most := c.Passed
				if c.Audit != nil { // those that were stopped may have passed
					most += c.Audit.Stopped
					all, err := score.ClopperPearson(c.N, most, level)
					if err != nil {
						return nil, fmt.Errorf("rows: question %d: %w", q.Index, err)
					}
					interval.High = all.High
				}
				if below, err = score.UpperBound(c.N, most, level); err != nil {
					return nil, fmt.Errorf("rows: question %d: %w", q.Index, err)
				}
			}
			if c.Passed > 0 {
				r.Solved++
			}
			r.N, r.Passed = append(r.N, c.N), append(r.Passed, c.Passed)
			r.Low, r.High, r.Below = append(r.Low, interval.Low), append(r.High, interval.High), append(r.Below, below)
		}
		out[i] = r
	}
	return out, nil
}

package curve

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/lcbq/lcbq/worker/score"
)

// A Changed is how one question passes in both sweeps, at the temperatures at which both have
// samples of it.
type Changed struct {
	ID         string  `json:"question_id"`
	Title      string  `json:"question_title,omitempty"`
	Difficulty string  `json:"difficulty,omitempty"`
	A          float64 `json:"a"` // mean pass rate over these temperatures
	B          float64 `json:"b"`
	Difference float64 `json:"difference"`
	SamplesA   int     `json:"samples_a"`
	SamplesB   int     `json:"samples_b"`
	PassedA    int     `json:"passed_a"`
	PassedB    int     `json:"passed_b"`
	P          float64 `json:"p"` // that both pass alike at each temperature, two-sided
	Q          float64 `json:"q"` // P for looking at all questions: the false discovery rate of a list that ends with this one
}

// changes fills in how each question passes in both.
func (p *paired) changes(out *Comparison) error {
	out.Questions = []Changed{}
	if p.share != [2]float64{} {
		return nil // the test is exact for counts, and there are none
	}
	var ps []float64
	for _, q := range p.questions {
		var a, b []score.Count
		x := Changed{ID: q.a.ID, Title: q.a.Title, Difficulty: q.a.Difficulty}
		for _, t := range p.temperatures {
			i, j := count(&q.a.Cells[t.a]), count(&q.b.Cells[t.b])
			if i.N == 0 || j.N == 0 {
				continue
			}
			a, b = append(a, i), append(b, j)
			x.SamplesA, x.SamplesB, x.PassedA, x.PassedB = x.SamplesA+i.N, x.SamplesB+j.N, x.PassedA+i.C, x.PassedB+j.C
			x.A, x.B = x.A+i.Rate(), x.B+j.Rate()
		}
		pv, err := score.SameRates(a, b)
		if errors.Is(err, score.ErrUndefined) {
			continue
		}
		if err != nil {
			return err
		}
		x.A, x.B, x.P = x.A/float64(len(a)), x.B/float64(len(b)), pv
		x.Difference = x.B - x.A
		ps = append(ps, pv)
		out.Questions = append(out.Questions, x)
	}
	for i, q := range score.BenjaminiHochberg(ps) {
		out.Questions[i].Q = q
		if q <= 1-out.Level {
			out.Confirmed++
		}
	}
	slices.SortStableFunc(out.Questions, func(x, y Changed) int {
		return cmp.Or(cmp.Compare(x.P, y.P), cmp.Compare(math.Abs(y.Difference), math.Abs(x.Difference)))
	})
	return nil
}

package curve

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lcbq/lcbq/stream"
)

// TestChoiceLosesAtMostItsBound: the temperature to use may be behind the best one, by no
// more than its bound in 95 % of runs, whatever the truth is.
func TestChoiceLosesAtMostItsBound(t *testing.T) {
	t.Parallel()
	const questions, n = 30, 4
	runs := max(20, *simulations*3/10)
	for name, drop := range map[string][]float64{"all alike": {0, 0, 0, 0}, "one is best": {0.1, 0, 0.1, 0.3}, "near": {0.02, 0, 0.01, 0.03}} {
		r := rand.New(rand.NewPCG(131, uint64(len(name))))
		kept, bound := 0, 0.0
		for range runs {
			s := &Sweep{Temperatures: []float64{0.2, 0.6, 1, 1.4}}
			truth := make([]float64, len(drop))
			for q := range questions {
				p := r.Float64()
				x := Question{Index: q, Cells: make([]stream.Counts, len(drop))}
				for i, d := range drop {
					rate := p * (1 - d)
					truth[i] += rate / questions
					c := stream.Counts{N: n}
					for range n {
						if r.Float64() < rate {
							c.Passed++
						}
					}
					x.Cells[i] = c
				}
				s.Questions = append(s.Questions, x)
			}
			a, err := Analyse(s, Options{Rounds: 50, Seed: r.Uint64()})
			if err != nil {
				t.Fatal(err)
			}
			b := a.Best[0]
			if b.K != 1 || b.Choice == nil {
				t.Fatalf("%+v, want a choice at k = 1", b)
			}
			best, chosen := math.Inf(-1), 0.0
			for i, v := range truth {
				best = max(best, v)
				if s.Temperatures[i] == b.Choice.Temperature {
					chosen = v
				}
			}
			if best-chosen <= b.Choice.These+1e-12 {
				kept++
			}
			bound += b.Choice.These / float64(runs)
		}
		if share := float64(kept) / float64(runs); share < 0.95-3.5*math.Sqrt(0.05*0.95/float64(runs)) || bound > 0.2 || bound <= 0 {
			t.Errorf("%s: lost at most the bound in %.1f %%, want 95; mean bound %.3f, want something, at most 0.2", name, 100*share, bound)
		}
	}
}

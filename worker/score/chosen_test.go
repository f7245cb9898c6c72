package score

import (
	"math/rand/v2"
	"testing"
)

// TestRefereeSelection: how much too high the highest of 16 temperatures is on average, and what
// Best says of that. Where all are equally good it is about as much as is said; where one leads
// it is less.
func TestRefereeSelection(t *testing.T) {
	t.Parallel()
	for _, x := range several([]struct {
		name        string
		step        float64 // by how much further each temperature is behind, in logits
		n, k        int
		least, most float64 // the true excess, as a share of what is said
	}{
		{"equal, n = 10", 0, 10, 1, 0.7, 1.2},
		{"one leads", 0.2, 100, 1, -0.1, 0.6},
		{"equal, n = 100", 0, 100, 1, 0.7, 1.2},
		{"equal, n = 100, k = 100", 0, 100, 100, 0.1, 1.2},
	}, 2) {
		r := rand.New(rand.NewPCG(207, uint64(x.n*x.k)))
		excess, said := 0.0, 0.0
		rounds := runs()
		for range rounds {
			base := worlds[0].rates(r, 175)
			var columns [][]Score
			var truths []float64
			for i := range 16 {
				rates := moved(base, func() float64 { return -x.step * float64(i) })
				scores, err := Scores(draw(r, rates, func(int) int { return x.n }), x.k)
				if err != nil {
					t.Fatal(err)
				}
				columns, truths = append(columns, scores), append(truths, trueMean(rates, x.k))
			}
			these, like, err := Best(columns, 0.95, Bootstrap{Rounds: 400, Rand: r})
			if err != nil {
				t.Fatal(err)
			}
			if like.Chosen <= 0 || these.Chosen <= 0 {
				t.Fatalf("%s: %v and %v are no bounds", x.name, these.Chosen, like.Chosen)
			}
			excess += (MeanOf(columns[these.Best]) - truths[these.Best]) / float64(rounds)
			said += these.Chosen / float64(rounds)
		}
		t.Logf("%-24s the highest is %.2f points too high on average, said: at most %.2f", x.name, 100*excess, 100*said)
		if excess < x.least*said || excess > x.most*said {
			t.Errorf("%s: the highest is %.3f points too high on average, said: at most %.3f; want %.1f to %.1f of it", x.name, 100*excess, 100*said, x.least, x.most)
		}
	}
}

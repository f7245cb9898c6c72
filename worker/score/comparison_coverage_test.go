package score

import (
	"math"
	"math/rand/v2"
	"testing"
)

// sweep draws a run's scores at 16 temperatures. A question's pass rate is its
// own, moved a little at each temperature by what all questions share (effect)
// and by what only it knows (quirk).
func sweep(t *testing.T, r *rand.Rand, questions, n, k int, effect []float64, quirk float64) [][]Score {
	t.Helper()
	columns := make([][]Count, len(effect))
	for i := range columns {
		columns[i] = make([]Count, questions)
	}
	for q := range questions {
		base := math.Log(bench.rate(r)+1e-9) - math.Log(0.3)
		for i, e := range effect {
			columns[i][q] = Count{n, binomial(r, n, logistic(base+e+quirk*r.NormFloat64()))}
		}
	}
	out := make([][]Score, len(effect))
	for i, c := range columns {
		scores, err := Scores(c, k)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = scores
	}
	return out
}

// TestBestSetHoldsTheBest counts how often the set holds the true best, where it
// is one of sixteen equals, the hardest case, and where it is ahead.
func TestBestSetHoldsTheBest(t *testing.T) {
	t.Parallel()
	runs := max(*simulations/4, 50)
	ahead := make([]float64, 16)
	for i := range ahead {
		ahead[i] = -0.08 * math.Abs(float64(i-7))
	}
	for _, tt := range several([]struct {
		name   string
		effect []float64
		claim  Claim
		quirk  float64
		k, n   int
	}{
		{"equal, these", make([]float64, 16), TheseQuestions, 0, 1, 200},
		{"ahead, like", ahead, QuestionsLike, 0.3, 1, 2000},
		{"equal, like", make([]float64, 16), QuestionsLike, 0.5, 1, 200},
		{"equal, like, k=10", make([]float64, 16), QuestionsLike, 0.5, 10, 200},
		{"ahead, these", ahead, TheseQuestions, 0, 1, 2000},
	}, 2) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(29, uint64(tt.k)))
			held, size := 0, 0
			for range runs {
				columns := sweep(t, r, 175, tt.n, tt.k, tt.effect, tt.quirk)
				these, like, err := Best(columns, 0.95, Bootstrap{Rounds: 400, Rand: r})
				got := []BestSet{these, like}[tt.claim]
				if err != nil {
					t.Fatal(err)
				}
				if got.In[7] {
					held++
				}
				for _, in := range got.In {
					if in {
						size++
					}
				}
			}
			share := float64(held) / float64(runs)
			t.Logf("holds the best in %.2f %% of %d runs, %.1f temperatures on average", 100*share, runs, float64(size)/float64(runs))
			if share < 0.95-noise(runs) {
				t.Errorf("holds the best in %.2f %% of %d runs, want 95 %%", 100*share, runs)
			}
			if tt.effect[0] != 0 && size > 8*runs {
				t.Errorf("the set has %.1f of 16 temperatures on average, want it to tell them apart", float64(size)/float64(runs))
			}
		})
	}
}

// BenchmarkSweep is what a report needs: 175 questions, 16 temperatures, pass@k
// at 13 k with intervals, and the set of the best at 4 k.
func BenchmarkSweep(b *testing.B) {
	r := rand.New(rand.NewPCG(31, 37))
	columns := make([][]Count, 16)
	for i := range columns {
		columns[i] = make([]Count, 175)
		for q := range columns[i] {
			columns[i][q] = Count{10_000, binomial(r, 10_000, bench.rate(r))}
		}
	}
	for b.Loop() {
		for _, c := range columns {
			for _, k := range Powers(10_000) {
				if _, _, err := interval(b, c, k, 0.95); err != nil {
					b.Fatal(err)
				}
			}
		}
		for _, k := range []int{1, 10, 100, 1000} {
			scores := make([][]Score, len(columns))
			for i, c := range columns {
				s, err := Scores(c, k)
				if err != nil {
					b.Fatal(err)
				}
				scores[i] = s
			}
			if _, _, err := Best(scores, 0.95, Bootstrap{Rounds: 2000, Rand: r}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestBehindHoldsOnBothSides: how often the distance of every column from the best one is
// within its interval, where some are far enough behind for both ends to say something.
func TestBehindHoldsOnBothSides(t *testing.T) {
	t.Parallel()
	const questions, n = 40, 100
	runs := min(1000, 5*(*simulations))
	r := rand.New(rand.NewPCG(127, 1))
	base := make([]float64, questions)
	for q := range base {
		base[q] = 4 * (float64(q)/(questions-1) - 0.5)
	}
	truth := make([]float64, 8)
	for c := range truth {
		for _, b := range base {
			truth[c] += logistic(b-0.5*float64(c)) / questions
		}
	}
	held, above := 0, 0
	for range runs {
		columns := make([][]Score, len(truth))
		for c := range columns {
			counts := make([]Count, questions)
			for q, b := range base {
				counts[q] = Count{n, binomial(r, n, logistic(b-0.5*float64(c)))}
			}
			var err error
			if columns[c], err = Scores(counts, 1); err != nil {
				t.Fatal(err)
			}
		}
		these, _, err := Best(columns, 0.95, Bootstrap{Rounds: 300, Rand: r})
		if err != nil {
			t.Fatal(err)
		}
		all := true
		for c := range truth {
			all = all && these.Behind[c].Contains(truth[0]-truth[c])
			if these.Behind[c].Low > 0 {
				above++
			}
		}
		if all {
			held++
		}
	}
	if share := float64(held) / float64(runs); share < 0.95-3.5*math.Sqrt(0.05*0.95/float64(runs)) {
		t.Errorf("every distance is within its interval in %.1f %% of %d runs, want 95", 100*share, runs)
	}
	if above < 3*runs {
		t.Errorf("%d intervals of %d are above 0: the test is blind", above, 8*runs)
	}
}

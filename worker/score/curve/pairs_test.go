package curve

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

// exactSign is the two-sided P of won and lost out of a fair coin, in whole numbers.
func exactSign(won, lost int) float64 {
	n, all := int64(won+lost), new(big.Int)
	for x := int64(max(won, lost)); x <= n; x++ {
		all.Add(all, new(big.Int).Binomial(n, x))
	}
	p, _ := new(big.Rat).SetFrac(all.Lsh(all, 1), new(big.Int).Lsh(big.NewInt(1), uint(n))).Float64()
	return min(1, p)
}

// TestPairsOfOneSample: two models that are alike, 880 questions with one sample each, as
// most published results have them. A binomial confirms +-, P and T*.
func TestPairsOfOneSample(t *testing.T) {
	t.Parallel()
	const pairs, questions = 200, 880
	for name, rate := range map[string]func(r *rand.Rand) float64{
		"half": func(*rand.Rand) float64 { return 0.5 },
		"mixed": func(r *rand.Rand) float64 {
			return []float64{0, 0.02, 0.5, 0.7, 0.99, 1}[r.IntN(6)]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(149, uint64(len(name))))
			these, like, held, lost := 0, 0, 0, 0
			for range pairs {
				var one [2]Sweep
				passed, won, behind, truth := [2]int{}, 0, 0, 0.0
				for q := range questions {
					p := rate(r)
					truth += p / questions
					var c [2]int
					for s := range c {
						if r.Float64() < p {
							c[s] = 1
						}
						passed[s] += c[s]
						cell := stream.Counts{N: 1, Passed: c[s]}
						one[s].Temperatures = []float64{0.2}
						one[s].Questions = append(one[s].Questions, Question{Index: q, ID: fmt.Sprint(q), Cells: []stream.Counts{cell}})
					}
					switch {
					case c[1] > c[0]:
						won++
					case c[1] < c[0]:
						behind++
					}
				}
				got, err := Compare(&one[0], &one[1], Options{})
				if err != nil {
					t.Fatal(err)
				}
				c := got.Temperatures[0].Points[0]
				if exact := exactSign(won, behind); c.These.P < exact-1e-12 || c.These.P > exact+0.03 {
					t.Errorf("%d won, %d lost: P = %v, the binomial's is %v", won, behind, c.These.P, exact)
				}
				wide := 1.96 * math.Sqrt(float64(won+behind)) / questions
				if half := c.These.Interval.Width() / 2; math.Abs(half/wide-1) > 0.05 {
					t.Errorf("%d won, %d lost: +-%v, the binomial's is %v", won, behind, half, wide)
				}
				if c.These.P <= 0.05 {
					these++
				}
				if c.Like.P <= 0.05 {
					like++
				}
				var columns [2][]score.Score
				for i := range columns {
					counts := make([]score.Count, questions)
					for q := range counts {
						counts[q] = count(&one[i].Questions[q].Cells[0])
					}
					if columns[i], err = score.Scores(counts, 1); err != nil {
						t.Fatal(err)
					}
					sampling, err := score.SamplingInterval(counts, columns[i], 1, 0.95)
					if err != nil {
						t.Fatal(err)
					}
					m := float64(passed[i]) / questions
					wide := 1.96 * math.Sqrt(m*(1-m)/questions)
					if half := sampling.Width() / 2; math.Abs(half/wide-1) > 0.02 {
						t.Errorf("%d of %d passed: +-%v, the binomial's is %v", passed[i], questions, half, wide)
					}
					if sampling.Contains(truth) {
						held++
					}
				}
				set, _, err := score.Best(columns[:], 0.95, score.Bootstrap{Rounds: 200, Rand: r})
				if err != nil {
					t.Fatal(err)
				}
				if !set.In[0] {
					lost++
				}
			}
			t.Logf("of %d pairs: P <= 0.05 in %d on these questions, %d on questions like these; T* loses the one named best in %d; +- holds in %d of %d", pairs, these, like, lost, held, 2*pairs)
			if these > pairs*6/100 || like > pairs*6/100 {
				t.Errorf("two models alike differ in %d and %d of %d pairs, want at most 6 %%", these, like, pairs)
			}
			if lost > pairs*6/100 {
				t.Errorf("T* loses the best in %d of %d, want at most 6 %%", lost, pairs)
			}
			if held < 2*pairs*94/100 {
				t.Errorf("+- holds the truth in %d of %d", held, 2*pairs)
			}
		})
	}
}

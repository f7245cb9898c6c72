package score

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// TestSameRatesAgainstFisher: with one stratum it is twice the smaller tail of Fisher's test,
// which Rarer gives by another sum.
func TestSameRatesAgainstFisher(t *testing.T) {
	t.Parallel()
	for _, x := range [][2]Count{{{10, 3}, {10, 8}}, {{10, 8}, {12, 3}}, {{1, 0}, {1, 1}}, {{200, 0}, {200, 9}}, {{50, 50}, {40, 36}}} {
		got, err := SameRates([]Count{x[0]}, []Count{x[1]})
		if err != nil {
			t.Fatal(err)
		}
		fewer, err := Rarer(x[0], x[1])
		if err != nil {
			t.Fatal(err)
		}
		more, err := Rarer(x[1], x[0])
		if err != nil {
			t.Fatal(err)
		}
		if want := min(1, 2*min(fewer, more)); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v: P = %v, want %v", x, got, want)
		}
	}
}

// TestSameRatesOfStrata: a table that Mantel and Haenszel's test takes apart and a pooled one
// does not (Simpson's paradox), and one worked out by hand.
func TestSameRatesOfStrata(t *testing.T) {
	t.Parallel()
	// In each stratum both pass alike; the pooled table has 90 of 100 against 30 of 100.
	p, err := SameRates([]Count{{90, 81}, {10, 1}}, []Count{{10, 9}, {90, 9}})
	if err != nil || p < 0.9 {
		t.Errorf("equal strata of unequal size: P = %v, %v", p, err)
	}
	// Two strata of one against one, each won: 1/2 * 1/2, twice.
	p, err = SameRates([]Count{{1, 1}, {1, 1}}, []Count{{1, 0}, {1, 0}})
	if err != nil || math.Abs(p-0.5) > 1e-12 {
		t.Errorf("two wins: P = %v, want 0.5, %v", p, err)
	}
	if p, err = SameRates([]Count{{5, 0}, {0, 0}}, []Count{{5, 0}, {7, 7}}); err != nil || p != 1 {
		t.Errorf("nothing passed: P = %v, want 1, %v", p, err)
	}
	if _, err = SameRates([]Count{{5, 0}}, []Count{{0, 0}}); !errors.Is(err, ErrUndefined) {
		t.Errorf("one side without samples: %v", err)
	}
	if _, err = SameRates([]Count{{5, 0}}, nil); err == nil {
		t.Error("unequal numbers of strata are taken")
	}
	if _, err = SameRates([]Count{{5, 6}}, []Count{{5, 0}}); err == nil {
		t.Error("more passes than samples are taken")
	}
}

// TestSameRatesIsNoLiar: where both sides are alike it rejects in 5 % at most, by the exact
// way and by the normal one; where they differ it sees it.
func TestSameRatesIsNoLiar(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 5, 40, 400} {
		r := rand.New(rand.NewPCG(71, uint64(n)))
		runs := max(400, *simulations)
		wrong, right := 0, 0
		for range runs {
			var a, same, other []Count
			for range 8 {
				p := r.Float64()
				a, same, other = append(a, Count{n, binomial(r, n, p)}), append(same, Count{n, binomial(r, n, p)}), append(other, Count{n, binomial(r, n, p/4)})
			}
			for _, x := range []struct {
				b    []Count
				hits *int
			}{{same, &wrong}, {other, &right}} {
				p, err := SameRates(a, x.b)
				if err != nil {
					t.Fatal(err)
				}
				if p <= 0.05 {
					*x.hits++
				}
			}
		}
		if share := float64(wrong) / float64(runs); share > 0.05+3.5*math.Sqrt(0.05*0.95/float64(runs)) {
			t.Errorf("n = %d: rejects a true equality in %.1f %%", n, 100*share)
		}
		if share := float64(right) / float64(runs); n >= 40 && share < 0.99 {
			t.Errorf("n = %d: sees a difference in %.1f %%", n, 100*share)
		}
	}
}

// TestTogetherHoldsAtOnce: how often all of 16 intervals hold a true difference of 0.
func TestTogetherHoldsAtOnce(t *testing.T) {
	t.Parallel()
	for _, claim := range []Claim{TheseQuestions, QuestionsLike} {
		r := rand.New(rand.NewPCG(73, uint64(claim)))
		quirk := 0.0
		if claim == QuestionsLike {
			quirk = 0.3
		}
		at := map[bool]int{}
		runs := max(100, *simulations/4)
		for range runs {
			a, b := pairSweep(t, r, quirk)
			for _, corrected := range []bool{false, true} {
				level, all := 0.95, true
				if corrected {
					level = Together(level, len(a))
				}
				for i := range a {
					d, err := Compare(a[i], b[i], claim, level)
					if err != nil {
						t.Fatal(err)
					}
					all = all && d.Interval.Contains(0)
				}
				if all {
					at[corrected]++
				}
			}
		}
		slack := 3.5 * math.Sqrt(0.05*0.95/float64(runs))
		if share := float64(at[true]) / float64(runs); share < 0.95-slack {
			t.Errorf("claim %d: all of 16 hold in %.1f %% of %d runs, want 95", claim, 100*share, runs)
		}
		if share := float64(at[false]) / float64(runs); share > 0.95 {
			t.Errorf("claim %d: the test is blind: without the correction all hold in %.1f %%", claim, 100*share)
		}
	}
}

// pairSweep draws two equal models at 16 temperatures. With a quirk they differ by question
// and temperature, and are equal over other questions like these only.
func pairSweep(t *testing.T, r *rand.Rand, quirk float64) (a, b [][]Score) {
	t.Helper()
	const questions, n = 60, 40
	base := make([]float64, questions)
	for q := range base {
		base[q] = 4 * (r.Float64() - 0.5)
	}
	for range 16 {
		var x, y []Count
		for _, at := range base {
			// A rate's mean over quirks is the same on both sides: they are drawn alike.
			x = append(x, Count{n, binomial(r, n, logistic(at+quirk*r.NormFloat64()))})
			y = append(y, Count{n, binomial(r, n, logistic(at+quirk*r.NormFloat64()))})
		}
		for _, side := range []struct {
			counts []Count
			to     *[][]Score
		}{{x, &a}, {y, &b}} {
			scores, err := Scores(side.counts, 1)
			if err != nil {
				t.Fatal(err)
			}
			*side.to = append(*side.to, scores)
		}
	}
	return a, b
}

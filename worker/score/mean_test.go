package score

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestVarianceIsUnbiased sums over every outcome of a small experiment: the mean
// of the estimated variances is the variance of the estimates.
func TestVarianceIsUnbiased(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 7, 12, 40} {
		for k := 1; k <= n; k++ {
			for _, p := range []float64{1e-4, 0.03, 0.5, 0.9, 0.999} {
				var first, truth, estimated float64
				expected := 1 - math.Pow(1-p, float64(k))
				for c := range n + 1 {
					w := math.Exp(logPMF(n, c, p))
					s, err := Scores([]Count{{n, c}}, k)
					if err != nil {
						t.Fatal(err)
					}
					first += w * s[0].Value
					truth += w * (s[0].Value - expected) * (s[0].Value - expected)
					estimated += w * s[0].Variance
				}
				if math.Abs(first-expected) > 1e-12 {
					t.Errorf("n = %d, k = %d, p = %v: mean estimate %v, want %v", n, k, p, first, expected)
				}
				if 2*k <= n && math.Abs(estimated-truth) > 1e-9*truth+1e-15 {
					t.Errorf("n = %d, k = %d, p = %v: mean variance %v, want %v", n, k, p, estimated, truth)
				}
			}
		}
	}
}

// TestPooledVariance: of many questions with fewer than 2k samples the variances sum
// to the truth if all have one pass rate, and to no less if they have several.
func TestPooledVariance(t *testing.T) {
	t.Parallel()
	for _, rates := range [][]float64{{0.5}, {0.03}, {0.01, 0.6}, {0.001, 0.1, 0.9}} {
		for _, n := range several([]int{1, 2, 3, 7, 12}, 4) {
			for k := n/2 + 1; k <= n; k++ {
				// As many questions of each outcome as are expected of a great number.
				var counts []Count
				truth := 0.0
				const many = 40_000
				for _, p := range rates {
					for c := range n + 1 {
						w := math.Exp(logPMF(n, c, p))
						counts = append(counts, slices.Repeat([]Count{{n, c}}, int(math.Round(w*many)))...)
						q := math.Exp(logMiss(n, c, k)) - math.Pow(1-p, float64(k))
						truth += w * many * q * q
					}
				}
				scores, err := Scores(counts, k)
				if err != nil {
					t.Fatal(err)
				}
				got := 0.0
				for _, s := range scores {
					got += s.Variance
					if !s.Pooled || s.Variance < 0 || s.Variance > 1 {
						t.Fatalf("n = %d, k = %d: %+v, want a pooled variance from 0 to 1", n, k, s)
					}
				}
				if got < 0.97*truth-1 || len(rates) == 1 && got > 1.03*truth+1 {
					t.Errorf("n = %d, k = %d, rates %v: variances sum to %v, want %v", n, k, rates, got, truth)
				}
			}
		}
	}
	// One sample each: the binomial variance of the pooled rate.
	scores, err := Scores([]Count{{1, 1}, {1, 0}, {1, 0}, {1, 1}, {1, 0}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	got := 0.0
	for _, s := range scores {
		got += s.Variance
	}
	if want := 5 * 0.4 * 0.6; !close12(got, want) {
		t.Errorf("two of five passed: variances sum to %v, want %v", got, want)
	}
}

// TestVarianceAgainstExactArithmetic checks the digits at large n.
func TestVarianceAgainstExactArithmetic(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ n, c, k int }{
		{10_000, 1, 1}, {10_000, 1, 1000}, {10_000, 171, 1}, {10_000, 171, 100}, {10_000, 5000, 10}, {10_000, 3, 5000}, {1000, 999, 1}, {1000, 2, 400},
	} {
		q := exactMiss(tt.n, tt.c, tt.k)
		q.Mul(q, q)
		want, _ := q.Sub(q, exactMiss(tt.n, tt.c, 2*tt.k)).Float64()
		if got := variance(tt.n, tt.c, tt.k); !close12(got, want) && math.Abs(got/want-1) > 1e-10 {
			t.Errorf("variance(%d, %d, %d) = %v, want %v", tt.n, tt.c, tt.k, got, want)
		}
	}
}

func TestMeansAreRagged(t *testing.T) {
	t.Parallel()
	q := []Count{{10, 5}, {1000, 0}, {4, 4}}
	for k, want := range map[int]float64{1: 0.5, 2: (7.0/9 + 0 + 1) / 3} {
		if got, err := Scores(q, k); err != nil || !close12(MeanOf(got), want) {
			t.Errorf("mean pass@%d = %v, %v, want %v", k, MeanOf(got), err, want)
		}
	}
	if got, err := MeanPassHatK(q, 2); err != nil || !close12(got, (2.0/9+0+1)/3) {
		t.Errorf("MeanPassHatK(2) = %v, %v, want %v", got, err, (2.0/9+0+1)/3)
	}
	if got, err := Scores(q, 5); !errors.Is(err, ErrUndefined) {
		t.Errorf("Scores at 5 = %v, %v, want ErrUndefined: a question has 4 samples", got, err)
	}
}

func TestSamplingIntervalCases(t *testing.T) {
	t.Parallel()
	repeat := func(c Count, times int) []Count {
		out := make([]Count, times)
		for i := range out {
			out[i] = c
		}
		return out
	}
	// 0 of 1,750,000: as the pooled exact bound.
	pooled, _ := ClopperPearson(1_750_000, 0, 0.95)
	_, got, err := interval(t, repeat(Count{10_000, 0}, 175), 1, 0.95)
	if err != nil || got.Low != 0 || math.Abs(got.High/pooled.High-1) > 1e-3 {
		t.Errorf("none passed: %v, %v, want about %v", got, err, pooled)
	}
	_, got, err = interval(t, repeat(Count{10_000, 10_000}, 175), 1, 0.95)
	if err != nil || got.High != 1 || math.Abs((1-got.Low)/pooled.High-1) > 1e-3 {
		t.Errorf("all passed: %v, %v, want about %v mirrored", got, err, pooled)
	}
	// The worst case of the field's arithmetic: half of 10,000 on 175 questions.
	_, got, err = interval(t, repeat(Count{10_000, 5000}, 175), 1, 0.95)
	if err != nil || math.Abs(got.Width()/2-0.00074) > 1e-5 {
		t.Errorf("half passed: %v, %v, want 0.5 +- 0.00074", got, err)
	}
	// Certain questions do not widen what the others say, beyond what they hide.
	_, got, err = interval(t, append(repeat(Count{10_000, 0}, 87), repeat(Count{10_000, 10_000}, 88)...), 1, 0.95)
	if m := 88.0 / 175; err != nil || !got.Contains(m) || got.Width() > 1e-5 || got.Low == m || got.High == m {
		t.Errorf("none or all passed: %v, %v, want a little around %v", got, err, m)
	}
	one := jeffreys(100, 7, 0.95)
	_, got, err = interval(t, []Count{{100, 7}}, 5, 0.95)
	if err != nil || got != one.AtK(5) {
		t.Errorf("one question: %v, %v, want %v", got, err, one.AtK(5))
	}
}

func TestSamplingIntervalProperties(tt *testing.T) {
	tt.Parallel()
	rapid.Check(tt, func(t *rapid.T) {
		q := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Count { return drawCount(t, 300) }), 1, 12).Draw(t, "questions")
		k := rapid.IntRange(1, 300).Draw(t, "k")
		m, got, err := interval(tt, q, k, 0.95)
		if errors.Is(err, ErrUndefined) {
			for _, c := range q {
				if c.N < k {
					return
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if !(got.Low >= 0 && got.Low <= m && m <= got.High && got.High <= 1) {
			t.Fatalf("pass@%d of %v is %v in %v", k, q, m, got)
		}
		if got.Width() == 0 && k <= 3 {
			t.Fatalf("pass@%d of %v is %v in %v, want room for doubt", k, q, m, got)
		}
		_, wider, err := interval(tt, q, k, 0.99)
		if err != nil || wider.Low > got.Low+1e-12 || wider.High < got.High-1e-12 {
			t.Fatalf("at 99 %% %v (%v), at 95 %% %v", wider, err, got)
		}
	})
}

// interval returns the mean pass@k of questions and its sampling interval.
func interval(tb testing.TB, questions []Count, k int, level float64) (float64, Interval, error) {
	tb.Helper()
	scores, err := Scores(questions, k)
	if err != nil {
		return 0, Interval{}, err
	}
	i, err := SamplingInterval(questions, scores, k, level)
	return MeanOf(scores), i, err
}

// TestSamplingShare draws pass rates evenly from 0 to 1: their variance is 1/12, that of
// ten samples of each 1/60 on average, so that a sixth of the scatter is the samples'.
func TestSamplingShare(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(127, 1))
	const runs = 300
	total := 0.0
	for range runs {
		counts := make([]Count, 80)
		for i := range counts {
			counts[i] = Count{10, binomial(r, 10, r.Float64())}
		}
		scores, err := Scores(counts, 1)
		if err != nil {
			t.Fatal(err)
		}
		share := SamplingShare(scores)
		if share == nil || *share < 0 || *share > 1 {
			t.Fatalf("share %v", share)
		}
		total += *share / runs
	}
	if math.Abs(total-1.0/6) > 0.005 {
		t.Errorf("mean share %.4f, want 0.1667", total)
	}
	for name, scores := range map[string][]Score{
		"one question": {{Value: 0.5, Variance: 0.1}}, "all alike": {{Value: 0.5}, {Value: 0.5}}, "pooled": {{Value: 0, Pooled: true}, {Value: 1, Pooled: true}},
	} {
		if got := SamplingShare(scores); got != nil {
			t.Errorf("%s: %v, want nil", name, *got)
		}
	}
}

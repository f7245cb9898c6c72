package score

import (
	"errors"
	"math"
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
				switch {
				case 2*k <= n:
					if math.Abs(estimated-truth) > 1e-9*truth+1e-15 {
						t.Errorf("n = %d, k = %d, p = %v: mean variance %v, want %v", n, k, p, estimated, truth)
					}
				case k < n: // the jackknife's, never below on average
					if estimated < truth*(1-1e-9)-1e-15 {
						t.Errorf("n = %d, k = %d, p = %v: mean variance %v, want %v or more", n, k, p, estimated, truth)
					}
				}
			}
		}
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
	if got, err := AvgAtN(q); err != nil || !close12(got, 0.5) {
		t.Errorf("AvgAtN = %v, %v, want 0.5", got, err)
	}
	if got, err := MeanPassAtK(q, 2); err != nil || !close12(got, (7.0/9+0+1)/3) {
		t.Errorf("MeanPassAtK(2) = %v, %v, want %v", got, err, (7.0/9+0+1)/3)
	}
	if got, err := MeanPassHatK(q, 2); err != nil || !close12(got, (2.0/9+0+1)/3) {
		t.Errorf("MeanPassHatK(2) = %v, %v, want %v", got, err, (2.0/9+0+1)/3)
	}
	if got, err := MeanPassAtK(q, 5); !errors.Is(err, ErrUndefined) {
		t.Errorf("MeanPassAtK(5) = %v, %v, want ErrUndefined: a question has 4 samples", got, err)
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
	got, err := SamplingInterval(repeat(Count{10_000, 0}, 175), 1, 0.95)
	if err != nil || got.Low != 0 || math.Abs(got.High/pooled.High-1) > 1e-3 {
		t.Errorf("none passed: %v, %v, want about %v", got, err, pooled)
	}
	got, err = SamplingInterval(repeat(Count{10_000, 10_000}, 175), 1, 0.95)
	if err != nil || got.High != 1 || math.Abs((1-got.Low)/pooled.High-1) > 1e-3 {
		t.Errorf("all passed: %v, %v, want about %v mirrored", got, err, pooled)
	}
	// The worst case of the field's arithmetic: half of 10,000 on 175 questions.
	got, err = SamplingInterval(repeat(Count{10_000, 5000}, 175), 1, 0.95)
	if err != nil || math.Abs(got.Width()/2-0.00074) > 1e-5 {
		t.Errorf("half passed: %v, %v, want 0.5 +- 0.00074", got, err)
	}
	// Certain questions do not widen what the others say, beyond what they hide.
	got, err = SamplingInterval(append(repeat(Count{10_000, 0}, 87), repeat(Count{10_000, 10_000}, 88)...), 1, 0.95)
	if m := 88.0 / 175; err != nil || !got.Contains(m) || got.Width() > 1e-5 || got.Low == m || got.High == m {
		t.Errorf("none or all passed: %v, %v, want a little around %v", got, err, m)
	}
	one, _ := Jeffreys(100, 7, 0.95)
	got, err = SamplingInterval([]Count{{100, 7}}, 5, 0.95)
	if err != nil || got != one.AtK(5) {
		t.Errorf("one question: %v, %v, want %v", got, err, one.AtK(5))
	}
}

func TestSamplingIntervalProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Count { return drawCount(t, 300) }), 1, 12).Draw(t, "questions")
		k := rapid.IntRange(1, 300).Draw(t, "k")
		got, err := SamplingInterval(q, k, 0.95)
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
		m, err := MeanPassAtK(q, k)
		if err != nil || !(got.Low >= 0 && got.Low <= m && m <= got.High && got.High <= 1) {
			t.Fatalf("pass@%d of %v is %v in %v (%v)", k, q, m, got, err)
		}
		if got.Width() == 0 && k <= 3 {
			t.Fatalf("pass@%d of %v is %v in %v, want room for doubt", k, q, m, got)
		}
		wider, err := SamplingInterval(q, k, 0.99)
		if err != nil || wider.Low > got.Low+1e-12 || wider.High < got.High-1e-12 {
			t.Fatalf("at 99 %% %v (%v), at 95 %% %v", wider, err, got)
		}
	})
}

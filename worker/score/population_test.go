package score

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func chance(rounds int) Bootstrap {
	return Bootstrap{Rounds: rounds, Rand: rand.New(rand.NewPCG(1, 2))}
}

var methods = []Method{Beta, Student, Percentile, BCa}

func TestPopulationIntervalStudent(t *testing.T) {
	t.Parallel()
	// mean 0.5, sd sqrt(0.1/4), t(0.975, 4) = 2.776445
	got, err := PopulationInterval([]float64{0.3, 0.4, 0.5, 0.6, 0.7}, 0.95, Student, Bootstrap{})
	arm := 2.776445105 * math.Sqrt(0.025) / math.Sqrt(5)
	if err != nil || math.Abs(got.Low-(0.5-arm)) > 1e-8 || math.Abs(got.High-(0.5+arm)) > 1e-8 {
		t.Errorf("Student = %v, %v, want 0.5 +- %v", got, err, arm)
	}
}

func TestPopulationIntervalsAgree(t *testing.T) {
	t.Parallel()
	// Where the central limit theorem holds all methods say the same.
	r := rand.New(rand.NewPCG(3, 4))
	scores := make([]float64, 2000)
	for i := range scores {
		scores[i] = r.Float64()
	}
	want, err := PopulationInterval(scores, 0.95, Student, Bootstrap{})
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range methods {
		got, err := PopulationInterval(scores, 0.95, method, chance(20_000))
		if tolerance := want.Width() / 40; err != nil || math.Abs(got.Low-want.Low) > tolerance || math.Abs(got.High-want.High) > tolerance {
			t.Errorf("%v: %v, %v, want about %v", method, got, err, want)
		}
	}
}

// TestBCaLeansToTheTail: of skewed scores both bootstraps reach further up than
// down, BCa more so.
func TestBCaLeansToTheTail(t *testing.T) {
	t.Parallel()
	scores := make([]float64, 40)
	scores[0], scores[1], scores[2] = 1, 0.9, 0.2
	m := mean(scores)
	percentile, err1 := PopulationInterval(scores, 0.95, Percentile, chance(20_000))
	corrected, err2 := PopulationInterval(scores, 0.95, BCa, chance(20_000))
	if err1 != nil || err2 != nil || percentile.High-m <= m-percentile.Low || corrected.High <= percentile.High || corrected.Low < percentile.Low {
		t.Errorf("percentile %v, BCa %v (%v, %v), mean %v: want them to lean upwards, BCa more", percentile, corrected, err1, err2, m)
	}
}

func TestDegrees(t *testing.T) {
	t.Parallel()
	of := func(scores []float64) float64 { m := mean(scores); return degrees(scores, m, deviation(scores, m)) }
	if got := of([]float64{0, 1, 0, 1, 0, 1, 0, 1}); got != 7 {
		t.Errorf("short tails: %v degrees, want 7", got)
	}
	one := make([]float64, 101)
	one[0] = 1
	// kurtosis (1-p)^4 p + p^4 (1-p) over (p (1-p))^2, p = 1/101: about 98
	if got := of(one); got < 1.9 || got > 2.2 {
		t.Errorf("one of 101: %v degrees, want about 100/(1 + 95/2)", got)
	}
}

func TestPopulationIntervalEqualScores(t *testing.T) {
	t.Parallel()
	for _, method := range methods {
		zeros := make([]float64, 175)
		got, err := PopulationInterval(zeros, 0.95, method, chance(100))
		exact, _ := ClopperPearson(175, 0, 0.95)
		if err != nil || got.Low != 0 || math.Abs(got.High-exact.High) > 1e-9 {
			t.Errorf("%v of zeros: %v, %v, want %v", method, got, err, exact)
		}
		ones := slices.Repeat([]float64{1}, 175)
		if got, err := PopulationInterval(ones, 0.95, method, chance(100)); err != nil || got.High != 1 || math.Abs(1-got.Low-exact.High) > 1e-9 {
			t.Errorf("%v of ones: %v, %v, want %v mirrored", method, got, err, exact)
		}
		thirds := slices.Repeat([]float64{1.0 / 3}, 7)
		if got, err := PopulationInterval(thirds, 0.95, method, chance(100)); err != nil || !got.Contains(1.0/3) || got.Width() < 0.1 {
			t.Errorf("%v of thirds: %v, %v, want room for doubt", method, got, err)
		}
	}
}

func TestPopulationIntervalProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Float64Range(0, 1), rapid.SampledFrom([]float64{0, 1, 1e-4, 5e-324}))
		scores := rapid.SliceOfN(value, 2, 40).Draw(t, "scores")
		method := rapid.SampledFrom(methods).Draw(t, "method")
		got, err := PopulationInterval(scores, 0.95, method, chance(200))
		if err != nil || !(got.Low >= 0 && got.Low <= got.High && got.High <= 1) {
			t.Fatalf("%v of %v: %v, %v, want an interval in [0, 1]", method, scores, got, err)
		}
		again, err := PopulationInterval(scores, 0.95, method, chance(200))
		if err != nil || again != got {
			t.Fatalf("%v of %v: %v and then %v with the same chance", method, scores, got, again)
		}
	})
}

func TestPopulationIntervalErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		scores    []float64
		level     float64
		method    Method
		b         Bootstrap
		undefined bool
	}{
		{"one question", []float64{0.5}, 0.95, Beta, Bootstrap{}, true},
		{"none", nil, 0.95, Student, Bootstrap{}, true},
		{"NaN", []float64{0.5, math.NaN()}, 0.95, Beta, Bootstrap{}, false},
		{"above 1", []float64{0.5, 1.5}, 0.95, Beta, Bootstrap{}, false},
		{"level", []float64{0.5, 0.6}, 95, Beta, Bootstrap{}, false},
		{"no chance", []float64{0.5, 0.6}, 0.95, BCa, Bootstrap{}, false},
		{"no method", []float64{0.5, 0.6}, 0.95, 9, Bootstrap{}, false},
	} {
		if got, err := PopulationInterval(tt.scores, tt.level, tt.method, tt.b); err == nil || errors.Is(err, ErrUndefined) != tt.undefined {
			t.Errorf("%s: %v, %v, want an error, undefined: %v", tt.name, got, err, tt.undefined)
		}
	}
}

func TestPoints(t *testing.T) {
	t.Parallel()
	q := []Count{{100, 10}, {100, 0}, {20, 20}}
	got, err := Points(q, []int{1, 2, 10, 50, 200}, Options{})
	if err != nil || len(got) != 3 {
		t.Fatalf("Points = %v, %v, want 3: a question has 20 samples", got, err)
	}
	if got[0].K != 1 || !close12(got[0].Value, 1.1/3) || got[0].Questions != 3 || got[0].Population == nil || !got[1].Reliable || got[2].Reliable {
		t.Errorf("Points = %+v, want pass@1 of 1.1/3, reliable up to k = 2", got)
	}
	got, err = Points(q, []int{1, 50, 100, 101}, Options{Ragged: true})
	if err != nil || len(got) != 3 || got[1].Questions != 2 {
		t.Errorf("ragged Points = %+v, %v, want 3, the second of 2 questions", got, err)
	}
	got, err = Points(q[:1], []int{1}, Options{})
	if err != nil || len(got) != 1 || got[0].Population != nil || got[0].Sampling.Width() == 0 {
		t.Errorf("Points of one question = %+v, %v, want a sampling interval only", got, err)
	}
	if got, err = Points(nil, []int{1}, Options{}); err != nil || len(got) != 0 {
		t.Errorf("Points of nothing = %v, %v, want none", got, err)
	}
	if got, err = Points(q, []int{0}, Options{}); err == nil {
		t.Errorf("Points at k = 0 = %v, want an error", got)
	}
	if got, err = Points(q, []int{1}, Options{Method: BCa}); err == nil {
		t.Errorf("Points by BCa without chance = %v, want an error", got)
	}
}

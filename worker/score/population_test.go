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

var methods = []Method{Beta, Student, BCa}

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

// TestBCaLeansToTheTail: of skewed scores the bootstrap reaches further up than down.
func TestBCaLeansToTheTail(t *testing.T) {
	t.Parallel()
	scores := make([]float64, 40)
	scores[0], scores[1], scores[2] = 1, 0.9, 0.2
	m := mean(scores)
	got, err := PopulationInterval(scores, 0.95, BCa, chance(20_000))
	if err != nil || got.High-m <= 1.5*(m-got.Low) {
		t.Errorf("BCa %v, %v, mean %v: want it to lean upwards", got, err, m)
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
		if got, err := PopulationInterval(thirds, 0.95, method, chance(100)); err != nil || !got.Contains(1.0/3) || got.Width() < 0.1 || got.Width() > 0.5 {
			t.Errorf("%v of thirds: %v, %v, want room for doubt", method, got, err)
		}
	}
}

// TestAlikeScoresLeaveRoom: one score that differs a little makes no interval narrow.
func TestAlikeScoresLeaveRoom(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		questions int
		all, one  float64
	}{{175, 1, 0.999}, {175, 0.5, 0.501}, {12, 1, 0.99}, {175, 0, 0.001}} {
		equal := slices.Repeat([]float64{tt.all}, tt.questions)
		differ := slices.Clone(equal)
		differ[0] = tt.one
		a, err1 := PopulationInterval(equal, 0.95, Beta, Bootstrap{})
		b, err2 := PopulationInterval(differ, 0.95, Beta, Bootstrap{})
		if err1 != nil || err2 != nil || b.Width() < 0.95*a.Width() {
			t.Errorf("%d times %v: %v; one of them %v: %v (%v, %v): want it no narrower", tt.questions, tt.all, a, tt.one, b, err1, err2)
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

package score

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// TestHypergeometric holds the sampler against the exact distribution.
func TestHypergeometric(t *testing.T) {
	t.Parallel()
	f := logFactorials(60)
	r := rand.New(rand.NewPCG(7, 9))
	choose := func(n, k int) float64 { return math.Exp(f[n] - f[k] - f[n-k]) }
	for _, tt := range []struct{ n, c, take int }{{10, 3, 4}, {60, 30, 15}, {60, 59, 20}, {60, 0, 20}, {5, 5, 2}, {40, 2, 39}} {
		const draws = 40_000
		seen := make([]int, tt.n+1)
		for range draws {
			seen[f.hypergeometric(r, Count{tt.n, tt.c}, tt.take)]++
		}
		for x, count := range seen {
			want := 0.0
			if x <= tt.c && x <= tt.take && tt.take-x <= tt.n-tt.c {
				want = choose(tt.c, x) * choose(tt.n-tt.c, tt.take-x) / choose(tt.n, tt.take)
			}
			if got := float64(count) / draws; math.Abs(got-want) > 5*math.Sqrt(want*(1-want)/draws) {
				t.Errorf("%d of %d passed, %d taken: %d passed in %v of the draws, want %v", tt.c, tt.n, tt.take, x, got, want)
			}
		}
	}
	for _, tt := range []struct{ n, c, k int }{{60, 7, 5}, {60, 30, 31}, {60, 0, 60}} {
		if got, want := f.miss(Count{tt.n, tt.c}, tt.k), math.Exp(logMiss(tt.n, tt.c, tt.k)); math.Abs(got-want) > 1e-12 {
			t.Errorf("miss(%d, %d, %d) = %v, want %v", tt.n, tt.c, tt.k, got, want)
		}
	}
}

func TestUnionGain(t *testing.T) {
	t.Parallel()
	// Two kinds of question, each solved at one temperature only: spread is better.
	var apart [][]Count
	for i := range 40 {
		apart = append(apart, []Count{{400, 80 * (i % 2)}, {400, 80 * (1 - i%2)}})
	}
	got, err := UnionGain(apart, 10, 0.95, chance(400))
	// A fifth passes: 10 at the right temperature solve 0.893, 5 solve 0.672, of half.
	want := (1 - math.Pow(0.8, 5)) - (1-math.Pow(0.8, 10))/2
	if err != nil || math.Abs(got.Value-want) > 0.01 || got.These.Low < 0.15 || got.Like.Low < 0 || !got.These.Contains(got.Value) {
		t.Errorf("UnionGain = %+v, %v, want about %v", got, err, want)
	}
	if got.Like.Width() < got.These.Width() {
		t.Errorf("these questions %v, questions like these %v: want the second no surer", *got.These, *got.Like)
	}
	one, err := UnionGain(apart[:1], 10, 0.95, chance(100))
	if err != nil || one.These != nil || one.Like != nil {
		t.Errorf("one question: %+v, %v, want no interval", one, err)
	}
	for name, tt := range map[string]struct {
		questions [][]Count
		k         int
		b         Bootstrap
		undefined bool
	}{
		"none":        {nil, 2, chance(10), true},
		"few samples": {apart, 202, chance(10), true},
		"odd":         {apart, 3, chance(10), false},
		"ragged":      {append([][]Count{{{400, 1}}}, apart...), 2, chance(10), false},
		"bad count":   {[][]Count{{{4, 5}, {4, 0}}}, 2, chance(10), false},
		"no chance":   {apart, 2, Bootstrap{}, false},
	} {
		if got, err := UnionGain(tt.questions, tt.k, 0.95, tt.b); err == nil || errors.Is(err, ErrUndefined) != tt.undefined {
			t.Errorf("%s: %+v, %v, want an error, undefined: %v", name, got, err, tt.undefined)
		}
	}
}

package score

import (
	"errors"
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// close12 reports whether got is want to 1e-12, relative to want: small values
// need their digits too.
func close12(got, want float64) bool {
	return math.Abs(got-want) <= 1e-12*math.Abs(want)
}

// choose is C(n, k) as an exact number, 0 if k > n.
func choose(n, k int) *big.Int {
	if k > n {
		return new(big.Int)
	}
	return new(big.Int).Binomial(int64(n), int64(k))
}

// exactMiss is C(n-c, k)/C(n, k) in exact arithmetic.
func exactMiss(n, c, k int) *big.Rat {
	return new(big.Rat).SetFrac(choose(n-c, k), choose(n, k))
}

func exactPass(n, c, k int) float64 {
	p := new(big.Rat).Sub(big.NewRat(1, 1), exactMiss(n, c, k))
	f, _ := p.Float64()
	return f
}

func TestPassAtKIsExact(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 24; n++ {
		for c := 0; c <= n; c++ {
			for k := 1; k <= n; k++ {
				checkExact(t, n, c, k)
			}
		}
	}
	big := []int{1, 2, 100, 400, 5000, 9990, 10_000}
	if testing.Short() {
		big = []int{1, 100, 10_000}
	}
	for _, c := range append([]int{0}, big...) {
		for _, k := range big {
			checkExact(t, 10_000, c, k)
		}
	}
}

func checkExact(t *testing.T, n, c, k int) {
	t.Helper()
	// 1e-12 is what is promised; compensation gives more, and its loss shows here.
	if got, err := PassAtK(n, c, k); err != nil || math.Abs(got-exactPass(n, c, k)) > 2e-15*exactPass(n, c, k) {
		t.Errorf("PassAtK(%d, %d, %d) = %v, %v, want %v", n, c, k, got, err, exactPass(n, c, k))
	}
	want, _ := new(big.Rat).SetFrac(choose(c, k), choose(n, k)).Float64()
	got, err := PassHatK(n, c, k)
	if err != nil || (want > 1e-280 && math.Abs(got/want-1) > 1.5e-13) || math.Abs(got-want) > 1e-12 {
		t.Errorf("PassHatK(%d, %d, %d) = %v, %v, want %v", n, c, k, got, err, want)
	}
}

func TestPassAtKKnownValues(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n, c, k int
		want    float64
	}{
		{10, 3, 1, 0.3},
		{10, 0, 10, 0},
		{10, 1, 10, 1},
		{2, 1, 1, 0.5},
		{4, 2, 2, 1 - 1.0/6},
		{1_000_000_000, 1, 1, 1e-9},
	} {
		if got, err := PassAtK(tt.n, tt.c, tt.k); err != nil || !close12(got, tt.want) {
			t.Errorf("PassAtK(%d, %d, %d) = %v, %v, want %v", tt.n, tt.c, tt.k, got, err, tt.want)
		}
	}
}

func TestPassAtKErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n, c, k   int
		undefined bool
	}{
		{10, 3, 11, true},
		{0, 0, 1, true},
		{10, 3, 0, false},
		{10, 11, 1, false},
		{10, -1, 1, false},
		{-1, 0, 1, false},
	} {
		for name, f := range map[string]func(n, c, k int) (float64, error){
			"PassAtK": PassAtK, "PassHatK": PassHatK,
			"Scores":       func(n, c, k int) (float64, error) { _, err := Scores([]Count{{n, c}}, k); return 0, err },
			"MeanPassHatK": func(n, c, k int) (float64, error) { return MeanPassHatK([]Count{{n, c}}, k) },
			"UnionAtK":     func(n, c, k int) (float64, error) { return UnionAtK([]Count{{n, c}}, k) },
		} {
			got, err := f(tt.n, tt.c, tt.k)
			if err == nil || errors.Is(err, ErrUndefined) != tt.undefined || got != 0 {
				t.Errorf("%s(%d, %d, %d) = %v, %v, want an error, undefined: %v", name, tt.n, tt.c, tt.k, got, err, tt.undefined)
			}
		}
	}
	for name, f := range map[string]func() (float64, error){
		"MeanPassHatK": func() (float64, error) { return MeanPassHatK(nil, 1) },
		"UnionAtK":     func() (float64, error) { return UnionAtK(nil, 1) },
	} {
		if got, err := f(); !errors.Is(err, ErrUndefined) || got != 0 {
			t.Errorf("%s of nothing = %v, %v, want ErrUndefined", name, got, err)
		}
	}
}

// drawCount draws a count, often an extreme one.
func drawCount(t *rapid.T, most int) Count {
	n := rapid.IntRange(1, most).Draw(t, "n")
	c := rapid.OneOf(rapid.IntRange(0, n), rapid.SampledFrom([]int{0, 1, n - 1, n})).Draw(t, "c")
	return Count{n, c}
}

func TestPassAtKProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := drawCount(t, 3000)
		k := rapid.IntRange(1, c.N).Draw(t, "k")
		p, err := PassAtK(c.N, c.C, k)
		if err != nil || !(p >= 0 && p <= 1) {
			t.Fatalf("PassAtK(%v, %d) = %v, %v, want 0 to 1", c, k, p, err)
		}
		if hat, err := PassHatK(c.N, c.C, k); err != nil || !(hat >= 0 && hat <= c.Rate()+1e-15 && c.Rate() <= p+1e-15) {
			t.Fatalf("pass^%d = %v (%v), pass@1 = %v, pass@%d = %v, want them in this order", k, hat, err, c.Rate(), k, p)
		}
		if k < c.N {
			if more, _ := PassAtK(c.N, c.C, k+1); more < p-1e-15 {
				t.Fatalf("pass@%d = %v, pass@%d = %v, want it not to fall", k, p, k+1, more)
			}
		}
		if c.C < c.N {
			if more, _ := PassAtK(c.N, c.C+1, k); more < p-1e-15 {
				t.Fatalf("one more passed, and %v became %v", p, more)
			}
		}
		// One sample taken away at random: the estimate's mean stays.
		if k < c.N && c.C > 0 && c.C < c.N {
			failed, _ := PassAtK(c.N-1, c.C, k)
			passed, _ := PassAtK(c.N-1, c.C-1, k)
			if mean := c.Rate()*passed + (1-c.Rate())*failed; math.Abs(mean-p) > 1e-12 {
				t.Fatalf("leave one out of %v: mean %v, want pass@%d = %v", c, mean, k, p)
			}
		}
	})
}

func TestPowers(t *testing.T) {
	t.Parallel()
	for n, want := range map[int][]int{
		0: nil, 1: {1}, 7: {1, 2, 5, 7}, 100: {1, 2, 5, 10, 20, 50, 100}, 101: {1, 2, 5, 10, 20, 50, 100, 101},
	} {
		if got := Powers(n); !slices.Equal(got, want) {
			t.Errorf("Powers(%d) = %v, want %v", n, got, want)
		}
	}
}

func TestReliable(t *testing.T) {
	t.Parallel()
	known, open := Interval{0.3, 0.34}, Interval{0.3, 0.3401}
	for _, tt := range []struct {
		n, k int
		i    Interval
		want bool
	}{
		{100, 50, known, true},
		{100, 51, known, false},
		{100, 1, open, false},
		{1, 1, known, true}, // unbiased from one sample: its interval decides
		{3, 2, known, false},
	} {
		if got := Reliable([]Count{{1000, 1}, {tt.n, 0}}, tt.k, tt.i); got != tt.want {
			t.Errorf("Reliable(n = %d, k = %d, %v) = %v", tt.n, tt.k, tt.i, got)
		}
	}
}

func BenchmarkPassAtK(b *testing.B) {
	for b.Loop() {
		if _, err := PassAtK(10_000, 5000, 1000); err != nil {
			b.Fatal(err)
		}
	}
}

package score

import (
	"errors"
	"math"
	"testing"

	"gonum.org/v1/gonum/mathext"
	"pgregory.net/rapid"
)

// logPMF is the logarithm of the binomial probability of c of n at rate p.
func logPMF(n, c int, p float64) float64 {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
	out := lg(n) - lg(c) - lg(n-c)
	if c > 0 {
		out += float64(c) * math.Log(p)
	}
	if c < n {
		out += float64(n-c) * math.Log1p(-p)
	}
	return out
}

// atMost is the chance of c or fewer of n.
func atMost(n, c int, p float64) float64 {
	total := 0.0
	for i := 0; i <= c; i++ {
		total += math.Exp(logPMF(n, i, p))
	}
	return total
}

// TestClopperPearsonTails holds the ends against their definition: at the upper
// end c or fewer, at the lower end c or more, have just the tail's chance.
func TestClopperPearsonTails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ n, c int }{
		{1, 0}, {1, 1}, {2, 1}, {10, 3}, {100, 1}, {100, 50}, {100, 99}, {10_000, 0}, {10_000, 1}, {10_000, 171}, {10_000, 9999}, {10_000, 10_000},
	} {
		for _, level := range []float64{0.5, 0.9, 0.95, 0.999} {
			got, err := ClopperPearson(tt.n, tt.c, level)
			if err != nil {
				t.Fatal(err)
			}
			tail := (1 - level) / 2
			if tt.c == tt.n && got.High != 1 || tt.c == 0 && got.Low != 0 {
				t.Errorf("ClopperPearson(%d, %d) = %v, want the end itself", tt.n, tt.c, got)
			}
			if tt.c < tt.n {
				if p := atMost(tt.n, tt.c, got.High); math.Abs(p/tail-1) > 1e-7 {
					t.Errorf("ClopperPearson(%d, %d, %v) = %v: upper tail %v, want %v", tt.n, tt.c, level, got, p, tail)
				}
			}
			if tt.c > 0 {
				// c or more passed is n-c or fewer failed; 1 - Low is exact enough.
				if p := atMost(tt.n, tt.n-tt.c, 1-got.Low); math.Abs(p/tail-1) > 1e-7 {
					t.Errorf("ClopperPearson(%d, %d, %v) = %v: lower tail %v, want %v", tt.n, tt.c, level, got, p, tail)
				}
			}
		}
	}
}

func TestOneSidedBounds(t *testing.T) {
	t.Parallel()
	got, err := UpperBound(10_000, 0, 0.95)
	if err != nil || math.Abs(got-2.9953e-4) > 1e-8 {
		t.Errorf("UpperBound(10000, 0, 0.95) = %v, %v, want 2.9953e-4: 0 of 10,000 means below 3.0e-4", got, err)
	}
	low, err := LowerBound(10_000, 10_000, 0.95)
	if err != nil || math.Abs(1-low-got) > 1e-12 {
		t.Errorf("LowerBound(10000, 10000, 0.95) = %v, %v, want the mirror of %v", low, err, got)
	}
	two, _ := ClopperPearson(50, 7, 0.90)
	up, _ := UpperBound(50, 7, 0.95)
	down, _ := LowerBound(50, 7, 0.95)
	if math.Abs(up-two.High) > 1e-12 || math.Abs(down-two.Low) > 1e-12 {
		t.Errorf("one-sided bounds at 95 %% are %v and %v, want the ends of the interval at 90 %%, %v", down, up, two)
	}
}

// TestJeffreysByIntegration integrates the posterior itself. With x = sin^2(t) its
// density is that of sin^2c(t) cos^2(n-c)(t), smooth everywhere.
func TestJeffreysByIntegration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ n, c int }{{1, 0}, {1, 1}, {7, 0}, {7, 1}, {10, 5}, {30, 9}, {1000, 2}, {1000, 1000}, {10_000, 4000}} {
		got := jeffreys(float64(tt.n), float64(tt.c), 0.95)
		mode := math.Asin(math.Sqrt(float64(tt.c) / float64(tt.n)))
		log := func(a float64) float64 {
			out := 0.0
			if tt.c > 0 {
				out += 2 * float64(tt.c) * math.Log(math.Sin(a))
			}
			if tt.c < tt.n {
				out += 2 * float64(tt.n-tt.c) * math.Log(math.Cos(a))
			}
			return out
		}
		mass := func(from, to float64) float64 { // Simpson's rule
			const steps = 20_000
			h, total := (to-from)/steps, 0.0
			for i := range steps + 1 {
				w := 2.0
				switch {
				case i == 0 || i == steps:
					w = 1
				case i%2 == 1:
					w = 4
				}
				if v := log(from+h*float64(i)) - log(mode); !math.IsNaN(v) {
					total += w * math.Exp(v)
				}
			}
			return total * h / 3
		}
		whole := mass(0, math.Pi/2)
		if below := mass(0, math.Asin(math.Sqrt(got.Low))) / whole; tt.c > 0 && math.Abs(below-0.025) > 1e-7 || tt.c == 0 && got.Low != 0 {
			t.Errorf("jeffreys(%d, %d) = %v: %v of the posterior is below, want 0.025", tt.n, tt.c, got, below)
		}
		if above := mass(math.Asin(math.Sqrt(got.High)), math.Pi/2) / whole; tt.c < tt.n && math.Abs(above-0.025) > 1e-7 || tt.c == tt.n && got.High != 1 {
			t.Errorf("jeffreys(%d, %d) = %v: %v of the posterior is above, want 0.025", tt.n, tt.c, got, above)
		}
	}
}

func TestIntervalProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := drawCount(t, 100_000)
		level := rapid.Float64Range(0.01, 0.9999).Draw(t, "level")
		exact, err := ClopperPearson(c.N, c.C, level)
		if err != nil {
			t.Fatal(err)
		}
		bayes := jeffreys(float64(c.N), float64(c.C), level)
		const hair = 1e-12
		for _, i := range []Interval{exact, bayes} {
			// Jeffreys' is centred on its posterior, which at a low level need not
			// reach the rate itself, but it does from 0.5 on.
			if !(i.Low >= 0 && i.Low <= i.High && i.High <= 1) || (level > 0.5 && !i.Contains(c.Rate())) {
				t.Fatalf("interval of %v at %v = %v, want it around the rate within [0, 1]", c, level, i)
			}
		}
		if level > 0.5 && (bayes.Low < exact.Low-hair || bayes.High > exact.High+hair) {
			t.Fatalf("Jeffreys %v is not within Clopper-Pearson %v for %v at %v", bayes, exact, c, level)
		}
		mirror, err := ClopperPearson(c.N, c.N-c.C, level)
		if err != nil || math.Abs(mirror.Low-(1-exact.High)) > 1e-9 || math.Abs(mirror.High-(1-exact.Low)) > 1e-9 {
			t.Fatalf("interval of %v is %v, of its mirror %v", c, exact, mirror)
		}
		k := rapid.IntRange(1, 10_000).Draw(t, "k")
		at := exact.AtK(k)
		if !(at.Low >= 0 && at.Low <= at.High && at.High <= 1) || exact.AtK(1).Low > exact.Low+hair || at.High < exact.High-hair {
			t.Fatalf("%v at k = %d is %v", exact, k, at)
		}
	})
}

func TestAtK(t *testing.T) {
	t.Parallel()
	got := Interval{1e-9, 1}.AtK(10)
	if math.Abs(got.Low/1e-8-1) > 1e-7 || got.High != 1 {
		t.Errorf("AtK(10) = %v, want about 1e-8 to 1", got)
	}
	if got := (Interval{0.1, 0.5}).AtK(2); math.Abs(got.Low-0.19) > 1e-15 || got.High != 0.75 {
		t.Errorf("AtK(2) = %v, want 0.19 to 0.75", got)
	}
}

func TestBetaQuantileInvertsTheDistribution(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.Custom(func(t *rapid.T) float64 { return math.Exp(rapid.Float64Range(-1, 15).Draw(t, "log")) })
		a, b := shape.Draw(t, "a"), shape.Draw(t, "b")
		p := rapid.Float64Range(1e-4, 1-1e-4).Draw(t, "p")
		x := betaQuantile(a, b, p)
		// Next to 1 the numbers are further apart than the probabilities: then it is enough that
		// the right one lies between the neighbours.
		below, above := mathext.RegIncBeta(a, b, x*(1-4e-16)), mathext.RegIncBeta(a, b, min(1, x*(1+4e-16)))
		if math.IsNaN(x) || p < below-1e-6 || p > above+1e-6 {
			t.Fatalf("betaQuantile(%v, %v, %v) = %v, whose probability is %v to %v", a, b, p, x, below, above)
		}
	})
}

// TestJeffreysOfManyDraws: where the beta distribution's integral gives out, the
// interval goes on as the normal distribution's.
func TestJeffreysOfManyDraws(t *testing.T) {
	t.Parallel()
	for n := 1e6; n < 1e13; n *= 10 {
		for _, m := range []float64{0.5, 0.1, 1 - 0.1} {
			got := jeffreys(n, m*n, 0.95)
			arm := 1.959964 * math.Sqrt(m*(1-m)/n)
			if tolerance := arm / 500; math.Abs(m-arm-got.Low) > tolerance || math.Abs(m+arm-got.High) > tolerance {
				t.Errorf("jeffreys(%v, %v) = %v, want %v +- %v", n, m*n, got, m, arm)
			}
		}
	}
}

func TestIntervalErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n, c      int
		level     float64
		undefined bool
	}{
		{0, 0, 0.95, true},
		{10, 11, 0.95, false},
		{10, -1, 0.95, false},
		{10, 1, 0, false},
		{10, 1, 1, false},
		{10, 1, math.NaN(), false},
	} {
		for name, f := range map[string]func() (Interval, error){
			"ClopperPearson": func() (Interval, error) { return ClopperPearson(tt.n, tt.c, tt.level) },
			"UpperBound": func() (Interval, error) {
				x, err := UpperBound(tt.n, tt.c, tt.level)
				return Interval{x, 0}, err
			},
			"LowerBound": func() (Interval, error) {
				x, err := LowerBound(tt.n, tt.c, tt.level)
				return Interval{x, 0}, err
			},
		} {
			got, err := f()
			if err == nil || errors.Is(err, ErrUndefined) != tt.undefined || got != (Interval{}) {
				t.Errorf("%s(%d, %d, %v) = %v, %v, want an error, undefined: %v", name, tt.n, tt.c, tt.level, got, err, tt.undefined)
			}
		}
	}
}

package score

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"
)

// An Interval is a range that holds an unknown quantity with the level asked for.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Contains reports whether x lies within i, its ends included.
func (i Interval) Contains(x float64) bool { return i.Low <= x && x <= i.High }

// Width returns the length of i.
func (i Interval) Width() float64 { return i.High - i.Low }

// AtK maps an interval for the pass rate p of one question to one for its
// pass@k, 1 - (1-p)^k. The map is monotone, so the level stays what it was.
func (i Interval) AtK(k int) Interval {
	at := func(p float64) float64 {
		if p >= 1 {
			return 1
		}
		return -math.Expm1(float64(k) * math.Log1p(-p))
	}
	return Interval{at(i.Low), at(i.High)}
}

// ClopperPearson returns the exact two-sided interval for a pass rate of which c
// of n samples are known: it covers with at least the given level, whatever the
// rate. Source: Clopper and Pearson 1934.
//
// The error is ErrUndefined if n is 0, and a mistake unless 0 <= c <= n and the
// level is within (0, 1).
func ClopperPearson(n, c int, level float64) (Interval, error) {
	if err := checkInterval(n, c, level); err != nil {
		return Interval{}, err
	}
	tail := (1 - level) / 2
	return Interval{lowerBound(n, c, tail), upperBound(n, c, tail)}, nil
}

// UpperBound returns the exact one-sided bound: the rate is below it with at
// least the given level. For 0 of 10,000 at 95 % it is 0.0003. Errors are those
// of ClopperPearson.
func UpperBound(n, c int, level float64) (float64, error) {
	if err := checkInterval(n, c, level); err != nil {
		return 0, err
	}
	return upperBound(n, c, 1-level), nil
}

// LowerBound is the mirror of UpperBound: the rate is above it.
func LowerBound(n, c int, level float64) (float64, error) {
	if err := checkInterval(n, c, level); err != nil {
		return 0, err
	}
	return lowerBound(n, c, 1-level), nil
}

func upperBound(n, c int, tail float64) float64 {
	switch c {
	case n:
		return 1
	case 0: // closed form: (1-p)^n = tail
		return -math.Expm1(math.Log(tail) / float64(n))
	default:
		return betaQuantile(float64(c+1), float64(n-c), 1-tail)
	}
}

func lowerBound(n, c int, tail float64) float64 {
	switch c {
	case 0:
		return 0
	case n:
		return math.Exp(math.Log(tail) / float64(n))
	default:
		return betaQuantile(float64(c), float64(n-c+1), tail)
	}
}

// beyondBeta is the count above which the beta distribution is normal in the
// logarithm of the odds, to a thousandth of its spread, while the series for its
// integral loses digits.
const beyondBeta = 1e6

// jeffreys returns the equal-tailed interval of the posterior of a pass rate under
// Jeffreys' prior, with the ends 0 and 1 where no or all samples passed. The counts
// need not be whole. It is shorter than ClopperPearson and covers with the level on
// average rather than at least. Source: Brown, Cai and DasGupta 2001, section 3.
func jeffreys(n, c, level float64) Interval {
	tail := (1 - level) / 2
	if c > beyondBeta && n-c > beyondBeta {
		odds, spread := math.Log(c/(n-c)), math.Sqrt(1/c+1/(n-c))
		z := normalQuantile(1 - tail)
		return Interval{logistic(odds - z*spread), logistic(odds + z*spread)}
	}
	out := Interval{0, 1}
	if c > 0 {
		out.Low = betaQuantile(c+0.5, n-c+0.5, tail)
	}
	if c < n {
		out.High = betaQuantile(c+0.5, n-c+0.5, 1-tail)
	}
	return out
}

func checkInterval(n, c int, level float64) error {
	if err := (Count{n, c}).Validate(); err != nil {
		return err
	}
	if err := checkLevel(level); err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("interval of a rate: %w: no samples", ErrUndefined)
	}
	return nil
}

func checkLevel(level float64) error {
	if !(level > 0 && level < 1) {
		return fmt.Errorf("level = %v, want above 0 and below 1", level)
	}
	return nil
}

// betaQuantile returns x with I_x(a, b) = p, for a, b > 0 and 0 < p < 1, by
// bisection on the logarithm of the odds of x: there the answers for rates of
// 1e-7 and 1-1e-7 are as easy as that for a half.
func betaQuantile(a, b, p float64) float64 {
	mean := math.Log(a / b)
	low, high := mean-1, mean+1
	below := func(odds float64) bool { return mathext.RegIncBeta(a, b, logistic(odds)) < p }
	for step := 1.0; below(high) && high < 700; step *= 2 {
		high += step
	}
	for step := 1.0; !below(low) && low > -700; step *= 2 {
		low -= step
	}
	for range 80 {
		mid := low + (high-low)/2
		if mid <= low || mid >= high {
			break
		}
		if below(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return logistic(low + (high-low)/2)
}

func logistic(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}

func normalQuantile(p float64) float64 { return distuv.UnitNormal.Quantile(p) }

func studentQuantile(p, degrees float64) float64 {
	return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: degrees}.Quantile(p)
}

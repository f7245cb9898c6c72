package score

import (
	"fmt"
	"math"
)

// Together is the level that each of m intervals needs so that all of them hold at once with
// the given one. It is exact where what they speak of is independent, as the samples at
// different temperatures are, and on the safe side for normal differences with any
// correlation (Šidák 1967).
func Together(level float64, m int) float64 { return math.Pow(level, 1/float64(max(1, m))) }

// mostTerms is up to how many products the exact distribution of SameRates is worked out.
// Where there are more, each stratum has many passes and misses, and the normal one is near.
const mostTerms = 200_000

// SameRates returns the two-sided P that a and b have the same pass rate in every stratum,
// such as a temperature. It is the exact conditional test of Mantel and Haenszel: given how
// many passed in each stratum, the number of passes that are a's is a sum of hypergeometric
// ones. Strata may differ in rate and in size. Where all that passed or failed are few it is
// exact, else normal with a correction for whole numbers. It is twice the smaller tail, so
// above what it should be rather than below.
//
// The error is ErrUndefined if no stratum has samples on both sides, and a mistake if the two
// are not as long as each other.
func SameRates(a, b []Count) (float64, error) {
	if len(a) != len(b) {
		return 0, fmt.Errorf("same rates: %d strata and %d, want as many", len(a), len(b))
	}
	seen, first, terms, size := 0, 0, 0, 1
	var mean, variance sum
	var parts [][]float64
	some := false
	for i := range a {
		if err := a[i].Validate(); err != nil {
			return 0, fmt.Errorf("same rates, stratum %d: %w", i, err)
		}
		if err := b[i].Validate(); err != nil {
			return 0, fmt.Errorf("same rates, stratum %d: %w", i, err)
		}
		if a[i].N == 0 || b[i].N == 0 {
			continue
		}
		some = true
		m, n := float64(a[i].N), float64(a[i].N+b[i].N)
		passed := float64(a[i].C + b[i].C)
		mean.add(m * passed / n)
		variance.add(m * (n - m) * passed * (n - passed) / (n * n * (n - 1)))
		low, high := max(0, a[i].C+b[i].C-b[i].N), min(a[i].C+b[i].C, a[i].N)
		seen, first = seen+a[i].C, first+low
		terms += size * (high - low + 1)
		size += high - low
		parts = append(parts, nil)
		if terms <= mostTerms {
			parts[len(parts)-1] = hypergeometric(a[i], b[i], low, high)
		}
	}
	switch {
	case !some:
		return 0, fmt.Errorf("same rates: %w: no samples", ErrUndefined)
	case variance.value() == 0:
		return 1, nil
	case terms > mostTerms:
		off := max(0, math.Abs(float64(seen)-mean.value())-0.5)
		return math.Erfc(off / math.Sqrt(2*variance.value())), nil
	}
	all := []float64{1}
	for _, p := range parts {
		all = convolve(all, p)
	}
	var below, above sum
	for i, p := range all {
		if first+i <= seen {
			below.add(p)
		}
		if first+i >= seen {
			above.add(p)
		}
	}
	return min(1, 2*min(below.value(), above.value())), nil
}

// hypergeometric returns the chances that low to high of the passes of both are a's.
func hypergeometric(a, b Count, low, high int) []float64 {
	n, passed := a.N+b.N, a.C+b.C
	out := make([]float64, 0, high-low+1)
	for x := low; x <= high; x++ {
		out = append(out, math.Exp(logChoose(passed, x)+logChoose(n-passed, a.N-x)-logChoose(n, a.N)))
	}
	return out
}

// convolve returns the distribution of the sum of two numbers.
func convolve(x, y []float64) []float64 {
	out := make([]float64, len(x)+len(y)-1)
	for i, p := range x {
		for j, q := range y {
			out[i+j] += p * q
		}
	}
	return out
}

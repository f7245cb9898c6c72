package score

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/optimize"
)

// BenjaminiHochberg returns the P values adjusted for being looked at together, in their own
// order: of those at most q, a share of q on average is false at most, where tests are
// independent or positively related. Source: Benjamini and Hochberg 1995.
func BenjaminiHochberg(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case p[a] < p[b]:
			return -1
		case p[a] > p[b]:
			return 1
		default:
			return 0
		}
	})
	out := make([]float64, len(p))
	least := 1.0
	for rank, i := range slices.Backward(order) {
		least = min(least, p[i]*float64(len(p))/float64(rank+1))
		out[i] = least
	}
	return out
}

// Rarer returns the exact one-sided P that a has so few passes or fewer beside b if both have
// the same pass rate: the chance that a random choice of a's number among all samples holds so
// few (Fisher 1935). The error is ErrUndefined if one has no samples.
func Rarer(a, b Count) (float64, error) {
	for _, c := range []Count{a, b} {
		if err := c.Validate(); err != nil {
			return 0, err
		}
		if c.N == 0 {
			return 0, fmt.Errorf("rarer: %w: no samples", ErrUndefined)
		}
	}
	n, passed := a.N+b.N, a.C+b.C
	// x of a's samples are among all that passed: from 0, or from what b cannot hold.
	first := max(0, passed-b.N)
	var p sum
	for x := first; x <= a.C; x++ {
		p.add(math.Exp(logChoose(passed, x) + logChoose(n-passed, a.N-x) - logChoose(n, a.N)))
	}
	return min(1, p.value()), nil
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

// A Model is one way to go on beyond the samples that were drawn.
type Model struct {
	Name string
	At   []float64 // mean pass@k, by k asked for
}

// Beyond returns what several models make of mean pass@k for k above the number of samples.
// Nothing measured says which is right: the questions that no sample passed may never pass, or
// pass at any rate below their bound. So it is a band, from the first model, in which they
// never do and the others keep the rate they showed, to the last, in which all of them are at their bound. Between them are
// a beta distribution of pass rates, the same with a share of questions that never pass, and a
// power law through the measured pass@k of the last decade.
//
// The error is ErrUndefined for fewer than two questions, or if no sample passed or all did.
func Beyond(questions []Count, ks []int, level float64) ([]Model, error) {
	if err := checkLevel(level); err != nil {
		return nil, err
	}
	passed, all, least := 0, 0, math.MaxInt
	for i, c := range questions {
		if err := check(c, 1); err != nil {
			return nil, fmt.Errorf("beyond n, question %d: %w", i, err)
		}
		passed, all, least = passed+c.C, all+c.N, min(least, c.N)
	}
	if len(questions) < 2 || passed == 0 || passed == all {
		return nil, fmt.Errorf("beyond n: %w: %d questions, %d of %d samples passed", ErrUndefined, len(questions), passed, all)
	}
	mixed := betaFit(questions, true)
	plain := betaFit(questions, false)
	power := powerFit(questions, least)
	out := []Model{{Name: "what never passed never passes"}, {Name: "beta"}, {Name: "beta and a share that never passes"}, {Name: "power law"}, {Name: "what never passed is at its bound"}}
	for _, k := range ks {
		low, high := 0.0, 0.0
		for _, c := range questions {
			own := -math.Expm1(float64(k) * math.Log1p(-c.Rate()))
			if c.C == c.N {
				own = 1
			}
			low += own / float64(len(questions))
			if c.C == 0 {
				own = Interval{0, upperBound(c.N, 0, 1-level)}.AtK(k).High
			}
			high += own / float64(len(questions))
		}
		for i, v := range []float64{low, plain(k), mixed(k), power(k), high} {
			out[i].At = append(out[i].At, min(1, max(0, v)))
		}
	}
	return out, nil
}

// betaFit fits a beta distribution of pass rates by maximum likelihood, with a share of
// questions that never pass or without, and returns its mean pass@k.
func betaFit(questions []Count, never bool) func(k int) float64 {
	logBeta := func(a, b float64) float64 {
		x, _ := math.Lgamma(a)
		y, _ := math.Lgamma(b)
		z, _ := math.Lgamma(a + b)
		return x + y - z
	}
	type kind struct{ n, c int }
	kinds := make(map[kind]float64)
	var order []kind // the sum must not depend on the order of a map
	for _, c := range questions {
		k := kind{c.N, c.C}
		if kinds[k] == 0 {
			order = append(order, k)
		}
		kinds[k]++
	}
	of := func(x []float64) (a, b, zero float64) {
		a, b = math.Exp(min(20, max(-20, x[0]))), math.Exp(min(20, max(-20, x[1])))
		if never {
			zero = logistic(x[2])
		}
		return a, b, zero
	}
	loss := func(x []float64) float64 {
		a, b, zero := of(x)
		norm := logBeta(a, b)
		var s sum
		for _, k := range order {
			l := logBeta(a+float64(k.c), b+float64(k.n-k.c)) - norm + math.Log1p(-zero)
			if k.c == 0 && zero > 0 {
				l = math.Log(zero + math.Exp(l))
			}
			s.add(-kinds[k] * l)
		}
		return s.value()
	}
	start := []float64{-1, 0}
	if never {
		start = append(start, -2)
	}
	if r, err := optimize.Minimize(optimize.Problem{Func: loss}, start, &optimize.Settings{FuncEvaluations: 2000}, &optimize.NelderMead{}); r != nil && (err == nil || !math.IsInf(r.F, 0)) {
		start = r.X
	}
	a, b, zero := of(start)
	return func(k int) float64 {
		return (1 - zero) * -math.Expm1(logBeta(a, b+float64(k))-logBeta(a, b))
	}
}

// powerFit draws a straight line through the logarithm of the mean chance of a miss over that of k,
// from a tenth of n to half of it.
func powerFit(questions []Count, n int) func(k int) float64 {
	miss := func(k int) float64 {
		var s sum
		for _, c := range questions {
			s.add(math.Exp(logMiss(c.N, c.C, k)))
		}
		return s.value() / float64(len(questions))
	}
	from, to := max(1, n/10), max(1, n/2)
	x, y := math.Log(float64(from)), math.Log(max(1e-300, miss(from)))
	slope := 0.0
	if to > from {
		slope = min(0, (math.Log(max(1e-300, miss(to)))-y)/(math.Log(float64(to))-x))
	}
	return func(k int) float64 { return -math.Expm1(y + slope*(math.Log(float64(k))-x)) }
}

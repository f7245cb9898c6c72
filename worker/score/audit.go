package score

import (
	"fmt"
	"maps"
	"math"
	"math/big"

	"gonum.org/v1/gonum/mathext"
)

// An Audit is what an audited time limit leaves open of one question's samples. Of the programs
// beyond a soft limit a random share ran on; the others were stopped, and count as failed. A
// draw is of one program, and decides for all its samples.
type Audit struct {
	Share  float64     // of the draws with which programs run on, above 0, at most 1
	Passed map[int]int // draws that ran on and passed, by how many samples they have
	Draws  map[int]int // draws that ran on, by how many samples they have
	// Stopped is the number of samples whose program was stopped.
	Stopped int
}

// Validate reports what makes a no audit of c.
func (a Audit) Validate(c Count) error {
	if !(a.Share > 0 && a.Share <= 1) {
		return fmt.Errorf("audit: share = %v, want above 0, at most 1", a.Share)
	}
	for size, n := range a.Passed {
		if size < 1 || n < 0 {
			return fmt.Errorf("audit: %d draws of %d samples, want 0 or more of at least 1", n, size)
		}
	}
	if passed := samplesOf(a.Passed); passed > c.C {
		return fmt.Errorf("audit: %d samples passed beyond the soft limit, of %d that passed", passed, c.C)
	}
	return nil
}

// samplesOf returns how many samples draws have.
func samplesOf(draws map[int]int) int {
	n := 0
	for size, of := range draws {
		n += size * of
	}
	return n
}

// Reach returns the largest k for which pass@k of n samples with an audit is known well enough
// to be told. The estimate is unbiased for every k up to n. But a program that passed in the audit
// changes it by a factor of 1 - k/(share n), whose powers alternate and grow without bound once k is
// above 2 share n; up to share n they fall.
func (a Audit) Reach(n int) int { return max(1, int(a.Share*float64(n))) }

// PassAtK returns the unbiased estimate of pass@k from c.N samples of which c.C passed, those of
// the audit among them. It may lie outside [0, 1].
//
// Without an audit it is 1 - C(n-c, k)/C(n, k): the share of the sets of k samples that hold none that
// passed. A set is a product over its samples, so its expectation over the draws is taken
// draw by draw: what stands for the g samples of a program that passed in the audit is chosen so that its mean with
// what stands for a stopped one, with the weights share and 1 - share, is what stands for g samples that passed.
// For k = 1 it is the estimate of Horvitz and Thompson (1952): each counts 1/share times.
//
// Errors are those of PassAtK.
func (a Audit) PassAtK(c Count, k int) (float64, error) {
	miss, err := a.expect(c, k, false)
	if err != nil {
		return 0, fmt.Errorf("pass@%d: %w", k, err)
	}
	return 1 - miss, nil
}

// PassHatK is PassAtK for pass^k, the chance that k samples all pass.
func (a Audit) PassHatK(c Count, k int) (float64, error) {
	all, err := a.expect(c, k, true)
	if err != nil {
		return 0, fmt.Errorf("pass^%d: %w", k, err)
	}
	return all, nil
}

// expect returns the unbiased estimate of the share of sets of k samples that all passed, or of
// those that all failed.
//
// With g samples of a draw that passed in the audit, of share p, and q = 1 - p, the estimate is an operator on
// f(m) = C(m, k)/C(n, k). For sets that failed it is (f(m) - q f(m+g))/p, where f(m+g) is
// what a stopped program gives. For sets that passed it is (f(m+g) - q f(m))/p. The product of these over all draws
// is a polynomial in the shift by one sample. Its terms alternate, so it is summed with as many digits as they need.
func (a Audit) expect(c Count, k int, passed bool) (float64, error) {
	if err := check(c, k); err != nil {
		return 0, err
	}
	if err := a.Validate(c); err != nil {
		return 0, err
	}
	draws, of := 0, samplesOf(a.Passed)
	for _, n := range a.Passed {
		draws += n
	}
	m := c.N - c.C // failed for sure, or stopped
	if passed {
		m = c.C - of // passed within the soft limit
	}
	if k == 1 { // a sum; the rest is for products
		known := float64(c.C-of) + float64(of)/a.Share
		if !passed {
			known = float64(c.N) - known
		}
		return known / float64(c.N), nil
	}
	if draws == 0 {
		return math.Exp(logMiss(c.N, c.N-m, k)), nil
	}
	precision := uint(128 + float64(draws)*math.Log2((2-a.Share)/a.Share))
	number := func(x float64) *big.Float { return new(big.Float).SetPrec(precision).SetFloat64(x) }
	still, shifted := number(1), number(a.Share-1)
	if passed {
		still, shifted = shifted, still
	}
	// The coefficients of the product, by shift.
	terms := []*big.Float{number(1)}
	for size, n := range a.Passed {
		for range n {
			next := make([]*big.Float, len(terms)+size)
			for i := range next {
				next[i] = number(0)
			}
			for i, t := range terms {
				if t.Sign() == 0 {
					continue
				}
				next[i].Add(next[i], number(0).Mul(t, still))
				next[i+size].Add(next[i+size], number(0).Mul(t, shifted))
			}
			terms = next
		}
	}
	// f falls from f(n) = 1 to f(m) by the quotient of its neighbours.
	total, f := number(0), number(1)
	for at := c.N; at >= m && at >= k; at-- {
		if at < c.N {
			f.Mul(f, number(float64(at+1-k)))
			f.Quo(f, number(float64(at+1)))
		}
		if i := at - m; i < len(terms) {
			total.Add(total, number(0).Mul(f, terms[i]))
		}
	}
	share := number(a.Share)
	for range draws {
		total.Quo(total, share)
	}
	out, _ := total.Float64()
	return out, nil
}

// Variance returns the variance that the draws add to PassAtK: each draw by itself, as if the
// others were as they are. For k = 1 it is unbiased. It is 0 where nothing passed in the
// audit, which does not mean that the audit is certain: see FalseStops.
func (a Audit) Variance(c Count, k int) (float64, error) {
	whole, err := a.expect(c, k, false)
	if err != nil {
		return 0, fmt.Errorf("pass@%d: %w", k, err)
	}
	var s sum
	for size, n := range a.Passed {
		if n == 0 {
			continue
		}
		without := a
		without.Passed = maps.Clone(a.Passed)
		without.Passed[size]--
		// The draw stopped: its samples count as failed.
		miss, err := without.expect(Count{c.N, c.C - size}, k, false)
		if err != nil {
			return 0, fmt.Errorf("pass@%d: %w", k, err)
		}
		s.add(float64(n) * (1 - a.Share) * (miss - whole) * (miss - whole))
	}
	return s.value(), nil
}

// FalseStops returns the unbiased estimate of how many of the stopped samples would have passed,
// and an interval for it.
//
// Of D draws that would pass as many ran on as a binomial of D and the share says, whatever the programs. The interval
// is that of all D for which the number seen is no surprise, as Clopper and Pearson's is, less those seen. Where
// draws have several samples, D is of draws of the mean size, weighed by samples.
func (a Audit) FalseStops(level float64) (float64, Interval, error) {
	if err := checkLevel(level); err != nil {
		return 0, Interval{}, err
	}
	if !(a.Share > 0 && a.Share <= 1) {
		return 0, Interval{}, fmt.Errorf("audit: share = %v, want above 0, at most 1", a.Share)
	}
	passed := float64(samplesOf(a.Passed))
	estimate := passed * (1 - a.Share) / a.Share
	if a.Share == 1 || a.Stopped == 0 {
		return estimate, Interval{0, 0}, nil
	}
	size := meanSize(a.Passed)
	if size == 0 {
		size = max(1, meanSize(a.Draws))
	}
	seen, tail := passed/size, (1-level)/2
	all := Interval{High: drawsFor(func(d float64) bool { return mathext.RegIncBeta(d-seen, seen+1, 1-a.Share) < tail }, seen)}
	if seen > 0 {
		all.Low = drawsFor(func(d float64) bool { return mathext.RegIncBeta(seen, d-seen+1, a.Share) >= tail }, seen)
	}
	most := float64(a.Stopped)
	return estimate, Interval{
		Low: min(most, estimate, max(0, size*(all.Low-seen))), High: max(estimate, min(most, size*(all.High-seen))),
	}, nil
}

// meanSize returns how many samples the draw of a sample has, on average; 0 without draws.
func meanSize(draws map[int]int) float64 {
	squares := 0
	for size, n := range draws {
		squares += size * size * n
	}
	if squares == 0 {
		return 0
	}
	return float64(squares) / float64(samplesOf(draws))
}

// drawsFor returns the least number, not below from, that enough says yes to, give or take a millionth.
func drawsFor(enough func(float64) bool, from float64) float64 {
	low, step := from, 1.0
	if enough(from + 1e-9) {
		return from
	}
	for !enough(low + step) {
		low += step
		step *= 2
	}
	for high := low + step; high-low > 1e-6*(1+low); {
		if middle := (low + high) / 2; enough(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return low
}

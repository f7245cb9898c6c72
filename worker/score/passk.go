// Package score turns counts of passed samples into pass@k, intervals and
// comparisons. It knows no file, no queue and no clock: its chance comes from
// the generator that the caller passes, so the same input gives the same output.
package score

import (
	"errors"
	"fmt"
	"math"
)

// ErrUndefined marks a quantity that the data do not define: pass@k of fewer
// than k samples, a spread over one question. Who reports results says so in
// words and goes on; every other error of this package is a mistake of the
// caller. No function returns NaN.
var ErrUndefined = errors.New("undefined")

// A Count is what is known of one question at one temperature.
type Count struct {
	N int // samples scored, 0 or more
	C int // of those, passed: 0 to N
}

// Validate reports what makes c no count.
func (c Count) Validate() error {
	if c.N < 0 || c.C < 0 || c.C > c.N {
		return fmt.Errorf("count: passed = %d of n = %d, want 0 <= passed <= n", c.C, c.N)
	}
	return nil
}

// Rate returns the share that passed, which is avg@n and pass@1, and 0 if there
// are no samples.
func (c Count) Rate() float64 {
	if c.N == 0 {
		return 0
	}
	return float64(c.C) / float64(c.N)
}

// Widest is the half-width of a sampling interval above which a value is called little
// known: 2 points.
const Widest = 0.02

// Reliable reports whether the mean pass@k of questions is known well enough to be read
// without a second look: from samples of its own, twice k of every question at least,
// and to 2 points either way on these questions. pass@1 needs the second only: its
// estimate is as good with one sample as with many, but for its interval.
func Reliable(questions []Count, k int, sampling Interval) bool {
	for _, c := range questions {
		if k > 1 && c.N < 2*k {
			return false
		}
	}
	return sampling.Width() <= 2*Widest+1e-12 // rounding aside
}

// PassAtK returns the unbiased estimate of pass@k from n samples of which c
// passed: 1 - C(n-c, k)/C(n, k), in [0, 1].
//
// The quotient is a product of min(c, k) factors 1 - k/i, whose logarithms are
// summed with compensation; so nothing overflows, and a result of 1e-9 has as
// many good digits as one of 0.5. Source: Chen et al. 2021, "Evaluating Large
// Language Models Trained on Code", section 2.1.
//
// The error is ErrUndefined if k > n, and a mistake unless 0 <= c <= n, 1 <= k.
func PassAtK(n, c, k int) (float64, error) {
	if err := check(Count{n, c}, k); err != nil {
		return 0, fmt.Errorf("pass@%d: %w", k, err)
	}
	return -math.Expm1(logMiss(n, c, k)), nil
}

// PassHatK returns the unbiased estimate of pass^k, the chance that k samples all
// pass: C(c, k)/C(n, k), in [0, 1]. Errors are those of PassAtK.
func PassHatK(n, c, k int) (float64, error) {
	if err := check(Count{n, c}, k); err != nil {
		return 0, fmt.Errorf("pass^%d: %w", k, err)
	}
	return math.Exp(logMiss(n, n-c, k)), nil
}

func check(c Count, k int) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if k < 1 {
		return fmt.Errorf("k = %d, want 1 or more", k)
	}
	if k > c.N {
		return fmt.Errorf("%w: only %d samples", ErrUndefined, c.N)
	}
	return nil
}

// logMiss returns log(C(n-c, k)/C(n, k)), the logarithm of the estimated chance
// that none of k samples passes; -Inf if any k of the n hold one that passed.
func logMiss(n, c, k int) float64 {
	if c == 0 {
		return 0
	}
	if k > n-c {
		return math.Inf(-1)
	}
	// The quotient is symmetric in c and k: the product runs over the fewer.
	few, many := min(c, k), max(c, k)
	var s sum
	for i := n - few + 1; i <= n; i++ {
		s.add(logRest(many, i))
	}
	return s.value()
}

// logRest returns log(1 - part/whole), from the side on which no digits cancel.
func logRest(part, whole int) float64 {
	if 2*part > whole {
		return math.Log(float64(whole-part) / float64(whole))
	}
	return math.Log1p(-float64(part) / float64(whole))
}

// sum adds floating-point numbers with Neumaier's compensation, so that ten
// thousand terms lose no more than one.
type sum struct{ total, lost float64 }

func (s *sum) add(x float64) {
	t := s.total + x
	if math.Abs(s.total) >= math.Abs(x) {
		s.lost += (s.total - t) + x
	} else {
		s.lost += (x - t) + s.total
	}
	s.total = t
}

func (s *sum) value() float64 { return s.total + s.lost }

// Powers returns the k at which curves are drawn: 1, 2, 5, 10, 20, 50, ... up to n,
// and n itself.
func Powers(n int) []int {
	var out []int
	for decade := 1; decade <= n; decade *= 10 {
		for _, step := range []int{1, 2, 5} {
			if k := step * decade; k <= n {
				out = append(out, k)
			}
		}
	}
	if n >= 1 && out[len(out)-1] != n {
		out = append(out, n)
	}
	return out
}

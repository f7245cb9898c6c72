package score_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lcbq/lcbq/worker/score"
)

// drawn is a question with programs beyond a soft limit that pass, by how many samples they have.
type drawn struct {
	n, passed int   // samples, and those that pass within the soft limit
	beyond    []int // samples of each program that passes beyond it
}

// seen returns what is counted when the draws of the bits are below the share.
func (d drawn) seen(share float64, bits uint) (score.Count, score.Audit) {
	c, a := score.Count{N: d.n, C: d.passed}, score.Audit{Share: share, Passed: map[int]int{}}
	for i, size := range d.beyond {
		if bits>>i&1 == 1 {
			c.C += size
			a.Passed[size]++
		} else {
			a.Stopped += size
		}
	}
	a.Draws = a.Passed
	return c, a
}

// mean is the expectation of an estimate over all ways in which the draws can fall.
func (d drawn) mean(t *testing.T, share float64, of func(score.Count, score.Audit) (float64, error)) float64 {
	t.Helper()
	sum := 0.0
	for bits := range uint(1) << len(d.beyond) {
		weight := 1.0
		for i := range d.beyond {
			if bits>>i&1 == 1 {
				weight *= share
			} else {
				weight *= 1 - share
			}
		}
		c, a := d.seen(share, bits)
		v, err := of(c, a)
		if err != nil {
			t.Fatal(err)
		}
		sum += weight * v
	}
	return sum
}

// TestAuditIsUnbiased: over all ways in which the draws can fall, weighed by their chance, the
// estimates are what a full limit gives, whatever programs share a draw.
func TestAuditIsUnbiased(t *testing.T) {
	t.Parallel()
	for _, d := range []drawn{
		{20, 3, []int{1, 1, 1}}, {20, 0, []int{1}}, {12, 5, []int{2, 3, 1, 1}}, {30, 0, []int{10, 4, 1, 1, 1}}, {9, 2, nil}, {8, 4, []int{4}},
	} {
		full := d.passed
		for _, size := range d.beyond {
			full += size
		}
		for _, share := range []float64{0.1, 0.5, 0.9, 1} {
			for _, k := range []int{1, 2, 5, 8} {
				want, err := score.PassAtK(d.n, full, k)
				if err != nil {
					t.Fatal(err)
				}
				got := d.mean(t, share, func(c score.Count, a score.Audit) (float64, error) { return a.PassAtK(c, k) })
				if math.Abs(got-want) > 1e-9 {
					t.Errorf("%+v, share %v: pass@%d is %v on average, want %v", d, share, k, got, want)
				}
				if want, err = score.PassHatK(d.n, full, k); err != nil {
					t.Fatal(err)
				}
				got = d.mean(t, share, func(c score.Count, a score.Audit) (float64, error) { return a.PassHatK(c, k) })
				if math.Abs(got-want) > 1e-9 {
					t.Errorf("%+v, share %v: pass^%d is %v on average, want %v", d, share, k, got, want)
				}
			}
			// The variance of pass@1 and the number of false stops.
			one := func(c score.Count, a score.Audit) (float64, error) { return a.PassAtK(c, 1) }
			m := d.mean(t, share, one)
			want := d.mean(t, share, func(c score.Count, a score.Audit) (float64, error) {
				v, err := one(c, a)
				return (v - m) * (v - m), err
			})
			got := d.mean(t, share, func(c score.Count, a score.Audit) (float64, error) { return a.Variance(c, 1) })
			if math.Abs(got-want) > 1e-12 {
				t.Errorf("%+v, share %v: the variance is %v on average, want %v", d, share, got, want)
			}
			want = d.mean(t, share, func(_ score.Count, a score.Audit) (float64, error) { return float64(a.Stopped), nil })
			got = d.mean(t, share, func(_ score.Count, a score.Audit) (float64, error) {
				v, i, err := a.FalseStops(0.95)
				if err == nil && !i.Contains(v) && a.Stopped > 0 {
					t.Errorf("%+v: %v false stops, interval %v", a, v, i)
				}
				return v, err
			})
			if math.Abs(got-want) > 1e-9 {
				t.Errorf("%+v, share %v: %v false stops on average, want %v", d, share, got, want)
			}
		}
	}
}

// TestFalseStopsAreCovered: the interval holds the number of false stops at least as often as it
// says, of programs that have one sample each, and nearly so where they have several.
func TestFalseStopsAreCovered(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(3, 5))
	for _, c := range []struct {
		programs, samples int
		least             float64
	}{{0, 1, 0.95}, {3, 1, 0.95}, {40, 1, 0.95}, {600, 1, 0.95}, {40, 7, 0.95}} {
		const rounds = 2000
		covered := 0
		for range rounds {
			a := score.Audit{Share: 0.1, Passed: map[int]int{}, Stopped: 900, Draws: map[int]int{c.samples: 100}}
			wrong := 0
			for range c.programs {
				if chance.Float64() < a.Share {
					a.Passed[c.samples]++
				} else {
					wrong += c.samples
				}
			}
			a.Stopped += wrong
			_, i, err := a.FalseStops(0.95)
			if err != nil {
				t.Fatal(err)
			}
			if i.Contains(float64(wrong)) {
				covered++
			}
		}
		if got := float64(covered) / rounds; got < c.least-0.012 {
			t.Errorf("%d programs of %d samples: the interval held the truth in %.3f of %d rounds, want %v", c.programs, c.samples, got, rounds, c.least)
		}
	}
}

// TestAuditReach: up to k = share n one program that passed in the audit changes the estimate by at
// most 1/share times what it would as one of many, and beyond 2 share n by ever more.
func TestAuditReach(t *testing.T) {
	t.Parallel()
	a := score.Audit{Share: 0.1, Passed: map[int]int{1: 12}}
	c := score.Count{N: 1000, C: 12}
	if got := a.Reach(1000); got != 100 {
		t.Errorf("reach %d, want 100", got)
	}
	if got := a.Reach(5); got != 1 {
		t.Errorf("reach of 5 samples %d, want 1", got)
	}
	within, err := a.PassAtK(c, 100)
	if err != nil || within < 0 || within > 1.001 {
		t.Errorf("pass@100 = %v, %v", within, err)
	}
	outside, err := a.PassAtK(c, 400)
	if err != nil || math.Abs(outside) < 10 {
		t.Errorf("pass@400 = %v, %v: the reach could be larger", outside, err)
	}
	for _, bad := range []score.Audit{{}, {Share: 2}, {Share: 0.1, Passed: map[int]int{5: 3}}, {Share: 0.1, Passed: map[int]int{0: 1}}} {
		if _, err := bad.PassAtK(c, 2); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

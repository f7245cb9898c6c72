package score

import (
	"fmt"
	"math"
)

// A Score is the estimate of one question's pass@k with its sampling variance:
// how much the estimate would scatter if the same question were sampled anew.
type Score struct {
	Value    float64
	Variance float64
	Unseen   float64 // what the first sample of the other kind would change, if all were of one kind; else 0
}

// Scores returns the score of every question at k.
//
// For 2k <= n the variance is the unbiased estimate q(k)^2 - q(2k), where q(k) is
// C(n-c, k)/C(n, k): q(2k) is unbiased for the square of what q(k) estimates.
// For larger k none exists, and the jackknife's takes its place, which is larger
// than the truth on average (Efron and Stein 1981); at k = n it is what remains
// at k = n-1. Errors are those of PassAtK and name the question.
func Scores(questions []Count, k int) ([]Score, error) {
	out := make([]Score, len(questions))
	for i, c := range questions {
		if err := check(c, k); err != nil {
			return nil, fmt.Errorf("pass@%d of question %d: %w", k, i, err)
		}
		out[i] = Score{-math.Expm1(logMiss(c.N, c.C, k)), variance(c.N, c.C, k), unseen(c.N, c.C, k)}
	}
	return out, nil
}

// variance estimates the sampling variance of pass@k.
func variance(n, c, k int) float64 {
	if c == 0 || c == n {
		return 0
	}
	if 2*k > n {
		return jackknife(n, c, min(k, n-1))
	}
	miss := math.Exp(logMiss(n, c, k))
	if 2*k > n-c {
		return miss * miss // q(2k) = 0
	}
	// log(q(2k)/q(k)^2), a product over the fewer of c and k as logMiss is.
	var s sum
	if c < k {
		for i := n - c + 1; i <= n; i++ {
			r := float64(k) / float64(i-k)
			s.add(math.Log1p(-r * r))
		}
	} else {
		for a := n; a > n-k; a-- {
			s.add(math.Log1p(-float64(k) / float64(a-k) * float64(c) / float64(a-c)))
		}
	}
	return -miss * miss * math.Expm1(s.value())
}

// unseen is what keeps n samples of one kind from being certainty.
func unseen(n, c, k int) float64 {
	switch {
	case c == 0:
		return float64(k) / float64(n)
	case k > n-c: // every draw of k holds one that passed
		return math.Pow(float64(n-c+1)/float64(n+1), float64(k))
	default:
		return 0
	}
}

// jackknife is the leave-one-out variance of pass@k for k < n: leaving out a
// sample that passed, or one that failed, are the only two cases.
func jackknife(n, c, k int) float64 {
	if k > n-c {
		// Any k hold one that passed; without one of those some may not.
		if k > n-c+1 || c == 0 {
			return 0
		}
	}
	with := -math.Expm1(logMiss(n-1, c, k))      // one that failed is left out
	without := -math.Expm1(logMiss(n-1, c-1, k)) // one that passed is left out
	d := with - without
	return float64(n-1) / float64(n) * float64(c) * float64(n-c) / float64(n) * d * d
}

// MeanPassAtK returns the plain mean of pass@k over questions, which need not
// have the same n. Errors are those of Scores, and ErrUndefined if there are no
// questions.
func MeanPassAtK(questions []Count, k int) (float64, error) {
	scores, err := Scores(questions, k)
	if err != nil {
		return 0, err
	}
	if len(scores) == 0 {
		return 0, fmt.Errorf("pass@%d: %w: no questions", k, ErrUndefined)
	}
	return mean(values(scores)), nil
}

// MeanPassHatK is MeanPassAtK for pass^k.
func MeanPassHatK(questions []Count, k int) (float64, error) {
	var s sum
	for i, c := range questions {
		p, err := PassHatK(c.N, c.C, k)
		if err != nil {
			return 0, fmt.Errorf("question %d: %w", i, err)
		}
		s.add(p)
	}
	if len(questions) == 0 {
		return 0, fmt.Errorf("pass^%d: %w: no questions", k, ErrUndefined)
	}
	return s.value() / float64(len(questions)), nil
}

// AvgAtN returns the mean over questions of the share that passed. A question
// without samples has none: the error is then ErrUndefined, as it is if there
// are no questions.
func AvgAtN(questions []Count) (float64, error) { return MeanPassAtK(questions, 1) }

func values(scores []Score) []float64 {
	out := make([]float64, len(scores))
	for i, s := range scores {
		out[i] = s.Value
	}
	return out
}

func mean(x []float64) float64 {
	var s sum
	for _, v := range x {
		s.add(v)
	}
	return s.value() / float64(len(x))
}

// SamplingInterval returns the interval for the mean pass@k of these very
// questions: what their true mean can be, given that finitely many samples of
// each were drawn. It says nothing about other questions.
//
// The variances of the questions are propagated to the mean; the interval is
// Jeffreys' for a rate known from the number of draws that has this variance, so
// that it is lopsided near 0 and 1 as it must be (Korn and Graubard 1998 do
// this for surveys). Questions of which no sample passed, or all, show no
// variance; what they can hide, by the exact bound for 0 of all their samples,
// is added to the upper and the lower arm in quadrature. For a single question it
// is Jeffreys' interval mapped to k.
//
// Errors are those of MeanPassAtK, and a mistake unless 0 < level < 1.
func SamplingInterval(questions []Count, k int, level float64) (Interval, error) {
	scores, err := Scores(questions, k)
	if err != nil {
		return Interval{}, err
	}
	return SamplingIntervalOf(questions, scores, k, level)
}

// SamplingIntervalOf is SamplingInterval for scores that are at hand: those of
// Scores(questions, k).
func SamplingIntervalOf(questions []Count, scores []Score, k int, level float64) (Interval, error) {
	if err := checkLevel(level); err != nil {
		return Interval{}, err
	}
	if len(scores) == 0 {
		return Interval{}, fmt.Errorf("pass@%d: %w: no questions", k, ErrUndefined)
	}
	m := mean(values(scores))
	if len(questions) == 1 {
		i := jeffreys(float64(questions[0].N), float64(questions[0].C), level).AtK(k)
		return around(m, i), nil
	}
	var v sum
	for _, s := range scores {
		v.add(s.Variance)
	}
	q := float64(len(scores))
	base := asRate(m, v.value()/(q*q), level)
	up, down := hidden(questions, scores, k, (1-level)/2)
	return around(m, Interval{
		Low:  max(0, m-math.Hypot(m-base.Low, down/q)),
		High: min(1, m+math.Hypot(base.High-m, up/q)),
	}), nil
}

// mostDraws is where the integral of the beta distribution keeps four digits. A
// smaller variance than these draws have is taken for theirs.
const mostDraws = 1e12

// asRate is Jeffreys' interval for a rate m with the given variance; without
// variance it is m alone.
func asRate(m, variance, level float64) Interval {
	if variance <= 0 || m <= 0 || m >= 1 {
		return Interval{m, m}
	}
	draws := min(m*(1-m)/variance, mostDraws)
	return jeffreys(draws, m*draws, level)
}

// hidden bounds, each with the given tail, by how much the sum of the true
// scores can be above the estimates of the questions that no sample passed, and
// below those of the questions whose every draw of k holds one that did.
func hidden(questions []Count, scores []Score, k int, tail float64) (up, down float64) {
	none, all := 0, 0
	fewest, fewestAll := math.MaxInt, math.MaxInt
	var missed sum
	for i, c := range questions {
		switch {
		case c.C == 0:
			none++
			fewest = min(fewest, c.N)
		case scores[i].Value == 1:
			all++
			fewestAll = min(fewestAll, c.N)
			missed.add(math.Pow(upperBound(c.N, c.N-c.C, tail), float64(k)))
		}
	}
	// 0 passed of all samples of all these questions: most is hidden if it all
	// is in the question with the fewest samples.
	chance := -math.Log(tail)
	if none > 0 {
		up = min(float64(none), float64(k)*chance/float64(fewest))
	}
	if all > 0 {
		down = missed.value()
		if k == 1 {
			down = min(float64(all), chance/float64(fewestAll))
		}
	}
	return up, down
}

// around widens i, where rounding or k near n makes it necessary, to hold m.
func around(m float64, i Interval) Interval {
	return Interval{max(0, min(i.Low, m)), min(1, max(i.High, m))}
}

// MeanOf returns the mean value of scores, and 0 if there are none.
func MeanOf(scores []Score) float64 {
	if len(scores) == 0 {
		return 0
	}
	return mean(values(scores))
}

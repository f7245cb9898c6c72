package score

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// A Score is the estimate of one question's pass@k with its sampling variance:
// how much the estimate would scatter if the same question were sampled anew.
type Score struct {
	Value    float64
	Variance float64
	Unseen   float64 // what the first sample of the other kind would change, if all were of one kind; else 0
	Pooled   bool    // Variance is this question's share of what is known only of all questions with so few samples

	// Of an audited time limit.
	Drawn  float64 // what the draws add, as a standard error; Variance holds its square
	Hidden float64 // by how much the mean of such scores may be higher, because no program passed in the audit; the same for each
}

// Scores returns the score of every question at k.
//
// The variance of a question is q(k)^2 less an estimate of (1-p)^2k, where q(k) is
// C(n-c, k)/C(n, k). For 2k <= n that estimate is q(2k), and the variance is
// unbiased. A question with fewer samples does not hold it: one sample says nothing
// of its own scatter. All such questions together do. The means over questions of
// (1-p)^j are convex in j on a logarithmic scale, so the step from n-1 to n, both of
// which are known, bounds every further step, and with it the variance, from above.
// With one sample of each question this is the binomial variance m(1-m) of the pooled
// rate; of a question alone it is 0, and Unseen stands for it.
//
// Errors are those of PassAtK and name the question.
func Scores(questions []Count, k int) ([]Score, error) {
	for i, c := range questions {
		if err := check(c, k); err != nil {
			return nil, fmt.Errorf("pass@%d of question %d: %w", k, i, err)
		}
	}
	step := laststep(questions, k)
	out := make([]Score, len(questions))
	for i, c := range questions {
		out[i] = Score{Value: -math.Expm1(logMiss(c.N, c.C, k)), Unseen: unseen(c.N, c.C, k)}
		if 2*k <= c.N {
			out[i].Variance = variance(c.N, c.C, k)
			continue
		}
		miss := math.Exp(logMiss(c.N, c.C, k))
		out[i].Variance = miss * miss
		if c.C == 0 {
			out[i].Variance = -math.Expm1(float64(2*k-c.N) * math.Log(step))
		}
		out[i].Pooled = true
	}
	return out, nil
}

// laststep returns by how much the mean of (1-p)^j over the questions that have
// fewer than 2k samples falls from j = n-1 to n: at most 1, and 1 if there are none.
func laststep(questions []Count, k int) float64 {
	var last, before sum
	for _, c := range questions {
		if 2*k <= c.N {
			continue
		}
		switch c.C {
		case 0:
			last.add(1)
			before.add(1)
		case 1:
			before.add(1 / float64(c.N))
		}
	}
	if before.value() == 0 {
		return 1
	}
	return last.value() / before.value()
}

// variance estimates the sampling variance of pass@k, for 2k <= n.
func variance(n, c, k int) float64 {
	if c == 0 || c == n {
		return 0
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

func values(scores []Score) []float64 {
	out := make([]float64, len(scores))
	for i, s := range scores {
		out[i] = s.Value
	}
	return out
}

// hidden returns by how much the mean of the scores may be higher than they show.
func hidden(scores []Score) float64 {
	var s sum
	for i := range scores {
		s.add(scores[i].Hidden)
	}
	return s.value() / float64(max(1, len(scores)))
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
// each were drawn. scores are those of Scores(questions, k). It says nothing about
// other questions.
//
// The variances of the questions are propagated to the mean; the interval is
// Jeffreys' for a rate known from the number of draws that has this variance, so
// that it is lopsided near 0 and 1 as it must be (Korn and Graubard 1998 do
// this for surveys). Questions of which no sample passed, or all, show no
// variance; what they can hide is added to the upper and the lower arm in quadrature,
// or, where the variance is pooled and holds most of it, is the least that the arm
// is. For a single question the interval is Jeffreys' mapped to k.
//
// The error is ErrUndefined if there are no questions, and a mistake unless
// 0 < level < 1.
func SamplingInterval(questions []Count, scores []Score, k int, level float64) (Interval, error) {
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
	if k > 1 {
		base.Low = min(base.Low, m-ownArms(questions, scores, k, level)/q)
	}
	known, pooled := unshown(questions, scores, k, (1-level)/2)
	return around(m, Interval{
		Low:  max(0, m-max(math.Hypot(m-base.Low, known.down/q), pooled.down/q)),
		High: min(1, m+max(math.Hypot(base.High-m, known.up/q), pooled.up/q)),
	}), nil
}

// few is the number of questions below which the scatter of a sum is as skewed as that
// of its terms.
const few = 30

// ownArms is by how much the sum of the scores may be too high where few questions have
// nearly all of its scatter: (1-p)^k of a question that seldom misses is off by a
// factor, not by a sum. The arms of the questions' own intervals, mapped to k, are
// added in quadrature (Zou and Donner 2008). Questions of which all samples were alike,
// and those whose variance is pooled, have none; where many scatter it is 0.
func ownArms(questions []Count, scores []Score, k int, level float64) float64 {
	total, squares, most := 0.0, 0.0, 0.0
	for _, s := range scores {
		if !s.Pooled {
			total += s.Variance
			squares += s.Variance * s.Variance
			most = max(most, s.Variance)
		}
	}
	if total*total >= few*squares {
		return 0
	}
	var arms sum
	for i, c := range questions {
		if s := scores[i]; !s.Pooled && s.Variance > most/1e4 {
			low := betaQuantile(float64(c.C)+0.5, float64(c.N-c.C)+0.5, (1-level)/2)
			arm := max(0, s.Value-Interval{low, low}.AtK(k).Low)
			arms.add(arm * arm)
		}
	}
	return math.Sqrt(arms.value())
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

// A room is by how much the sum of the true scores of questions without a visible
// scatter can be above or below the sum of their estimates.
type room struct{ up, down float64 }

// unshown bounds how far the true scores of two kinds of question can be from their
// estimates: of those that no sample passed, and of those where every k samples hold
// one that passed. Each bound has the given tail. known is for questions with 2k samples
// or more, pooled for the others, whose variance holds most of it already.
func unshown(questions []Count, scores []Score, k int, tail float64) (known, pooled room) {
	var none, all [2][]Count
	for i, c := range questions {
		at := 0
		if scores[i].Pooled {
			at = 1
		}
		switch {
		case c.C == 0:
			none[at] = append(none[at], c)
		case scores[i].Value == 1:
			all[at] = append(all[at], c)
		}
	}
	chance := -math.Log(tail)
	known = room{hiddenPasses(none[0], k, tail), hiddenMisses(all[0], k, tail)}
	var misses sum // each by its own exact bound; together no more than none seen allows
	for _, c := range all[1] {
		misses.add(math.Pow(upperBound(c.N, c.N-c.C, tail), float64(k)))
	}
	pooled = room{hiddenPasses(none[1], k, tail), min(chance, misses.value())}
	return known, pooled
}

// hiddenPasses bounds the sum of the true pass@k of questions of which no sample
// passed. Most is hidden if all of it is in the question with the fewest samples.
func hiddenPasses(none []Count, k int, tail float64) float64 {
	if len(none) == 0 {
		return 0
	}
	fewest := slices.MinFunc(none, func(a, b Count) int { return a.N - b.N }).N
	return min(float64(len(none)), -math.Log(tail)*float64(k)/float64(fewest))
}

// hiddenMisses bounds the sum of (1-p)^k of questions so seldom failed that every k
// of their samples hold one that passed. The failures of all are known up to the
// Poisson distribution's bound; what is above those seen is in one question, or it
// is shared as those seen are, whichever hides more.
func hiddenMisses(all []Count, k int, tail float64) float64 {
	if len(all) == 0 {
		return 0
	}
	seen := 0
	worst := all[0]
	for _, c := range all {
		seen += c.N - c.C
		if (c.N-c.C)*worst.N > (worst.N-worst.C)*c.N || c.C == c.N && worst.C == worst.N && c.N < worst.N {
			worst = c
		}
	}
	most := poissonBound(seen, tail)
	var rest, shared sum
	miss := func(failures, n float64) float64 { return math.Pow(-math.Expm1(-failures/n), float64(k)) }
	for _, c := range all {
		failed, n := float64(c.N-c.C), float64(c.N)
		rest.add(miss(failed, n))
		if seen > 0 {
			shared.add(miss(failed*most/float64(seen), n))
		}
	}
	failed, n := float64(worst.N-worst.C), float64(worst.N)
	one := rest.value() - miss(failed, n) + miss(failed+most-float64(seen), n)
	if k == 1 { // nothing was seen to fail: spread over many it is most
		one = most / n
	}
	return min(float64(len(all)), max(one, shared.value()))
}

// poissonBound is the exact upper bound of a Poisson mean of which x events were seen.
func poissonBound(x int, tail float64) float64 {
	return mathext.GammaIncRegCompInv(float64(x+1), tail)
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

// SamplingShare returns how much of the variance of scores over questions is their own
// sampling variance, in [0, 1]. It is nil for fewer than two questions, if all scores are
// alike, and if the variance of some is known of all such questions only.
func SamplingShare(scores []Score) *float64 {
	if len(scores) < 2 {
		return nil
	}
	var own sum
	for _, s := range scores {
		if s.Pooled {
			return nil
		}
		own.add(s.Variance)
	}
	x := values(scores)
	sd := deviation(x, mean(x))
	if sd == 0 {
		return nil
	}
	share := min(1, own.value()/float64(len(scores))/(sd*sd))
	return &share
}

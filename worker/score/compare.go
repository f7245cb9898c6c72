package score

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// A Claim is what a comparison speaks about.
type Claim uint8

// The claims. A difference can be certain on these questions and open on others.
const (
	TheseQuestions Claim = iota // would the same questions, sampled anew, agree?
	QuestionsLike               // would other questions agree?
)

// A Difference compares two temperatures, or two models, on the same questions.
type Difference struct {
	Mean     float64  // of b - a over questions, in [-1, 1]
	Interval Interval // for Mean at the level asked for; it holds 0 if and only if P is above 1 - level
	P        float64  // two-sided: the chance of a difference as large if there were none; above 0
	Differ   int      // questions whose scores differ
}

// Compare compares b with a, question by question.
//
// For TheseQuestions the variances of the scores are propagated and the test is the
// normal one; a side on which samples are all of one kind counts as if the next one
// were not, so that few samples never give certainty. Questions with so few samples
// that they have no variance of their own enter with the square of their difference,
// which is McNemar's test where each has one sample (McNemar 1947); if all that
// differ are such, P is the exact binomial one.
//
// For QuestionsLike it is the paired t test over questions, with at least the error
// of TheseQuestions: what is open about these is open about others. P is at least
// 2^(1-m) if m of them differ, the least that a sign-flip test could give, and the
// interval leaves room for kinds of question that are not among these: a share of
// 1 - tail^(1/questions) of all may be of such a kind, and be as far from the mean
// difference as any of these may.
//
// Where samples that count as failed may have passed unseen (Hidden), the interval reaches as
// much further, and P is the largest that any such means give.
//
// The error is ErrUndefined for fewer than two questions, and a mistake if the
// two are not as long as each other or the level is outside (0, 1).
func Compare(a, b []Score, claim Claim, level float64) (Difference, error) {
	if err := checkLevel(level); err != nil {
		return Difference{}, err
	}
	if len(a) != len(b) {
		return Difference{}, fmt.Errorf("compare: %d questions with %d, want the same questions", len(a), len(b))
	}
	if len(a) < 2 {
		return Difference{}, fmt.Errorf("compare: %w: %d questions, want at least 2", ErrUndefined, len(a))
	}
	d := differences(a, b)
	out := Difference{Mean: mean(d), Differ: count(d)}
	spread := standardError(a, b, claim)
	unseenA, unseenB := hidden(a), hidden(b)
	least := max(0, out.Mean-unseenA) // the difference nearest to none that may be
	if out.Mean < 0 {
		least = max(0, -out.Mean-unseenB)
	}
	up, down := 0.0, 0.0
	switch claim {
	case TheseQuestions:
		up = normalQuantile((1+level)/2) * spread
		down = up
		out.P = max(2*tail(least, spread, math.Inf(1)), signP(a, b))
	case QuestionsLike:
		degrees := float64(len(d) - 1)
		reach := farthest(a, b, out.Mean)
		up = max(studentQuantile((1+level)/2, degrees)*spread, unseenShare(len(d), (1-level)/2)*reach)
		down = up
		out.P = max(2*tail(least, spread, degrees), 2*flipFloor(out.Differ), 2*otherKinds(least, reach, len(d)))
	}
	if out.Differ == 0 {
		out.P = 1
	}
	out.P = min(1, out.P)
	out.Interval = Interval{max(-1, out.Mean-down-unseenA), min(1, out.Mean+up+unseenB)}
	if out.P > 1-level { // a test that is stricter than the interval widens it
		out.Interval = Interval{min(out.Interval.Low, 0), max(out.Interval.High, 0)}
	}
	return out, nil
}

func differences(a, b []Score) []float64 {
	d := make([]float64, len(a))
	for i := range d {
		d[i] = b[i].Value - a[i].Value
	}
	return d
}

func count(d []float64) int {
	n := 0
	for _, v := range d {
		if v != 0 {
			n++
		}
	}
	return n
}

// standardError is that of the mean difference.
func standardError(a, b []Score, claim Claim) float64 {
	these := samplingError(a, b)
	if claim == TheseQuestions {
		return these
	}
	d := differences(a, b)
	return max(these, deviation(d, mean(d))/math.Sqrt(float64(len(d))))
}

// samplingError is the standard error of the mean difference on these very
// questions, never less than what is unseen in one of them on each side.
func samplingError(a, b []Score) float64 {
	var v sum
	var unseen [2]float64
	for i := range a {
		if a[i].Pooled || b[i].Pooled {
			d := b[i].Value - a[i].Value
			v.add(d * d)
		} else {
			v.add(a[i].Variance + b[i].Variance)
		}
		unseen[0], unseen[1] = max(unseen[0], a[i].Unseen), max(unseen[1], b[i].Unseen)
	}
	return math.Sqrt(v.value()+unseen[0]*unseen[0]+unseen[1]*unseen[1]) / float64(len(a))
}

// signP is the exact two-sided P of the sign test, if every question that differs
// passed on one side and failed on the other without a scatter of its own; else 0.
func signP(a, b []Score) float64 {
	var won, lost int
	for i := range a {
		switch d := b[i].Value - a[i].Value; {
		case d == 0:
		case !a[i].Pooled && !b[i].Pooled, math.Abs(d) != 1:
			return 0
		case d > 0:
			won++
		default:
			lost++
		}
	}
	if won+lost == 0 {
		return 0
	}
	// P(X >= x) of a binomial with n = won+lost and a half is I_{1/2}(x, n-x+1).
	x, n := float64(max(won, lost)), float64(won+lost)
	return min(1, 2*mathext.RegIncBeta(x, n-x+1, 0.5))
}

// farthest is how far a question's difference may be from the mean one, as far as the
// samples of any question let it be: by what was seen and two standard errors.
func farthest(a, b []Score, mean float64) float64 {
	most := 0.0
	for i := range a {
		spread := math.Sqrt(a[i].Variance + b[i].Variance + a[i].Unseen*a[i].Unseen + b[i].Unseen*b[i].Unseen)
		most = max(most, math.Abs(b[i].Value-a[i].Value-mean)+2*spread)
	}
	return min(1+math.Abs(mean), most)
}

// unseenShare is the largest share of a kind of question of which none is among q
// with a chance of tail or more.
func unseenShare(q int, tail float64) float64 { return -math.Expm1(math.Log(tail) / float64(q)) }

// otherKinds is the one-sided chance that q questions hold none of a kind so frequent
// that it could turn a mean difference of d into none, if it is as far from d as reach.
func otherKinds(d, reach float64, q int) float64 {
	if math.Abs(d) >= reach {
		return 0
	}
	return math.Pow(1-math.Abs(d)/reach, float64(q))
}

// tail is the one-sided chance of a value of x or more; above 0 as far as floating
// point goes.
func tail(x, standardError, degrees float64) float64 {
	switch {
	case standardError > 0 && math.IsInf(degrees, 1):
		return 0.5 * math.Erfc(x/standardError/math.Sqrt2)
	case standardError > 0:
		// The survival function by its own integral: 1 - CDF is 0 far out.
		t := x / standardError
		half := 0.5 * mathext.RegIncBeta(degrees/2, 0.5, degrees/(degrees+t*t))
		if t < 0 {
			return 1 - half
		}
		return half
	case x > 0:
		return 0
	case x < 0:
		return 1
	default:
		return 0.5
	}
}

// flipFloor is the smallest one-sided P of a sign-flip test with m differences.
func flipFloor(m int) float64 { return math.Ldexp(1, -m) }

// Holm returns the P values corrected for being looked at together, in their own
// order: each may then be held against the level by itself, and the chance that
// any true null among them falls stays below it. Source: Holm 1979.
func Holm(p []float64) []float64 {
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
	highest := 0.0
	for rank, i := range order {
		highest = max(highest, min(1, p[i]*float64(len(p)-rank)))
		out[i] = highest
	}
	return out
}

package score

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
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
	Interval Interval // for Mean at the level asked for
	P        float64  // two-sided: the chance of a difference as large if there were none
	Differ   int      // questions whose scores differ
}

// Compare compares b with a, question by question.
//
// For QuestionsLike it is the paired t test over questions, P being at least
// 2^(1-m) if m of them differ: the least that a sign-flip test could give, which
// keeps three questions, however clear, from proving anything about all. For
// TheseQuestions the variances of the scores are propagated and the test is the
// normal one; a side on which samples are all of one kind counts as if the next
// one were not, so that few samples never give certainty.
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
	spread, degrees := standardError(a, b, claim), math.Inf(1)
	quantileOf := normalQuantile
	if claim == QuestionsLike {
		degrees = float64(len(d) - 1)
		quantileOf = func(p float64) float64 { return studentQuantile(p, degrees) }
	}
	arm := quantileOf((1+level)/2) * spread
	out.Interval = Interval{max(-1, out.Mean-arm), min(1, out.Mean+arm)}
	out.P = 2 * tail(math.Abs(out.Mean), spread, degrees)
	if out.Differ == 0 {
		out.P = 1
	}
	if claim == QuestionsLike {
		out.P = max(out.P, 2*flipFloor(out.Differ))
	}
	out.P = min(1, out.P)
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
	if claim == QuestionsLike {
		d := differences(a, b)
		return deviation(d, mean(d)) / math.Sqrt(float64(len(d)))
	}
	return math.Hypot(samplingError(a), samplingError(b))
}

// samplingError is the standard error of the mean of the scores on these very
// questions, never less than what is unseen in one of them.
func samplingError(scores []Score) float64 {
	var v sum
	unseen := 0.0
	for _, s := range scores {
		v.add(s.Variance)
		unseen = max(unseen, s.Unseen)
	}
	return math.Sqrt(v.value()+unseen*unseen) / float64(len(scores))
}

// tail is the one-sided chance of a value of x or more.
func tail(x, standardError, degrees float64) float64 {
	switch {
	case standardError > 0 && math.IsInf(degrees, 1):
		return distuv.UnitNormal.Survival(x / standardError)
	case standardError > 0:
		return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: degrees}.Survival(x / standardError)
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

// CompareAll compares every column with columns[base], P corrected for all these
// looks by Holm. The entry of base itself is the zero difference with P = 1.
// Errors are those of Compare.
func CompareAll(columns [][]Score, base int, claim Claim, level float64) ([]Difference, error) {
	if base < 0 || base >= len(columns) {
		return nil, fmt.Errorf("compare: base = %d, want one of %d columns", base, len(columns))
	}
	out := make([]Difference, len(columns))
	var p []float64
	for i, column := range columns {
		d, err := Compare(columns[base], column, claim, level)
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", i, err)
		}
		out[i] = d
		if i != base {
			p = append(p, d.P)
		}
	}
	corrected := Holm(p)
	for i := range out {
		if i != base {
			out[i].P, corrected = corrected[0], corrected[1:]
		}
	}
	return out, nil
}

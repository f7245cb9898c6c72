package score

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// A Method says how a population interval is found.
type Method uint8

// The methods. Beta is the default: of the three its coverage is nearest to the
// level when scores are skewed or mostly 0, and it costs nothing.
const (
	Beta    Method = iota // Jeffreys' interval for a rate of the same variance, widened as Student's is and towards a long tail
	Student               // mean +- t s/sqrt(questions), cut to [0, 1]
	BCa                   // bootstrap over questions, bias-corrected and accelerated
)

func (m Method) String() string {
	if int(m) < len(methodNames) {
		return methodNames[m]
	}
	return fmt.Sprintf("Method(%d)", m)
}

var methodNames = [...]string{"beta", "student", "bca"}

// DefaultRounds is how many resamples a bootstrap draws unless told otherwise:
// enough that the ends of a 95 % interval shake by about a hundredth of its
// width.
const DefaultRounds = 10_000

// A Bootstrap is a source of resamples. The zero value serves the methods that
// need none.
type Bootstrap struct {
	Rounds int        // resamples; 0 means DefaultRounds
	Rand   *rand.Rand // where chance comes from
}

func (b Bootstrap) rounds() int {
	if b.Rounds <= 0 {
		return DefaultRounds
	}
	return b.Rounds
}

// PopulationInterval returns the interval for the mean score over all questions
// like these: what another set of questions, of any size, would average. scores
// are the questions' pass@k in [0, 1]; their scatter already holds the sampling
// noise, which must not be added again.
//
// Scores that are alike say nothing of kinds of question that are not among them. A
// share of 1 - tail^(1/questions) of all questions may be of such a kind without
// showing, and may score 0 or 1: the interval of Beta reaches at least as far as that
// would move the mean, and where all scores are equal that of every method is just
// this. None solved of 175 leaves room for a mean of 0.021.
//
// The error is ErrUndefined for fewer than two questions, and a mistake if a
// score is outside [0, 1], the level outside (0, 1), or a bootstrap has no Rand.
func PopulationInterval(scores []float64, level float64, method Method, b Bootstrap) (Interval, error) {
	if err := checkLevel(level); err != nil {
		return Interval{}, err
	}
	if len(scores) < 2 {
		return Interval{}, fmt.Errorf("spread over questions: %w: %d questions, want at least 2", ErrUndefined, len(scores))
	}
	for i, s := range scores {
		if !(s >= 0 && s <= 1) {
			return Interval{}, fmt.Errorf("spread over questions: score %d = %v, want 0 to 1", i, s)
		}
	}
	if method == BCa && b.Rand == nil {
		return Interval{}, fmt.Errorf("spread over questions: method %v without a source of chance", method)
	}
	m, q := mean(scores), float64(len(scores))
	sd := deviation(scores, m)
	other := unseenShare(len(scores), (1-level)/2)
	room := Interval{m - other*m, m + other*(1-m)}
	if sd == 0 {
		return around(m, room), nil
	}
	switch method {
	case Beta:
		// Fewer draws, by the ratio of the normal to Student's quantile.
		z := normalQuantile((1 + level) / 2)
		t := studentQuantile((1+level)/2, degrees(scores, m, sd))
		wide := sd * sd / q * (t / z) * (t / z)
		i := lean(asRate(m, wide, level), scores, m, sd, t)
		return around(m, Interval{min(i.Low, room.Low), max(i.High, room.High)}), nil
	case Student:
		t := studentQuantile((1+level)/2, q-1)
		arm := t * sd / math.Sqrt(q)
		return Interval{max(0, m-arm), min(1, m+arm)}, nil
	case BCa:
		return bca(scores, m, sd, level, b), nil
	default:
		return Interval{}, fmt.Errorf("spread over questions: %v is no method", method)
	}
}

// lean reaches further to the side of the longer tail, where that is further than
// i does: a sample that missed the few questions out there has a low mean and a
// small scatter at once, which no interval of that mean and scatter alone makes
// up for. Source: Hall 1988 (the Edgeworth correction of Student's interval).
func lean(i Interval, scores []float64, m, sd, t float64) Interval {
	q := math.Sqrt(float64(len(scores)))
	shift := skewness(scores, m, sd) / (6 * q) * (2*t*t + 1)
	if shift > 0 {
		i.High = max(i.High, m+sd/q*(t+shift))
	} else {
		i.Low = min(i.Low, m-sd/q*(t-shift))
	}
	return i
}

// degrees is how many draws from a normal distribution would know its variance
// as well as these scores know theirs: the longer the tails, the fewer; never
// more than there are. Source: Satterthwaite 1946, with the fourth moment.
func degrees(scores []float64, m, sd float64) float64 {
	free := float64(len(scores) - 1)
	excess := moment(scores, m, sd, 4) - 3
	return free / max(1, 1+excess/2)
}

func skewness(scores []float64, m, sd float64) float64 { return moment(scores, m, sd, 3) }

// moment is a central moment in units of the standard deviation, in which no tiny
// score underflows.
func moment(scores []float64, m, sd float64, order int) float64 {
	var s sum
	for _, v := range scores {
		s.add(math.Pow((v-m)/sd, float64(order)))
	}
	return s.value() / float64(len(scores))
}

func deviation(x []float64, m float64) float64 {
	if x0 := x[0]; !slices.ContainsFunc(x, func(v float64) bool { return v != x0 }) {
		return 0 // exactly, where rounding in m would leave a trace
	}
	var s sum
	for _, v := range x {
		s.add((v - m) * (v - m))
	}
	return math.Sqrt(s.value() / float64(len(x)-1))
}

// resampledMeans draws questions with replacement and returns, for each column,
// the mean of each resample. One draw serves all columns: they stay paired.
func resampledMeans(columns [][]float64, b Bootstrap) [][]float64 {
	rounds, q := b.rounds(), len(columns[0])
	out := make([][]float64, len(columns))
	for c := range out {
		out[c] = make([]float64, rounds)
	}
	weight := make([]float64, q)
	for r := range rounds {
		clear(weight)
		for range q {
			weight[b.Rand.IntN(q)]++
		}
		for c, column := range columns {
			total := 0.0
			for i, w := range weight {
				total += w * column[i]
			}
			out[c][r] = total / float64(q)
		}
	}
	return out
}

// sortedQuantile sorts values and interpolates in them.
func sortedQuantile(x []float64, p float64) float64 {
	slices.Sort(x)
	return quantile(x, p)
}

// quantile interpolates in sorted values.
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	i := int(at)
	if i >= len(sorted)-1 {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// bca is the bias-corrected and accelerated bootstrap of Efron 1987. The
// acceleration is that of the jackknife, which for a mean is a sixth of its skewness
// (Efron and Tibshirani 1993, equation 14.15).
func bca(scores []float64, m, sd, level float64, b Bootstrap) Interval {
	means := resampledMeans([][]float64{scores}, b)[0]
	slices.Sort(means)
	below, equal := 0.0, 0.0
	for _, v := range means {
		switch {
		case v < m:
			below++
		case v == m:
			equal++
		}
	}
	// Half of the ties count as below; a share of 0 or 1 has no quantile.
	rounds := float64(len(means))
	share := min(max((below+equal/2)/rounds, 0.5/rounds), 1-0.5/rounds)
	bias := normalQuantile(share)
	q := float64(len(scores))
	acceleration := skewness(scores, m, sd) / (6 * math.Sqrt(q)) * math.Pow(q/(q-1), 1.5) // skewness has the unbiased deviation
	at := func(p float64) float64 {
		z := bias + normalQuantile(p)
		adjusted := bias + z/(1-acceleration*z)
		if acceleration*z >= 1 { // beyond the pole: the far end
			return quantile(means, p)
		}
		return quantile(means, distuv.UnitNormal.CDF(adjusted))
	}
	return around(m, Interval{at((1 - level) / 2), at((1 + level) / 2)})
}

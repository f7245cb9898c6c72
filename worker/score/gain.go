package score

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// A Gain is what K samples of a question spread over all temperatures bring beyond K
// at the best single one.
type Gain struct {
	Single int       // temperature whose mean pass@K is the highest, the first of them
	Naive  float64   // the gain over it, too low by what chance adds to the highest of several estimates
	Value  float64   // the gain, in [-1, 1]; its single temperature is chosen on other samples than it is scored on
	These  *Interval // for the gain over the truly best temperature, on these questions; nil for fewer than two
	Like   *Interval // on questions like these
}

// splits is how often the samples are split into those that choose the single
// temperature and those that score it.
const splits = 40

// UnionGain compares K samples spread evenly over the temperatures with K samples at
// the best single one. Each question is given by its counts at every temperature; the
// two use the same samples.
//
// The highest of several estimates is too high on average, and the gain over it too
// low. So the single temperature is scored on a random quarter of the samples, on K at
// least, and chosen on the others; the mean over several such splits is the value. It
// is the gain over the temperature that one would choose with most of the samples,
// which where K is near n/2 is not always the best.
// The interval is for the gain over the best temperature, whichever that is: it is
// the range that the smallest difference can have where all of them are within their
// simultaneous bounds. It is wider than one for a temperature named beforehand.
//
// The error is ErrUndefined if a question has fewer than 2K samples at a temperature
// or there is no question, and a mistake if K is not a multiple of the temperatures,
// questions differ in their number, the level is outside (0, 1) or b has no Rand.
func UnionGain(questions [][]Count, k int, level float64, b Bootstrap) (Gain, error) {
	if err := checkLevel(level); err != nil {
		return Gain{}, fmt.Errorf("union gain: %w", err)
	}
	if b.Rand == nil {
		return Gain{}, errors.New("union gain: no source of chance")
	}
	if len(questions) == 0 || len(questions[0]) == 0 {
		return Gain{}, fmt.Errorf("union gain: %w: no questions", ErrUndefined)
	}
	m := len(questions[0])
	if k < m || k%m != 0 {
		return Gain{}, fmt.Errorf("union gain: k = %d, want a multiple of the %d temperatures", k, m)
	}
	for i, q := range questions {
		if len(q) != m {
			return Gain{}, fmt.Errorf("union gain: question %d has %d temperatures, question 0 has %d", i, len(q), m)
		}
		for t, c := range q {
			if err := check(c, k); err != nil {
				return Gain{}, fmt.Errorf("union gain of question %d, temperature %d: %w", i, t, err)
			}
			if c.N < 2*k {
				return Gain{}, fmt.Errorf("union gain of question %d, temperature %d: %w: %d samples, want twice %d", i, t, ErrUndefined, c.N, k)
			}
		}
	}
	g := gains{questions: questions, k: k, each: k / m, level: level}
	g.score()
	out := Gain{Value: g.crossed(b.Rand)}
	for t := range m {
		if g.mean[t] < g.mean[out.Single] { // the smaller the gain, the higher the single one
			out.Single = t
		}
	}
	out.Naive = g.mean[out.Single]
	if len(questions) > 1 {
		these, like := g.intervals(b)
		these, like = aroundAny(out.Value, these), aroundAny(out.Value, like)
		out.These, out.Like = &these, &like
	}
	return out, nil
}

// gains holds the difference between the union and each single temperature.
type gains struct {
	questions [][]Count
	k, each   int
	level     float64
	union     float64
	diff      [][]float64 // [temperature][question]
	mean      []float64   // of diff, by temperature
	unionVar  float64     // sampling variance of the union's mean
	cov       []float64   // of the union's mean with each single one's
	singleVar []float64
	unseen    float64 // what the first sample of the other kind may change
	factorial factorials
}

func (g *gains) score() {
	q, m := float64(len(g.questions)), len(g.questions[0])
	g.diff, g.mean = make([][]float64, m), make([]float64, m)
	g.cov, g.singleVar = make([]float64, m), make([]float64, m)
	for t := range g.diff {
		g.diff[t] = make([]float64, len(g.questions))
	}
	most := 0
	for _, cells := range g.questions {
		for _, c := range cells {
			most = max(most, c.N)
		}
	}
	g.factorial = logFactorials(most)
	part := make([]float64, m)
	for i, cells := range g.questions {
		miss, square := 1.0, 1.0 // the union's, and the estimate of the square of what it estimates
		for t, c := range cells {
			part[t] = math.Exp(logMiss(c.N, c.C, g.each))
			miss *= part[t]
			square *= math.Exp(logMiss(c.N, c.C, 2*g.each))
		}
		g.union += (1 - miss) / q
		g.unionVar += max(0, miss*miss-square) / (q * q)
		for t, c := range cells {
			single := math.Exp(logMiss(c.N, c.C, g.k))
			g.diff[t][i] = single - miss
			g.mean[t] += g.diff[t][i] / q
			g.singleVar[t] += variance(c.N, c.C, g.k) / (q * q)
			rest := 1.0
			for u := range cells {
				if u != t {
					rest *= part[u]
				}
			}
			both := part[t]*single - math.Exp(logMiss(c.N, c.C, g.each+g.k))
			g.cov[t] += rest * both / (q * q)
			g.unseen = max(g.unseen, unseen(c.N, c.C, g.k)/q)
		}
	}
}

// crossed returns the gain over the temperature that the other samples would choose.
func (g *gains) crossed(r *rand.Rand) float64 {
	m := len(g.questions[0])
	var total sum
	choose, score := make([]float64, m), make([]float64, m) // sums of the chances of a miss
	for range splits {
		clear(choose)
		clear(score)
		for _, cells := range g.questions {
			for t, c := range cells {
				part := Count{N: max(g.k, c.N/4)}
				part.C = g.factorial.hypergeometric(r, c, part.N)
				score[t] += g.factorial.miss(part, g.k)
				choose[t] += g.factorial.miss(Count{c.N - part.N, c.C - part.C}, g.k)
			}
		}
		chosen := 0
		for t := range m {
			if choose[t] < choose[chosen] {
				chosen = t
			}
		}
		total.add(g.union - (1 - score[chosen]/float64(len(g.questions))))
	}
	return total.value() / splits
}

// factorials holds the logarithms of 0!, 1!, 2!, ...: good to 1e-11, which is enough
// where the result is a mean over random splits.
type factorials []float64

func logFactorials(most int) factorials {
	out := make(factorials, most+1)
	var s sum
	for i := 2; i <= most; i++ {
		s.add(math.Log(float64(i)))
		out[i] = s.value()
	}
	return out
}

// miss is the chance that none of k of the samples passed.
func (f factorials) miss(c Count, k int) float64 {
	failed := c.N - c.C
	if k > failed {
		return 0
	}
	return math.Exp(f[failed] - f[failed-k] + f[c.N-k] - f[c.N])
}

// hypergeometric returns how many of take samples drawn from c passed. It walks out
// from the likeliest number, which takes as many steps as the number scatters.
func (f factorials) hypergeometric(r *rand.Rand, c Count, take int) int {
	failed := c.N - c.C
	lowest, highest := max(0, take-failed), min(c.C, take)
	if lowest == highest {
		return lowest
	}
	mode := min(highest, max(lowest, (take+1)*(c.C+1)/(c.N+2)))
	at := math.Exp(f[c.C] - f[mode] - f[c.C-mode] + f[failed] - f[take-mode] - f[failed-take+mode] - f[c.N] + f[take] + f[c.N-take])
	u := r.Float64() - at
	down, up := mode, mode
	below, above := at, at
	for u > 0 && (down > lowest || up < highest) {
		if up < highest {
			above *= float64(c.C-up) * float64(take-up) / (float64(up+1) * float64(failed-take+up+1))
			up++
			if u -= above; u <= 0 {
				return up
			}
		}
		if down > lowest {
			below *= float64(down) * float64(failed-take+down) / (float64(c.C-down+1) * float64(take-down+1))
			down--
			if u -= below; u <= 0 {
				return down
			}
		}
	}
	return mode
}

// intervals returns the range of the smallest difference, for both claims.
func (g *gains) intervals(b Bootstrap) (these, like Interval) {
	m, rounds := len(g.mean), b.rounds()
	// The union's error is in every difference, and each single temperature's is
	// partly the union's: one factor, and what is each one's own.
	spread, own, share := make([]float64, m), make([]float64, m), make([]float64, m)
	for t := range m {
		if g.unionVar > 0 {
			share[t] = g.cov[t] / g.unionVar
		}
		own[t] = math.Sqrt(max(0, g.singleVar[t]-share[t]*g.cov[t]))
		spread[t] = math.Sqrt(max(0, g.unionVar+g.singleVar[t]-2*g.cov[t]) + g.unseen*g.unseen)
	}
	common := math.Sqrt(g.unionVar)
	noise := make([][]float64, m)
	for t := range noise {
		noise[t] = make([]float64, rounds)
	}
	for r := range rounds {
		u := common * b.Rand.NormFloat64()
		for t := range noise {
			noise[t][r] = (1-share[t])*u - own[t]*b.Rand.NormFloat64()
		}
	}
	these = g.smallest(spread, noise, nil)

	wide, other := make([]float64, m), make([]float64, m)
	absent := unseenShare(len(g.questions), (1-g.level)/2)
	means := resampledMeans(g.diff, b)
	for t := range wide {
		wide[t] = max(spread[t], deviation(g.diff[t], g.mean[t])/math.Sqrt(float64(len(g.questions))))
		reach := 0.0
		for _, d := range g.diff[t] {
			reach = max(reach, math.Abs(d-g.mean[t]))
		}
		other[t] = absent * reach
		for r := range means[t] {
			means[t][r] -= g.mean[t]
		}
	}
	return these, g.smallest(wide, means, other)
}

// smallest returns the range of the smallest difference, given simultaneous bounds on
// all of them: the quantile of the largest of the noises in its own standard error,
// times the errors that the differences have. floor is the least arm of each.
func (g *gains) smallest(spread []float64, noise [][]float64, floor []float64) Interval {
	scale := make([]float64, len(noise))
	for t := range noise {
		var v sum
		for _, x := range noise[t] {
			v.add(x * x)
		}
		scale[t] = math.Sqrt(v.value() / float64(len(noise[t])))
	}
	most := make([]float64, len(noise[0]))
	for r := range most {
		for t := range noise {
			if scale[t] > 0 {
				most[r] = max(most[r], math.Abs(noise[t][r])/scale[t])
			}
		}
	}
	c := max(normalQuantile((1+g.level)/2), sortedQuantile(most, g.level))
	out := Interval{1, 1}
	for t, d := range g.mean {
		arm := c * spread[t]
		if floor != nil {
			arm = max(arm, floor[t])
		}
		out.Low, out.High = min(out.Low, d-arm), min(out.High, d+arm)
	}
	return Interval{max(-1, out.Low), max(-1, out.High)}
}

// aroundAny widens i to hold x.
func aroundAny(x float64, i Interval) Interval { return Interval{min(i.Low, x), max(i.High, x)} }

package score

import (
	"fmt"
	"math"
)

// A BestSet is what can be said of where the best of several temperatures is. It
// is the answer to "which T is best at k": seldom one, and honest about it.
type BestSet struct {
	Best  int       // column with the highest mean, the first of them
	In    []bool    // columns among which the best one is at the level asked for; one left out may be as good
	P     []float64 // for each column, the chance of lagging as far behind as it does, were it the best
	Share []float64 // in how many resamples, as a share, the column came first; ties are shared
	// Chosen bounds by how much the highest mean is too high on average, because it was chosen
	// as the highest: that of as many equally good columns with the same noise.
	Chosen float64
	Behind []Interval // by how much the column is behind the best one, for all columns at once at the level asked for
}

// Best returns the columns among which the best one is, with at least the given
// level, for both claims. Each column holds the scores of the same questions at one temperature.
//
// A column is out if some other is better by more than chance explains: its
// largest lag, in standard errors of the paired difference, is held against the
// distribution of that largest lag when no column is better than it. That
// distribution is a bootstrap over questions for QuestionsLike, which keeps
// temperatures paired, and a normal one with the scores' variances for
// TheseQuestions. Looking at the largest lag at once is the correction for all
// looks, and since the true best is only lost if its own lag is exceptional, the
// set holds it with the level (Hsu 1981, multiple comparisons with the best). Where
// several are best the set need not hold each of them. What is open about these
// questions is open about others: the set of QuestionsLike holds that of
// TheseQuestions.
//
// Behind holds the intervals of the same method with an end on both sides (Edwards and Hsu
// 1983), which look at the largest difference whichever way it goes: one end only would need
// less. Its high end is the most that is lost by choosing the column.
//
// Where a column may be higher than its scores show (Hidden), it is out only if it would be so then
// too, and others are behind it by as much more.
//
// The error is ErrUndefined without columns or for fewer than two questions, and
// a mistake if columns differ in length, the level is outside (0, 1), or b has
// no Rand.
func Best(columns [][]Score, level float64, b Bootstrap) (these, like BestSet, err error) {
	if err := checkBest(columns, level, b); err != nil {
		return BestSet{}, BestSet{}, fmt.Errorf("best of %d: %w", len(columns), err)
	}
	means := make([]float64, len(columns))
	for i, c := range columns {
		means[i] = mean(values(c))
	}
	var out [2]BestSet
	for _, claim := range []Claim{TheseQuestions, QuestionsLike} {
		l := lags{columns: columns, claim: claim, level: level, means: means}
		l.noise = l.deviations(b)
		out[claim] = l.set(out[TheseQuestions].P)
	}
	for i := range columns {
		behind := &out[QuestionsLike].Behind[i]
		behind.High = max(behind.High, out[TheseQuestions].Behind[i].High)
	}
	return out[TheseQuestions], out[QuestionsLike], nil
}

func checkBest(columns [][]Score, level float64, b Bootstrap) error {
	if err := checkLevel(level); err != nil {
		return err
	}
	if b.Rand == nil {
		return fmt.Errorf("no source of chance")
	}
	if len(columns) == 0 {
		return fmt.Errorf("%w: no columns", ErrUndefined)
	}
	for i, c := range columns {
		if len(c) != len(columns[0]) {
			return fmt.Errorf("column %d has %d questions, column 0 has %d: want the same questions", i, len(c), len(columns[0]))
		}
	}
	if len(columns[0]) < 2 {
		return fmt.Errorf("%w: %d questions, want at least 2", ErrUndefined, len(columns[0]))
	}
	return nil
}

// lags is what the columns of one set share.
type lags struct {
	columns [][]Score
	claim   Claim
	level   float64
	means   []float64
	noise   [][]float64 // by how much each column's mean would be off in each of the imagined repetitions
}

func (l *lags) deviations(b Bootstrap) [][]float64 {
	if l.claim == QuestionsLike {
		raw := make([][]float64, len(l.columns))
		for i, c := range l.columns {
			raw[i] = values(c)
		}
		out := resampledMeans(raw, b)
		for i := range out {
			for r := range out[i] {
				out[i][r] -= l.means[i]
			}
		}
		return out
	}
	out := make([][]float64, len(l.columns))
	for i, c := range l.columns {
		spread := ownError(c)
		out[i] = make([]float64, b.rounds())
		for r := range out[i] {
			out[i][r] = spread * b.Rand.NormFloat64()
		}
	}
	return out
}

// ownError is the standard error of the mean of the scores on these very questions.
func ownError(scores []Score) float64 {
	var v sum
	unseen := 0.0
	for _, s := range scores {
		v.add(s.Variance)
		unseen = max(unseen, s.Unseen)
	}
	return math.Sqrt(v.value()+unseen*unseen) / float64(len(scores))
}

// noiseError is the standard error that the noise gives the difference of two
// columns. It differs from that of their scores where these hold more than the noise
// can show.
func (l *lags) noiseError(i, j int) float64 {
	if l.claim == TheseQuestions {
		return math.Hypot(ownError(l.columns[i]), ownError(l.columns[j]))
	}
	d := differences(l.columns[i], l.columns[j])
	return deviation(d, mean(d)) / math.Sqrt(float64(len(d)))
}

// set returns the set of this claim. No P is below those of least, which may be nil.
func (l *lags) set(least []float64) BestSet {
	n := len(l.columns)
	out := BestSet{In: make([]bool, n), P: make([]float64, n), Behind: make([]Interval, n), Share: firstPlaces(l.means, l.noise), Chosen: highest(l.noise)}
	arms := make([][]float64, n)
	for i := range l.columns {
		if l.means[i] > l.means[out.Best] {
			out.Best = i
		}
		out.P[i], arms[i] = l.look(i)
		if least != nil {
			out.P[i] = max(out.P[i], least[i])
		}
		out.In[i] = out.P[i] > 1-l.level
	}
	for i := range l.columns {
		out.Behind[i] = l.behind(i, out.In, arms)
	}
	return out
}

// highest is the mean over the repetitions of the highest noise of a column, less that of all
// columns, which is nothing on average. Whatever the true means, the noise of the column that
// comes out highest is no more.
func highest(noise [][]float64) float64 {
	var s sum
	for r := range noise[0] {
		top, all := math.Inf(-1), 0.0
		for _, column := range noise {
			top = max(top, column[r])
			all += column[r]
		}
		s.add(top - all/float64(len(noise)))
	}
	return s.value() / float64(len(noise[0]))
}

// firstPlaces counts how often each column comes first.
func firstPlaces(means []float64, noise [][]float64) []float64 {
	share := make([]float64, len(means))
	rounds := len(noise[0])
	// Equal scores may sum to means that differ in the last digit.
	const tie = 1e-12
	for r := range rounds {
		top, ties := math.Inf(-1), 0.0
		for i, m := range means {
			top = max(top, m+noise[i][r])
		}
		for i, m := range means {
			if m+noise[i][r] >= top-tie {
				ties++
			}
		}
		for i, m := range means {
			if m+noise[i][r] >= top-tie {
				share[i] += 1 / ties
			}
		}
	}
	for i := range share {
		share[i] /= float64(rounds)
	}
	return share
}

// look returns the P of column i and, for every other, how far apart chance alone may
// bring the two at the level asked for.
func (l *lags) look(i int) (p float64, arms []float64) {
	n := len(l.columns)
	spread, noise := make([]float64, n), make([]float64, n)
	lag, ahead := 0.0, -1
	for j := range l.columns {
		if j == i {
			continue
		}
		spread[j], noise[j] = standardError(l.columns[i], l.columns[j], l.claim), l.noiseError(i, j)
		d := l.means[j] - l.means[i] - hidden(l.columns[i])
		switch {
		case spread[j] > 0 && d/spread[j] > lag:
			lag, ahead = d/spread[j], j
		case spread[j] == 0 && d > 0: // better by the same on every question
			lag, ahead = math.Inf(1), j
		}
	}
	most := make([]float64, len(l.noise[i])) // the largest lag of each repetition
	apart := make([]float64, len(most))      // and the largest difference, whichever way
	for r := range most {
		for j := range l.columns {
			if noise[j] > 0 {
				d := (l.noise[j][r] - l.noise[i][r]) / noise[j]
				most[r], apart[r] = max(most[r], d), max(apart[r], math.Abs(d))
			}
		}
	}
	as := 1.0 // the observed lag is one of the lags that can occur
	for _, m := range most {
		if m >= lag {
			as++
		}
	}
	p = as / float64(len(most)+1)
	arms = make([]float64, n)
	c := sortedQuantile(apart, l.level)
	for j := range arms {
		arms[j] = c * spread[j]
	}
	if ahead < 0 {
		p = 1
	}
	if l.claim == QuestionsLike {
		questions := len(l.columns[i])
		for j := range l.columns {
			if j == i {
				continue
			}
			reach := farthest(l.columns[i], l.columns[j], l.means[j]-l.means[i])
			arms[j] = max(arms[j], unseenShare(questions, (1-l.level)/2)*reach)
			if j == ahead {
				p = max(p, flipFloor(count(differences(l.columns[i], l.columns[j]))), otherKinds(max(0, l.means[j]-l.means[i]-hidden(l.columns[i])), reach, questions))
			}
		}
	}
	return min(1, p), arms
}

// behind returns by how much column i is behind the best one.
func (l *lags) behind(i int, in []bool, arms [][]float64) Interval {
	out := Interval{Low: math.Inf(1)}
	for j := range l.columns {
		if j == i {
			continue
		}
		d := l.means[j] - l.means[i]
		out.High = max(out.High, d+arms[i][j]+hidden(l.columns[j]))
		if in[j] {
			out.Low = min(out.Low, d-arms[j][i]-hidden(l.columns[i]))
		}
	}
	others := false
	for j := range in {
		others = others || in[j] && j != i
	}
	switch {
	case in[i] && !others: // the best for sure
		return Interval{}
	case in[i]:
		out.Low = 0
	}
	return Interval{min(1, max(0, out.Low)), min(1, max(0, out.High))}
}

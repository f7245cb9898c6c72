package score

import (
	"fmt"
	"math"
)

// A BestSet is what can be said of where the best of several temperatures is. It
// is the answer to "which T is best at k": seldom one, and honest about it.
type BestSet struct {
	Best  int       // column with the highest mean, the first of them
	In    []bool    // columns that cannot be told from the best at the level asked for
	P     []float64 // for each column, the chance of lagging as far behind as it does, were it the best
	Share []float64 // in how many resamples, as a share, the column came first; ties are shared
}

// Best returns the columns among which the best one is, with at least the given
// level. Each column holds the scores of the same questions at one temperature.
//
// A column is out if some other is better by more than chance explains: its
// largest lag, in standard errors of the paired difference, is held against the
// distribution of that largest lag when no column is better than it. That
// distribution is a bootstrap over questions for QuestionsLike, which keeps
// temperatures paired, and a normal one with the scores' variances for
// TheseQuestions. Looking at the largest lag at once is the correction for all
// looks, and since the true best is only lost if its own lag is exceptional, the
// set holds it with the level (Hsu 1981, multiple comparisons with the best).
//
// The error is ErrUndefined without columns or for fewer than two questions, and
// a mistake if columns differ in length, the level is outside (0, 1), or b has
// no Rand.
func Best(columns [][]Score, claim Claim, level float64, b Bootstrap) (BestSet, error) {
	if err := checkBest(columns, level, b); err != nil {
		return BestSet{}, fmt.Errorf("best of %d: %w", len(columns), err)
	}
	n := len(columns)
	means := make([]float64, n)
	out := BestSet{In: make([]bool, n), P: make([]float64, n)}
	for i, c := range columns {
		means[i] = mean(values(c))
		if means[i] > means[out.Best] {
			out.Best = i
		}
	}
	noise := deviations(columns, means, claim, b)
	out.Share = firstPlaces(means, noise)
	for i := range columns {
		out.P[i] = lagChance(columns, i, means, noise, claim)
		out.In[i] = out.P[i] > 1-level
	}
	return out, nil
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

// deviations returns, for each column, by how much its mean would be off in each
// of the imagined repetitions.
func deviations(columns [][]Score, means []float64, claim Claim, b Bootstrap) [][]float64 {
	if claim == QuestionsLike {
		raw := make([][]float64, len(columns))
		for i, c := range columns {
			raw[i] = values(c)
		}
		out := resampledMeans(raw, b)
		for i := range out {
			for r := range out[i] {
				out[i][r] -= means[i]
			}
		}
		return out
	}
	out := make([][]float64, len(columns))
	for i, c := range columns {
		spread := samplingError(c)
		out[i] = make([]float64, b.rounds())
		for r := range out[i] {
			out[i][r] = spread * b.Rand.NormFloat64()
		}
	}
	return out
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

// lagChance returns the P of column i.
func lagChance(columns [][]Score, i int, means []float64, noise [][]float64, claim Claim) float64 {
	spread := make([]float64, len(columns)) // standard errors of the differences with i
	lag, ahead := 0.0, -1
	for j := range columns {
		if j == i {
			continue
		}
		spread[j] = standardError(columns[i], columns[j], claim)
		d := means[j] - means[i]
		switch {
		case spread[j] > 0 && d/spread[j] > lag:
			lag, ahead = d/spread[j], j
		case spread[j] == 0 && d > 0: // better by the same on every question
			lag, ahead = math.Inf(1), j
		}
	}
	if ahead < 0 {
		return 1
	}
	rounds := len(noise[i])
	as := 1.0 // the observed lag is one of the lags that can occur
	for r := range rounds {
		for j := range columns {
			if spread[j] > 0 && noise[j][r]-noise[i][r] >= lag*spread[j] {
				as++
				break
			}
		}
	}
	p := as / float64(rounds+1)
	if claim == QuestionsLike {
		p = max(p, flipFloor(count(differences(columns[i], columns[ahead]))))
	}
	return min(1, p)
}

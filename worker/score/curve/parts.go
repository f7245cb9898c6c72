package curve

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

// temperatures fills in a.Temperatures.
func (a *analyser) temperatures(out *Analysis) error {
	out.Temperatures = make([]Temperature, len(a.Temperatures))
	for t, temperature := range a.Temperatures {
		x := &out.Temperatures[t]
		*x = Temperature{Temperature: temperature, Points: []Point{}}
		if err := a.tally(t, x); err != nil {
			return err
		}
		for _, k := range a.ladder {
			p, ok, err := a.point(t, k, nil)
			if err != nil {
				return err
			}
			switch {
			case !ok:
			case k <= x.NMin:
				x.Points = append(x.Points, p)
			default:
				x.Beyond = append(x.Beyond, p)
			}
		}
		if len(x.Points) > 0 {
			avg := x.Points[0].Value // k = 1
			x.AvgAtN = &avg
		}
		var err error
		if a.share == 0 {
			if x.Truncation, err = a.cutOff(t, Headline(x.NMin)); err != nil {
				return err
			}
		}
		x.Costs = a.costs(t, x)
	}
	return nil
}

// tally sums the cells of temperature t into x.
func (a *analyser) tally(t int, x *Temperature) error {
	var sum stream.Counts
	hardest := math.MaxInt
	for i := range a.Questions {
		c := &a.Questions[i].Cells[t]
		sum.Add(c)
		if c.N == 0 {
			x.Missing++
			continue
		}
		if x.Questions == 0 || c.N < x.NMin {
			x.NMin = c.N
		}
		x.Questions++
		x.NMax = max(x.NMax, c.N)
		if c.Passed > 0 {
			x.Solved++
		} else {
			hardest = min(hardest, c.N)
		}
	}
	if unsolved := x.Questions - x.Solved; unsolved > 0 {
		below, err := score.UpperBound(hardest, 0, a.level)
		if err != nil {
			return err
		}
		if a.share > 0 { // that none passed is known of this share of the programs for sure
			below = min(1, below/a.share)
		}
		x.Unsolved = &Unsolved{unsolved, hardest, below}
	}
	x.Samples, x.Passed, x.Unscored, x.Tokens = sum.N, sum.Passed, sum.Unscored, sum.Tokens
	x.UniquePrograms, x.UniquePassed = sum.UniquePrograms, sum.UniquePassed
	x.OldUnique, x.OldTokens = x.UniquePrograms, x.Tokens
	all := 0
	for _, n := range sum.Verdicts {
		all += n
	}
	x.Verdicts = []Class{}
	for v, n := range sum.Verdicts {
		x.Verdicts = append(x.Verdicts, Class{v.String(), n, float64(n) / float64(max(1, all))})
	}
	slices.SortFunc(x.Verdicts, func(a, b Class) int { return cmp.Compare(a.Verdict, b.Verdict) })
	if x.Samples > 0 {
		x.UniqueShare = float64(x.UniquePrograms) / float64(x.Samples)
		x.PerSample = float64(x.Tokens) / float64(x.Samples+x.Unscored)
	}
	if passed := passedOf(&sum); passed > 0 {
		per := float64(x.Tokens) / passed
		x.PerPass = &per
	}
	return nil
}

// passedOf returns how many samples of several cells passed, estimated where some were stopped.
func passedOf(sum *stream.Counts) float64 {
	if sum.Audit == nil {
		return float64(sum.Passed)
	}
	return sum.Rate() / 100 * float64(sum.N)
}

// point returns pass@k at temperature t over the given questions, all if nil. It
// reports false if none of them has k samples.
func (a *analyser) point(t, k int, among []int) (Point, bool, error) {
	scores, counts, which, err := a.at(t, k)
	if err != nil {
		return Point{}, false, err
	}
	_, _, some, err := a.at(t, 1)
	if err != nil {
		return Point{}, false, err
	}
	have := len(some)
	if among != nil {
		have = len(within(some, some, among))
		scores, counts, which = within(scores, which, among), within(counts, which, among), within(which, which, among)
	}
	if len(a.among) > 0 {
		scores, counts, which = within(scores, which, a.among), within(counts, which, a.among), within(which, which, a.among)
	}
	if len(scores) == 0 {
		return Point{}, false, nil
	}
	p := Point{K: k, Questions: len(scores), Partial: len(scores) < have}
	p.Value = score.MeanOf(scores)
	if a.share == 0 {
		p.PassHatK, err = score.MeanPassHatK(counts, k)
	} else {
		p.PassHatK, err = a.hatK(t, k, which)
	}
	if err != nil {
		return Point{}, false, err
	}
	if p.Sampling, err = score.SamplingInterval(counts, scores, k, a.level); err != nil {
		return Point{}, false, err
	}
	if p.Anytime, err = score.AnytimeInterval(counts, scores, k, a.level); err != nil {
		return Point{}, false, err
	}
	if a.share > 0 {
		hidden, err := hiding(a.cells(t, which), k, a.level)
		if err != nil {
			return Point{}, false, err
		}
		for _, i := range []*score.Interval{&p.Sampling, &p.Anytime} {
			i.High = min(1, max(p.Value, p.Value+math.Hypot(i.High-p.Value, hidden)))
		}
	}
	p.Reliable = score.Reliable(counts, k, p.Sampling)
	p.SamplingShare = score.SamplingShare(scores)
	p.Population, err = a.population(scores)
	if p.Population != nil { // what is open about these questions is open about others
		i := &p.Population.Interval
		i.Low, i.High = min(i.Low, p.Sampling.Low), max(i.High, p.Sampling.High)
		questions := make([]*Question, len(which))
		for j, q := range which {
			questions[j] = &a.Questions[q]
		}
		if p.Population.Contest, err = byContest(scores, questions, a.level); p.Population.Contest != nil {
			c := p.Population.Contest
			c.Low, c.High = min(c.Low, i.Low), max(c.High, i.High)
		}
	}
	return p, true, err
}

// within returns the elements whose question is among the given ones; both lists
// of questions are ascending.
func within[T any](all []T, which, among []int) []T {
	var out []T
	j := 0
	for i, q := range which {
		for j < len(among) && among[j] < q {
			j++
		}
		if j < len(among) && among[j] == q {
			out = append(out, all[i])
		}
	}
	return out
}

// population returns the intervals over questions, nil for fewer than two.
func (a *analyser) population(scores []score.Score) (*Population, error) {
	values := make([]float64, len(scores))
	for i, s := range scores {
		values[i] = s.Value
		if a.share > 0 { // an estimate may lie outside, a score of other questions does not
			values[i] = min(1, max(0, s.Value))
		}
	}
	var out Population
	for _, m := range []struct {
		method score.Method
		to     *score.Interval
	}{{score.Beta, &out.Interval}, {score.BCa, &out.Bootstrap}, {score.Student, &out.Student}} {
		i, err := score.PopulationInterval(values, a.level, m.method, a.bootstrap())
		if errors.Is(err, score.ErrUndefined) {
			return nil, nil //nolint:nilnil // absent: a spread over one question is not defined
		}
		if err != nil {
			return nil, err
		}
		*m.to = i
	}
	return &out, nil
}

// splits fills in out.Splits.
func (a *analyser) splits(out *Analysis) error {
	out.Splits = []Split{}
	for _, by := range []struct {
		name  string
		label func(*Question) string
	}{
		{"difficulty", func(q *Question) string { return q.Difficulty }},
		{"platform", func(q *Question) string { return q.Platform }},
		{"month", (*Question).month},
	} {
		labels := make([]string, len(a.Questions))
		for i := range a.Questions {
			labels[i] = by.label(&a.Questions[i])
		}
		groups := score.Groups(labels)
		if len(groups) == 1 && groups[0].Name == "" {
			continue // nothing is known of this label
		}
		for _, g := range groups {
			s, err := a.group(by.name, g)
			if err != nil {
				return err
			}
			out.Splits = append(out.Splits, s)
		}
	}
	return nil
}

func (a *analyser) group(by string, g score.Group) (Split, error) {
	s := Split{By: by, Name: g.Name, Questions: len(g.Members), Temperatures: []SplitTemperature{}}
	for t, temperature := range a.Temperatures {
		x := SplitTemperature{Temperature: temperature, Points: []Point{}}
		for _, q := range g.Members {
			if c := &a.Questions[q].Cells[t]; c.N > 0 {
				x.Questions++
				if c.Passed > 0 {
					x.Solved++
				}
			}
		}
		for _, k := range Headline(a.most()) {
			p, ok, err := a.point(t, k, g.Members)
			if err != nil {
				return Split{}, err
			}
			if ok {
				x.Points = append(x.Points, p)
			}
		}
		s.Temperatures = append(s.Temperatures, x)
	}
	return s, nil
}

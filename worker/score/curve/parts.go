package curve

import (
	"errors"
	"maps"
	"math"
	"slices"

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
			if ok {
				x.Points = append(x.Points, p)
			}
		}
		if len(x.Points) > 0 {
			avg := x.Points[0].Value // k = 1
			x.AvgAtN = &avg
		}
	}
	return nil
}

// tally sums the cells of temperature t into x.
func (a *analyser) tally(t int, x *Temperature) error {
	verdicts := make(map[string]int)
	all, hardest := 0, math.MaxInt
	for i := range a.Questions {
		c := &a.Questions[i].Cells[t]
		x.Samples += c.N
		x.Passed += c.Passed
		x.Unscored += c.Unscored
		x.Unique += c.Unique
		x.UniqueOK += c.UniquePassed
		x.Tokens += c.Tokens
		for v, n := range c.Verdicts {
			verdicts[v] += n
			all += n
		}
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
		x.Unsolved = &Unsolved{unsolved, hardest, below}
	}
	x.Verdicts = []Class{}
	for _, v := range slices.Sorted(maps.Keys(verdicts)) {
		x.Verdicts = append(x.Verdicts, Class{v, verdicts[v], float64(verdicts[v]) / float64(max(1, all))})
	}
	if x.Samples > 0 {
		x.UniqueShare = float64(x.Unique) / float64(x.Samples)
		x.PerSample = float64(x.Tokens) / float64(x.Samples+x.Unscored)
	}
	if x.Passed > 0 {
		per := float64(x.Tokens) / float64(x.Passed)
		x.PerPass = &per
	}
	return nil
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
		scores, counts = within(scores, which, among), within(counts, which, among)
		have = len(within(some, some, among))
	}
	if len(scores) == 0 {
		return Point{}, false, nil
	}
	p := Point{K: k, Questions: len(scores), Partial: len(scores) < have, Reliable: true}
	for _, c := range counts {
		p.Reliable = p.Reliable && score.Reliable(c.N, k)
	}
	p.Value = score.MeanOf(scores)
	if p.PassHatK, err = score.MeanPassHatK(counts, k); err != nil {
		return Point{}, false, err
	}
	if p.Sampling, err = score.SamplingIntervalOf(counts, scores, k, a.level); err != nil {
		return Point{}, false, err
	}
	p.Population, err = a.population(scores)
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
			s, err := a.split(by.name, g)
			if err != nil {
				return err
			}
			out.Splits = append(out.Splits, s)
		}
	}
	return nil
}

func (a *analyser) split(by string, g score.Group) (Split, error) {
	s := Split{By: by, Name: g.Name, Questions: len(g.Members), Temperatures: []SplitTemperature{}}
	most := 0
	if len(a.ladder) > 0 {
		most = a.ladder[len(a.ladder)-1]
	}
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
		for _, k := range Headline(most) {
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

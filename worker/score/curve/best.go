package curve

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lcbq/lcbq/worker/score"
)

// columns returns the temperatures at which some question has k samples, by
// index, and the questions that have them at all of these.
func (a *analyser) columns(k int) (ts, questions []int) {
	for t := range a.Temperatures {
		for i := range a.Questions {
			if a.room(t, i) >= k {
				ts = append(ts, t)
				break
			}
		}
	}
	for i := range a.Questions {
		all := len(ts) > 0
		for _, t := range ts {
			all = all && a.room(t, i) >= k
		}
		if all {
			questions = append(questions, i)
		}
	}
	return ts, questions
}

// best fills in out.Best. Where nothing passed there is no best, and above the fewest
// samples of a cell the questions would change with k.
func (a *analyser) best(out *Analysis) error {
	out.Best = []Best{}
	for _, k := range a.ladder {
		ts, questions := a.columns(k)
		if k > a.least || len(ts) < 2 || len(questions) == 0 {
			continue
		}
		b, err := a.bestAt(k, ts, questions)
		if err != nil {
			return fmt.Errorf("best temperature at k = %d: %w", k, err)
		}
		if slices.ContainsFunc(b.Standings, func(s Standing) bool { return s.Value > 0 }) {
			out.Best = append(out.Best, b)
		}
	}
	return nil
}

func (a *analyser) bestAt(k int, ts, questions []int) (Best, error) {
	b := Best{K: k, Questions: len(questions), Reliable: true}
	columns := make([][]score.Score, len(ts))
	first := 0
	for i, t := range ts {
		scores, counts, which, err := a.at(t, k)
		if err != nil {
			return Best{}, err
		}
		columns[i] = within(scores, which, questions)
		if err := hide(columns[i], a.cells(t, questions), k, a.level); err != nil {
			return Best{}, err
		}
		counts = within(counts, which, questions)
		sampling, err := score.SamplingInterval(counts, columns[i], k, a.level)
		if err != nil {
			return Best{}, err
		}
		b.Reliable = b.Reliable && score.Reliable(counts, k, sampling)
		s := Standing{Temperature: a.Temperatures[t], Value: score.MeanOf(columns[i])}
		b.Standings = append(b.Standings, s)
		if s.Value > b.Standings[first].Value {
			first = i
		}
	}
	b.Temperature = b.Standings[first].Temperature
	for i := range b.Standings {
		s := &b.Standings[i]
		s.Difference = s.Value - b.Standings[first].Value
		for q := range columns[i] {
			if columns[i][q].Value != columns[first][q].Value {
				s.Differ++
			}
		}
	}
	these, like, err := score.Best(columns, a.level, a.bootstrap())
	if errors.Is(err, score.ErrUndefined) {
		return b, nil
	}
	if err != nil {
		return Best{}, err
	}
	b.These, b.Like = []float64{}, []float64{}
	b.Selected = &Selected{len(ts), these.Chosen, like.Chosen}
	for i := range b.Standings {
		s := &b.Standings[i]
		s.These, s.Like = finding(these, i), finding(like, i)
		if these.In[i] {
			b.These = append(b.These, s.Temperature)
		}
		if like.In[i] {
			b.Like = append(b.Like, s.Temperature)
		}
		if b.Choice == nil || s.Like.Behind.High < b.Choice.Like {
			b.Choice = &Choice{s.Temperature, s.These.Behind.High, s.Like.Behind.High}
		}
	}
	return b, nil
}

func finding(s score.BestSet, i int) *Finding {
	return &Finding{Behind: s.Behind[i], P: s.P[i], InSet: s.In[i], First: s.Share[i]}
}

// union fills in out.Union.
func (a *analyser) union(out *Analysis) error {
	if len(a.Temperatures) < 2 || len(a.Questions) == 0 || a.share > 0 {
		return nil
	}
	counts := make([][]score.Count, len(a.Questions))
	for i := range a.Questions {
		for t := range a.Temperatures {
			counts[i] = append(counts[i], count(&a.Questions[i].Cells[t]))
		}
	}
	solved, err := score.Solved(counts)
	if err != nil {
		return err
	}
	u := &Union{Solved: solved.Union, Complete: solved.Complete, All: solved.All, Points: []UnionPoint{}}
	for t, temperature := range a.Temperatures {
		u.By = append(u.By, Contributor{temperature, solved.Solved[t], solved.Only[t]})
	}
	for _, each := range a.ladder {
		p, ok, err := a.unionPoint(counts, each)
		if err != nil {
			return err
		}
		if ok {
			u.Points = append(u.Points, p)
		}
	}
	out.Union = u
	return nil
}

func (a *analyser) unionPoint(counts [][]score.Count, each int) (UnionPoint, bool, error) {
	p := UnionPoint{K: each * len(a.Temperatures), Each: each}
	var scores []score.Score
	var complete [][]score.Count
	for _, cells := range counts {
		v, err := score.UnionAtK(cells, p.K)
		if errors.Is(err, score.ErrUndefined) {
			continue
		}
		if err != nil {
			return UnionPoint{}, false, err
		}
		scores = append(scores, score.Score{Value: v})
		complete = append(complete, cells)
	}
	if len(scores) == 0 {
		return UnionPoint{}, false, nil
	}
	p.Value, p.Questions = score.MeanOf(scores), len(scores)
	var err error
	if p.Population, err = a.population(scores); err != nil {
		return UnionPoint{}, false, err
	}
	gain, err := score.UnionGain(complete, p.K, a.level, a.bootstrap())
	switch {
	case errors.Is(err, score.ErrUndefined):
		return p, true, nil
	case err != nil:
		return UnionPoint{}, false, err
	}
	p.Single = &Single{Temperature: a.Temperatures[gain.Single], Value: p.Value - gain.Naive, Gain: gain.Value, These: gain.These, Interval: gain.Like}
	p.Reliable = gain.These != nil && gain.These.Width() <= 2*score.Widest
	return p, true, nil
}

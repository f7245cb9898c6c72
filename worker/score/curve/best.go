package curve

import (
	"errors"
	"fmt"

	"github.com/lcbq/lcbq/worker/score"
)

// columns returns the temperatures at which some question has k samples, by
// index, and the questions that have them at all of these.
func (a *analyser) columns(k int) (ts, questions []int) {
	for t := range a.Temperatures {
		for i := range a.Questions {
			if a.Questions[i].Cells[t].N >= k {
				ts = append(ts, t)
				break
			}
		}
	}
	for i := range a.Questions {
		all := len(ts) > 0
		for _, t := range ts {
			all = all && a.Questions[i].Cells[t].N >= k
		}
		if all {
			questions = append(questions, i)
		}
	}
	return ts, questions
}

// best fills in out.Best.
func (a *analyser) best(out *Analysis) error {
	out.Best = []Best{}
	for _, k := range a.ladder {
		ts, questions := a.columns(k)
		if len(ts) < 2 || len(questions) == 0 {
			continue
		}
		b, err := a.bestAt(k, ts, questions)
		if err != nil {
			return fmt.Errorf("best temperature at k = %d: %w", k, err)
		}
		out.Best = append(out.Best, b)
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
		for _, c := range within(counts, which, questions) {
			b.Reliable = b.Reliable && score.Reliable(c.N, k)
		}
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
	for _, claim := range []score.Claim{score.TheseQuestions, score.QuestionsLike} {
		findings, err := a.findings(columns, first, claim)
		if errors.Is(err, score.ErrUndefined) {
			return b, nil
		}
		if err != nil {
			return Best{}, err
		}
		set := []float64{}
		for i := range findings {
			if findings[i].InSet {
				set = append(set, b.Standings[i].Temperature)
			}
			if claim == score.TheseQuestions {
				b.Standings[i].These = &findings[i]
			} else {
				b.Standings[i].Like = &findings[i]
			}
		}
		if claim == score.TheseQuestions {
			b.These = set
		} else {
			b.Like = set
		}
	}
	return b, nil
}

// findings compares every column with the first-placed one. Which one that is
// was learnt from the same data, so the correction is for all pairs: any of them
// might have been looked at.
func (a *analyser) findings(columns [][]score.Score, first int, claim score.Claim) ([]Finding, error) {
	set, err := score.Best(columns, claim, a.level, a.bootstrap())
	if err != nil {
		return nil, err
	}
	out := make([]Finding, len(columns))
	var p []float64
	at := make(map[int]int) // column -> place in p of its pair with first
	for i := range columns {
		for j := i + 1; j < len(columns); j++ {
			d, err := score.Compare(columns[j], columns[i], claim, a.level)
			if err != nil {
				return nil, err
			}
			switch first {
			case j:
				out[i].Interval, at[i] = d.Interval, len(p)
			case i:
				out[j].Interval, at[j] = score.Interval{Low: -d.Interval.High, High: -d.Interval.Low}, len(p)
			}
			p = append(p, d.P)
		}
	}
	corrected := score.Holm(p)
	for i := range out {
		out[i].P = 1
		if i != first {
			out[i].P = corrected[at[i]]
		}
		out[i].InSet, out[i].First = set.In[i], set.Share[i]
	}
	return out, nil
}

// union fills in out.Union.
func (a *analyser) union(out *Analysis) error {
	if len(a.Temperatures) < 2 || len(a.Questions) == 0 {
		return nil
	}
	counts := make([][]score.Count, len(a.Questions))
	for i := range a.Questions {
		for t := range a.Temperatures {
			counts[i] = append(counts[i], a.Questions[i].Cells[t].count())
		}
	}
	solved, err := score.Solved(counts)
	if err != nil {
		return err
	}
	u := &Union{Solved: solved.Union, All: solved.All, Points: []UnionPoint{}}
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
	p := UnionPoint{K: each * len(a.Temperatures), Each: each, Reliable: true}
	var scores []score.Score
	var questions []int
	for i, cells := range counts {
		v, err := score.UnionAtK(cells, p.K)
		if errors.Is(err, score.ErrUndefined) {
			continue
		}
		if err != nil {
			return UnionPoint{}, false, err
		}
		scores = append(scores, score.Score{Value: v})
		questions = append(questions, i)
		for _, c := range cells {
			p.Reliable = p.Reliable && score.Reliable(c.N, each)
		}
	}
	if len(scores) == 0 {
		return UnionPoint{}, false, nil
	}
	p.Value, p.Questions = score.MeanOf(scores), len(scores)
	var err error
	if p.Population, err = a.population(scores); err != nil {
		return UnionPoint{}, false, err
	}
	p.Single, err = a.single(p.K, scores, questions)
	return p, true, err
}

// single returns the best temperature among those that have k samples of every
// given question, nil if none has.
func (a *analyser) single(k int, union []score.Score, questions []int) (*Single, error) {
	var out *Single
	var best []score.Score
	for t, temperature := range a.Temperatures {
		scores, _, which, err := a.at(t, k)
		if err != nil {
			return nil, err
		}
		scores = within(scores, which, questions)
		if len(scores) != len(questions) {
			continue
		}
		if v := score.MeanOf(scores); out == nil || v > out.Value {
			out, best = &Single{Temperature: temperature, Value: v}, scores
		}
	}
	if out == nil {
		return nil, nil //nolint:nilnil // absent: no temperature has so many samples
	}
	out.Gain = score.MeanOf(union) - out.Value
	d, err := score.Compare(best, union, score.QuestionsLike, a.level)
	switch {
	case err == nil:
		out.Interval = &d.Interval
	case !errors.Is(err, score.ErrUndefined):
		return nil, err
	}
	return out, nil
}

package versus

import (
	"fmt"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// places is the results in order, with their intervals.
func (v *View) places(t *curve.Ranking) figure.Figure {
	c := chart.Forest{Title: v.titled(fmt.Sprintf("pass@%d", t.K)), Desc: "One row for each result, the highest first.", X: chart.Axis{Label: fmt.Sprintf("pass@%d", t.K), Percent: true}}
	highest := 0.0
	for _, p := range t.Places {
		row := chart.Estimate{Name: v.named(p.Sweep), Value: p.Value, Ink: chart.Series(5), Faint: !p.Reliable, Tip: v.named(p.Sweep) + ": " + figure.Percent(p.Value) + " %"}
		if p.MayLead {
			row.Ink = chart.Series(0)
		}
		highest = max(highest, p.Value)
		if p.Population != nil {
			row.Wide = &[2]float64{p.Population.Low, p.Population.High}
			row.Tip += "\nquestions like these: " + figure.Range(*p.Population) + " %"
			highest = max(highest, p.Population.High)
		}
		c.Rows = append(c.Rows, row)
	}
	c.X.Min, c.X.Max = chart.FromZero(highest, 1)
	return figure.Figure{
		Name: fmt.Sprintf("places-%d", t.K), Short: fmt.Sprintf("pass@%d", t.K), Title: fmt.Sprintf("Places at pass@%d", t.K), Table: v.standings(t),
		Caption: fmt.Sprintf("Mean over the temperatures that all have. Bars: questions like these, for each result alone (%s). Blue: those among which the best one is. The results share their questions, so their order is better known than the bars let it look: see every two against each other. Hollow: fewer than 2k samples of a question.", v.level()),
		Draw:    c.Draw,
	}
}

// standings is a ranking as numbers.
func (v *View) standings(t *curve.Ranking) *figure.Table {
	out := &figure.Table{Name: fmt.Sprintf("places-%d", t.K), Title: fmt.Sprintf("Places at pass@%d", t.K)}
	out.Columns = append(numbers("place"), figure.Column{Name: "result", Text: true})
	out.Columns = append(out.Columns, numbers("questions", "pass@k %", "questions like these", "places it may have", "behind the best by at most, points")...)
	out.Columns = append(out.Columns, figure.Column{Name: "may be the best", Text: true})
	for i, p := range t.Places {
		row := []figure.Field{whole(i + 1), words(v.named(p.Sweep)), whole(t.Questions), share(p.Value), absent, words(Ranks(p)), absent, words("no")}
		if p.Population != nil {
			row[4] = words(figure.Range(*p.Population))
		}
		if p.Behind != nil {
			row[6] = number(fmt.Sprintf("%.2f", 100*p.Behind.High), p.Behind.High)
		}
		if p.MayLead {
			row[7] = words("yes")
		}
		for j := range row {
			row[j].Faint = !p.Reliable
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// Ranks writes the places that a result may have.
func Ranks(p curve.Place) string {
	if p.First == p.Last {
		return fmt.Sprint(p.First)
	}
	return fmt.Sprintf("%d–%d", p.First, p.Last)
}

// Against returns by how much the result of a row is better than that of a column, with the
// interval on questions like these, nil where none is defined.
func Against(t *curve.Ranking, row, column int) (difference float64, like *score.Interval) {
	for _, x := range t.Pairs {
		switch {
		case x.A == column && x.B == row:
			if x.Like != nil {
				like = &x.Like.Interval
			}
			return x.Difference, like
		case x.A == row && x.B == column:
			if x.Like != nil {
				like = &score.Interval{Low: -x.Like.Interval.High, High: -x.Like.Interval.Low}
			}
			return -x.Difference, like
		}
	}
	return 0, nil
}

// matrix is every two results against each other.
func (v *View) matrix(t *curve.Ranking) figure.Figure {
	c := chart.Pairs{Title: v.titled(fmt.Sprintf("Every two at pass@%d: row less column, points", t.K)), Desc: "Coloured where the difference is more than chance."}
	for _, p := range t.Places {
		c.Columns = append(c.Columns, Letter(p.Sweep))
		row := chart.PairRow{Name: v.named(p.Sweep)}
		for _, q := range t.Places {
			if p.Sweep == q.Sweep {
				row.Fields = append(row.Fields, chart.PairField{Blank: true})
				continue
			}
			d, like := Against(t, p.Sweep, q.Sweep)
			f := chart.PairField{Value: 100 * d, Text: fmt.Sprintf("%+.1f", 100*d), Tip: fmt.Sprintf("%s less %s: %+.2f points", v.named(p.Sweep), v.named(q.Sweep), 100*d)}
			if like != nil {
				f.Sure = like.Low > 0 || like.High < 0
				f.Tip += "\nquestions like these, all pairs at once: " + span(*like)
			}
			if f.Sure {
				c.Most = max(c.Most, 100*d, -100*d)
			}
			row.Fields = append(row.Fields, f)
		}
		c.Rows = append(c.Rows, row)
	}
	return figure.Figure{
		Name: fmt.Sprintf("matrix-%d", t.K), Short: fmt.Sprintf("Pairs at %d", t.K), Title: fmt.Sprintf("Every two at pass@%d", t.K), Table: v.pairs(t),
		Caption: fmt.Sprintf("Points by which the result of the row passes more often than that of the column, paired by question. Coloured, and bold: the %s interval on questions like these, for all pairs at once, does not hold 0. Blue: the row is better; orange: the column is.", v.level()),
		Draw:    c.Draw,
	}
}

// pairs is the matrix as numbers, every two once.
func (v *View) pairs(t *curve.Ranking) *figure.Table {
	out := &figure.Table{Name: fmt.Sprintf("pairs-%d", t.K), Title: fmt.Sprintf("Every two at pass@%d", t.K)}
	out.Columns = append([]figure.Column{{Name: "result", Text: true}, {Name: "less", Text: true}}, numbers("difference, points", "these questions, all pairs at once", "questions like these, all pairs at once", "the same by contest", "P, corrected")...)
	for _, x := range t.Pairs {
		row := []figure.Field{words(v.named(x.B)), words(v.named(x.A)), points(x.Difference), absent, absent, absent, chance(x.Like)}
		if x.These != nil {
			row[3] = between(&x.These.Interval)
		}
		if x.Like != nil {
			row[4], row[5] = between(&x.Like.Interval), between(x.Like.Contest)
		}
		out.Rows = append(out.Rows, row)
	}
	return out.Filled()
}

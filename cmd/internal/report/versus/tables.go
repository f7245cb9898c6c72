package versus

import (
	"fmt"

	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

func numbers(names ...string) []figure.Column {
	out := make([]figure.Column, len(names))
	for i, n := range names {
		out[i] = figure.Column{Name: n}
	}
	return out
}

func words(s string) figure.Field { return figure.Field{Text: s} }

func number(text string, raw any) figure.Field {
	return figure.Field{Text: text, Raw: fmt.Sprint(raw)}
}

func whole(n int) figure.Field { return number(figure.Count(n), n) }

func share(v float64) figure.Field { return number(figure.Percent(v), v) }

func points(v float64) figure.Field { return number(fmt.Sprintf("%+.2f", 100*v), v) }

// absent is a value that the data do not define.
var absent = figure.Field{Text: "–", Raw: " "}

func between(i *score.Interval) figure.Field {
	if i == nil {
		return absent
	}
	return words(span(*i))
}

func chance(d *curve.Deviation) figure.Field {
	if d == nil {
		return absent
	}
	return number(figure.Chance(d.P), d.P)
}

// contrasts is the two at every temperature and k.
func (v *View) contrasts() *figure.Table {
	t := &figure.Table{Name: "contrasts", Title: "B - A", Columns: append([]figure.Column{{Name: "temperature", Text: true}}, numbers("k", "questions", "A %", "B %", "B - A, points", "these questions, all at once", "questions like these, all at once", "questions like these, alone", "the same by contest", "P, corrected")...)}
	add := func(name string, p *curve.Contrast) {
		row := []figure.Field{words(name), whole(p.K), whole(p.Questions), share(p.A), share(p.B), points(p.Difference), between(wide(p.These)), between(wide(p.Like)), absent, absent, chance(p.Like)}
		if p.Like != nil {
			row[8], row[9] = between(&p.Like.Interval), between(p.Like.Contest)
		}
		for i := range row {
			row[i].Faint = !p.Reliable && row[i] != absent
		}
		t.Rows = append(t.Rows, row)
	}
	for i := range v.Pair.Temperatures {
		x := &v.Pair.Temperatures[i]
		for j := range x.Points {
			add(figure.Temperature(x.Temperature), &x.Points[j])
		}
	}
	for j := range v.Pair.Overall {
		add("mean of all", &v.Pair.Overall[j])
	}
	return t.Filled()
}

// changed is the questions, the surest change first: the first most of them, 0 for all.
func (v *View) changed(most int) *figure.Table {
	t := &figure.Table{Name: "questions", Title: "Every question", Columns: []figure.Column{{Name: "question", Text: true}}}
	if most > 0 {
		t.Name, t.Title = "changed", "Questions that surely changed"
	}
	t.Columns = append(t.Columns, figure.Column{Name: "difficulty", Text: true})
	t.Columns = append(t.Columns, numbers("A, passed", "of", "B, passed", "of ", "B - A, points", "P", "false discovery rate")...)
	for i := range v.Pair.Questions {
		q := &v.Pair.Questions[i]
		sure := v.sure(q)
		if most > 0 && (!sure || len(t.Rows) == most) {
			break
		}
		row := []figure.Field{words(title(q)), words(q.Difficulty), whole(q.PassedA), whole(q.SamplesA), whole(q.PassedB), whole(q.SamplesB), points(q.Difference), number(figure.Chance(q.P), q.P), number(figure.Chance(q.Q), q.Q)}
		if q.Difficulty == "" {
			row[1] = absent
		}
		for j := range row {
			row[j].Faint = !sure && row[j] != absent
		}
		t.Rows = append(t.Rows, row)
	}
	return t.Filled()
}

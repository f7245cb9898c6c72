package figure

import (
	"fmt"
	"slices"

	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

func text(name string) Column { return Column{Name: name, Text: true} }

func num(names ...string) []Column {
	out := make([]Column, len(names))
	for i, n := range names {
		out[i] = Column{Name: n}
	}
	return out
}

// Summary is one row a temperature, for people.
func (s *Source) Summary() *Table {
	ks := s.Headline()
	t := &Table{Name: "summary", Title: "Pass@k by temperature"}
	t.Columns = num("temperature")
	for _, k := range ks {
		t.Columns = append(t.Columns, Column{Name: fmt.Sprintf("pass@%d %%", k)})
	}
	t.Columns = append(t.Columns, num("solved", "samples", "passed", "unique programs", "tokens a sample")...)
	for i := range s.Analysis.Temperatures {
		x := &s.Analysis.Temperatures[i]
		row := []Field{number(Temperature(x.Temperature), x.Temperature)}
		for _, k := range ks {
			row = append(row, s.ranged(x.Points, k))
		}
		unique := absent
		if x.UniquePrograms > 0 {
			unique = whole(x.UniquePrograms)
		}
		t.Rows = append(t.Rows, append(row, number(fmt.Sprintf("%d of %d", x.Solved, x.Questions), x.Solved), whole(x.Samples), whole(x.Passed), unique, tokens(x)))
	}
	return t
}

// tokens is the mean length of a completion, which recorded ones may not tell.
func tokens(x *curve.Temperature) Field {
	if x.Tokens == 0 {
		return absent
	}
	return number(fmt.Sprintf("%.0f", x.PerSample), x.PerSample)
}

// passAt is pass@k for a table: where nothing passed, what that leaves room for.
func (s *Source) passAt(points []curve.Point, k int) Field {
	p := At(points, k)
	if p == nil {
		return absent
	}
	f := share(p.Value)
	if p.Value == 0 {
		f.Text = "0 (<" + Percent(p.Sampling.High) + ")"
	}
	f.Faint = !p.Reliable
	return f
}

// ranged is passAt with what questions like these would give.
func (s *Source) ranged(points []curve.Point, k int) Field {
	f := s.passAt(points, k)
	if p := At(points, k); p != nil && p.Population != nil && p.Value > 0 {
		f.Text += " (" + Range(p.Population.Interval) + ")"
	}
	return f
}

func interval(i *score.Interval) []Field {
	if i == nil {
		return []Field{absent, absent}
	}
	return []Field{share(i.Low), share(i.High)}
}

// population is the interval over questions, and the one by contest.
func population(p *curve.Population) []Field {
	if p == nil {
		return []Field{absent, absent, absent, absent}
	}
	return slices.Concat(interval(&p.Interval), interval(p.Contest))
}

func yes(b bool) Field {
	if b {
		return words("yes")
	}
	return words("no")
}

// Curves is every point with both uncertainties.
func (s *Source) Curves() *Table {
	t := &Table{Name: "curves", Title: "Every point of the pass@k curves"}
	t.Columns = append(num("temperature", "k", "pass@k %", "these questions, low %", "these questions, high %", "looked at any time, low %", "looked at any time, high %", "questions like these, low %", "questions like these, high %", "by contest, low %", "by contest, high %", "pass^k %", "questions"), text("reliable"))
	for _, x := range s.Analysis.Temperatures {
		for i := range x.Points {
			p := &x.Points[i]
			row := []Field{number(Temperature(x.Temperature), x.Temperature), whole(p.K), share(p.Value)}
			row = append(row, interval(&p.Sampling)...)
			row = append(row, interval(&p.Anytime)...)
			row = append(row, population(p.Population)...)
			row = append(row, share(p.PassHatK), whole(p.Questions), yes(p.Reliable))
			for j := range row {
				row[j].Faint = !p.Reliable
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// BestSets is T*(k) by k.
func (s *Source) BestSets() *Table {
	t := &Table{Name: "best", Title: "The best temperature by k"}
	t.Columns = append(num("k", "highest at", "pass@k %"), text("may be the best, these questions"), text("may be the best, questions like these"), Column{Name: "questions"}, text("reliable"))
	for i := range s.Analysis.Best {
		b := &s.Analysis.Best[i]
		row := []Field{whole(b.K), number(Temperature(b.Temperature), b.Temperature), share(value(b)), words(s.setOr(b.These)), words(s.setOr(b.Like)), whole(b.Questions), yes(b.Reliable)}
		for j := range row {
			row[j].Faint = !b.Reliable
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (s *Source) setOr(set []float64) string {
	if len(set) == 0 {
		return "–"
	}
	return s.Set(set)
}

// Standings is every temperature beside the best at each k.
func (s *Source) Standings() *Table {
	t := &Table{Name: "standings", Title: "Each temperature against the best"}
	t.Columns = append(num("k", "temperature", "pass@k %", "difference, points", "questions that differ",
		"these questions, behind at least", "these questions, behind at most", "these questions, p", "questions like these, behind at least", "questions like these, behind at most", "questions like these, p"), text("may be the best"))
	finding := func(f *curve.Finding) []Field {
		if f == nil {
			return []Field{absent, absent, absent}
		}
		return []Field{number(fmt.Sprintf("%.2f", 100*f.Behind.Low), f.Behind.Low), number(fmt.Sprintf("%.2f", 100*f.Behind.High), f.Behind.High), number(Chance(f.P), f.P)}
	}
	for _, b := range s.Analysis.Best {
		for _, x := range b.Standings {
			row := []Field{whole(b.K), number(Temperature(x.Temperature), x.Temperature), share(x.Value), points(x.Difference), whole(x.Differ)}
			row = append(row, finding(x.These)...)
			row = append(row, finding(x.Like)...)
			may := x.Like == nil || x.Like.InSet
			t.Rows = append(t.Rows, append(row, yes(may)))
		}
	}
	return t
}

// Behind is how far each temperature is behind the best one at the k of tables, as few columns
// as say it.
func (s *Source) Behind() *Table {
	t := &Table{Name: "behind", Title: "How far each temperature is behind the best"}
	t.Columns = append(num("k", "temperature", "pass@k %"), text("behind on these questions, points"), text("behind on questions like these, points"), text("may be the best"))
	behind := func(f *curve.Finding) Field {
		if f == nil {
			return words("–")
		}
		return words(fmt.Sprintf("%.2f to %.2f", 100*f.Behind.Low, 100*f.Behind.High))
	}
	for _, k := range s.Headline() {
		b := s.BestAt(k)
		if b == nil {
			continue
		}
		for _, x := range b.Standings {
			row := []Field{whole(k), number(Temperature(x.Temperature), x.Temperature), share(x.Value), behind(x.These), behind(x.Like), yes(x.Like == nil || x.Like.InSet)}
			for j := range row {
				row[j].Faint = !b.Reliable
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// Chance is a P in words: never 0, and no more digits than it is known to.
func Chance(p float64) string {
	if p < 0.001 {
		return "<0.001"
	}
	return fmt.Sprintf("%.3f", p)
}

// points is a difference of shares, in percentage points.
func points(v float64) Field { return number(fmt.Sprintf("%+.2f", 100*v), v) }

// Verdicts is the samples by verdict.
func (s *Source) Verdicts() *Table {
	t := &Table{Name: "verdicts", Title: "Verdicts by temperature", Columns: num("temperature", "samples")}
	names := s.present()
	for _, v := range names {
		t.Columns = append(t.Columns, Column{Name: VerdictName(v)}, Column{Name: VerdictName(v) + " %"})
	}
	for i := range s.Analysis.Temperatures {
		x := &s.Analysis.Temperatures[i]
		row := []Field{number(Temperature(x.Temperature), x.Temperature), whole(x.Samples + x.Unscored)}
		for _, v := range names {
			c := class(x, v)
			row = append(row, whole(c.Samples), share(c.Share))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// Diversity is how many programs differ, and what a pass costs.
func (s *Source) Diversity() *Table {
	t := &Table{Name: "diversity", Title: "Distinct programs and tokens by temperature"}
	t.Columns = num("temperature", "samples", "unique programs", "unique %", "unique that passed", "unique that passed, a solved question", "tokens", "tokens per sample", "tokens per passed sample")
	for i := range s.Analysis.Temperatures {
		x := &s.Analysis.Temperatures[i]
		row := []Field{number(Temperature(x.Temperature), x.Temperature), whole(x.Samples), absent, absent, absent, absent, absent, tokens(x), absent}
		if x.UniquePrograms > 0 {
			row[2], row[3], row[4] = whole(x.UniquePrograms), share(x.UniqueShare), whole(x.UniquePassed)
			if x.Solved > 0 {
				v := perSolved(x)
				row[5] = number(fmt.Sprintf("%.1f", v), v)
			}
		}
		if x.Tokens > 0 {
			row[6] = number(Count(x.Tokens), x.Tokens)
		}
		if x.Tokens > 0 && x.PerPass != nil {
			row[8] = number(Count(int64(*x.PerPass+0.5)), *x.PerPass)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// perSolved is how many distinct programs passed for each question that was solved.
func perSolved(x *curve.Temperature) float64 { return float64(x.UniquePassed) / float64(x.Solved) }

// Union is what several temperatures together solve, against one alone.
func (s *Source) Union() *Table {
	t := &Table{Name: "union", Title: "All temperatures together against the best one"}
	t.Columns = append(num("samples in all", "at each temperature", "together %", "best single temperature", "single %", "gain, points", "these questions, low", "these questions, high", "questions like these, low", "questions like these, high", "questions"), text("reliable"))
	if s.Analysis.Union == nil {
		return t
	}
	for _, p := range s.Analysis.Union.Points {
		row := []Field{whole(p.K), whole(p.Each), share(p.Value), absent, absent, absent, absent, absent, absent, absent, whole(p.Questions), yes(p.Reliable)}
		if x := p.Single; x != nil {
			row[3], row[4], row[5] = number(Temperature(x.Temperature), x.Temperature), share(x.Value), points(x.Gain)
			if x.These != nil && x.Interval != nil {
				row[6], row[7] = points(x.These.Low), points(x.These.High)
				row[8], row[9] = points(x.Interval.Low), points(x.Interval.High)
			}
		}
		for j := range row {
			row[j].Faint = !p.Reliable
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// Solved is how many questions each temperature solves, and alone.
func (s *Source) Solved() *Table {
	t := &Table{Name: "solved", Title: "Questions solved by temperature", Columns: num("temperature", "questions", "solved", "solved by no other temperature", "unsolved", "pass rate of those below %")}
	for i, x := range s.Analysis.Temperatures {
		row := []Field{number(Temperature(x.Temperature), x.Temperature), whole(x.Questions), whole(x.Solved), absent, whole(0), absent}
		if u := s.Analysis.Union; u != nil {
			row[3] = whole(u.By[i].Only)
		}
		if x.Unsolved != nil {
			row[4], row[5] = whole(x.Unsolved.Questions), share(x.Unsolved.Below)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// Splits is pass@k by difficulty, platform and contest month.
func (s *Source) Splits() *Table {
	ks := s.Headline()
	t := &Table{Name: "splits", Title: "By difficulty, platform and month", Columns: append([]Column{text("by"), text("group")}, num("questions", "temperature", "solved")...)}
	for _, k := range ks {
		t.Columns = append(t.Columns, Column{Name: fmt.Sprintf("pass@%d %%", k)})
	}
	for _, g := range s.Analysis.Splits {
		for _, x := range g.Temperatures {
			row := []Field{words(g.By), words(named(g.Name)), whole(x.Questions), number(Temperature(x.Temperature), x.Temperature), whole(x.Solved)}
			for _, k := range ks {
				row = append(row, s.passAt(x.Points, k))
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

func named(group string) string {
	if group == "" {
		return "not known"
	}
	return group
}

// Cells is every cell with its exact interval.
func (s *Source) Cells() *Table {
	t := &Table{Name: "cells", Title: "Every question at every temperature", Columns: append(append(num("question"), text("id"), text("title"), text("difficulty"), text("platform"), text("contest"), text("contest date")),
		num("temperature", "n", "passed", "pass rate %", "low %", "high %", "below %")...)}
	for _, r := range s.Rows {
		for i, x := range s.Analysis.Temperatures {
			row := []Field{whole(r.Index), words(r.ID), words(r.Title), words(r.Difficulty), words(r.Platform), words(r.ContestID), words(r.ContestDate), number(Temperature(x.Temperature), x.Temperature), whole(r.N[i]), absent, absent, absent, absent, absent}
			if r.N[i] > 0 {
				row[9], row[10] = whole(r.Passed[i]), share(float64(r.Passed[i])/float64(r.N[i]))
				row[11], row[12], row[13] = share(r.Low[i]), share(r.High[i]), share(r.Below[i])
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// value is pass@k at the best temperature.
func value(b *curve.Best) float64 {
	for _, x := range b.Standings {
		if x.Temperature == b.Temperature {
			return x.Value
		}
	}
	return 0
}

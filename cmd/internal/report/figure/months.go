package figure

import (
	"fmt"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// steady is the number of questions below which an interval over them is too wide to be
// drawn: it would hide what is beside it.
const steady = 10

// dated returns the splits by month that have a date.
func (s *Source) dated() []curve.Split {
	var out []curve.Split
	for _, g := range s.groups("month") {
		if g.Name != "" {
			out = append(out, g)
		}
	}
	return out
}

// shownAt is the temperature of charts that have room for one: the best for pass@1.
func (s *Source) shownAt() float64 {
	if b := s.BestAt(1); b != nil {
		return b.Temperature
	}
	return s.Analysis.Temperatures[0].Temperature
}

// monthOf counts the months up to that of a day, with the share of it that is over.
func monthOf(day string) float64 {
	t, err := time.Parse(time.DateOnly, (day + "-01")[:len(time.DateOnly)])
	if err != nil {
		return 0 // the analysis names only months and days that are some
	}
	return float64(12*t.Year()+int(t.Month())-1) + float64(t.Day()-1)/31
}

// overMonths is pass@k by the month of a question's contest.
func (s *Source) overMonths() Figure {
	months, at := s.dated(), s.shownAt()
	c := chart.Line{Title: s.titled("pass@k by contest month, T = " + Temperature(at)), Desc: "One line for each k; one mark for each month."}
	first, last := monthOf(months[0].Name), monthOf(months[len(months)-1].Name)
	c.X = chart.Axis{Label: "month of the contest", Min: first, Max: last + 1}
	highest := 0.0
	for i, k := range s.Headline() {
		track := chart.Track{Name: fmt.Sprintf("pass@%d", k), Ink: chart.Series(i), Mark: marks[i%len(marks)], Marks: true}
		for _, g := range months {
			for _, x := range g.Temperatures {
				p := At(x.Points, k)
				if x.Temperature != at || p == nil {
					continue
				}
				v := s.value(monthOf(g.Name)+0.5, p)
				v.Narrow = nil
				if g.Questions < steady || k > 1 {
					v.Wide = nil
				}
				v.Tip = fmt.Sprintf("%s (%d questions), T = %s: %s", g.Name, x.Questions, Temperature(at), v.Tip)
				highest = max(highest, p.Value)
				if v.Wide != nil {
					highest = max(highest, v.Wide[1])
				}
				track.Values = append(track.Values, v)
			}
		}
		c.Series = append(c.Series, track)
	}
	for _, g := range months {
		c.X.Ticks = append(c.X.Ticks, chart.Tick{At: monthOf(g.Name) + 0.5, Text: g.Name})
	}
	c.Y = shareAxis("pass@k", highest)
	caption := fmt.Sprintf("Questions by the month of their contest, at the temperature that is best for pass@1. The band is of pass@1 on questions like these, where a month has %d or more.", steady)
	table := s.Months()
	if cut := s.Analysis.Cutoff; cut != nil {
		from := min(max(monthOf(cut.Date), c.X.Min), c.X.Max)
		c.Wary = &chart.Span{From: from, To: c.X.Max, Text: "from " + cut.Date + " on"}
		caption += " " + s.cutoffWords(at)
		table = s.CutoffTable()
	}
	caption += " Months differ in their questions too: a fall is a hint at questions that the model has seen, not a proof."
	return Figure{
		Name: "month", Short: "Months", Full: true, Title: "By contest month", Caption: caption, Table: table,
		Draw: func(w float64) *chart.Drawing { return c.Draw(w, height(w)) },
	}
}

// cutoffWords says what pass@1 is on both sides of the cut-off.
func (s *Source) cutoffWords(at float64) string {
	cut := s.Analysis.Cutoff
	for _, x := range cut.Temperatures {
		if x.Temperature != at || len(x.Points) == 0 {
			continue
		}
		p := &x.Points[0]
		text := fmt.Sprintf("Shaded: from the cut-off, %s, on. pass@%d is %s %% on the %d questions before it and %s %% on the %d after", cut.Date, p.K, Percent(p.Before.Value), p.Before.Questions, Percent(p.After.Value), p.After.Questions)
		if p.Interval != nil {
			text += fmt.Sprintf(": %+.1f points (%s interval %+.1f to %+.1f)", 100*p.Difference, s.level(), 100*p.Interval.Low, 100*p.Interval.High)
		}
		return text + "."
	}
	return ""
}

// Months is pass@k by contest month with its interval over questions.
func (s *Source) Months() *Table {
	t := &Table{Name: "months", Title: "By contest month", Columns: append([]Column{text("month")}, num("questions", "temperature", "k", "pass@k %", "low %", "high %")...)}
	for _, g := range s.groups("month") {
		for _, x := range g.Temperatures {
			for _, k := range s.Headline() {
				p := At(x.Points, k)
				if p == nil {
					continue
				}
				row := []Field{words(named(g.Name)), whole(p.Questions), number(Temperature(x.Temperature), x.Temperature), whole(k), share(p.Value), absent, absent}
				if p.Population != nil {
					row[5], row[6] = share(p.Population.Low), share(p.Population.High)
				}
				for j := range row {
					row[j].Faint = !p.Reliable
				}
				t.Rows = append(t.Rows, row)
			}
		}
	}
	return t
}

// CutoffTable is pass@k before and after the cut-off.
func (s *Source) CutoffTable() *Table {
	t := &Table{Name: "cutoff", Title: "Before and after the cut-off", Columns: num("temperature", "k", "questions before", "before %", "questions after", "after %", "difference, points", "low, points", "high, points")}
	cut := s.Analysis.Cutoff
	if cut == nil {
		return t
	}
	for _, x := range cut.Temperatures {
		for i := range x.Points {
			p := &x.Points[i]
			row := []Field{number(Temperature(x.Temperature), x.Temperature), whole(p.K), whole(p.Before.Questions), share(p.Before.Value), whole(p.After.Questions), share(p.After.Value), points(p.Difference), absent, absent}
			if p.Interval != nil {
				row[7], row[8] = points(p.Interval.Low), points(p.Interval.High)
			}
			for j := range row {
				row[j].Faint = !p.Before.Reliable || !p.After.Reliable
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

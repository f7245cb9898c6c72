package figure

import (
	"fmt"
	"slices"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// Step returns the step of the heat map for c of n, and HeatSteps names them.
func Step(n, c int) int {
	switch r := float64(c) / float64(max(1, n)); {
	case n == 0:
		return -1
	case c == 0:
		return 0
	case c == n:
		return 7
	case r < 0.001:
		return 1
	case r < 0.01:
		return 2
	case r < 0.1:
		return 3
	case r < 0.5:
		return 4
	case r < 0.9:
		return 5
	default:
		return 6
	}
}

// HeatSteps says what each step means.
var HeatSteps = []string{"none", "<0.1 %", "<1 %", "<10 %", "<50 %", "<90 %", "<100 %", "all"}

// CellTip says what is known of c passed among n.
func CellTip(n, c int, below float64) string {
	switch {
	case n == 0:
		return "no samples"
	case c == 0:
		return fmt.Sprintf("0 of %s passed: the pass rate is below %s %%", Count(n), Percent(below))
	default:
		return fmt.Sprintf("%s of %s passed: %s %%", Count(c), Count(n), Percent(float64(c)/float64(n)))
	}
}

func (s *Source) heat() Figure {
	c := chart.Matrix{Title: s.titled("Pass rate by question and temperature"), Desc: "Rows are questions, hardest last.", XLabel: "temperature", Columns: s.columns(), Steps: HeatSteps}
	for _, r := range s.Ordered() {
		strip := chart.Strip{Name: r.Title}
		for i := range r.N {
			strip.Fields = append(strip.Fields, Step(r.N[i], r.Passed[i]))
			strip.Tips = append(strip.Tips, r.Title+", T = "+c.Columns[i]+": "+CellTip(r.N[i], r.Passed[i], r.Below[i]))
		}
		c.Rows = append(c.Rows, strip)
	}
	return Figure{
		Name: "heat", Short: "Questions", Full: true, Title: "Question by temperature", Table: s.Cells(),
		Caption: "Pass rate in percent of each cell, easiest question first. Where none passed the field is the bound that the rate is below (95 %, one-sided).",
		Draw:    c.Draw,
	}
}

// Ordered returns the rows from the easiest question to the hardest.
func (s *Source) Ordered() []curve.Row {
	rows := slices.Clone(s.Rows)
	ease := func(r *curve.Row) float64 {
		sum, cells := 0.0, 0
		for i, n := range r.N {
			if n > 0 {
				sum += float64(r.Passed[i]) / float64(n)
				cells++
			}
		}
		return sum / float64(max(1, cells))
	}
	slices.SortStableFunc(rows, func(a, b curve.Row) int {
		switch x, y := ease(&a), ease(&b); {
		case x > y:
			return -1
		case x < y:
			return 1
		default:
			return 0
		}
	})
	return rows
}

// place returns a verdict's place among all of them, which is its colour's.
func place(verdict string) int {
	return slices.IndexFunc(stream.Verdicts(), func(v stream.Verdict) bool { return v.String() == verdict })
}

func (s *Source) verdicts() Figure {
	c := chart.Bars{Title: s.titled("Verdicts by temperature"), Desc: "Each bar is all samples at one temperature.", XLabel: "temperature", YLabel: "share of samples", Categories: s.columns()}
	for _, v := range s.present() {
		p := chart.Part{Name: VerdictName(v), Ink: chart.Class(place(v))}
		for i := range s.Analysis.Temperatures {
			x := class(&s.Analysis.Temperatures[i], v)
			p.Shares = append(p.Shares, x.Share)
			p.Tips = append(p.Tips, fmt.Sprintf("T = %s: %s %s, %s %%", c.Categories[i], Count(x.Samples), VerdictName(v), Percent(x.Share)))
		}
		c.Parts = append(c.Parts, p)
	}
	return Figure{
		Name: "verdicts", Short: "Verdicts", Title: "What happens to the samples", Table: s.Verdicts(),
		Caption: "From the bottom up in the order of the legend. Judge faults are ours, not the model's: they are in no rate.",
		Draw:    func(w float64) *chart.Drawing { return c.Draw(w, height(w)) },
	}
}

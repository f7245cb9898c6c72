package figure

import (
	"fmt"
	"slices"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// All returns the figures that the data have something to show in, in the order
// of the report.
func (s *Source) All() []Figure {
	several := len(s.Analysis.Temperatures) > 1
	scored := slices.ContainsFunc(s.Analysis.Temperatures, func(t curve.Temperature) bool { return t.Samples > 0 })
	var out []Figure
	add := func(ok bool, f func() Figure) {
		if ok && scored {
			out = append(out, f())
		}
	}
	add(several, s.overTemperature)
	add(slices.ContainsFunc(s.Analysis.Best, func(b curve.Best) bool { return b.Choice != nil }), s.behind)
	add(several, s.bands)
	add(true, s.overK)
	add(len(s.Analysis.Best) > 0, s.best)
	add(s.Analysis.Beyond != nil, s.beyond)
	add(s.Analysis.Union != nil && len(s.Analysis.Union.Points) > 0, s.union)
	add(true, s.heat)
	add(true, s.verdicts)
	add(several && s.counted(), s.diversity)
	add(slices.ContainsFunc(s.Analysis.Temperatures, func(t curve.Temperature) bool { return len(t.Costs) > 1 }), s.cost)
	for _, by := range []string{"difficulty", "platform"} {
		groups := s.groups(by)
		add(len(groups) > 1, func() Figure { return s.split(by, groups) })
	}
	add(len(s.dated()) > 1, s.overMonths)
	add(several && !s.Simulated && slices.ContainsFunc(s.Speeds, func(v float64) bool { return v > 0 }), s.speed)
	add(len(s.steps()) > 0, s.pace)
	return out
}

func (s *Source) counted() bool {
	return slices.ContainsFunc(s.Analysis.Temperatures, func(t curve.Temperature) bool { return t.UniquePrograms > 0 })
}

// height keeps a chart's form on a desktop and gives it room on a phone.
func height(width float64) float64 { return max(250, min(400, width*0.52)) }

// temperatureAxis spans the sweep, with a number at each of its temperatures.
func (s *Source) temperatureAxis() chart.Axis {
	all := s.Analysis.Temperatures
	a := chart.Axis{Label: "temperature", Min: all[0].Temperature, Max: all[len(all)-1].Temperature}
	for _, t := range all {
		a.Ticks = append(a.Ticks, chart.Tick{At: t.Temperature, Text: Temperature(t.Temperature)})
	}
	return a
}

// shareAxis is a percent axis from 0 that holds the highest value.
func shareAxis(label string, highest float64) chart.Axis {
	a := chart.Axis{Label: label, Percent: true}
	a.Min, a.Max = chart.FromZero(highest, 1)
	return a
}

func ends(low, high float64) *[2]float64 { return &[2]float64{low, high} }

func (s *Source) value(x float64, p *curve.Point) chart.Value {
	v := chart.Value{X: x, Y: p.Value, Narrow: ends(p.Sampling.Low, p.Sampling.High), Faint: !p.Reliable, Tip: sampled(p, s.level())}
	if p.Population != nil {
		v.Wide = ends(p.Population.Low, p.Population.High)
	}
	return v
}

var marks = []chart.Mark{chart.Circle, chart.Square, chart.Diamond, chart.Triangle, chart.Cross}

// tracks returns pass@k over temperature, a line for each k of the headline, and
// the highest value that they or their bands reach.
func (s *Source) tracks() (out []chart.Track, highest float64) {
	for i, k := range s.Headline() {
		t := chart.Track{Name: fmt.Sprintf("pass@%d", k), Ink: chart.Series(i), Mark: marks[i%len(marks)], Marks: true, Faint: true}
		for _, x := range s.Analysis.Temperatures {
			p := At(x.Points, k)
			if p == nil {
				continue
			}
			v := s.value(x.Temperature, p)
			v.Tip = "T = " + Temperature(x.Temperature) + ": " + v.Tip
			t.Values = append(t.Values, v)
			t.Faint = t.Faint && !p.Reliable
			highest = max(highest, v.Narrow[1])
			if v.Wide != nil {
				highest = max(highest, v.Wide[1])
			}
		}
		out = append(out, t)
	}
	return out, highest
}

func (s *Source) overTemperature() Figure {
	c := chart.Line{X: s.temperatureAxis(), Title: s.titled("pass@k over temperature"), Desc: "One line for each k. The table below holds the same values with their intervals."}
	highest := 0.0
	c.Series, _ = s.tracks()
	for i := range c.Series {
		for j := range c.Series[i].Values {
			v := &c.Series[i].Values[j]
			v.Wide = nil // over each other the wide bands would hide all; they are in bands
			highest = max(highest, v.Y, v.Narrow[1])
		}
	}
	c.Y = shareAxis("pass@k", highest)
	return Figure{
		Name: "temperature", Short: "Over T", Full: true, Title: "Pass@k over temperature", Table: s.Curves(),
		Caption: fmt.Sprintf("Bands are the %s sampling intervals: these very questions, sampled anew; with many samples they vanish in the line. Grey and dashed: little known, by more than 2 points either way or from fewer than 2k samples.", s.level()),
		Draw:    func(w float64) *chart.Drawing { return c.Draw(w, height(w)) },
	}
}

func (s *Source) bands() Figure {
	c := chart.Panels{Title: s.titled("pass@k with both uncertainties"), Desc: "One panel for each k.", Narrowest: 160, Height: 230}
	all, highest := s.tracks()
	for _, t := range all {
		panel := chart.Line{X: s.temperatureAxis(), Y: shareAxis(t.Name, highest), Series: []chart.Track{t}}
		panel.Series[0].Name, panel.Series[0].Small = "", true
		c.Charts = append(c.Charts, panel)
	}
	return Figure{
		Name: "bands", Short: "Uncertainty", Full: true, Title: "Both uncertainties", Table: s.Curves(),
		Caption: fmt.Sprintf("Two %s intervals that must not be mixed. Dark: sampling, these very questions sampled anew. Light: the questions, what others like these would give; it holds the sampling noise already. "+
			"Temperatures share their questions, so their order is better known than the light bands show: see what a temperature costs.%s", s.level(), s.halves()),
		Draw: c.Draw,
	}
}

func (s *Source) best() Figure {
	c := chart.Dots{Title: s.titled("The best temperature by k"), Desc: "For each k the temperatures that may be the best.", XLabel: "temperature", YLabel: "k", Columns: s.columns()}
	for _, b := range s.Analysis.Best {
		set := b.Like
		if set == nil {
			set = []float64{b.Temperature}
		}
		row := chart.Row{Name: Count(b.K), Best: -1, Faint: !b.Reliable, In: make([]bool, len(c.Columns)), Tips: make([]string, len(c.Columns))}
		for i, t := range s.Analysis.Temperatures {
			row.In[i] = slices.Contains(set, t.Temperature)
			if t.Temperature == b.Temperature {
				row.Best = i
			}
			for _, x := range b.Standings {
				if x.Temperature == t.Temperature {
					row.Tips[i] = fmt.Sprintf("k = %d, T = %s: %s %%, %+.2f points against the best", b.K, c.Columns[i], Percent(x.Value), 100*x.Difference)
				}
			}
		}
		c.Rows = append(c.Rows, row)
	}
	return Figure{
		Name: "best", Short: "T*(k)", Title: "The best temperature, T*(k)", Table: s.BestSets(),
		Caption: fmt.Sprintf("Solid: the highest pass@k. Rings and solid: the set that holds the best temperature for questions like these with %s. A temperature outside it may be as good as the best, but is not the only best one. A wide row means that the choice hardly matters, or that the questions are too few to say. Grey: little known.", s.level()),
		Draw:    c.Draw,
	}
}

func (s *Source) speed() Figure {
	c := chart.Line{X: s.temperatureAxis(), Title: s.titled("Generation speed"), Desc: "Completion tokens per second and GPU."}
	t := chart.Track{Ink: chart.Series(0), Marks: true}
	table := &Table{Name: "speed", Title: "Generation speed by temperature", Columns: num("temperature", "tokens per second and GPU")}
	highest := 0.0
	for i, x := range s.Analysis.Temperatures {
		if v := s.Speeds[i]; v > 0 {
			highest = max(highest, v)
			t.Values = append(t.Values, chart.Value{X: x.Temperature, Y: v, Tip: fmt.Sprintf("T = %s: %s tokens/s", Temperature(x.Temperature), Count(int(v)))})
			table.Rows = append(table.Rows, []Field{number(Temperature(x.Temperature), x.Temperature), number(Count(int(v)), v)})
		}
	}
	c.Series = []chart.Track{t}
	c.Y = chart.Axis{Label: "tokens per second and GPU"}
	c.Y.Min, c.Y.Max = chart.FromZero(highest, 0)
	return Figure{
		Name: "speed", Short: "Speed", Title: "Generation speed", Caption: "Mean over questions while their cells were being generated.", Table: table,
		Draw: func(w float64) *chart.Drawing { return c.Draw(w, height(w)) },
	}
}

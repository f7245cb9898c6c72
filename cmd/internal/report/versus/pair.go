package versus

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// figures returns the charts that the results have something to show in.
func (v *View) figures() []figure.Figure {
	var out []figure.Figure
	switch {
	case v.League != nil:
		for i := range v.League.Tables {
			if t := &v.League.Tables[i]; t.Questions > 0 {
				out = append(out, v.places(t), v.matrix(t)) // side by side on a wide page
			}
		}
	case len(v.ks()) > 0:
		out = append(out, v.difference(), v.both())
		if len(v.Pair.Questions) > 0 {
			out = append(out, v.scatter())
		}
	}
	return out
}

// ks returns the k at which something was compared.
func (v *View) ks() []int {
	var out []int
	for _, t := range v.Pair.Temperatures {
		for _, p := range t.Points {
			if !slices.Contains(out, p.K) {
				out = append(out, p.K)
			}
		}
	}
	slices.Sort(out)
	if len(out) > 5 { // 5 is near 1 and 10
		out = slices.DeleteFunc(out, func(k int) bool { return k == 5 })
	}
	return out
}

func at(points []curve.Contrast, k int) *curve.Contrast {
	for i := range points {
		if points[i].K == k {
			return &points[i]
		}
	}
	return nil
}

// axis spans what two results are compared over: their temperatures, or k if they have one.
func (v *View) axis() chart.Axis {
	all := v.Pair.Temperatures
	if len(all) == 1 {
		ks := v.ks()
		return chart.Axis{Label: "k, samples of a question", Log: true, Min: 1, Max: float64(max(2, ks[len(ks)-1]))}
	}
	a := chart.Axis{Label: "temperature", Min: all[0].Temperature, Max: all[len(all)-1].Temperature}
	for _, t := range all {
		a.Ticks = append(a.Ticks, chart.Tick{At: t.Temperature, Text: figure.Temperature(t.Temperature)})
	}
	return a
}

// A spot is one contrast with its place on the axis.
type spot struct {
	x float64
	t float64
	p *curve.Contrast
}

// lines returns the contrasts that a chart joins: over temperatures for each k, or over k for
// the only temperature.
func (v *View) lines() (names []string, out [][]spot) {
	if len(v.Pair.Temperatures) == 1 {
		t := &v.Pair.Temperatures[0]
		var line []spot
		for i := range t.Points {
			line = append(line, spot{float64(t.Points[i].K), t.Temperature, &t.Points[i]})
		}
		return []string{"pass@k"}, [][]spot{line}
	}
	for _, k := range v.ks() {
		var line []spot
		for i := range v.Pair.Temperatures {
			t := &v.Pair.Temperatures[i]
			if p := at(t.Points, k); p != nil {
				line = append(line, spot{t.Temperature, t.Temperature, p})
			}
		}
		names, out = append(names, fmt.Sprintf("pass@%d", k)), append(out, line)
	}
	return names, out
}

// wide is the interval for all temperatures at once, or that of the only one.
func wide(d *curve.Deviation) *score.Interval {
	switch {
	case d == nil:
		return nil
	case d.Together != nil:
		return d.Together
	default:
		return &d.Interval
	}
}

func ends(i *score.Interval) *[2]float64 {
	if i == nil {
		return nil
	}
	return &[2]float64{100 * i.Low, 100 * i.High}
}

// difference is B less A by temperature.
func (v *View) difference() figure.Figure {
	c := chart.Panels{Title: v.titled("B - A, in points"), Desc: "One panel for each k. Above 0 B passes more.", Narrowest: 200, Height: 230}
	names, lines := v.lines()
	for i, line := range lines {
		track := chart.Track{Ink: chart.Series(i), Marks: true, Small: true}
		lowest, highest := 0.0, 0.0
		for _, s := range line {
			x := chart.Value{X: s.x, Y: 100 * s.p.Difference, Faint: !s.p.Reliable}
			x.Tip = fmt.Sprintf("T = %s, pass@%d: A %s %%, B %s %%, %+.2f points", figure.Temperature(s.t), s.p.K, figure.Percent(s.p.A), figure.Percent(s.p.B), x.Y)
			x.Narrow, x.Wide = ends(wide(s.p.These)), ends(wide(s.p.Like))
			for j, b := range []*[2]float64{x.Narrow, x.Wide} {
				if b != nil {
					lowest, highest = min(lowest, b[0]), max(highest, b[1])
					x.Tip += fmt.Sprintf("\n%s: %+.2f to %+.2f", []string{"these questions", "questions like these"}[j], b[0], b[1])
				}
			}
			lowest, highest = min(lowest, x.Y), max(highest, x.Y)
			track.Values = append(track.Values, x)
		}
		track.Faint = !slices.ContainsFunc(track.Values, func(x chart.Value) bool { return !x.Faint })
		y := chart.Axis{Label: names[i] + ", points"}
		y.Min, y.Max = chart.Around(lowest, highest)
		c.Charts = append(c.Charts, chart.Line{X: v.axis(), Y: y, Series: []chart.Track{track}, Zero: true})
	}
	all := ""
	if len(v.Pair.Temperatures) > 1 {
		all = " for all temperatures of a panel at once"
	}
	return figure.Figure{
		Name: "difference", Short: "Difference", Full: true, Title: "B - A by temperature", Table: v.contrasts(),
		Caption: fmt.Sprintf("Points by which B passes more often than A, paired by question; below 0 it passes less often. Bands are %s intervals%s: dark on these questions, light on questions like these. A band that does not hold 0 is a difference that chance does not explain. Each panel has its own scale. Dashed and hollow: little known.", v.level(), all),
		Draw:    c.Draw,
	}
}

// both is pass@k of the two.
func (v *View) both() figure.Figure {
	c := chart.Panels{Title: v.titled("pass@k of both"), Desc: "One panel for each k, one line for each result.", Narrowest: 200, Height: 230}
	names, lines := v.lines()
	for i, line := range lines {
		a := chart.Track{Name: "A", Ink: chart.Series(1), Mark: chart.Square, Marks: true, Small: true}
		b := chart.Track{Name: "B", Ink: chart.Series(0), Mark: chart.Circle, Marks: true, Small: true}
		highest := 0.0
		for _, s := range line {
			tip := fmt.Sprintf("T = %s, pass@%d of %s", figure.Temperature(s.t), s.p.K, figure.Several(s.p.Questions, "question"))
			a.Values = append(a.Values, chart.Value{X: s.x, Y: s.p.A, Faint: !s.p.Reliable, Tip: tip + ": A " + figure.Percent(s.p.A) + " %"})
			b.Values = append(b.Values, chart.Value{X: s.x, Y: s.p.B, Faint: !s.p.Reliable, Tip: tip + ": B " + figure.Percent(s.p.B) + " %"})
			highest = max(highest, s.p.A, s.p.B)
		}
		y := chart.Axis{Label: names[i], Percent: true}
		y.Min, y.Max = chart.FromZero(highest, 1)
		c.Charts = append(c.Charts, chart.Line{X: v.axis(), Y: y, Series: []chart.Track{a, b}})
	}
	return figure.Figure{
		Name: "both", Short: "Both", Full: true, Title: "Pass@k of both", Table: v.contrasts(),
		Caption: "A is " + v.Sides[0].Name + ", B is " + v.Sides[1].Name + ", over the questions that both have. How sure their difference is stands in the chart above: what the two share does not blur it.",
		Draw:    c.Draw,
	}
}

// sure reports whether a question changed by more than chance, the list of such questions
// held to a false discovery rate.
func (v *View) sure(q *curve.Changed) bool { return q.Q <= 1-v.Pair.Level }

// mostNamed is how many questions the tip of one spot names.
const mostNamed = 6

// scatter is every question by how often A and B pass it.
func (v *View) scatter() figure.Figure {
	share := chart.Axis{Percent: true, Min: 0, Max: 1}
	c := chart.Scatter{Title: v.titled("Every question, A against B"), Desc: "Above the diagonal B passes more often.", X: share, Y: share}
	c.X.Label, c.Y.Label = "A, mean pass rate", "B, mean pass rate"
	type place struct{ x, y float64 }
	spots := make(map[place][]*curve.Changed)
	var order []place
	for i := range v.Pair.Questions {
		q := &v.Pair.Questions[i]
		p := place{math.Round(q.A*500) / 500, math.Round(q.B*500) / 500}
		if spots[p] == nil {
			order = append(order, p)
		}
		spots[p] = append(spots[p], q)
	}
	better, worse := 0, 0
	for _, sureOnes := range []bool{false, true} { // what changed surely lies on top
		for _, p := range order {
			var here []*curve.Changed
			for _, q := range spots[p] {
				if v.sure(q) == sureOnes {
					here = append(here, q)
				}
			}
			if len(here) == 0 {
				continue
			}
			s := chart.Spot{X: p.x, Y: p.y, Ink: chart.Muted, Faint: !sureOnes, Size: min(9, 3+math.Log2(float64(len(here)))), Tip: tipOf(here)}
			if sureOnes {
				s.Ink, s.Mark = chart.Series(0), chart.Triangle
				if p.y < p.x {
					s.Ink, s.Mark = chart.Series(1), chart.Square
				}
			}
			c.Spots = append(c.Spots, s)
		}
	}
	for i := range v.Pair.Questions {
		if q := &v.Pair.Questions[i]; v.sure(q) && q.Difference > 0 {
			better++
		} else if v.sure(q) {
			worse++
		}
	}
	return figure.Figure{
		Name: "questions", Short: "Questions", Title: "Every question", Table: v.changed(0),
		Caption: fmt.Sprintf("Mean pass rate over the temperatures of both; larger marks are several questions. Above the diagonal B passes more often. Blue triangles and orange squares: questions that surely changed, %d for the better and %d for the worse, with at most 5 %% of them false on average.", better, worse),
		Draw:    c.Draw,
	}
}

func tipOf(here []*curve.Changed) string {
	var b strings.Builder
	if len(here) > 1 {
		fmt.Fprintf(&b, "%d questions\n", len(here))
	}
	for i, q := range here {
		if i == mostNamed {
			fmt.Fprintf(&b, "and %d more", len(here)-i)
			break
		}
		fmt.Fprintf(&b, "%s: A %d of %d, B %d of %d\n", title(q), q.PassedA, q.SamplesA, q.PassedB, q.SamplesB)
	}
	return strings.TrimSpace(b.String())
}

func title(q *curve.Changed) string {
	if q.Title == "" {
		return q.ID
	}
	return q.Title
}

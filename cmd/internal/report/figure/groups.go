package figure

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
	"github.com/lcbq/lcbq/worker/score/curve"
)

func (s *Source) groups(by string) []curve.Split {
	var out []curve.Split
	for _, g := range s.Analysis.Splits {
		if g.By == by {
			out = append(out, g)
		}
	}
	rank := func(name string) int { return slices.Index([]string{"easy", "medium", "hard"}, name) }
	slices.SortStableFunc(out, func(a, b curve.Split) int { return rank(a.Name) - rank(b.Name) })
	return out
}

// split is pass@k over temperature in a panel for each group.
func (s *Source) split(by string, groups []curve.Split) Figure {
	if len(s.Analysis.Temperatures) == 1 {
		return s.splitOverK(by, groups)
	}
	c := chart.Panels{Title: s.titled("pass@k by " + by), Desc: "One panel for each " + by + ", one line for each k.", Narrowest: 240, Height: 250}
	highest := 0.0
	panels := make([][]chart.Track, len(groups))
	for i, g := range groups {
		for j, k := range s.splitKs() {
			t := chart.Track{Name: fmt.Sprintf("k = %d", k), Ink: chart.Series(j), Mark: marks[j%len(marks)], Marks: true, Small: true}
			for _, x := range g.Temperatures {
				p := At(x.Points, k)
				if p == nil {
					continue
				}
				v := s.value(x.Temperature, p)
				v.Narrow = nil
				if g.Questions < steady || k > 1 { // bands of several k would hide each other
					v.Wide = nil
				}
				v.Tip = fmt.Sprintf("%s (%s), T = %s: %s", named(g.Name), Several(x.Questions, "question"), Temperature(x.Temperature), v.Tip)
				highest = max(highest, p.Value)
				if v.Wide != nil {
					highest = max(highest, v.Wide[1])
				}
				t.Values = append(t.Values, v)
			}
			panels[i] = append(panels[i], t)
		}
	}
	for i, g := range groups {
		c.Charts = append(c.Charts, chart.Line{X: s.temperatureAxis(), Y: shareAxis(fmt.Sprintf("%s, %s", named(g.Name), Several(g.Questions, "question")), highest), Series: panels[i]})
	}
	f := s.splitFigure(by, groups, chart.Line{})
	f.Full, f.Draw = true, c.Draw
	f.Caption = fmt.Sprintf("A panel for each %s, all on the same scale, a line for each k. Bands: pass@1 on questions like these (%s), for groups of %d questions or more; fewer say too little of others. Dashed: little known.", by, s.level(), steady)
	return f
}

// splitKs are the k for which groups are shown: the first, and the last two that are far from it.
func (s *Source) splitKs() []int {
	ks := s.Headline()
	if len(ks) > 3 {
		ks = append(slices.Clone(ks[:1]), ks[len(ks)-2:]...)
	}
	return ks
}

// splitOverK is split for a sweep of one temperature.
func (s *Source) splitOverK(by string, groups []curve.Split) Figure {
	c := chart.Line{Title: s.titled("pass@k by " + by), Desc: "One line for each " + by + "."}
	highest, most := 0.0, 2
	for i, g := range groups {
		t := chart.Track{Name: named(g.Name), Ink: chart.Series(i), Mark: marks[i%len(marks)], Marks: true}
		for _, x := range g.Temperatures {
			for j := range x.Points {
				p := &x.Points[j]
				v := s.value(float64(p.K), p)
				v.Narrow = nil
				if g.Questions < steady {
					v.Wide = nil
				}
				highest, most = max(highest, p.Value), max(most, p.K)
				if v.Wide != nil {
					highest = max(highest, v.Wide[1])
				}
				t.Values = append(t.Values, v)
			}
		}
		c.Series = append(c.Series, t)
	}
	c.X = chart.Axis{Label: "k, samples of a question", Log: true, Min: 1, Max: float64(most)}
	c.Y = shareAxis("pass@k", highest)
	return s.splitFigure(by, groups, c)
}

func (s *Source) splitFigure(by string, groups []curve.Split, c chart.Line) Figure {
	sizes := make([]string, len(groups))
	for i, g := range groups {
		sizes[i] = fmt.Sprintf("%s: %d", named(g.Name), g.Questions)
	}
	caption := fmt.Sprintf("Bands: questions like these, for groups of %d or more. Questions: ", steady) + strings.Join(sizes, ", ") + "."
	return Figure{
		Name: by, Short: strings.ToUpper(by[:1]) + by[1:], Title: "By " + by, Caption: caption, Table: s.Splits(),
		Draw: func(w float64) *chart.Drawing { return c.Draw(w, height(w)) },
	}
}

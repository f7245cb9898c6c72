package figure

import (
	"fmt"
	"math"
	"slices"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
)

// crowd is the number of temperatures above which their curves over k lie on each other.
const crowd = 4

func (s *Source) overK() Figure {
	if len(s.Analysis.Temperatures) > crowd {
		return s.eachOverK()
	}
	return s.allOverK()
}

// eachOverK is pass@k over k in a panel for each temperature, before what all of them span.
func (s *Source) eachOverK() Figure {
	c := chart.Panels{Title: s.titled("pass@k over k"), Desc: "One panel for each temperature, k on a logarithmic scale.", Narrowest: 160, Height: 190}
	all := s.Analysis.Temperatures
	most, highest := 2, 0.0
	span := chart.Track{Ink: chart.Muted} // from the lowest temperature to the highest at each k
	type ends struct{ low, high float64 }
	at := make(map[int]ends)
	var ks []int
	for i := range all {
		for j := range all[i].Points {
			p := &all[i].Points[j]
			most, highest = max(most, p.K), max(highest, p.Value, p.Sampling.High)
			e, ok := at[p.K]
			if !ok {
				e = ends{p.Value, p.Value}
				ks = append(ks, p.K)
			}
			at[p.K] = ends{min(e.low, p.Value), max(e.high, p.Value)}
		}
	}
	slices.Sort(ks)
	for _, k := range ks {
		span.Values = append(span.Values, chart.Value{X: float64(k), Y: at[k].high, Wide: &[2]float64{at[k].low, at[k].high}})
	}
	span.Tip = "the highest at each k"
	x := chart.Axis{Label: "k", Log: true, Min: 1, Max: float64(most)}
	for i := range all {
		t := &all[i]
		name := "T = " + Temperature(t.Temperature)
		track := chart.Track{Ink: chart.Ramp(float64(i) / float64(len(all)-1)), Thick: true, Tip: name}
		for j := range t.Points {
			v := s.value(float64(t.Points[j].K), &t.Points[j])
			v.Wide = nil
			track.Values = append(track.Values, v)
		}
		c.Charts = append(c.Charts, chart.Line{X: x, Y: shareAxis(name, highest), Series: []chart.Track{span, track}})
	}
	return Figure{
		Name: "k", Short: "Over k", Full: true, Title: "Pass@k over k", Table: s.Curves(),
		Caption: fmt.Sprintf("How much more samples help, a panel for each temperature, all on the same scale. Coloured: this temperature, with its %s band on these questions; dashed where it is little known. Grey: from the lowest to the highest of all temperatures at each k; where the line lies on its upper edge, no other is higher.", s.level()),
		Draw:    c.Draw,
	}
}

// allOverK is pass@k over k with all temperatures in one chart.
func (s *Source) allOverK() Figure {
	all := s.Analysis.Temperatures
	c := chart.Line{Title: s.titled("pass@k over k"), Desc: "One line for each temperature, from few samples to many, k on a logarithmic scale."}
	most, least, highest := 1, math.MaxInt, 0.0
	for i := range all {
		t := &all[i]
		if len(t.Points) == 0 {
			continue
		}
		most, least = max(most, t.Points[len(t.Points)-1].K), min(least, t.NMin)
		shareOf := 0.0
		if len(all) > 1 {
			shareOf = float64(i) / float64(len(all)-1)
		}
		track := chart.Track{Ink: chart.Ramp(shareOf), Tip: "T = " + Temperature(t.Temperature)}
		if named := s.namedCurve(i); named {
			track.Name, track.Thick = "T "+Temperature(t.Temperature), true
		}
		for j := range t.Points {
			p := &t.Points[j]
			v := s.value(float64(p.K), p)
			if len(all) > 1 { // sixteen bands would hide each other
				v.Wide, v.Narrow = nil, nil
			} else {
				highest = max(highest, p.Sampling.High)
				if v.Wide != nil {
					highest = max(highest, v.Wide[1])
				}
			}
			highest = max(highest, p.Value)
			track.Values = append(track.Values, v)
		}
		if len(all) == 1 {
			track.Marks, track.Ink = true, chart.Series(0)
		}
		c.Series = append(c.Series, track)
	}
	c.X = chart.Axis{Label: "k, samples of a question", Log: true, Min: 1, Max: float64(max(2, most))}
	c.Y = shareAxis("pass@k", highest)
	if from := float64(max(1, least/2)); least < math.MaxInt && from < float64(most) {
		c.Wary = &chart.Span{From: from, To: float64(most), Text: "k above n/2"}
	}
	caption := "How much more samples help. Lines are coloured from the lowest temperature (blue) to the highest (amber); the lowest, the highest and those that lead at some k are named. In the shaded part k is above half of n, and the estimate leans on questions that are alike."
	if len(all) == 1 {
		caption = fmt.Sprintf("Dark band: these questions, sampled anew (%s). Light band: other questions like these. In the shaded part k is above half of n, and the estimate leans on questions that are alike.", s.level())
	}
	return Figure{
		Name: "k", Short: "Over k", Full: true, Title: "Pass@k over k", Caption: caption, Table: s.Curves(),
		Draw: func(w float64) *chart.Drawing { return c.Draw(w, height(w)) },
	}
}

// namedCurve reports whether the i-th temperature is one to name among many.
func (s *Source) namedCurve(i int) bool {
	all := s.Analysis.Temperatures
	if len(all) <= 4 || i == 0 || i == len(all)-1 {
		return true
	}
	ks := s.Headline()
	for _, k := range []int{ks[0], ks[len(ks)-1]} {
		if b := s.BestAt(k); b != nil && b.Temperature == all[i].Temperature {
			return true
		}
	}
	return false
}

package figure

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// Mixing is what one budget buys at one temperature, at two and by a mix.
func (s *Source) Mixing() *Table {
	t := &Table{Name: "mixing", Title: "One temperature, two, or a mix, for the same budget"}
	t.Columns = append([]Column{text("budget of a question")}, num("samples it buys on average", "amount")...)
	t.Columns = append(t.Columns, text("one temperature"), Column{Name: "one %"}, text("two"))
	t.Columns = append(t.Columns, num("two, gain, points", "two, low", "two, high")...)
	t.Columns = append(t.Columns, text("mix"))
	t.Columns = append(t.Columns, num("mix, gain, points", "mix, low", "mix, high")...)
	for _, m := range s.Analysis.Mixing {
		row := []Field{{Text: BudgetName(m.Budget), Raw: m.Budget}, whole(m.K), number(fmt.Sprintf("%.4g", m.Amount), m.Amount), words(Parts(m.Single.Parts)), share(m.Single.Value)}
		for _, x := range []curve.Mix{m.Pair, m.Greedy} {
			row = append(row, words(Parts(x.Parts)), points(x.Gain))
			if x.Like != nil {
				row = append(row, points(x.Like.Low), points(x.Like.High))
			} else {
				row = append(row, absent, absent)
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// BudgetName writes a budget for people.
func BudgetName(b string) string { return strings.ReplaceAll(b, "_", " ") }

// Parts writes a mix: samples at each temperature.
func Parts(parts []curve.MixPart) string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = fmt.Sprintf("%d at %s", p.Samples, Temperature(p.Temperature))
	}
	return strings.Join(out, ", ")
}

// Truncation is what samples that were cut off leave open.
func (s *Source) Truncation() *Table {
	t := &Table{Name: "truncation", Title: "What samples that were cut off leave open", Columns: num("temperature", "k", "pass@k %, all of them failed", "as the others of their question", "all of them passed")}
	for i := range s.Analysis.Temperatures {
		x := &s.Analysis.Temperatures[i]
		for _, b := range x.Truncation {
			row := []Field{number(Temperature(x.Temperature), x.Temperature), whole(b.K), share(b.Failed), absent, share(b.Passed)}
			if b.Others != nil {
				row[3] = share(*b.Others)
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// Costs is what a solved question costs by temperature and k.
func (s *Source) Costs() *Table {
	t := &Table{Name: "cost", Title: "What a solved question costs", Columns: num("temperature", "k", "tokens", "card seconds")}
	for i := range s.Analysis.Temperatures {
		x := &s.Analysis.Temperatures[i]
		for _, c := range x.Costs {
			row := []Field{number(Temperature(x.Temperature), x.Temperature), whole(c.K), number(Count(int64(c.Tokens+0.5)), c.Tokens), absent}
			if c.CardSeconds != nil && !s.Simulated {
				row[3] = number(fmt.Sprintf("%.3g", *c.CardSeconds), *c.CardSeconds)
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// Flips is the questions that pass when hot and did not at the coldest temperature.
func (s *Source) Flips() *Table {
	t := &Table{Name: "flips", Title: "Never at the coldest temperature, sometimes at a hotter one"}
	t.Columns = append([]Column{text("question")}, num("samples at the coldest, none passed", "samples at hotter ones", "of these passed", "most often at temperature", "p", "false discovery rate")...)
	t.Columns = append(t.Columns, text("confirmed"))
	if s.Analysis.Flips == nil {
		return t
	}
	for _, q := range s.Analysis.Flips.Questions {
		sure := q.Q <= 1-s.Analysis.Level
		row := []Field{words(q.ID), whole(q.Cold), whole(q.Hot), whole(q.Passed), number(Temperature(q.Best), q.Best), number(Chance(q.P), q.P), number(Chance(q.Q), q.Q), yes(sure)}
		for i := range row {
			row[i].Faint = !sure
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// FlipWords says how many questions flip, and how many of them surely.
func (s *Source) FlipWords() string {
	f := s.Analysis.Flips
	if f == nil {
		return ""
	}
	if len(f.Questions) == 0 {
		return fmt.Sprintf("No question that no sample at T = %s passed is passed at a hotter temperature.", Temperature(f.Cold))
	}
	return fmt.Sprintf("%s that no sample at T = %s passed, some at a hotter temperature did; %d of them are confirmed with at most 5 %% false on average.", Several(len(f.Questions), "question"), Temperature(f.Cold), f.Confirmed)
}

// cost is what a solved question costs over k.
func (s *Source) cost() Figure {
	if len(s.Analysis.Temperatures) > crowd {
		return s.eachCost()
	}
	return s.allCost()
}

// eachCost is that in a panel for each temperature, before what all of them span.
func (s *Source) eachCost() Figure {
	c := chart.Panels{Title: s.titled("What a solved question costs"), Desc: "One panel for each temperature, both scales logarithmic.", Narrowest: 160, Height: 190}
	all := s.Analysis.Temperatures
	lowest, highest, most := math.Inf(1), 1.0, 2
	at := make(map[int][2]float64) // the cheapest and the dearest temperature at each k
	for i := range all {
		for _, v := range all[i].Costs {
			lowest, highest, most = min(lowest, v.Tokens), max(highest, v.Tokens), max(most, v.K)
			e, ok := at[v.K]
			if !ok {
				e = [2]float64{v.Tokens, v.Tokens}
			}
			at[v.K] = [2]float64{min(e[0], v.Tokens), max(e[1], v.Tokens)}
		}
	}
	span := chart.Track{Ink: chart.Muted, Tip: "the cheapest at each k"}
	for _, k := range slices.Sorted(maps.Keys(at)) {
		e := at[k]
		span.Values = append(span.Values, chart.Value{X: float64(k), Y: e[0], Wide: &e})
	}
	for i := range all {
		x := &all[i]
		name := "T = " + Temperature(x.Temperature)
		y := chart.Axis{Label: name, Log: true, Min: math.Pow(10, math.Floor(math.Log10(min(max(1, lowest), highest)))), Max: math.Pow(10, math.Ceil(math.Log10(max(highest, 10))))}
		c.Charts = append(c.Charts, chart.Line{X: chart.Axis{Label: "k", Log: true, Min: 1, Max: float64(most)}, Y: y, Series: []chart.Track{span, s.costTrack(i, chart.Ramp(float64(i)/float64(len(all)-1)))}})
	}
	return Figure{
		Name: "cost", Short: "Cost", Full: true, Title: "What a solved question costs", Table: s.Costs(),
		Caption: "Tokens for each question solved, a panel for each temperature, all on the same scale, where ten times as much is as far everywhere. Grey: from the cheapest to the dearest temperature at each k; where the line lies on its lower edge, no other is cheaper. " + costCaption,
		Draw:    c.Draw,
	}
}

const costCaption = "k samples of every question cost k times their tokens and solve pass@k of them. Each further sample costs as much as the first and solves less."

// costTrack is the i-th temperature's line.
func (s *Source) costTrack(i int, ink chart.Ink) chart.Track {
	x := &s.Analysis.Temperatures[i]
	track := chart.Track{Ink: ink, Thick: true, Tip: "T = " + Temperature(x.Temperature)}
	for _, v := range x.Costs {
		track.Values = append(track.Values, chart.Value{X: float64(v.K), Y: v.Tokens, Tip: fmt.Sprintf("T = %s, %d samples of each: %s tokens for each question solved", Temperature(x.Temperature), v.K, Count(int64(v.Tokens+0.5)))})
	}
	return track
}

// allCost is that with all temperatures in one chart.
func (s *Source) allCost() Figure {
	c := chart.Line{Title: s.titled("What a solved question costs"), Desc: "Tokens for each question solved, by the number of samples of each."}
	highest, most := 1.0, 2
	all := s.Analysis.Temperatures
	for i := range all {
		x := &all[i]
		for _, v := range x.Costs {
			highest, most = max(highest, v.Tokens), max(most, v.K)
		}
		track := s.costTrack(i, chart.Ramp(float64(i)/float64(max(1, len(all)-1))))
		track.Name = "T " + Temperature(x.Temperature)
		c.Series = append(c.Series, track)
	}
	c.X = chart.Axis{Label: "k, samples of a question", Log: true, Min: 1, Max: float64(most)}
	c.Y = chart.Axis{Label: "tokens a solved question"}
	c.Y.Min, c.Y.Max = chart.FromZero(highest, 0)
	return Figure{
		Name: "cost", Short: "Cost", Title: "What a solved question costs", Table: s.Costs(),
		Caption: costCaption,
		Draw:    func(w float64) *chart.Drawing { return c.Draw(w, height(w)) },
	}
}

// beyond is a band of models for k above n. It has no table: none of it is measured.
func (s *Source) beyond() Figure {
	b := s.Analysis.Beyond
	c := chart.Line{Title: s.titled("Beyond n: models, not measurements"), Desc: "What several models make of pass@k for more samples than were drawn."}
	band := chart.Track{Ink: chart.Series(0), Faint: true}
	var lines []chart.Track
	for i, m := range b.Models {
		track := chart.Track{Ink: chart.Series(i), Faint: true}
		for j, k := range b.K {
			track.Values = append(track.Values, chart.Value{X: float64(k), Y: m.Values[j], Faint: true, Tip: fmt.Sprintf("model: %s\nk = %s: not measured", m.Name, Count(k))})
		}
		lines = append(lines, track)
	}
	for j, k := range b.K {
		i := b.Band(j)
		band.Values = append(band.Values, chart.Value{X: float64(k), Y: (i.Low + i.High) / 2, Wide: ends(i.Low, i.High), Faint: true, Tip: fmt.Sprintf("k = %s: the models say %s %%; not measured", Count(k), Range(i))})
	}
	measured := chart.Track{Ink: chart.Series(2), Name: "measured", Thick: true}
	highest := 0.0
	for i := range s.Analysis.Temperatures {
		x := &s.Analysis.Temperatures[i]
		if x.Temperature != b.Temperature {
			continue
		}
		for j := range x.Points {
			p := &x.Points[j]
			measured.Values = append(measured.Values, s.value(float64(p.K), p))
			highest = max(highest, p.Value, p.Sampling.High)
		}
	}
	for j := range b.K {
		highest = max(highest, b.Band(j).High)
	}
	c.Series = append([]chart.Track{band}, append(lines, measured)...)
	c.X = chart.Axis{Label: "k, samples of a question", Log: true, Min: 1, Max: float64(b.K[len(b.K)-1])}
	c.Y = shareAxis("pass@k", highest)
	c.Wary = &chart.Span{From: float64(b.N), To: c.X.Max, Text: "models only"}
	names := make([]string, len(b.Models))
	for i, m := range b.Models {
		names[i] = m.Name
	}
	return Figure{
		Name: "beyond", Short: "Beyond n", Title: "Beyond n: a range of models",
		Caption: fmt.Sprintf("T = %s. Up to k = %s pass@k is measured; in the shaded part nothing is. The band goes from the lowest to the highest of these models: %s. The samples do not say which is right, so there is no number to quote.", Temperature(b.Temperature), Count(b.N), strings.Join(names, "; ")),
		Draw:    func(w float64) *chart.Drawing { return c.Draw(w, height(w)) },
	}
}

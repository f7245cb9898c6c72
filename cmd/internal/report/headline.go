package report

import (
	"fmt"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/fact"
	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// Title says what was measured on what.
func (r *Report) Title() string {
	set := "LiveCodeBench"
	if r.Run != nil {
		switch name := r.Run.Problems.Name; {
		case name == "sample":
			set = "the built-in sample problems"
		case name != "":
			set += " (" + name + ")"
		}
	}
	return r.Subject + " on " + set
}

// Scope is the size of the sweep in words.
func (r *Report) Scope() string {
	samples, least, most := 0, 0, 0
	for i, t := range r.Analysis.Temperatures {
		samples += t.Samples
		if i == 0 || t.NMin < least {
			least = t.NMin
		}
		most = max(most, t.NMax)
	}
	each := figure.Count(most)
	if least != most {
		each = figure.Count(least) + " to " + each
	}
	return fmt.Sprintf("%s at %s, %s samples each: %s programs judged (judge %s)",
		figure.Several(len(r.Questions), "question"), figure.Several(len(r.Temperatures), "temperature"), each, figure.Count(samples), r.Group.Judge)
}

// Remarks is all that a reader must know before the numbers: what the folder
// lacks and what the analysis says of the data.
func (r *Report) Remarks() []string {
	out := append([]string{}, r.Notes...)
	if r.Run != nil && r.Run.Until != nil {
		out = append(out, "The number of samples was "+fact.Until(r.Run.Until)+". On these questions read the interval that may be looked at at any time, in the table of every point: the others take the number of samples for given.")
	}
	for _, n := range r.Analysis.Notes {
		switch n.Code {
		case curve.NoteMissing, curve.NoteUnscored: // the folder's notes say it, with the reason
			continue
		}
		out = append(out, sentence(n.Text))
	}
	return out
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// A Tile is one number to remember.
type Tile struct{ Name, Value, Unit, More string }

// Tiles returns the few numbers that sum the sweep up.
func (r *Report) Tiles() []Tile {
	var out []Tile
	ks := r.Headline()
	for _, k := range ks {
		if t := r.bestTile(k); t != nil && (k == 1 || t.reliable) {
			out = append(out, t.Tile)
		}
	}
	if len(out) > 4 { // the first, and the last three
		out = append(out[:1], out[len(out)-3:]...)
	}
	if t := r.solvedTile(); t != nil {
		out = append(out, *t)
	}
	return out
}

type bestTile struct {
	Tile
	reliable bool
}

// bestTile is pass@k where it is highest.
func (r *Report) bestTile(k int) *bestTile {
	var best *curve.Point
	at := 0.0
	// The temperature of the comparison, which is over the same questions at all of them.
	b := r.BestAt(k)
	for _, x := range r.Analysis.Temperatures {
		p := figure.At(x.Points, k)
		switch {
		case p == nil:
		case b != nil && x.Temperature == b.Temperature, b == nil && (best == nil || p.Value > best.Value):
			best, at = p, x.Temperature
		}
	}
	if best == nil {
		return nil
	}
	t := &bestTile{Tile{Name: fmt.Sprintf("pass@%d", k), Value: figure.Percent(best.Value), Unit: "%"}, best.Reliable}
	if best.Value == 0 {
		t.Value, t.More = "<"+figure.Percent(best.Sampling.High), "none passed"
	}
	if len(r.Analysis.Temperatures) == 1 {
		t.More = "T = " + figure.Temperature(at)
	} else if best.Value > 0 {
		t.More = "best at T = " + figure.Temperature(at)
		if b != nil && len(b.Like) > 1 {
			t.More = fmt.Sprintf("highest of %d, at T = %s; the best is among %s", len(b.Standings), figure.Temperature(at), r.Set(b.Like))
		}
		if b != nil && b.Selected != nil {
			t.More += fmt.Sprintf("; selected as the highest, so up to %s points too high on average", figure.Percent(b.Selected.Like))
		}
	}
	if best.Population != nil {
		t.More += fmt.Sprintf("; questions like these: %s %%", figure.Range(best.Population.Interval))
	}
	return t
}

func (r *Report) solvedTile() *Tile {
	if len(r.Analysis.Temperatures) == 0 {
		return nil
	}
	x := r.Analysis.Temperatures[0]
	solved, of, more := x.Solved, x.Questions, ""
	if u := r.Analysis.Union; u != nil {
		solved, of, more = u.Solved, r.Analysis.Questions, fmt.Sprintf("at any temperature; %d at every one of %d complete", u.All, u.Complete)
	}
	if x.NMin == x.NMax {
		more = strings.TrimPrefix(fmt.Sprintf("%s; in %s samples each at a temperature", more, figure.Count(x.NMax)), "; ")
	}
	t := &Tile{Name: "questions solved", Value: figure.Count(solved), Unit: "of " + figure.Count(of), More: more}
	return t
}

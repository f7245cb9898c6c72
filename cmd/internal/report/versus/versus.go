// Package versus shows results beside each other: two of them question by question, or several
// as a league. It makes one page that needs no network, single charts, and tables. It reads no
// file and computes no statistics: every number is package curve's.
package versus

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// A Side is one of the results.
type Side struct {
	Name      string // of the model, or what tells it from the others
	Results   string // the folder
	Judge     string
	Simulated bool
	Notes     []string // what is missing in the folder
}

// A Differ is a setting that is not the same in all results.
type Differ struct {
	What   string
	Values []string // by side
}

// A View is results beside each other. Pair is nil for more than two, League for two.
type View struct {
	Sides   []Side
	Differs []Differ
	Pair    *curve.Comparison
	League  *curve.League
	Version string // of lcbq, for the foot of the page
}

// ErrPart says that the view has no chart or table of the name asked for.
var ErrPart = figure.ErrPart

// A chart of its own is as wide as a README's column, and its image sharp on a dense screen.
const (
	figureWidth = 860
	figureScale = 2
)

// Write writes the view as html, png or svg. part names the chart of a png or svg; "" is the
// most telling one.
func (v *View) Write(w io.Writer, format, part string) error {
	switch format {
	case "html":
		return v.html(w)
	case "png", "svg":
		f, err := v.figure(part)
		if err != nil {
			return err
		}
		if format == "svg" {
			return f.Draw(figureWidth).File(w)
		}
		return f.Draw(figureWidth).PNG(w, figureScale)
	default:
		return fmt.Errorf("format %q: want html, png or svg", format)
	}
}

func (v *View) figure(name string) (figure.Figure, error) {
	all := v.figures()
	if len(all) == 0 {
		return figure.Figure{}, errors.New("draw chart: the results share no question with samples, so there is nothing to draw")
	}
	return figure.Pick(all, name)
}

// Letter is how a side is called in tables.
func Letter(i int) string {
	if i < 26 {
		return string(rune('A' + i))
	}
	return fmt.Sprintf("R%d", i+1)
}

func (v *View) named(i int) string { return Letter(i) + ": " + v.Sides[i].Name }

func (v *View) simulated() bool {
	return slices.ContainsFunc(v.Sides, func(s Side) bool { return s.Simulated })
}

func (v *View) titled(title string) string {
	if v.simulated() {
		return title + " · SIMULATED, no model was asked"
	}
	return title
}

// level is the confidence level in words.
func (v *View) level() string {
	l := 0.0
	if v.Pair != nil {
		l = v.Pair.Level
	} else if v.League != nil {
		l = v.League.Level
	}
	return fmt.Sprintf("%.4g %%", 100*cmp.Or(l, 0.95))
}

// span writes an interval of a difference in points.
func span(i score.Interval) string {
	return fmt.Sprintf("%+.2f to %+.2f", 100*i.Low, 100*i.High)
}

// remarks is what must be known before the numbers.
func (v *View) remarks() []string {
	var out []string
	notes := []curve.Note(nil)
	if v.Pair != nil {
		notes = v.Pair.Notes
	} else if v.League != nil {
		notes = v.League.Notes
	}
	for _, n := range notes {
		if n.Text != "" {
			out = append(out, strings.ToUpper(n.Text[:1])+n.Text[1:]+".")
		}
	}
	for i, s := range v.Sides {
		for _, n := range s.Notes {
			out = append(out, Letter(i)+": "+n)
		}
	}
	return out
}

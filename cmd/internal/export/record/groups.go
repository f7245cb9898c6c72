package record

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/worker/score/curve"
)

// A group is some of the questions, of which a result speaks. The zero value is all of them.
type group struct {
	by   string // difficulty, platform, month or cutoff; "" for all questions
	name string // such as easy, atcoder, 2025-01; before or after
	day  string // of the cut-off
}

func (g group) words() string {
	switch {
	case g.by == "cutoff" && g.name == "before":
		return "contests before " + g.day
	case g.by == "cutoff":
		return "contests from " + g.day + " on"
	case g.by == "month" && g.name != unknown:
		return "contests of " + g.name
	}
	return g.by + " " + g.name
}

// unknown is the group of the questions without a label.
const unknown = "unknown"

// splits are the results of the questions of each difficulty, platform and contest month.
func (r *Run) splits() []object {
	var out []object
	for i := range r.Analysis.Splits {
		s := &r.Analysis.Splits[i]
		g := group{by: s.By, name: s.Name}
		if g.name == "" {
			g.name = unknown
		}
		for j := range s.Temperatures {
			t := &s.Temperatures[j]
			for k := range t.Points {
				x, details := r.value(t.Temperature, &t.Points[k], g)
				details["solved"] = strconv.Itoa(t.Solved)
				out = append(out, x)
			}
		}
	}
	return out
}

// cutoff are the results on both sides of a cut-off, and how far they are apart.
func (r *Run) cutoff() []object {
	var out []object
	c := r.Analysis.Cutoff
	if c == nil {
		return out
	}
	for i := range c.Temperatures {
		t := &c.Temperatures[i]
		for j := range t.Points {
			p := &t.Points[j]
			for _, side := range []struct {
				name string
				of   *curve.Point
			}{{"before", &p.Before}, {"after", &p.After}} {
				x, details := r.value(t.Temperature, side.of, group{"cutoff", side.name, c.Date})
				details["cutoff"], details["questions_without_a_date"] = c.Date, strconv.Itoa(c.Unknown)
				details["after_less_before"] = number(p.Difference)
				if p.Interval != nil {
					details["after_less_before_low"], details["after_less_before_high"] = number(p.Interval.Low), number(p.Interval.High)
				}
				out = append(out, x)
			}
		}
	}
	return out
}

// beyond says what models make of pass@k for more samples than were drawn. It is a text and no result: nothing of it is
// measured, and no single value of it may be quoted.
func (r *Run) beyond() string {
	if r.Analysis == nil || r.Analysis.Beyond == nil {
		return unknown
	}
	b := r.Analysis.Beyond
	var bands, models []string
	for i, k := range b.K {
		if band := b.Band(i); k > b.N {
			bands = append(bands, fmt.Sprintf("pass@%d %s to %s", k, number(band.Low), number(band.High)))
		}
	}
	for _, m := range b.Models {
		models = append(models, m.Name)
	}
	return fmt.Sprintf("models, not measurements, at temperature %s beyond %d samples of a question: %s; the lowest and the highest of: %s", number(b.Temperature), b.N, strings.Join(bands, ", "), strings.Join(models, "; "))
}

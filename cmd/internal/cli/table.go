package cli

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// writeTable prints pass@k by temperature, pass@1 with both its uncertainties, and
// then in words what a reader of the numbers must know.
func writeTable(w io.Writer, s *summary.Run) {
	title := fmt.Sprintf("%s, %d questions, judge %s", s.Engine, s.Questions, s.Judge)
	if s.Simulated {
		title += " (simulated: no model was asked)"
	}
	fmt.Fprintln(w, title)
	ks := tableLadder(s)
	fmt.Fprintf(w, "%5s  %9s  %9s", "T", "samples", "passed")
	for _, k := range ks {
		fmt.Fprintf(w, "  %9s", fmt.Sprintf("pass@%d", k))
		if k == 1 {
			fmt.Fprintf(w, "  %9s  %11s", "+-samples", "+-questions")
		}
	}
	fmt.Fprintf(w, "  %8s\n", "unique")
	grey := false
	for _, r := range s.Results {
		points := pointsAt(s.Analysis, r.Temperature)
		fmt.Fprintf(w, "%5.2f  %9d  %9d", r.Temperature, r.N, r.Passed)
		for _, k := range ks {
			v, ok := r.PassAtK[k]
			p := points[k]
			switch {
			case !ok:
				fmt.Fprintf(w, "  %9s", "-")
			case p != nil && !p.Reliable:
				grey = true
				fmt.Fprintf(w, " %9.2f%%?", 100*v)
			default:
				fmt.Fprintf(w, "  %8.2f%%", 100*v)
			}
			if k == 1 {
				fmt.Fprintf(w, "  %9s  %11s", arm(p, false), arm(p, true))
			}
		}
		fmt.Fprintf(w, "  %8d\n", r.Unique)
	}
	if grey {
		fmt.Fprintln(w, "? k is above a tenth of n: little more than whether any sample passed")
	}
	writeWords(w, s.Analysis)
}

// arm is half the width of a point's interval, in points of percent.
func arm(p *curve.Point, population bool) string {
	var i score.Interval
	switch {
	case p == nil || population && p.Population == nil:
		return "-"
	case population:
		i = p.Population.Interval
	default:
		i = p.Sampling
	}
	return fmt.Sprintf("%.2f", 100*i.Width()/2)
}

// writeWords prints T*(1) and the notes of an analysis.
func writeWords(w io.Writer, a *curve.Analysis) {
	if a == nil {
		return
	}
	if len(a.Best) > 0 && a.Best[0].Like != nil {
		b := &a.Best[0]
		fmt.Fprintf(w, "best at k = %d: %s; not told from it: %s on these questions, %s on questions like these\n",
			b.K, decimal(b.Temperature), decimals(b.These), decimals(b.Like))
	}
	for _, n := range a.Notes {
		if n.Code != curve.NoteUnreliable { // the table marks these
			fmt.Fprintln(w, n.Text)
		}
	}
}

func decimal(t float64) string { return strconv.FormatFloat(t, 'f', -1, 64) }

func decimals(ts []float64) string {
	out := make([]string, len(ts))
	for i, t := range ts {
		out[i] = decimal(t)
	}
	return strings.Join(out, " ")
}

// pointsAt returns the points of a temperature's curve by k.
func pointsAt(a *curve.Analysis, temperature float64) map[int]*curve.Point {
	out := make(map[int]*curve.Point)
	if a == nil {
		return out
	}
	i := slices.IndexFunc(a.Temperatures, func(t curve.Temperature) bool { return t.Temperature == temperature })
	if i < 0 {
		return out
	}
	for j := range a.Temperatures[i].Points {
		p := &a.Temperatures[i].Points[j]
		out[p.K] = p
	}
	return out
}

// tableLadder picks the k that fit a terminal.
func tableLadder(s *summary.Run) []int {
	var ks []int
	for _, k := range []int{1, 10, 100, 1000, 10000} {
		for _, r := range s.Results {
			if _, ok := r.PassAtK[k]; ok {
				ks = append(ks, k)
				break
			}
		}
	}
	return ks
}

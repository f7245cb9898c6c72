package cli

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/fact"
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
	for _, f := range s.Health { // before the numbers that they are about
		mark := "note"
		if f.Grave {
			mark = "warning: these numbers say nothing about the model"
		}
		fmt.Fprintf(w, "%s: %s\n", mark, strings.ReplaceAll(f.String(), "\n", "\n  "))
	}
	ks := tableLadder(s)
	fmt.Fprintf(w, "%5s %8s %8s", "T", "samples", "passed")
	for _, k := range ks {
		fmt.Fprintf(w, " %*s", wide(k), passAt(k))
		if k == 1 {
			fmt.Fprintf(w, " %10s %11s", "+-samples", "+-questions")
		}
	}
	fmt.Fprintf(w, " %7s\n", "unique")
	grey := false
	for _, r := range s.Results {
		points := pointsAt(s.Analysis, r.Temperature)
		fmt.Fprintf(w, "%5.2f %8d %8d", r.Temperature, r.N, r.Passed)
		for _, k := range ks {
			v, ok := r.PassAtK[k]
			p := points[k]
			switch {
			case !ok:
				fmt.Fprintf(w, " %*s", wide(k), "-")
			case p != nil && !p.Reliable:
				grey = true
				fmt.Fprintf(w, " %*.2f%%?", wide(k)-2, 100*v)
			default:
				fmt.Fprintf(w, " %*.2f%% ", wide(k)-2, 100*v)
			}
			if k == 1 {
				fmt.Fprintf(w, " %10s %11s", arm(p, false), arm(p, true))
			}
		}
		fmt.Fprintf(w, " %7d\n", r.UniquePrograms)
	}
	if grey {
		fmt.Fprintln(w, "? little known: by more than 2 points either way on these questions,\n  or from fewer than 2k samples")
	}
	if s.Until != nil {
		fmt.Fprintln(w, folded("samples", strings.Fields(fact.Until(s.Until)))+"\n+-samples is for a given number of samples")
	}
	writeAudit(w, s)
	if s.Passed == 0 {
		fmt.Fprintln(w, "no sample passed: there is no best temperature")
		return
	}
	writeWords(w, s.Analysis)
}

// writeAudit prints what an audited time limit did, by temperature.
func writeAudit(w io.Writer, s *summary.Run) {
	if s.Analysis == nil || len(s.Analysis.Audited) == 0 {
		return
	}
	fmt.Fprintf(w, "time limit %s: pass@k is corrected for the programs that were stopped\n", s.Judging.Limit())
	fmt.Fprintf(w, "%5s %8s %9s %20s %9s %9s\n", "T", "stopped", "share", "would have passed", "pass@1", "+-audit")
	for _, x := range s.Analysis.Audited {
		wrong := fmt.Sprintf("%.0f (%.0f to %.0f)", x.FalseStops, x.Interval.Low, x.Interval.High)
		fmt.Fprintf(w, "%5.2f %8d %8.2f%% %20s %8.2f%% %9.3f\n", x.Temperature, x.Stopped, 100*x.StoppedOf, wrong, 100*x.Corrected, 100*x.StandardError)
	}
}

// arm is how far a point's interval reaches, in points of percent.
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
	return arms(p.Value, i)
}

// arms writes how far an interval reaches from a value, in points: one number where it is about
// as far on both sides, else both.
func arms(value float64, i score.Interval) string {
	down, up := 100*(value-i.Low), 100*(i.High-value)
	if half := (down + up) / 2; math.Abs(up-down) <= half/4 {
		return fmt.Sprintf("%.2f", half)
	}
	return fmt.Sprintf("-%.1f/+%.1f", down, up)
}

// writeWords prints T*(1) and the notes of an analysis.
func writeWords(w io.Writer, a *curve.Analysis) {
	if a == nil {
		return
	}
	if len(a.Best) > 0 && a.Best[0].Like != nil {
		b := &a.Best[0]
		fmt.Fprintf(w, "best at k = %d: highest at %s\n", b.K, decimal(b.Temperature))
		if s := b.Selected; s != nil {
			fmt.Fprintf(w, "  selected as the highest of %d: up to %.2f points too high on average\n", s.Of, 100*s.Like)
		}
		fmt.Fprintln(w, folded("  on these questions the best is among", decimals(b.These)))
		fmt.Fprintln(w, folded("  on questions like these, among", decimals(b.Like)))
	}
	for _, n := range a.Notes {
		if n.Code != curve.NoteUnreliable { // the table marks these
			words := strings.Fields(n.Text)
			fmt.Fprintln(w, folded(words[0], words[1:]))
		}
	}
}

func decimal(t float64) string { return strconv.FormatFloat(t, 'f', -1, 64) }

func decimals(ts []float64) []string {
	out := make([]string, len(ts))
	for i, t := range ts {
		out[i] = decimal(t)
	}
	return out
}

// folded returns the words behind a beginning, in lines of at most 80 columns.
func folded(line string, words []string) string {
	var done strings.Builder
	for _, word := range words {
		if len(line)+1+len(word) > 80 {
			done.WriteString(line + "\n")
			line = "   "
		}
		line += " " + word
	}
	return done.String() + line
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

// passAt returns the heading of the column of pass@k, and wide its width.
func passAt(k int) string {
	if k >= 10_000 {
		return fmt.Sprintf("pass@%dk", k/1000)
	}
	return fmt.Sprintf("pass@%d", k)
}

func wide(k int) int { return max(8, len(passAt(k))) }

// tableLadder picks the k that fit a terminal of 80 columns: 1, 10 and the largest. The report has all.
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
	if len(ks) > 3 {
		ks = append(ks[:2], ks[len(ks)-1])
	}
	return ks
}

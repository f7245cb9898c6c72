package cli

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// text prints one block for each k.
func (c *compareCmd) text(w io.Writer, x *comparison) {
	fmt.Fprintf(w, "A  %s\nB  %s\n%d questions in both\n", &x.A, &x.B, x.Shared)
	for _, d := range x.Differs {
		fmt.Fprintf(w, "differs: %s: %s in %s, %s in %s\n", d.What, d.A, x.A.Results, d.B, x.B.Results)
	}
	for _, k := range c.K {
		c.block(w, x, k)
	}
	fmt.Fprintln(w)
	for _, n := range x.Notes {
		fmt.Fprintln(w, n.Text)
	}
	for i, notes := range [][]string{x.A.Notes, x.B.Notes} {
		for _, n := range notes {
			fmt.Fprintf(w, "%c: %s\n", 'A'+rune(i), n)
		}
	}
	fmt.Fprintln(w, "asked: questions in both; +- is how far the 95 % interval of the difference reaches,\nif the same questions were sampled again or others were asked;\nP is corrected for all temperatures at the same k (Holm)")
}

func (c *compareCmd) block(w io.Writer, x *comparison, k int) {
	head := false
	row := func(name string, p *curve.Contrast) {
		if !head {
			head = true
			fmt.Fprintf(w, "\npass@%d\n%4s %5s %7s %7s %7s %10s %9s %11s %11s\n", k, "T", "asked", "A", "B", "B - A", "+-samples", "P-samples", "+-questions", "P-questions")
		}
		mark := " "
		if !p.Reliable {
			mark = "?"
		}
		fmt.Fprintf(w, "%4s %5d %6.2f%% %6.2f%% %+6.2f%s %10s %9s %11s %11s\n", name, p.Questions, 100*p.A, 100*p.B, 100*p.Difference, mark,
			reach(p, p.These), chance(p.These), reach(p, p.Like), chance(p.Like))
	}
	for i := range x.Temperatures {
		for _, p := range c.shown(x.Temperatures[i].Points) {
			if p.K == k {
				row(fmt.Sprintf("%.2f", x.Temperatures[i].Temperature), p)
			}
		}
	}
	for _, p := range c.shown(x.Overall) {
		if p.K == k {
			row("all", p)
		}
	}
	if low, high := byContest(x, k); high > 0 {
		said := fmt.Sprintf("%.2f", 100*low)
		if most := fmt.Sprintf("%.2f", 100*high); most != said {
			said += " to " + most
		}
		fmt.Fprintf(w, "if questions of one contest are alike: +-questions of %s\n", said)
	}
}

// byContest returns the narrowest and the widest half of an interval by contest at k.
func byContest(x *comparison, k int) (low, high float64) {
	look := func(points []curve.Contrast) {
		for i := range points {
			if p := &points[i]; p.K == k && p.Like != nil && p.Like.Contest != nil {
				half := p.Like.Contest.Width() / 2
				if high == 0 || half < low {
					low = half
				}
				high = max(high, half)
			}
		}
	}
	for i := range x.Temperatures {
		look(x.Temperatures[i].Points)
	}
	look(x.Overall)
	return low, high
}

// reach is how far a difference can be off.
func reach(p *curve.Contrast, d *curve.Deviation) string {
	if d == nil {
		return "-"
	}
	return arms(p.Difference, d.Interval)
}

// chance writes a P as the page does: never 0, and no more digits than it is known to.
func chance(d *curve.Deviation) string {
	if d == nil {
		return "-"
	}
	return figure.Chance(d.P)
}

var compareColumns = []string{
	"temperature", "k", "questions", "a", "b", "difference", "differ",
	"samples_low", "samples_high", "samples_p", "questions_low", "questions_high", "questions_p", "contests_low", "contests_high", "reliable",
}

// csv prints every k that was compared; what is not defined is an empty field.
func (c *compareCmd) csv(w io.Writer, x *comparison) error {
	out := csv.NewWriter(w)
	if err := out.Write(compareColumns); err != nil {
		return err
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	deviation := func(d *curve.Deviation) []string {
		if d == nil {
			return []string{"", "", ""}
		}
		return []string{number(d.Interval.Low), number(d.Interval.High), number(d.P)}
	}
	contest := func(d *curve.Deviation) []string {
		if d == nil || d.Contest == nil {
			return []string{"", ""}
		}
		return []string{number(d.Contest.Low), number(d.Contest.High)}
	}
	row := func(name string, p *curve.Contrast) error {
		return out.Write(slices.Concat(
			[]string{name, strconv.Itoa(p.K), strconv.Itoa(p.Questions), number(p.A), number(p.B), number(p.Difference), strconv.Itoa(p.Differ)},
			deviation(p.These), deviation(p.Like), contest(p.Like), []string{strconv.FormatBool(p.Reliable)}))
	}
	for i := range x.Temperatures {
		for j := range x.Temperatures[i].Points {
			if err := row(number(x.Temperatures[i].Temperature), &x.Temperatures[i].Points[j]); err != nil {
				return err
			}
		}
	}
	for j := range x.Overall {
		if err := row("all", &x.Overall[j]); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// markdown prints one table of the k asked for.
func (c *compareCmd) markdown(w io.Writer, x *comparison) error {
	var b strings.Builder
	fmt.Fprintf(&b, "A: %s  \nB: %s\n\n", &x.A, &x.B)
	b.WriteString("| T | k | A | B | B - A | 95 % on these questions | 95 % on questions like these | P on them | the same by contest |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	span := func(i *score.Interval) string {
		if i == nil {
			return "-"
		}
		return fmt.Sprintf("%+.2f to %+.2f", 100*i.Low, 100*i.High)
	}
	of := func(d *curve.Deviation) *score.Interval {
		if d == nil {
			return nil
		}
		return &d.Interval
	}
	alike := func(d *curve.Deviation) *score.Interval {
		if d == nil {
			return nil
		}
		return d.Contest
	}
	row := func(name string, p *curve.Contrast) {
		fmt.Fprintf(&b, "| %s | %d | %.2f %% | %.2f %% | %+.2f | %s | %s | %s | %s |\n", name, p.K, 100*p.A, 100*p.B, 100*p.Difference, span(of(p.These)), span(of(p.Like)), chance(p.Like), span(alike(p.Like)))
	}
	for i := range x.Temperatures {
		for _, p := range c.shown(x.Temperatures[i].Points) {
			row(strconv.FormatFloat(x.Temperatures[i].Temperature, 'f', -1, 64), p)
		}
	}
	for _, p := range c.shown(x.Overall) {
		row("all", p)
	}
	for _, n := range x.Notes {
		fmt.Fprintf(&b, "\n%s\n", n.Text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

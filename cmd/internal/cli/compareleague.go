package cli

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/report/versus"
	"github.com/lcbq/lcbq/cmd/internal/window"
	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// A leagueOut is what compare prints of three folders or more.
type leagueOut struct {
	Results []side         `json:"results"`
	Differs []leagueDiffer `json:"differs"`
	*curve.League
}

// A leagueDiffer is one setting that is not the same in all results.
type leagueDiffer struct {
	What   string   `json:"what"`
	Values []string `json:"values"` // by result
}

// league compares every two of three results or more.
func (c *compareCmd) league(a *app, w *window.Window, first ...*folder.Results) error {
	all, dirs := first, append([]string{c.A, c.B}, c.More...)
	for i, dir := range c.More {
		group := 0
		if i < len(c.GroupMore) {
			group = c.GroupMore[i]
		}
		r, err := openSide(dir, group, "--group-more", w)
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	out := leagueOut{}
	var sweeps []*curve.Sweep
	for i, r := range all {
		for j := range i {
			if err := c.comparable(dirs[j], dirs[i], all[j], r); err != nil {
				return err
			}
		}
		out.Results, sweeps = append(out.Results, sideOf(dirs[i], r)), append(sweeps, r.Sweep())
	}
	out.Differs = leagueDiffers(all)
	var err error
	if out.League, err = curve.Rank(sweeps, curve.Options{}); err != nil {
		return err
	}
	var have []int
	for i := range out.Tables {
		if out.Tables[i].Questions > 0 {
			have = append(have, out.Tables[i].K)
		}
	}
	if err := c.known(have); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(out)
	}
	var sides []*side
	for i := range out.Results {
		sides = append(sides, &out.Results[i])
	}
	v := &versus.View{Sides: shownSides(sides...), League: out.League, Version: Version()}
	for _, d := range out.Differs {
		v.Differs = append(v.Differs, versus.Differ(d))
	}
	var b bytes.Buffer
	switch c.Format {
	case "text":
		c.leagueText(&b, v)
	case "csv":
		err = leagueCSV(&b, v)
	case "md":
		err = c.leagueMarkdown(&b, v)
	default:
		err = v.Write(&b, c.Format, c.Part)
	}
	return c.leave(a, b.Bytes(), err)
}

// leagueDiffers lists the settings in which some result differs from the first.
func leagueDiffers(all []*folder.Results) []leagueDiffer {
	out := []leagueDiffer{}
	for i, r := range all[1:] {
		for _, d := range differences(all[0], r) {
			at := slices.IndexFunc(out, func(x leagueDiffer) bool { return x.What == d.What })
			if at < 0 {
				at = len(out)
				out = append(out, leagueDiffer{d.What, slices.Repeat([]string{d.A}, len(all))})
			}
			out[at].Values[i+1] = d.B
		}
	}
	return out
}

// shownTables returns the rankings at the k that are asked for.
func (c *compareCmd) shownTables(l *curve.League) []*curve.Ranking {
	var out []*curve.Ranking
	for i := range l.Tables {
		if t := &l.Tables[i]; slices.Contains(c.K, t.K) && t.Questions > 0 {
			out = append(out, t)
		}
	}
	return out
}

// leagueText prints, for each k, the places and every two against each other.
func (c *compareCmd) leagueText(w io.Writer, v *versus.View) {
	l := v.League
	for i, s := range v.Sides {
		fmt.Fprintf(w, "%s  %s: %s, judge %s\n", versus.Letter(i), s.Name, s.Results, s.Judge)
	}
	fmt.Fprintf(w, "%s in all, mean over %s that all have\n", figure.Several(l.Questions, "question"), figure.Several(len(l.Temperatures), "temperature"))
	for _, d := range v.Differs {
		fmt.Fprintf(w, "differs: %s: %s\n", d.What, strings.Join(d.Values, " | "))
	}
	for _, t := range c.shownTables(l) {
		fmt.Fprintf(w, "\npass@%d, %s\n%6s %9s %19s %7s %9s  %s\n", t.K, figure.Several(t.Questions, "question"), "place", "pass@k", "questions like", "may be", "behind", "result")
		for i, p := range t.Places {
			like, behind := "-", "-"
			if p.Population != nil {
				like = fmt.Sprintf("%.2f to %.2f", 100*p.Population.Low, 100*p.Population.High)
			}
			if p.Behind != nil {
				behind = fmt.Sprintf("<= %.2f", 100*p.Behind.High)
			}
			mark := " "
			if !p.Reliable {
				mark = "?"
			}
			fmt.Fprintf(w, "%6d %7.2f%%%s %19s %7s %9s  %s %s\n", i+1, 100*p.Value, mark, like, versus.Ranks(p), behind, versus.Letter(p.Sweep), v.Sides[p.Sweep].Name)
		}
		fmt.Fprintf(w, "row less column, points; * is more than chance, for all pairs at once\n%4s", "")
		for _, p := range t.Places {
			fmt.Fprintf(w, " %9s", versus.Letter(p.Sweep))
		}
		fmt.Fprintln(w)
		for _, p := range t.Places {
			fmt.Fprintf(w, "%4s", versus.Letter(p.Sweep))
			for _, q := range t.Places {
				if p.Sweep == q.Sweep {
					fmt.Fprintf(w, " %9s", "-")
					continue
				}
				d, like := versus.Against(t, p.Sweep, q.Sweep)
				mark := " "
				if like != nil && (like.Low > 0 || like.High < 0) {
					mark = "*"
				}
				fmt.Fprintf(w, " %+8.2f%s", 100*d, mark)
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintln(w)
	for _, n := range l.Notes {
		fmt.Fprintln(w, n.Text)
	}
	for i, s := range v.Sides {
		for _, n := range s.Notes {
			fmt.Fprintf(w, "%s: %s\n", versus.Letter(i), n)
		}
	}
	fmt.Fprintln(w, "questions like: 95 % interval if others were asked; may be: the places that it may have then;\nbehind: by how many points at most it is behind the best one then, for all at once")
}

var leagueColumns = []string{"k", "questions", "a", "b", "difference", "samples_low", "samples_high", "samples_p", "questions_low", "questions_high", "questions_p"}

// leagueCSV prints every pair at every k.
func leagueCSV(w io.Writer, v *versus.View) error {
	out := csv.NewWriter(w)
	if err := out.Write(leagueColumns); err != nil {
		return err
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	deviation := func(d *curve.Deviation) []string {
		if d == nil {
			return []string{"", "", ""}
		}
		return []string{number(d.Interval.Low), number(d.Interval.High), number(d.P)}
	}
	for _, t := range v.League.Tables {
		for _, p := range t.Pairs {
			row := []string{strconv.Itoa(t.K), strconv.Itoa(t.Questions), v.Sides[p.A].Results, v.Sides[p.B].Results, number(p.Difference)}
			if err := out.Write(slices.Concat(row, deviation(p.These), deviation(p.Like))); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

// leagueMarkdown prints a league table and a matrix for each k.
func (c *compareCmd) leagueMarkdown(w io.Writer, v *versus.View) error {
	var b strings.Builder
	for _, t := range c.shownTables(v.League) {
		fmt.Fprintf(&b, "**pass@%d**, %s\n\n| place | result | pass@%d | 95 %% on questions like these | places it may have |", t.K, figure.Several(t.Questions, "question"), t.K)
		for _, p := range t.Places {
			fmt.Fprintf(&b, " less %s |", versus.Letter(p.Sweep))
		}
		b.WriteString("\n| ---: | :--- | ---: | ---: | ---: |" + strings.Repeat(" ---: |", len(t.Places)) + "\n")
		for i, p := range t.Places {
			fmt.Fprintf(&b, "| %d | %s: %s | %.2f %% | %s | %s |", i+1, versus.Letter(p.Sweep), figure.Plain(v.Sides[p.Sweep].Name), 100*p.Value, percents(p.Population), versus.Ranks(p))
			for _, q := range t.Places {
				text := "–"
				if p.Sweep != q.Sweep {
					d, like := versus.Against(t, p.Sweep, q.Sweep)
					text = fmt.Sprintf("%+.2f", 100*d)
					if like != nil && (like.Low > 0 || like.High < 0) {
						text = "**" + text + "**"
					}
				}
				b.WriteString(" " + text + " |")
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	b.WriteString("Differences in points; in bold where they are more than chance on questions like these, for all pairs at once.\n")
	for _, n := range v.League.Notes {
		fmt.Fprintf(&b, "\n%s\n", figure.Plain(n.Text))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func percents(i *score.Interval) string {
	if i == nil {
		return "–"
	}
	return figure.Range(*i)
}

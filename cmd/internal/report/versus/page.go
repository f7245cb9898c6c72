package versus

import (
	_ "embed" // the page's text
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/cmd/internal/report/frame"
	"github.com/lcbq/lcbq/worker/score/curve"
)

//go:embed page.html
var pageHTML string

// page is what the template shows; its texts are escaped by html/template.
type page struct {
	Policy    string
	CSS       template.CSS
	JS        template.JS
	Title     string
	Scope     string
	Simulated bool
	Sides     []shownSide
	Differs   *figure.Table
	Remarks   []string
	Tiles     []tile
	Answers   []answer
	Figures   []frame.Shown
	Changed   *figure.Table // nil for none
	Folded    int           // questions that surely changed and are not in Changed
	League    bool
	Version   string
}

type shownSide struct{ Letter, Name, More string }

type tile struct{ Name, Value, Unit, More string }

type answer struct {
	Question string
	Lines    []string
}

// mostChanged is how many of the questions that surely changed the page lists without a click.
const mostChanged = 40

// html writes the page: complete in itself, without a network.
func (v *View) html(w io.Writer) error {
	css, js := frame.CSS(""), frame.JS("")
	p := &page{
		CSS: template.CSS(css), JS: template.JS(js), Policy: frame.Policy(css, js), Version: v.Version,
		Simulated: v.simulated(), Remarks: v.remarks(), Differs: v.differs(), League: v.League != nil,
	}
	var names []string
	for i, s := range v.Sides {
		more := fmt.Sprintf("%s, judge %s", s.Results, s.Judge)
		if s.Simulated {
			more += ", simulated"
		}
		names = append(names, s.Name)
		p.Sides = append(p.Sides, shownSide{Letter(i), s.Name, more})
	}
	if v.League != nil {
		p.Title = figure.Several(len(v.Sides), "result") + " against each other"
		p.Scope = fmt.Sprintf("%s and %s that all of them have", figure.Several(v.League.Questions, "question"), figure.Several(len(v.League.Temperatures), "temperature"))
		p.Answers = v.leagueAnswers()
	} else {
		p.Title = strings.Join(names, " against ")
		p.Scope = fmt.Sprintf("%s and %s that both have; differences are of B less A", figure.Several(v.Pair.Shared, "question"), figure.Several(len(v.Pair.Temperatures), "temperature"))
		p.Tiles, p.Answers = v.tiles(), v.answers()
		if t := v.changed(mostChanged); len(t.Rows) > 0 {
			p.Changed, p.Folded = t, v.Pair.Confirmed-len(t.Rows)
		}
	}
	shown := make(map[string]bool)
	for _, f := range v.figures() {
		var tables []*figure.Table
		if f.Table != nil && !shown[f.Table.Name] {
			shown[f.Table.Name], tables = true, append(tables, f.Table)
		}
		s, err := frame.Show(f, tables...)
		if err != nil {
			return err
		}
		p.Figures = append(p.Figures, s)
	}
	t, err := frame.Template(pageHTML)
	if err != nil {
		return err
	}
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// differs is the settings that are not the same in all, nil for none.
func (v *View) differs() *figure.Table {
	if len(v.Differs) == 0 {
		return nil
	}
	t := &figure.Table{Name: "differs", Title: "What differs", Columns: []figure.Column{{Name: "setting", Text: true}}}
	for i := range v.Sides {
		t.Columns = append(t.Columns, figure.Column{Name: Letter(i), Text: true})
	}
	for _, d := range v.Differs {
		row := []figure.Field{words(d.What)}
		for _, x := range d.Values {
			row = append(row, words(x))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// contrast is the two at k: over all temperatures, or at the only one.
func (v *View) contrast(k int) *curve.Contrast {
	if p := at(v.Pair.Overall, k); p != nil {
		return p
	}
	if len(v.Pair.Temperatures) == 1 {
		return at(v.Pair.Temperatures[0].Points, k)
	}
	return nil
}

// tiles are the differences to remember.
func (v *View) tiles() []tile {
	var out []tile
	for _, k := range v.ks() {
		p := v.contrast(k)
		if p == nil || k > 1 && !p.Reliable {
			continue
		}
		t := tile{Name: fmt.Sprintf("pass@%d, B - A", k), Value: fmt.Sprintf("%+.2f", 100*p.Difference), Unit: "points", More: fmt.Sprintf("A %s %%, B %s %%", figure.Percent(p.A), figure.Percent(p.B))}
		if p.Like != nil {
			t.More += "; questions like these: " + span(p.Like.Interval)
		}
		out = append(out, t)
	}
	if len(out) > 3 {
		out = append(out[:1], out[len(out)-2:]...)
	}
	if n := len(v.Pair.Questions); n > 0 {
		out = append(out, tile{Name: "questions that surely changed", Value: figure.Count(v.Pair.Confirmed), Unit: "of " + figure.Count(n), More: "at most 5 % of them false on average"})
	}
	return out
}

// answers says what most readers ask of two results.
func (v *View) answers() []answer {
	var out []answer
	var lines []string
	over := "over all temperatures"
	if len(v.Pair.Temperatures) == 1 {
		over = "at T = " + figure.Temperature(v.Pair.Temperatures[0].Temperature)
	}
	for _, k := range v.ks() {
		p := v.contrast(k)
		if p == nil || p.These == nil || p.Like == nil || k > 1 && !p.Reliable {
			continue
		}
		line := fmt.Sprintf("pass@%d %s: %s. B - A is %+.2f points: %s on these questions, %s on questions like these", k, over, verdict(p), 100*p.Difference, span(p.These.Interval), span(p.Like.Interval))
		if p.Like.Contest != nil {
			line += fmt.Sprintf(", %s if questions of one contest are alike", span(*p.Like.Contest))
		}
		lines = append(lines, line+".")
	}
	if len(lines) > 0 {
		out = append(out, answer{"Which is better?", lines})
	}
	if n := len(v.Pair.Questions); n > 0 {
		better := 0
		for i := range v.Pair.Questions {
			if q := &v.Pair.Questions[i]; v.sure(q) && q.Difference > 0 {
				better++
			}
		}
		out = append(out, answer{"Which questions changed?", []string{fmt.Sprintf("%d of %d surely: %d for the better, %d for the worse. Of such a list at most 5 %% are false on average.", v.Pair.Confirmed, n, better, v.Pair.Confirmed-better)}})
	}
	text := "Nothing that the two folders say."
	if n := len(v.Differs); n > 0 {
		var what []string
		for _, d := range v.Differs {
			what = append(what, d.What)
		}
		text = strings.Join(what, ", ") + ". A difference in the numbers may come from each of these."
	}
	return append(out, answer{"What else differs?", []string{strings.ToUpper(text[:1]) + text[1:]}})
}

// verdict says what a contrast shows.
func verdict(p *curve.Contrast) string {
	side := func(low, high float64) string {
		switch {
		case low > 0:
			return "B"
		case high < 0:
			return "A"
		}
		return ""
	}
	these, like := side(p.These.Interval.Low, p.These.Interval.High), side(p.Like.Interval.Low, p.Like.Interval.High)
	switch {
	case like != "":
		return like + " is better"
	case these != "":
		return these + " is better on these questions; on others like them it is open"
	default:
		return "no difference is shown"
	}
}

// leagueAnswers says who leads and how surely.
func (v *View) leagueAnswers() []answer {
	var lines []string
	for i := range v.League.Tables {
		t := &v.League.Tables[i]
		if t.Questions == 0 {
			continue
		}
		var leaders []string
		for _, p := range t.Places {
			if p.MayLead {
				leaders = append(leaders, v.named(p.Sweep))
			}
		}
		first := t.Places[0]
		line := fmt.Sprintf("pass@%d: highest is %s with %s %%.", t.K, v.named(first.Sweep), figure.Percent(first.Value))
		if len(leaders) > 1 {
			line += " The best on questions like these is among " + strings.Join(leaders, "; ") + "."
		} else {
			line += " It is the best on questions like these too (" + v.level() + ")."
		}
		if !first.Reliable {
			line += " Little known."
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return nil
	}
	return []answer{{"Which is best?", lines}}
}

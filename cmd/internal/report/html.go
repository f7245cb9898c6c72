package report

import (
	"context"
	_ "embed" // the page's parts
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
	"github.com/lcbq/lcbq/cmd/internal/report/fact"
	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/report/frame"
	"github.com/lcbq/lcbq/worker/score/curve"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.js
	pageJS string
)

// page is what the template shows. Its texts are escaped by html/template; the
// drawings, escaped by package chart, and the blocks, which are base64, are not
// escaped again.
type page struct {
	Policy    string
	CSS       template.CSS
	JS        template.JS
	Title     string
	Scope     string
	Simulated bool
	Remarks   []string
	Tiles     []Tile
	Answers   []Answer
	Summary   *figure.Table
	Legend    string        // of the summary: of the signs that it has
	Audited   *figure.Table // without rows for a full time limit
	Figures   []shownFigure
	Questions []folder.Question
	Facts     []fact.Fact
	Version   string
	NoPace    bool // no chart of the throughput over time
	Blocks    []template.HTML
}

type shownFigure struct {
	frame.Shown
	Map *heatMap // in place of the drawings
}

// HTML writes the page: complete in itself, without a network. Its policy lets the
// browser run this page's own script and nothing else, whatever the programs in it
// say.
func (r *Report) HTML(ctx context.Context, w io.Writer) error {
	blocks, err := r.blocks(ctx)
	if err != nil {
		return err
	}
	css, js := frame.CSS(heatCSS()), frame.JS(pageJS)
	p := &page{
		CSS: template.CSS(css), JS: template.JS(js), Policy: frame.Policy(css, js),
		Title: r.Title(), Scope: r.Scope(), Simulated: r.Simulated, Remarks: r.Remarks(), Tiles: r.Tiles(), Summary: r.Summary().Filled(), Audited: r.Audited(), Answers: r.Answers(), Legend: legend(r.Summary()),
		Questions: r.Questions, Facts: fact.Of(r.Results), Version: r.opts.Version,
	}
	for _, b := range blocks {
		p.Blocks = append(p.Blocks, template.HTML(fmt.Sprintf(`<script type="text/plain" id="s%d">%s</script>`, b.Question, b.Data)))
	}
	if p.Figures, err = r.shownFigures(); err != nil {
		return err
	}
	p.NoPace = !slices.ContainsFunc(p.Figures, func(f shownFigure) bool { return f.Name == "pace" })
	t, err := frame.Template(pageHTML)
	if err != nil {
		return err
	}
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// legend explains the signs that a summary has, and no other.
func legend(t *figure.Table) string {
	like, zero, faint := false, false, false
	for _, row := range t.Rows {
		for _, f := range row {
			like = like || strings.Contains(f.Text, "–") && strings.Contains(f.Text, "(")
			zero = zero || strings.Contains(f.Text, "(<")
			faint = faint || f.Faint
		}
	}
	text := "In percent"
	switch {
	case like && zero:
		text += "; in brackets what other questions like these would give (95 %), or what 0 leaves room for"
	case like:
		text += "; in brackets what other questions like these would give (95 %)"
	case zero:
		text += "; in brackets what 0 leaves room for"
	}
	text += "."
	if faint {
		text += " Grey with ?: little known, by more than 2 points either way on these questions or from fewer than 2k samples."
	}
	return text
}

// heatCSS colours the fields of the map as the drawing does.
func heatCSS() string {
	var b strings.Builder
	for i := range chart.HeatSteps {
		fmt.Fprintf(&b, ".h%d{background:var(--%s);color:var(--%s)}", i, chart.Heat(i), chart.HeatText(i))
	}
	return b.String() + "\n"
}

func (r *Report) shownFigures() ([]shownFigure, error) {
	shown := map[string]bool{"summary": true}
	var out []shownFigure
	for _, f := range r.All() {
		s := shownFigure{Shown: frame.Shown{Figure: f}}
		tables := []*figure.Table{f.Table}
		switch f.Name {
		case "heat":
			s.Map, tables = r.heatMap(), nil // the map is its own table
			if t := r.Flips(); len(t.Rows) > 0 {
				tables = append(tables, t)
			}
		case "beyond":
			tables = nil // models are in no table
		case "verdicts":
			if t := r.Truncation(); len(t.Rows) > 0 {
				tables = append(tables, t)
			}
		case "month":
			tables = append(tables, r.Months())
		case "union":
			tables = append(tables, r.Solved())
			if t := r.Mixing(); len(t.Rows) > 0 {
				tables = append(tables, t)
			}
		}
		for _, t := range tables {
			if !shown[t.Name] {
				shown[t.Name] = true
				s.Tables = append(s.Tables, t.Filled())
			}
		}
		if s.Map == nil {
			var err error
			if s.Shown, err = frame.Show(f, s.Tables...); err != nil {
				return nil, err
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// A heatMap is the pass rate of every cell as a table.
type heatMap struct {
	Steps   []heatStep // those that occur
	Columns []string
	Folded  []string // the questions that are alike everywhere, in words
	Rows    []heatRow
}

type heatStep struct {
	Class int
	Name  string
}

type heatRow struct {
	Position int // among the report's questions
	Title    string
	Fields   []heatField
}

type heatField struct {
	Step           string // suffix of the class
	Text, Raw, Tip string
}

func (r *Report) heatMap() *heatMap {
	m := &heatMap{}
	for i, name := range figure.HeatSteps {
		if slices.ContainsFunc(r.Rows, func(row curve.Row) bool {
			return slices.ContainsFunc(row.N, func(n int) bool { return n > 0 }) && stepsOf(&row)[i]
		}) {
			m.Steps = append(m.Steps, heatStep{i, name})
		}
	}
	for _, t := range r.Temperatures {
		m.Columns = append(m.Columns, figure.Temperature(t))
	}
	at := make(map[int]int, len(r.Questions))
	for i, q := range r.Questions {
		at[q.Index] = i
	}
	rows := r.Ordered()
	rows, m.Folded = fold(rows)
	for _, row := range rows {
		h := heatRow{Position: at[row.Index], Title: row.Title}
		for i := range row.N {
			h.Fields = append(h.Fields, heatFieldOf(&row, i))
		}
		m.Rows = append(m.Rows, h)
	}
	return m
}

func heatFieldOf(row *curve.Row, i int) heatField {
	n, c := row.N[i], row.Passed[i]
	f := heatField{Step: "x none", Text: "–", Tip: figure.CellTip(n, c, row.Below[i])}
	if n == 0 {
		return f
	}
	rate := float64(c) / float64(n)
	f.Step, f.Raw = strconv.Itoa(figure.Step(n, c)), strconv.FormatFloat(rate, 'g', -1, 64)
	f.Text = brief(rate, n)
	if c == 0 {
		f.Text = "<" + brief(row.Below[i], 0)
	}
	return f
}

// stepsOf says which steps of the scale a row has.
func stepsOf(row *curve.Row) map[int]bool {
	out := make(map[int]bool)
	for i, n := range row.N {
		if n > 0 {
			out[figure.Step(n, row.Passed[i])] = true
		}
	}
	return out
}

// foldFrom is how many rows of one kind are folded into a line: they would push what differs
// out of sight.
const foldFrom = 5

// fold takes the questions that every sample passed, or none, out of the rows where they
// are many, and says them in words. The rows go from easy to hard.
func fold(rows []curve.Row) (rest []curve.Row, words []string) {
	for _, kind := range []struct {
		what string
		is   func(n, c int) bool
	}{
		{"every sample passed", func(n, c int) bool { return c == n }},
		{"no sample passed", func(_, c int) bool { return c == 0 }},
	} {
		alike := func(row curve.Row) bool {
			some := false
			for i, n := range row.N {
				if n > 0 {
					if some = true; !kind.is(n, row.Passed[i]) {
						return false
					}
				}
			}
			return some
		}
		count, samples := 0, 0
		for _, row := range rows {
			if alike(row) {
				count++
				total := 0
				for _, n := range row.N {
					total += n
				}
				samples = max(samples, total)
			}
		}
		if count >= foldFrom && count < len(rows) {
			rows = slices.DeleteFunc(slices.Clone(rows), alike)
			words = append(words, fmt.Sprintf("%d questions are not in the map: %s, of up to %s each.", count, kind.what, figure.Count(samples)))
		}
	}
	return rows, words
}

// brief writes a share of n samples in percent in at most four letters, with no more digits
// than n has; n = 0 is a bound. What is not all or nothing never reads so.
func brief(rate float64, n int) string {
	p := 100 * rate
	digits := 0
	if p < 9.95 && (n >= 1000 || n == 0) {
		digits = 1
	}
	text := strconv.FormatFloat(p, 'f', digits, 64)
	switch {
	case p == 0 || p == 100:
		return text
	case strings.Trim(text, "0.") == "":
		return strings.TrimPrefix(strconv.FormatFloat(p, 'f', 2, 64), "0")
	case text == "100":
		return ">99"
	}
	return text
}

package figure_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

func source(t interface {
	Helper()
	Fatal(...any)
}, s *curve.Sweep,
) *figure.Source {
	t.Helper()
	a, err := curve.Analyse(s, curve.Options{Rounds: 50})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := curve.Rows(s, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &figure.Source{Analysis: a, Rows: rows, Subject: "m", Speeds: make([]float64, len(s.Temperatures))}
}

func tables(s *figure.Source) []*figure.Table {
	return []*figure.Table{s.Summary(), s.Curves(), s.BestSets(), s.Standings(), s.Cells(), s.Verdicts(), s.Diversity(), s.Solved(), s.Union(), s.Splits(), s.Mixing(), s.Truncation(), s.Costs(), s.Flips()}
}

// TestEverySweepCanBeShown: whatever the counts, every chart is a document, every
// table a table, and nowhere is a number that is none.
func TestEverySweepCanBeShown(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := &curve.Sweep{}
		for i := range rapid.IntRange(1, 4).Draw(t, "temperatures") {
			s.Temperatures = append(s.Temperatures, float64(i)/4)
		}
		for q := range rapid.IntRange(1, 5).Draw(t, "questions") {
			x := curve.Question{Index: q, Title: rapid.String().Draw(t, "title"), Origin: stream.Origin{Difficulty: rapid.SampledFrom([]string{"", "easy", "hard"}).Draw(t, "difficulty")}}
			for range s.Temperatures {
				n := rapid.SampledFrom([]int{0, 1, 2, 9, 100, 10000}).Draw(t, "n")
				c := rapid.IntRange(0, n).Draw(t, "passed")
				x.Cells = append(x.Cells, stream.Counts{N: n, Passed: c, UniquePrograms: n / 2, UniquePassed: c / 2, Tokens: int64(n), Verdicts: map[stream.Verdict]int{stream.Passed: c, stream.WrongAnswer: n - c}})
			}
			s.Questions = append(s.Questions, x)
		}
		src := source(t, s)
		for i := range src.Speeds {
			src.Speeds[i] = rapid.Float64Range(0, 1e5).Draw(t, "speed")
		}
		for range rapid.IntRange(0, 5).Draw(t, "moments") {
			m := figure.Moment{Seconds: rapid.Float64Range(0, 1e6).Draw(t, "seconds"), Samples: rapid.IntRange(0, 1e7).Draw(t, "samples")}
			if n := len(src.Timeline); n > 0 {
				m.Seconds, m.Samples = m.Seconds+src.Timeline[n-1].Seconds, m.Samples+src.Timeline[n-1].Samples
			}
			src.Timeline = append(src.Timeline, m)
		}
		for _, f := range src.All() {
			for _, width := range []float64{1080, 358} {
				var b bytes.Buffer
				if err := f.Draw(width).File(&b); err != nil {
					t.Fatal(err)
				}
				sound(t, f.Name, b.String())
			}
			if f.Caption == "" || f.Title == "" || (f.Table == nil) != (f.Name == "beyond") {
				t.Fatalf("%s has no caption, title or table", f.Name)
			}
		}
		for _, table := range tables(src) {
			var b bytes.Buffer
			if err := table.CSV(&b); err != nil {
				t.Fatal(err)
			}
			rows, err := csv.NewReader(&b).ReadAll()
			if err != nil || len(rows) != len(table.Rows)+1 {
				t.Fatalf("%s: %d rows (%v), want %d", table.Name, len(rows), err, len(table.Rows)+1)
			}
			for _, row := range rows[1:] {
				for i, v := range row {
					if !table.Columns[i].Text && v != "" {
						if x, err := strconv.ParseFloat(v, 64); err != nil || x != x || x > 1e300 {
							t.Fatalf("%s: %s = %q, want a number", table.Name, table.Columns[i].Name, v)
						}
					}
				}
			}
		}
	})
}

func sound(t *rapid.T, name, text string) {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"NaN", "Inf"} {
		if i := strings.Index(text, bad); i >= 0 {
			t.Fatalf("%s: %s: %s", name, bad, text[max(0, i-100):i+3])
		}
	}
}

// grid is a sweep with the given passes of n by question and temperature.
func grid(n int, passed ...[]int) *curve.Sweep {
	s := &curve.Sweep{}
	for t := range passed[0] {
		s.Temperatures = append(s.Temperatures, float64(t+1)/10)
	}
	for q, row := range passed {
		x := curve.Question{Index: q, Title: "t" + strconv.Itoa(q)}
		for _, c := range row {
			x.Cells = append(x.Cells, stream.Counts{N: n, Passed: c, Verdicts: map[stream.Verdict]int{stream.Passed: c, stream.WrongAnswer: n - c}})
		}
		s.Questions = append(s.Questions, x)
	}
	return s
}

// TestNothingSolvedIsABound: zero of many is a rate below something.
func TestNothingSolvedIsABound(t *testing.T) {
	t.Parallel()
	s := source(t, grid(10_000, []int{0, 0}, []int{0, 0}))
	bound, err := score.UpperBound(10_000, 0, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	if tip := figure.CellTip(10_000, 0, bound); tip != "0 of 10,000 passed: the pass rate is below 0.03 %" {
		t.Errorf("tip %q", tip)
	}
	if got := s.Summary().Rows[0][1].Text; !strings.HasPrefix(got, "0 (<0.0") {
		t.Errorf("pass@1 of nothing solved reads %q", got)
	}
}

func TestOneTemperature(t *testing.T) {
	t.Parallel()
	s := source(t, grid(100, []int{3}, []int{80}))
	for _, f := range s.All() {
		switch f.Name {
		case "temperature", "bands", "best", "union", "diversity", "speed":
			t.Errorf("%s of one temperature", f.Name)
		}
	}
	if len(s.All()) < 3 {
		t.Errorf("only %d charts", len(s.All()))
	}
}

func TestPercent(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0: "0", 1: "100", 0.5: "50.0", 0.0171: "1.71", 0.0999: "9.99", 0.09996: "10.0", 0.0001: "0.01", 1e-6: "0.0001", 0.000951: "0.10",
		0.9994: "99.9", 0.99949: "99.9", 0.9996: "99.96", 0.999999: "99.99", 0.564: "56.4",
	} {
		if got := figure.Percent(v); got != want {
			t.Errorf("Percent(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 28_000_000: "28,000,000", -1234: "-1,234", -123: "-123"} {
		if got := figure.Count(n); got != want {
			t.Errorf("Count(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	s := source(t, grid(10, []int{1, 2, 3, 4, 5, 6}, []int{1, 2, 3, 4, 5, 6}))
	for want, set := range map[string][]float64{"0.1–0.3, 0.6": {0.1, 0.2, 0.3, 0.6}, "0.1, 0.2": {0.1, 0.2}, "0.4": {0.4}, "": nil, "0.1–0.6": {0.1, 0.2, 0.3, 0.4, 0.5, 0.6}} {
		if got := s.Set(set); got != want {
			t.Errorf("Set(%v) = %q, want %q", set, got, want)
		}
	}
}

func TestStep(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, c, want int }{{0, 0, -1}, {10, 0, 0}, {10, 10, 7}, {10_000, 1, 1}, {10_000, 99, 2}, {100, 9, 3}, {100, 49, 4}, {100, 50, 5}, {100, 99, 6}} {
		if got := figure.Step(c.n, c.c); got != c.want {
			t.Errorf("Step(%d, %d) = %d, want %d", c.n, c.c, got, c.want)
		}
	}
	if len(figure.HeatSteps) != 8 {
		t.Errorf("%d steps have names", len(figure.HeatSteps))
	}
}

// TestCSVIsNoFormula: a spreadsheet must not run a title.
func TestCSVIsNoFormula(t *testing.T) {
	t.Parallel()
	g := grid(10, []int{1})
	g.Questions[0].Title = `=HYPERLINK("http://evil","x")`
	var b bytes.Buffer
	if err := source(t, g).Cells().CSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := rows[1][2]; got != `'=HYPERLINK("http://evil","x")` {
		t.Errorf("title in CSV: %q", got)
	}
}

// TestMarkdownIsText: a title cannot break the table or bring markup.
func TestMarkdownIsText(t *testing.T) {
	t.Parallel()
	table := &figure.Table{Columns: []figure.Column{{Name: "a", Text: true}, {Name: "b"}}, Rows: [][]figure.Field{{{Text: "x | <b>y</b> [z](javascript:1)\nnew & `c`"}, {Text: "1", Faint: true}}}}
	var b strings.Builder
	if err := table.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	want := "| a | b |\n| :--- | ---: |\n| x \\| &lt;b&gt;y&lt;/b&gt; \\[z\\](javascript:1) new &amp; \\`c\\` | 1 ? |\n"
	if b.String() != want {
		t.Errorf("Markdown %q, want %q", b.String(), want)
	}
}

// TestHeadline: 5 stands in tables only where few other k do.
func TestHeadline(t *testing.T) {
	t.Parallel()
	for n, want := range map[int][]int{1: {1}, 100: {1, 5, 10, 100}, 1000: {1, 5, 10, 100, 1000}, 10_000: {1, 10, 100, 1000, 10_000}} {
		if got := source(t, grid(n, []int{0, 1})).Headline(); !slices.Equal(got, want) {
			t.Errorf("headline of %d samples: %v, want %v", n, got, want)
		}
	}
}

// TestFiguresAreNamed: the page links to each figure by its short name.
func TestFiguresAreNamed(t *testing.T) {
	t.Parallel()
	s := source(t, grid(100, []int{3, 50}, []int{0, 100}))
	seen := map[string]bool{}
	for _, f := range s.All() {
		if f.Short == "" || seen[f.Short] || f.Title == "" || f.Caption == "" {
			t.Errorf("figure %q has the short name %q, the title %q and the caption %q", f.Name, f.Short, f.Title, f.Caption)
		}
		seen[f.Short] = true
	}
}

// TestSummaryIsTheAnalysis: the table rounds for people and is exact for programs.
func TestSummaryIsTheAnalysis(t *testing.T) {
	t.Parallel()
	s := source(t, grid(1000, []int{3, 500}, []int{0, 1000}))
	sum := s.Summary()
	for i, x := range s.Analysis.Temperatures {
		for j, k := range s.Headline() {
			p := figure.At(x.Points, k)
			if got := sum.Rows[i][1+j]; got.Raw != strconv.FormatFloat(p.Value, 'g', -1, 64) || got.Faint == p.Reliable {
				t.Errorf("pass@%d at %v: %+v, want %v", k, x.Temperature, got, p.Value)
			}
		}
	}
}

// TestVariety: how many distinct programs passed for each question that is solved, in the table and in words. A question that
// is not solved does not count.
func TestVariety(t *testing.T) {
	t.Parallel()
	g := grid(10, []int{2, 8}, []int{4, 6}, []int{0, 0})
	for q, unique := range [][]int{{1, 5}, {2, 6}, {0, 0}} {
		for i := range unique {
			g.Questions[q].Cells[i].UniquePrograms, g.Questions[q].Cells[i].UniquePassed = 9, unique[i]
		}
	}
	s := source(t, g)
	for i, want := range []string{"1.5", "5.5"} {
		if got := s.Diversity().Rows[i][5].Text; got != want {
			t.Errorf("temperature %d: %s distinct programs a solved question, want %s", i, got, want)
		}
	}
	i := slices.IndexFunc(s.All(), func(f figure.Figure) bool { return f.Name == "diversity" })
	if i < 0 {
		t.Fatal("no diversity")
	}
	if caption := s.All()[i].Caption; !strings.HasSuffix(caption, " A question that is solved has 1.5 at T = 0.1 and 5.5 at T = 0.2 distinct programs that passed.") {
		t.Errorf("the caption is %q", caption)
	}
}

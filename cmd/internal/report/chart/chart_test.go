package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// hostile is text that would act if any of it came through unescaped.
const hostile = `</script><script>alert(1)</script>"' onload=alert(2) <svg/onload=alert(3)> ]]> &lt; ` + "\x00\xff\u2028"

// wellFormed fails unless text is XML whose elements are those of drawings, and
// whose numbers are numbers.
func wellFormed(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string,
) {
	t.Helper()
	known := []string{"svg", "title", "desc", "style", "rect", "path", "circle", "text"}
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%.500s", err, text)
		}
		if e, ok := token.(xml.StartElement); ok {
			if !slices.Contains(known, e.Name.Local) {
				t.Fatalf("element %s in a drawing", e.Name.Local)
			}
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Name.Local, "on") {
					t.Fatalf("attribute %s in a drawing", a.Name.Local)
				}
			}
		}
	}
	for _, bad := range []string{"NaN", "Inf"} {
		if strings.Contains(text, bad) {
			t.Fatalf("%s in a drawing", bad)
		}
	}
}

func write(t *testing.T, d *Drawing) (page, file string) {
	t.Helper()
	var a, b bytes.Buffer
	if err := d.SVG(&a, "id", "wide"); err != nil {
		t.Fatal(err)
	}
	if err := d.File(&b); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, a.String())
	wellFormed(t, b.String())
	return a.String(), b.String()
}

func someLine() Line {
	band := [2]float64{0.1, 0.4}
	return Line{
		Title: hostile, Desc: hostile, X: Axis{Label: hostile, Min: 0.1, Max: 1.6}, Y: Axis{Label: "pass@k", Max: 1, Percent: true},
		Series: []Track{
			{Name: "a" + hostile, Ink: Series(0), Marks: true, Values: []Value{{X: 0.1, Y: 0.2, Wide: &band, Narrow: &band, Tip: hostile}, {X: 1.6, Y: 0.3, Wide: &band, Faint: true}}},
			{Name: "b", Ink: Series(1), Mark: Square, Marks: true, Values: []Value{{X: 0.1, Y: 0.2}, {X: 1.6, Y: 0.3}}},
		},
		Wary: &Span{From: 1, To: 1.6, Text: hostile},
	}
}

func TestTextIsEscaped(t *testing.T) {
	t.Parallel()
	dots := Dots{Title: hostile, XLabel: hostile, YLabel: hostile, Columns: []string{hostile, "b"}, Rows: []Row{{Name: hostile, In: []bool{true, true}, Tips: []string{hostile, hostile}}}}
	bars := Bars{Title: hostile, XLabel: hostile, Categories: []string{hostile}, Parts: []Part{{Name: hostile, Ink: Class(0), Shares: []float64{1}, Tips: []string{hostile}}}}
	heat := Matrix{Title: hostile, XLabel: hostile, Columns: []string{hostile}, Steps: []string{hostile}, Rows: []Strip{{Name: hostile, Fields: []int{3}, Tips: []string{hostile}}}}
	panels := Panels{Title: hostile, Charts: []Line{someLine(), someLine()}, Narrowest: 100, Height: 200}
	for name, d := range map[string]*Drawing{"line": someLine().Draw(600, 300), "dots": dots.Draw(400), "bars": bars.Draw(300, 250), "heat": heat.Draw(500), "panels": panels.Draw(500)} {
		page, file := write(t, d)
		for _, text := range []string{page, file} {
			if strings.Contains(text, "<script") || strings.Contains(text, "</script") {
				t.Errorf("%s: a script element came through", name)
			}
		}
		if !strings.Contains(page, "&lt;/script&gt;") {
			t.Errorf("%s: the text itself is gone", name)
		}
	}
}

// TestMarksDiffer: series must be told apart without colour.
func TestMarksDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[string]Mark)
	for m := Circle; m <= Hollow; m++ {
		var b strings.Builder
		shape{kind: kindDot, ink: Text, points: []Point{{10, 10}}, size: 4, mark: m}.svg(&b)
		if other, ok := seen[b.String()]; ok {
			t.Errorf("marks %d and %d look the same", m, other)
		}
		seen[b.String()] = m
	}
}

func TestPNG(t *testing.T) {
	t.Parallel()
	d := someLine().Draw(600, 300)
	var buf bytes.Buffer
	if err := d.PNG(&buf, 2); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if b := img.Bounds(); b.Dx() != 2*(600+24) || b.Dy() != 2*(300+46) {
		t.Errorf("image of %v, want twice the drawing with its margins", b)
	}
	// The first series runs through the middle of the field in its own ink.
	want := parse(series[0].light)
	found := false
	for x := range img.Bounds().Dx() {
		for y := range img.Bounds().Dy() {
			r, g, b, _ := img.At(x, y).RGBA()
			found = found || uint8(r>>8) == want.R && uint8(g>>8) == want.G && uint8(b>>8) == want.B
		}
	}
	if !found {
		t.Error("no point of the first series' colour in the image")
	}
}

func TestTicks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		axis Axis
		want string
	}{
		{Axis{Max: 1, Percent: true}, "0% 20% 40% 60% 80% 100%"},
		{Axis{Max: 0.03, Percent: true}, "0% 1% 2% 3%"},
		{Axis{Max: 0.0004, Percent: true}, "0.00% 0.01% 0.02% 0.03% 0.04%"},
		{Axis{Max: 100}, "0 20 40 60 80 100"},
		{Axis{Min: 1, Max: 10000, Log: true}, "1 10 100 1k 10k"},
		{Axis{Min: 16, Max: 16000, Log: true}, "100 1k 10k"},
		{Axis{Min: 1, Max: 89, Log: true}, "1 2 5 10 20 50"},
		{Axis{Min: 16, Max: 160, Log: true}, "20 50 100"},
		{Axis{Min: 5, Max: 5}, "5"},
	} {
		var got []string
		for _, tick := range c.axis.ticks() {
			got = append(got, tick.Text)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("ticks of %v to %v: %s, want %s", c.axis.Min, c.axis.Max, text, c.want)
		}
	}
}

func TestFromZero(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ highest, limit, want float64 }{
		{0.97, 1, 1}, {0.021, 1, 0.025}, {0, 1, 1}, {0, 0, 1}, {math.NaN(), 1, 1}, {math.Inf(1), 0, 1}, {2800, 0, 3000}, {1, 1, 1},
	} {
		if low, high := FromZero(c.highest, c.limit); low != 0 || math.Abs(high-c.want) > 1e-12 {
			t.Errorf("FromZero(%v, %v) = %v, %v, want 0, %v", c.highest, c.limit, low, high, c.want)
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{0: "0", 950: "950", 1000: "1k", 2500: "2.5k", 28e6: "28M", 0.25: "0.25"} {
		if got := Number(x); got != want {
			t.Errorf("Number(%v) = %s, want %s", x, got, want)
		}
	}
}

// TestApart: labels keep their distance and their order, and stay in the field.
func TestApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.SliceOfN(rapid.Float64Range(0, 300), 1, 20).Draw(t, "at")
		slices.Sort(at)
		apart(at, 14, 0, 300)
		for i := range at {
			if at[i] > 300 || at[i] < -1e-9 || i > 0 && at[i]-at[i-1] < 14-1e-9 {
				t.Fatalf("positions %v", at)
			}
		}
	})
}

// TestDashesMarkWhatIsFaint: the line is solid up to the last certain value.
func TestDashesMarkWhatIsFaint(t *testing.T) {
	t.Parallel()
	c := Line{X: Axis{Min: 0, Max: 3}, Y: Axis{Max: 1}, Series: []Track{{Ink: Series(0), Values: []Value{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 2, Y: 0, Faint: true}, {X: 3, Y: 0, Faint: true}}}}}
	var solid, dashed []int
	for _, s := range c.Draw(300, 200).shapes {
		if s.ink == Series(0) && s.kind == kindLine {
			if s.dashed {
				dashed = append(dashed, len(s.points))
			} else {
				solid = append(solid, len(s.points))
			}
		}
	}
	if !slices.Equal(solid, []int{2}) || !slices.Equal(dashed, []int{3}) {
		t.Errorf("solid runs of %v points, dashed of %v, want [2] and [3]", solid, dashed)
	}
}

// TestPanels: the rows are even, and nothing is beyond the width.
func TestPanels(t *testing.T) {
	t.Parallel()
	p := Panels{Charts: []Line{someLine(), someLine(), someLine(), someLine()}, Narrowest: 160, Height: 200}
	for width, rows := range map[float64]float64{1080: 1, 600: 2, 358: 2, 200: 4} {
		d := p.Draw(width)
		if want := rows*200 + (rows-1)*11; d.H != want {
			t.Errorf("height %v at width %v, want %v for %v rows", d.H, width, want, rows)
		}
		columns := make(map[float64]bool)
		for _, s := range d.shapes {
			if s.text == "pass@k" {
				columns[s.points[0].X] = true
			}
		}
		if float64(len(columns))*rows != 4 {
			t.Errorf("%d columns in %v rows at width %v: 4 panels leave a gap", len(columns), rows, width)
		}
		for _, s := range d.shapes {
			for _, q := range s.points {
				if q.X < 0 || q.X > width {
					t.Fatalf("a shape at x = %v of %v", q.X, width)
				}
			}
		}
	}
}

// TestPalette: every ink has both tones, and text on the map stands out.
func TestPalette(t *testing.T) {
	t.Parallel()
	order, tones := palette()
	if len(order) != len(tones) {
		t.Fatalf("%d inks, %d tones", len(order), len(tones))
	}
	for _, theme := range []func(tone) string{func(x tone) string { return x.light }, func(x tone) string { return x.dark }} {
		paper := theme(tones[Paper])
		for _, ink := range []Ink{Text, Muted, Accent, Series(0), Series(1), Series(2), Series(3), Series(4), Series(5)} {
			if c := contrast(theme(tones[ink]), paper); c < 4.5 {
				t.Errorf("%s on paper has contrast %.2f, want 4.5", ink, c)
			}
		}
		for i := range HeatSteps {
			if c := contrast(theme(tones[HeatText(i)]), theme(tones[Heat(i)])); c < 4.5 {
				t.Errorf("text on %s has contrast %.2f, want 4.5", Heat(i), c)
			}
		}
	}
}

// contrast is WCAG's ratio.
func contrast(a, b string) float64 {
	light := func(s string) float64 {
		c := parse(s)
		f := func(v uint8) float64 {
			x := float64(v) / 255
			if x <= 0.04045 {
				return x / 12.92
			}
			return math.Pow((x+0.055)/1.055, 2.4)
		}
		return 0.2126*f(c.R) + 0.7152*f(c.G) + 0.0722*f(c.B)
	}
	x, y := light(a), light(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

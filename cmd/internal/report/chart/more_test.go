package chart

import (
	"math"
	"slices"
	"testing"
)

// TestFormsOfComparison: each form stays within its width, is well-formed whatever its texts
// hold, and says in a tip what a mark stands for.
func TestFormsOfComparison(t *testing.T) {
	t.Parallel()
	share := Axis{Label: hostile, Percent: true, Min: 0, Max: 1}
	for name, draw := range map[string]func(w float64) *Drawing{
		"scatter": Scatter{Title: hostile, Desc: hostile, X: share, Y: share, Spots: []Spot{{X: 0, Y: 1, Ink: Series(0), Tip: "tip"}, {X: 0.5, Y: 0.5, Ink: Muted, Faint: true, Size: 9, Mark: Square}}}.Draw,
		"forest":  Forest{Title: hostile, X: share, Rows: []Estimate{{Name: hostile, Value: 0.4, Wide: &[2]float64{0.2, 0.9}, Ink: Series(0), Tip: "tip"}, {Name: "b", Value: 1, Faint: true}}}.Draw,
		"grid":    Pairs{Title: hostile, Columns: []string{hostile, "B"}, Most: 3, Rows: []PairRow{{Name: hostile, Fields: []PairField{{Blank: true}, {Value: -3, Text: "-3.0", Sure: true, Tip: "tip"}}}, {Name: "B", Fields: []PairField{{Value: 0.1, Text: "+0.1"}, {Blank: true}}}}}.Draw,
		"zero":    func(w float64) *Drawing { return Line{X: share, Y: Axis{Min: -1, Max: 1}, Zero: true}.Draw(w, 200) },
	} {
		for _, w := range []float64{358, 520, 1080} {
			d := draw(w)
			page, file := write(t, d)
			wellFormed(t, page)
			wellFormed(t, file)
			if d.H <= 0 || d.W != w {
				t.Errorf("%s at %v: %v by %v", name, w, d.W, d.H)
			}
			tips := 0
			for _, s := range d.shapes {
				for _, p := range s.points {
					if p.X < -1 || p.X > w+1 || p.Y < -1 || p.Y > d.H+1 {
						t.Errorf("%s at %v: a shape at %v, %v is outside %v by %v", name, w, p.X, p.Y, d.W, d.H)
					}
				}
				if s.tip == "tip" {
					tips++
				}
			}
			if tips == 0 && name != "zero" {
				t.Errorf("%s at %v: no tip", name, w)
			}
		}
	}
}

// TestPairsColourWhatIsSure: a field that is not sure has no colour of its own.
func TestPairsColourWhatIsSure(t *testing.T) {
	t.Parallel()
	inks := func(sure bool, v float64) (out []Ink) {
		for _, s := range (Pairs{Columns: []string{"A"}, Most: 5, Rows: []PairRow{{Name: "B", Fields: []PairField{{Value: v, Sure: sure, Text: "x"}}}}}).Draw(400).shapes {
			if s.kind == kindArea {
				out = append(out, s.ink)
			}
		}
		return out
	}
	if got := inks(false, 5); !slices.Equal(got, []Ink{Shade}) {
		t.Errorf("not sure: %v", got)
	}
	if got := inks(true, 5); !slices.Equal(got, []Ink{Shade, Series(0)}) {
		t.Errorf("better: %v", got)
	}
	if got := inks(true, -5); !slices.Equal(got, []Ink{Shade, Series(1)}) {
		t.Errorf("worse: %v", got)
	}
}

func TestAround(t *testing.T) {
	t.Parallel()
	for _, x := range [][4]float64{{0, 0, -1, 1}, {-0.4, 3.2, -1, 4}, {2, 7, 0, 8}, {-7, -2, -8, 0}, {math.Inf(-1), 1, -1, 1}} {
		if low, high := Around(x[0], x[1]); low != x[2] || high != x[3] {
			t.Errorf("Around(%v, %v) = %v, %v, want %v, %v", x[0], x[1], low, high, x[2], x[3])
		}
	}
}

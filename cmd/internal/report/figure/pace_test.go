package figure_test

import (
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/lcbq/lcbq/cmd/internal/report/figure"
)

// TestPace: a run that did 100 samples in its first ten seconds, nothing in the
// next ten, and 300 in the last ten. The sum never falls, and the last cell, in which
// most of the samples end, does not read as a burst.
func TestPace(t *testing.T) {
	t.Parallel()
	s := source(t, grid(100, []int{3, 5}, []int{80, 90}))
	for _, f := range s.All() {
		if f.Name == "pace" {
			t.Error("a pace although no time is known")
		}
	}
	s.Timeline = []figure.Moment{{10, 100}, {20, 100}, {30, 400}}
	i := slices.IndexFunc(s.All(), func(f figure.Figure) bool { return f.Name == "pace" })
	if i < 0 {
		t.Fatal("no pace")
	}
	for j, row := range s.All()[i].Table.Rows {
		var got []float64
		for _, f := range row {
			v, err := strconv.ParseFloat(f.Value(), 64)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, v)
		}
		if want := [][]float64{{10, 100, 10}, {20, 100, 5}, {30, 400, 40.0 / 3}}[j]; !slices.EqualFunc(got, want, func(x, y float64) bool { return math.Abs(x-y) < 1e-9 }) {
			t.Errorf("row %d: seconds, samples and samples a second %v, want %v", j, got, want)
		}
	}
	if n := len(s.All()[i].Table.Rows); n != 3 {
		t.Errorf("%d rows, want one a cell", n)
	}
	s.Timeline = []figure.Moment{{0, 5}, {0, 9}} // all at once
	if slices.ContainsFunc(s.All(), func(f figure.Figure) bool { return f.Name == "pace" }) {
		t.Error("a pace of no time")
	}
}

package figure_test

import (
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/lcbq/lcbq/cmd/internal/report/figure"
)

// TestPace: a run that did 100 samples in its first ten seconds, nothing in the
// next ten, and 300 in the last ten.
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
	var got []float64
	for _, row := range s.All()[i].Table.Rows {
		v, err := strconv.ParseFloat(row[1].Value(), 64)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	for j, want := range []float64{10, 0, 30} {
		if len(got) != 3 || math.Abs(got[j]-want) > 1e-9 {
			t.Fatalf("samples per second %v, want 10, 0, 30", got)
		}
	}
	s.Timeline = []figure.Moment{{0, 5}, {0, 9}} // all at once
	if slices.ContainsFunc(s.All(), func(f figure.Figure) bool { return f.Name == "pace" }) {
		t.Error("a pace of no time")
	}
}

package cli

import (
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/score"
)

// TestFolded: a list of all temperatures fits a terminal of 80 columns, and none is lost.
func TestFolded(t *testing.T) {
	t.Parallel()
	words := decimals([]float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.5, 1.7, 2})
	got := folded("  on questions like these, among", words)
	for line := range strings.SplitSeq(got, "\n") {
		if len(line) > 80 {
			t.Errorf("%q has %d columns, want at most 80", line, len(line))
		}
	}
	if want := "  on questions like these, among " + strings.Join(words, " "); strings.Join(strings.Fields(got), " ") != strings.TrimSpace(want) {
		t.Errorf("folded = %q, want the words of %q", got, want)
	}
}

// TestArms: what is lopsided is not said to reach as far on both sides.
func TestArms(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		value float64
		i     score.Interval
		want  string
	}{
		{0.5, score.Interval{Low: 0.4, High: 0.6}, "10.00"},
		{0.5, score.Interval{Low: 0.41, High: 0.61}, "10.00"},
		{0, score.Interval{Low: 0, High: 0.168}, "-0.0/+16.8"},
		{1, score.Interval{Low: 0.98, High: 1}, "-2.0/+0.0"},
	} {
		if got := arms(x.value, x.i); got != x.want {
			t.Errorf("%v in %v: %q, want %q", x.value, x.i, got, x.want)
		}
	}
}

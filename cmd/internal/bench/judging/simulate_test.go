package judging

import (
	"math"
	"slices"
	"testing"
)

// TestSimulate wants a simulated sweep to come to what is worked out for it, and hard questions to make samples wait
// even where slots keep up on average.
func TestSimulate(t *testing.T) {
	t.Parallel()
	s := Sweep{Questions: 100, Temperatures: 4, N: 250, Distinct: 0.7, Timeouts: 0.025, Fast: 0.008, Endless: 7.6, Limit: 6, Slots: 16, Generated: 1000}
	p := Of(s)
	r, ok := Simulate(s, s.Slots)
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got/want-1) > 0.06 { // 1,750 time-outs are drawn
			t.Errorf("%s = %v, worked out %v", what, got, want)
		}
	}
	if !ok {
		t.Fatal("a small sweep is not simulated")
	}
	near("hours", r.Hours, p.WallHours)
	near("lag", r.LagHours, p.LagHours)
	near("peak", r.Peak, p.Backlog)
	near("peak's hour", r.PeakAt, p.GenerateHours)
	if r.Busy < 0.98 || r.Busy > 1 {
		t.Errorf("slots that fall behind are busy for %v of the time", r.Busy)
	}
	if again, _ := Simulate(s, s.Slots); again != r {
		t.Errorf("simulated again it is %+v, not %+v", again, r)
	}
	enough, _ := Simulate(s, p.SlotsToKeepUp)
	plenty, _ := Simulate(s, 10*p.SlotsToKeepUp)
	if of := Of(Sweep{Questions: 100, Temperatures: 4, N: 250, Distinct: 0.7, Timeouts: 0.025, Fast: 0.008, Endless: 7.6, Limit: 6, Slots: p.SlotsToKeepUp, Generated: 1000}); of.Backlog != 0 || enough.Peak < 1000 || enough.Peak > r.Peak/2 {
		t.Errorf("with slots that keep up on average %v samples wait, worked out %v: hard questions come in a row", enough.Peak, of.Backlog)
	}
	if plenty.Peak > 1 || plenty.LagHours*3600 > s.Endless {
		t.Errorf("with plenty of slots %v samples wait, want none, and the last for %v s", plenty.Peak, plenty.LagHours*3600)
	}
	for name, s := range map[string]Sweep{
		"more copies than there is time for":  {Questions: 1e6, Temperatures: 16, N: 1e4, Distinct: 1e-9, Generated: 1},
		"more slots than there is memory for": {Questions: 1, Temperatures: 1, N: 1, Distinct: 1, Fast: 1, Endless: 86400, Slots: 1, Generated: 1e9},
	} {
		if _, ok := Simulate(s, Of(s).SlotsToKeepUp); ok {
			t.Errorf("%s: simulated", name)
		}
	}
	if _, ok := Simulate(Sweep{Questions: 1e6, Temperatures: 16, N: 1e4, Distinct: 1, Generated: 1}, 1); ok {
		t.Error("a sweep of years is simulated")
	}
	s.Generated = 0
	if _, ok := Simulate(s, 1); ok {
		t.Error("a sweep without a pace is simulated")
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	c := clock{1, 2, 5, 3, 9}
	var out []float64
	for _, later := range []float64{4, 10, 11, 12, 13} {
		out = append(out, c[0])
		c.replace(later)
	}
	if want := []float64{1, 2, 3, 4, 5}; !slices.Equal(out, want) {
		t.Errorf("times come as %v, want %v", out, want)
	}
}

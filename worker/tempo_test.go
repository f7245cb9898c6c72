package worker

import (
	"math"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/store"
)

// TestTempo counts two units a second of one run for an hour of a simulated clock, none for ten minutes, and some of another run.
func TestTempo(t *testing.T) {
	t.Parallel()
	var p tempo
	now := time.Unix(1_800_000_005, 0)
	near := func(what string, got []store.RunRate, run string, minute, quarter float64) {
		t.Helper()
		for _, r := range got {
			if r.Run == run && math.Abs(r.Minute-minute) < 0.4 && math.Abs(r.Quarter-quarter) < 0.1 {
				return
			}
		}
		t.Errorf("%s: %+v, want %v and %v of %s", what, got, minute, quarter, run)
	}
	p.count("a", now)
	if got := p.rates(now); len(got) != 1 || got[0].Minute > 1 {
		t.Errorf("one unit just now is %+v", got)
	}
	second := func(seconds, units int) {
		for range seconds {
			now = now.Add(time.Second)
			for range units {
				p.count("a", now)
			}
		}
	}
	second(20, 2)
	near("20 s after the first", p.rates(now), "a", 2, 2)
	second(3600, 2)
	near("an hour later", p.rates(now), "a", 2, 2)
	second(30, 10)
	near("30 s of 10 a second", p.rates(now), "a", 6, (870*2+300)/900.)
	now = now.Add(-time.Hour) // the clock is set back
	p.count("a", now)
	now = now.Add(time.Hour + 10*time.Minute)
	near("ten minutes of nothing", p.rates(now), "a", 0, (270*2+300)/900.)
	p.count("b", now)
	if got := p.rates(now); len(got) != 2 || got[0].Run != "a" || got[1].Run != "b" {
		t.Errorf("two runs are %+v", got)
	}
	now = now.Add(14 * time.Minute)
	if got := p.rates(now); len(got) != 1 || got[0].Run != "b" {
		t.Errorf("a run of a quarter of an hour ago is not forgotten: %+v", got)
	}
	if now = now.Add(100 * time.Hour); len(p.rates(now)) != 0 {
		t.Error("rates of four days ago")
	}
}

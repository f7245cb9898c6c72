package worker

import (
	"math"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/store"
)

// TestLately has a worker of four slots, later eight, judge two samples a second for 20 minutes of a simulated clock, wait a
// minute for units, and be stopped for an hour.
func TestLately(t *testing.T) {
	t.Parallel()
	var l lately
	now := time.Now()
	want := func(what string, window int, want store.Lately) {
		t.Helper()
		all := l.windows(now)
		if len(all) != 2 {
			t.Fatalf("%s: %+v", what, all)
		}
		near := func(a, b float64) bool { return math.Abs(a-b) <= 0.03*b+0.5 }
		if got := all[window]; !near(got.Seconds, want.Seconds) || !near(got.Slots, want.Slots) || !near(float64(got.Samples), float64(want.Samples)) || !near(got.CPU, want.CPU) || !near(got.Starved, want.Starved) {
			t.Errorf("%s: %+v, want about %+v", what, got, want)
		}
	}
	l.has(4, now)
	l.wants(true, now)
	now = now.Add(time.Hour)
	if got := l.windows(now); got != nil {
		t.Errorf("before the first unit: %+v", got)
	}
	l.wants(false, now)
	judge := func(seconds int) {
		for range 2 * seconds {
			now = now.Add(500 * time.Millisecond)
			l.judged(.25, now)
		}
	}
	judge(60)
	want("a minute", 0, store.Lately{Seconds: 60, Slots: 240, Samples: 120, CPU: 30})
	want("a minute", 1, store.Lately{Seconds: 60, Slots: 240, Samples: 120, CPU: 30})
	judge(1140)
	l.windows(now)
	want("20 minutes", 0, store.Lately{Seconds: 120, Slots: 480, Samples: 240, CPU: 60})
	want("20 minutes", 1, store.Lately{Seconds: 890, Slots: 3560, Samples: 1780, CPU: 445})
	l.has(8, now)
	judge(60)
	want("a minute of 8 slots", 0, store.Lately{Seconds: 120, Slots: 720, Samples: 240, CPU: 60})
	l.wants(true, now)
	for range 6 {
		now = now.Add(10 * time.Second)
		l.windows(now)
	}
	want("a minute without units", 0, store.Lately{Seconds: 120, Slots: 960, Samples: 120, CPU: 30, Starved: 60})
	l.wants(false, now)
	now = now.Add(time.Hour)
	want("an hour of nothing", 0, store.Lately{Seconds: 20, Slots: 160})
}

// TestLatelyExactly: time counts by what held while it went by, a window has no step twice, and a moment that comes late, as
// from another goroutine, costs nothing.
func TestLatelyExactly(t *testing.T) {
	t.Parallel()
	began := time.Now()
	at := func(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }
	var l lately
	l.has(4, at(-5))
	l.judged(9, at(-5)) // of nobody's unit
	l.wants(false, at(0))
	l.wants(true, at(10))
	l.wants(false, at(15))
	l.has(8, at(20))
	if got, want := l.windows(at(25)), (store.Lately{Seconds: 25, Slots: 120, Starved: 5}); got[0] != want || got[1] != want {
		t.Errorf("25 seconds: %+v, want %+v", got, want)
	}
	l.judged(1, at(31))
	l.judged(2, at(29))
	if got, want := l.windows(at(35)), (store.Lately{Seconds: 35, Slots: 200, Starved: 5, Samples: 2, CPU: 3}); got[0] != want || got[1] != want {
		t.Errorf("35 seconds: %+v, want %+v", got, want)
	}
	for s := 36.; s <= 1005; s++ {
		l.judged(1, at(s))
	}
	if got := l.windows(at(1005)); got[0].Seconds != 126 || got[1].Seconds != 896 || got[0].Samples != 126 || got[1].Samples != 896 {
		t.Errorf("1,005 seconds: %+v, want the last 12 and 89 steps and what there is of the newest, and a sample of each second", got)
	}
}

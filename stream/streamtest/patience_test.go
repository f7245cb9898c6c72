package streamtest_test

import (
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

func TestPatience(t *testing.T) {
	t.Parallel()
	if wait := patience.Begin(time.Hour); wait.Over() {
		t.Error("a wait of an hour is over at once")
	}
	if wait := patience.Begin(0); !wait.Over() {
		t.Error("a wait of no time is not over")
	}
	late := make(chan struct{})
	stop := patience.After(time.Millisecond, func() { close(late) })
	<-late
	stop()
	stop = patience.After(time.Hour, func() { t.Error("stopped, and called all the same") })
	stop()
	stop()
	ctx, cancel := patience.Context(t.Context(), time.Millisecond)
	<-ctx.Done()
	cancel()
	ctx, cancel = patience.Context(t.Context(), time.Hour)
	if err := ctx.Err(); err != nil {
		t.Errorf("a context of an hour: %v", err)
	}
	cancel()
	if ctx.Err() == nil {
		t.Error("a cancelled context goes on")
	}
	for text, want := range map[string]float64{
		"0.50 0.10 0.20 3/146 123": 3, "7.25 0.10 0.20 2/146 123\n": 7.25, "": 0, "1.00 0.10": 0, "x y z 4/5 1": 4,
	} {
		if got := patience.Wanting(text); got != want {
			t.Errorf("Wanting(%q) = %v, want %v", text, got, want)
		}
	}
	if d := patience.Longest(time.Second); d < patience.Now(time.Second)/4 || d < 10*time.Second { // under the race detector Now is four times as long
		t.Errorf("a second may last %v at most", d)
	}
	if d := patience.Now(time.Second); d < time.Second || d > 2*time.Minute {
		t.Errorf("a second may last %v, want that or more, not without bounds", d)
	}
}

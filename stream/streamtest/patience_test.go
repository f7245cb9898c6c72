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
	if d := patience.Now(time.Second); d < time.Second || d > 2*time.Minute {
		t.Errorf("a second may last %v, want that or more, not without bounds", d)
	}
}

package streamtest

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
)

// A wait that is broken fails after basePatience on a quiet machine. What the machine
// does beside the test makes it longer, and so does the race detector: no verdict
// depends on the load.
const (
	basePatience = 10 * time.Second
	racePatience = 4 // times as long
	mostPatience = 5 * time.Minute
)

// Patience returns how long a wait of a test may take before it counts as broken, at
// the present load of the machine.
func Patience() time.Duration {
	d := basePatience
	if raceEnabled {
		d *= racePatience
	}
	return min(time.Duration(float64(d)*max(1, load())), mostPatience)
}

// load returns how many processes want each processor, 0 where the system does not say.
func load() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	n, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return n / float64(runtime.NumCPU())
}

// WaitFor waits until ok reports true. It fails the test when that takes longer than
// Patience, or when ok returns an error; what says in its message what was waited for.
func WaitFor(tb testing.TB, what string, ok func(ctx context.Context) (bool, error)) {
	tb.Helper()
	patience := Patience()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok(ctx)
		if done && err == nil {
			return
		}
		if ctx.Err() != nil {
			tb.Fatalf("wait for %s: still not after %v", what, patience.Round(time.Second))
		}
		if err != nil {
			tb.Fatalf("wait for %s: %v", what, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// WaitEmpty waits until the stage's stream holds no message.
func (e *Env) WaitEmpty(tb testing.TB, stage stream.Stage) {
	tb.Helper()
	WaitFor(tb, stage.Stream()+" to be empty", func(ctx context.Context) (bool, error) {
		lag, err := e.Queue.Lag(ctx, stage)
		return lag.Stored == 0, err
	})
}

// Receive returns what c yields. It fails the test when nothing comes within Patience.
func Receive[T any](tb testing.TB, what string, c <-chan T) T {
	tb.Helper()
	patience := Patience()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case v := <-c:
		return v
	case <-t.C:
		tb.Fatalf("wait for %s: still not after %v", what, patience.Round(time.Second))
		panic("unreachable: Fatalf ends the goroutine")
	}
}

// Package patience says how long the waits of tests may last: no verdict depends on what the machine
// does beside the test.
package patience

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Base is how long a wait may last on a quiet machine unless its test has a reason for another time.
const Base = 10 * time.Second

const (
	raced = 4  // times as long under the race detector
	most  = 30 // times as long at any load
)

// Now returns for how long a wait of d, on a quiet machine, may last at the present load.
func Now(d time.Duration) time.Duration {
	times := max(1, load())
	if raceEnabled {
		times *= raced
	}
	return time.Duration(float64(d) * min(times, most))
}

// load returns how many processes want each processor, 0 where the system does not say.
func load() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	return Wanting(string(text)) / float64(runtime.NumCPU())
}

// Wanting returns how many processes want a processor by the text of /proc/loadavg: the mean of the last minute, or the number of this moment
// where that is higher. The mean is late for what has just begun, and has those that wait for a disk too.
func Wanting(loadavg string) float64 {
	fields := strings.Fields(loadavg)
	if len(fields) < 4 {
		return 0
	}
	n := 0.0
	now, _, _ := strings.Cut(fields[3], "/")
	for _, text := range []string{fields[0], now} {
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			n = max(n, f)
		}
	}
	return n
}

// A Wait has begun. The load that counts is the one at its end: it may have come since.
type Wait struct {
	began time.Time
	d     time.Duration
}

// Begin begins a wait of d on a quiet machine.
func Begin(d time.Duration) Wait { return Wait{time.Now(), d} }

// Over reports whether the wait has lasted too long.
func (w Wait) Over() bool { return w.left() <= 0 }

func (w Wait) left() time.Duration { return Now(w.d) - time.Since(w.began) }

// After calls f in a goroutine of its own when a wait of d, on a quiet machine, has lasted too long.
func After(d time.Duration, f func()) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for w := Begin(d); ; {
			left := w.left()
			if left <= 0 {
				f()
				return
			}
			timer := time.NewTimer(left)
			select {
			case <-timer.C:
			case <-done:
				timer.Stop()
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-stopped
	})
}

// Context returns one that ends when a wait of d, on a quiet machine, has lasted too long. Its deadline, which some
// want to know at the beginning, is the last that it can have.
func Context(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(parent, Longest(d))
	stop := After(d, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// Longest is how long a wait of d, on a quiet machine, may last at any load: for a limit that cannot be moved later.
func Longest(d time.Duration) time.Duration { return d * most }

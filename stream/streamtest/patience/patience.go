// Package patience says how long the waits of tests may last: no verdict depends on what the machine
// does beside the test.
package patience

import (
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
	first, _, _ := strings.Cut(string(text), " ")
	n, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return n / float64(runtime.NumCPU())
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

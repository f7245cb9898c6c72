package worker

import (
	"testing"
	"time"
)

// TestRetryPauseGrows: a fault that a second cures costs a second, one that lasts is not
// asked about a thousand times.
func TestRetryPauseGrows(t *testing.T) {
	t.Parallel()
	for deliveries, want := range map[uint64]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 6: 32 * time.Second, 7: time.Minute, 12: time.Minute, 1 << 60: time.Minute,
	} {
		if got := retryPause(deliveries); got != want {
			t.Errorf("retryPause(%d) = %v, want %v", deliveries, got, want)
		}
	}
}

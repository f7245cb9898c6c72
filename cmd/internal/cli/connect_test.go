package cli

import "testing"

func TestReconnectDelay(t *testing.T) {
	t.Parallel()
	seen := make(map[int64]bool)
	for attempt := range 100 {
		for range 20 {
			d := reconnectDelay(attempt)
			if d < firstDelay/2 || d > mostDelay || attempt <= 1 && d > firstDelay || attempt > 10 && d < mostDelay/2 {
				t.Fatalf("delay before attempt %d = %v", attempt, d)
			}
			seen[int64(d)] = true
		}
	}
	if len(seen) < 1000 {
		t.Errorf("%d distinct delays of 2000: workers would come back in step", len(seen))
	}
}

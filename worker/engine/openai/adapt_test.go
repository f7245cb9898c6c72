package openai

import "testing"

func TestAdapted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		l, before Load
		now, want int
	}{
		{"all that we send runs", Load{Running: 100}, Load{}, 100, 125},
		{"up to the most", Load{Running: 190}, Load{}, 190, 200},
		{"there is nothing to send", Load{Running: 3}, Load{}, 100, 100},
		{"a few wait", Load{Running: 100, Waiting: 30}, Load{}, 130, 130},
		{"more wait than run", Load{Running: 60, Waiting: 120}, Load{}, 180, 90},
		{"never below the least", Load{Running: 1, Waiting: 120}, Load{}, 121, 64},
		{"thrown out of the batch", Load{Running: 160, Preemptions: 5, Generated: 2}, Load{Preemptions: 4, Generated: 1}, 160, 140},
		{"thrown out before we came", Load{Running: 160, Preemptions: 5, Generated: 2}, Load{}, 160, 200},
	} {
		if got := adapted(tt.l, tt.before, tt.now, 64, 200); got != tt.want {
			t.Errorf("%s: adapted = %d, want %d", tt.name, got, tt.want)
		}
	}
}

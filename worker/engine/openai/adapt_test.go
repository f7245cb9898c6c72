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

// TestAimed keeps 1.5 to 2 times a batch of 64 with the server.
func TestAimed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		l, before Load
		now       int
		held      float64
		want      int
	}{
		{"half of what we hold is complete already", Load{Running: 64, Waiting: 2}, Load{}, 128, 128, 161},
		{"a third of it is", Load{Running: 64, Waiting: 21}, Load{}, 128, 128, 161},
		{"little is", Load{Running: 64, Waiting: 30}, Load{}, 96, 96, 114},
		{"up to the most", Load{Running: 64, Waiting: 2}, Load{}, 250, 250, 256},
		{"enough wait", Load{Running: 64, Waiting: 40}, Load{}, 200, 200, 200},
		{"too many wait", Load{Running: 64, Waiting: 160}, Load{}, 250, 250, 125},
		{"they still do a moment later", Load{Running: 64, Waiting: 140}, Load{}, 125, 228, 125},
		{"never below one and a half", Load{Running: 64, Waiting: 640}, Load{}, 128, 128, 96},
		{"there is nothing to send", Load{Running: 3}, Load{}, 128, 3, 128},
		{"nothing is there", Load{}, Load{}, 128, 0, 128},
		{"thrown out of the batch", Load{Running: 40, Preemptions: 5, Generated: 2}, Load{Preemptions: 4, Generated: 1}, 160, 160, 140},
	} {
		if got := aimed(tt.l, tt.before, tt.now, tt.held, 64, 256); got != tt.want {
			t.Errorf("%s: aimed = %d, want %d", tt.name, got, tt.want)
		}
	}
}

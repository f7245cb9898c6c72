package cores

import (
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/gpu"
)

// TestGovernor plays the readings of cards, one a second, and wants the programs that the last of
// each step leaves.
func TestGovernor(t *testing.T) {
	t.Parallel()
	type step struct {
		seconds int
		use     []int
		want    int // programs, on all processors where there are 64
	}
	const alone, beside = 64, 32 // so the floor is 16, and a sixteenth of Beside is 2
	for name, steps := range map[string][]step{
		"never":                      {{5, []int{0, 0}, alone}, {5, nil, alone}},
		"at once few":                {{1, []int{50}, 16}, {1, []int{100}, 16}},
		"more while nothing waits":   {{1, []int{99}, 16}, {2, []int{99}, 16}, {1, []int{99}, 18}, {3, []int{99}, 20}, {3, []int{94}, 20}, {3, []int{90}, 20}, {60, []int{99}, beside}},
		"less while the GPU waits":   {{61, []int{95}, beside}, {3, []int{89}, 24}, {3, []int{89}, 18}, {3, []int{89}, 16}, {60, []int{10}, 16}},
		"the mean decides":           {{61, []int{99}, beside}, {2, []int{100}, beside}, {1, []int{65}, 24}},
		"those that work":            {{61, []int{100, 0, 90}, beside}, {3, []int{100, 0, 70}, 24}},
		"a pause is not the end":     {{61, []int{99}, beside}, {9, []int{0}, beside}, {1, []int{99}, beside}, {9, []int{0}, beside}, {1, []int{0}, alone}},
		"few again after a rest":     {{61, []int{99}, beside}, {10, []int{0}, alone}, {1, []int{99}, 16}, {2, []int{99}, 16}, {1, []int{99}, 18}},
		"an average begins anew":     {{63, []int{99}, beside}, {10, []int{0}, alone}, {4, []int{85}, 16}},
		"use unknown":                {{1, []int{gpu.Unknown, 0}, beside}, {30, []int{gpu.Unknown}, beside}, {9, []int{0}, beside}, {1, []int{0}, alone}},
		"one unknown, another known": {{1, []int{gpu.Unknown, 50}, 16}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewGovernor(Share{Slots: alone}, Share{Slots: beside, Left: 32, CPUs: []int{1}})
			at := time.Unix(1, 0)
			for i, s := range steps {
				var cards []gpu.Reading
				for _, u := range s.use {
					cards = append(cards, gpu.Reading{Utilization: u})
				}
				for range s.seconds {
					at = at.Add(time.Second)
					g.Look(cards, at)
				}
				got := g.Now()
				if got.Slots != s.want || (got.CPUs == nil) != (s.want == alone) || (got.Left == 0) != (s.want == alone) {
					t.Errorf("step %d: %+v, want %d programs", i, got, s.want)
				}
			}
		})
	}
}

func TestFloor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ alone, beside, want int }{{16, 8, 4}, {2, 1, 1}, {7, 4, 1}, {1, 1, 1}, {16, 2, 2}} {
		if g := NewGovernor(Share{Slots: c.alone}, Share{Slots: c.beside}); g.Floor != c.want {
			t.Errorf("floor of %d and %d = %d, want %d", c.alone, c.beside, g.Floor, c.want)
		}
	}
}

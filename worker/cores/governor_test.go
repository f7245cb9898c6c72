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
	const alone, beside = 64, 32 // so the floor is 8, and a sixteenth of Beside is 2
	for name, steps := range map[string][]step{
		"never":                      {{5, []int{0, 0}, alone}, {5, nil, alone}},
		"at once few":                {{1, []int{50}, 8}, {1, []int{100}, 8}},
		"more while nothing waits":   {{1, []int{99}, 8}, {2, []int{99}, 8}, {1, []int{99}, 10}, {3, []int{99}, 12}, {3, []int{94}, 12}, {3, []int{90}, 12}, {60, []int{99}, beside}},
		"less while the GPU waits":   {{61, []int{95}, beside}, {3, []int{89}, 24}, {3, []int{89}, 18}, {3, []int{89}, 14}, {60, []int{10}, 8}},
		"the mean decides":           {{61, []int{99}, beside}, {2, []int{100}, beside}, {1, []int{65}, 24}},
		"those that work":            {{61, []int{100, 0, 90}, beside}, {3, []int{100, 0, 70}, 24}},
		"a pause is not the end":     {{61, []int{99}, beside}, {9, []int{0}, beside}, {1, []int{99}, beside}, {9, []int{0}, beside}, {1, []int{0}, alone}},
		"few again after a rest":     {{61, []int{99}, beside}, {10, []int{0}, alone}, {1, []int{99}, 8}, {2, []int{99}, 8}, {1, []int{99}, 10}},
		"an average begins anew":     {{63, []int{99}, beside}, {10, []int{0}, alone}, {4, []int{85}, 8}},
		"use unknown":                {{1, []int{gpu.Unknown, 0}, beside}, {30, []int{gpu.Unknown}, beside}, {9, []int{0}, beside}, {1, []int{0}, alone}},
		"one unknown, another known": {{1, []int{gpu.Unknown, 50}, 8}},
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
	for _, c := range []struct{ alone, beside, want int }{{16, 8, 2}, {64, 32, 8}, {2, 1, 1}, {15, 8, 1}, {1, 1, 1}, {64, 4, 4}} {
		if g := NewGovernor(Share{Slots: c.alone}, Share{Slots: c.beside}); g.Floor != c.want {
			t.Errorf("floor of %d and %d = %d, want %d", c.alone, c.beside, g.Floor, c.want)
		}
	}
}

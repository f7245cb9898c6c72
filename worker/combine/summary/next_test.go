package summary

import (
	"slices"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// TestNextLook: the width says how many samples will do, within what one look may add; --n is the
// most, and a look always adds some.
func TestNextLook(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		n    int
		half float64
		want int
	}{
		{16, 0.5, 64},      // far off: four times as many
		{100, 0.02, 400},   // twice as wide: four times as many
		{100, 0.015, 237},  // by the square of the width, and a little
		{100, 0.0105, 125}, // nearly there
		{900, 0.02, 1000},  // the most
		{999, 0.02, 1000},  //
		{1, 0.0101, 2},     // one more at least
	} {
		if got := nextLook(x.n, x.half, store.Until{Half: 0.01, K: 1, Most: 1000}); got != x.want {
			t.Errorf("after %d with %v: %d, want %d", x.n, x.half, got, x.want)
		}
	}
}

// TestRaise: a temperature ends where its own interval is narrow enough, the others go on, and
// one that had ended goes on again where a narrower width is asked for.
func TestRaise(t *testing.T) {
	t.Parallel()
	m := &store.Manifest{ID: "r", UnitSize: 10, Temperatures: []stream.Temperature{200, 800, 1500}, Until: &store.Until{Half: 0.01, K: 1, Most: 1000}, Questions: []store.Question{{Index: 0, Cuts: []int{16}}, {Index: 3, Cuts: []int{16}}}}
	u := func(half ...float64) *Until {
		out := &Until{Until: *m.Until}
		for i, h := range half {
			out.Temperatures = append(out.Temperatures, UntilTemperature{Temperature: m.Temperatures[i].Float(), Half: h, Reached: h <= m.Until.Half})
		}
		return out
	}
	look := func(more bool, want []int, half ...float64) {
		t.Helper()
		if got := u(half...).Raise(m); got != more {
			t.Fatalf("with %v: more is %v", half, got)
		}
		for i, at := range m.Temperatures {
			for _, q := range m.Questions {
				if got := m.Wanted(q, at); got != want[i] {
					t.Errorf("with %v: %d samples are wanted at %v, want %d (cuts %v, ended %v)", half, got, at, want[i], q.Cuts, m.Fewer)
				}
			}
		}
	}
	look(true, []int{16, 64, 64}, 0.009, 0.1, 0.03)
	before := m.Tasks(m.Questions[0], 800)
	look(true, []int{16, 80, 80}, 0.009, 0.03, 0.0101) // the nearer one says when to look again
	look(true, []int{16, 320, 80}, 0.009, 0.03, 0.01)
	look(false, []int{16, 320, 80}, 0.009, 0.01, 0.01)
	if got := m.Tasks(m.Questions[0], 800); !slices.Equal(got[:len(before)], before) {
		t.Errorf("units changed when more were added: %v, then %v", before, got)
	}
	if got, want := m.Samples(), 2*(16+320+80); got != want {
		t.Errorf("%d samples in all, want %d", got, want)
	}
	for _, q := range m.Questions {
		for _, at := range m.Temperatures {
			for _, task := range m.Tasks(q, at) {
				if _, again, ok := m.Task(task.Unit); !ok || again != task {
					t.Errorf("unit %v of %v is found as %v, %v", task.Unit, task, again, ok)
				}
			}
			if n := len(m.Tasks(q, at)); n != m.UnitsAfter(q, at, 0) || m.UnitsAfter(q, at, m.Wanted(q, at)) != 0 {
				t.Errorf("%d units at %v are counted as %d, and %d after the last sample", n, at, m.UnitsAfter(q, at, 0), m.UnitsAfter(q, at, m.Wanted(q, at)))
			}
		}
	}
	if _, _, ok := m.Task(stream.Unit{Cell: stream.Cell{Run: "r", Question: 0, Temperature: 200}, Index: 3}); ok {
		t.Error("a unit beyond the end of its temperature is one of the run")
	}
	m.Until.Half = 0.005
	look(true, []int{64, 320, 80}, 0.009, 0.005, 0.005) // to samples that the others have
	look(true, []int{80, 320, 80}, 0.0052, 0.005, 0.005)
	look(true, []int{320, 320, 80}, 0.006, 0.005, 0.005)
	look(true, []int{320, 320, 320}, 0.005, 0.006, 0.2) // one that is behind comes first to where the others are
	look(true, []int{320, 484, 484}, 0.005, 0.006, 0.006)
	m.Until.Most = 484
	look(false, []int{320, 484, 484}, 0.005, 0.006, 0.006) // the most
}

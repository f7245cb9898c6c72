package cli

import (
	"testing"

	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/combine/summary"
)

// TestNextLook: the width says how many samples will do, within what one look may add; --n is the
// most, and a look always adds some.
func TestNextLook(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		n      int
		widest float64
		want   int
	}{
		{16, 0.5, 64},      // far off: four times as many
		{100, 0.02, 400},   // twice as wide: four times as many
		{100, 0.015, 237},  // by the square of the width, and a little
		{100, 0.0105, 125}, // nearly there
		{900, 0.02, 1000},  // the most
		{999, 0.02, 1000},  //
		{1, 0.0101, 2},     // one more at least
	} {
		u := &summary.Until{Until: store.Until{Half: 0.01, K: 1, Most: 1000}, Widest: x.widest}
		if got := nextLook(x.n, u); got != x.want {
			t.Errorf("after %d with %v: %d, want %d", x.n, x.widest, got, x.want)
		}
	}
}

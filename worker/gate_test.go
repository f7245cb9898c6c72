package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
)

// enter goes in until there is no room, and returns how often. Who no longer waits still gets in half of the times that there
// is room, so that no clock is needed to tell that there is none.
func enter(t *testing.T, g *Gate) int {
	t.Helper()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for n := 0; ; n++ {
		in := false
		for tries := 0; tries < 64 && !in; tries++ {
			in = g.Enter(over)
		}
		if !in {
			return n
		}
	}
}

// leave leaves n times.
func leave(g *Gate, n int) {
	for range n {
		g.Leave()
	}
}

// TestGate wants as many in as the last limit says, whoever was in when it changed.
func TestGate(t *testing.T) {
	t.Parallel()
	g := NewGate(4)
	for _, c := range []struct{ first, then, busy, want int }{
		{4, 4, 0, 4}, {2, 2, 0, 2}, {4, 1, 4, 1}, {1, 4, 1, 4}, {4, 3, 2, 3}, {3, 1, 3, 1}, {0, 0, 0, 1}, {99, 99, 0, 4}, {4, 2, 4, 2}, {4, 4, 0, 4},
	} {
		g.Limit(c.first)
		leave(g, enter(t, g)-c.busy)
		g.Limit(c.then)
		leave(g, c.busy)
		in := enter(t, g)
		if in != c.want {
			t.Errorf("limit %d, then %d with %d in: room for %d, want %d", c.first, c.then, c.busy, in, c.want)
		}
		leave(g, in)
	}
	in := enter(t, g)
	g.Limit(1)
	g.Limit(4)
	leave(g, in)
	if got := enter(t, g); got != 4 {
		t.Errorf("raised again before one left: room for %d, want 4", got)
	}
}

// TestGateWhileBusy changes the limit while others come and go, and wants never more in than there
// is room for, and no room lost.
func TestGateWhileBusy(t *testing.T) {
	t.Parallel()
	g := NewGate(6)
	var busy atomic.Int64
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			for range 300 {
				if !g.Enter(t.Context()) {
					t.Error("refused")
					return
				}
				if n := busy.Add(1); n > 6 {
					t.Errorf("%d are in, with room for 6", n)
				}
				busy.Add(-1)
				g.Leave()
			}
		})
	}
	for i := range 2000 {
		g.Limit(1 + i*7%6)
	}
	g.Limit(3)
	all.Wait()
	if got := enter(t, g); got != 3 {
		t.Errorf("room for %d, want 3", got)
	}
}

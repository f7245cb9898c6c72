package worker

import (
	"context"
	"sync"
)

// A Gate lets a number of things in at once that may change at any time. It is safe
// for concurrent use.
type Gate struct {
	most int
	free chan struct{} // a token for each that may come in

	mu       sync.Mutex
	withheld int // tokens that were taken away
	surplus  int // tokens that are still to be, when they come back
}

// NewGate returns a gate that lets n in, which is also the most it ever does.
func NewGate(n int) *Gate {
	g := &Gate{most: n, free: make(chan struct{}, n)}
	for range n {
		g.free <- struct{}{}
	}
	return g
}

// Enter waits until there is room. It returns false when ctx was done before.
func (g *Gate) Enter(ctx context.Context) bool {
	select {
	case <-g.free:
		return true
	case <-ctx.Done():
		return false
	}
}

// Leave makes room for another.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.surplus > 0 {
		g.surplus--
		g.withheld++
		return
	}
	g.free <- struct{}{} // it has room for all there are
}

// Limit lets n in at once from now on, at least one. Those that are in stay until they leave.
func (g *Gate) Limit(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	away := g.most - min(max(n, 1), g.most)
	for g.withheld+g.surplus > away {
		if g.surplus > 0 {
			g.surplus--
			continue
		}
		g.withheld--
		g.free <- struct{}{}
	}
	for g.withheld+g.surplus < away {
		select {
		case <-g.free:
			g.withheld++
		default:
			g.surplus++
		}
	}
}

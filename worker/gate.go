package worker

import (
	"context"
	"sync"
)

// A Door decides when the next unit is taken in hand. Enter waits until there is room, and returns
// false when ctx was done before. Leave makes room for another.
type Door interface {
	Enter(ctx context.Context) bool
	Leave()
}

// A Gate limits how many things are in at once. The limit may change at any time. A Gate
// is safe for concurrent use.
type Gate struct {
	most int
	free chan struct{} // a token for each that may come in

	mu       sync.Mutex
	withheld int // tokens taken out of use by a lower limit
	surplus  int // tokens to be taken out of use when they come back
}

// NewGate returns a gate with the limit n. No later limit may be higher.
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
	g.free <- struct{}{} // the channel has room for every token
}

// Limit sets the limit to n, at least 1. What is in stays until it leaves.
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

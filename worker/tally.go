package worker

import (
	"sync"

	"github.com/lcbq/lcbq/stream"
)

// A tally counts the units that a loop has in hand and those that it gave back, with
// their samples. It is safe for concurrent use.
type tally struct {
	samples func(u stream.Unit) int // nil where the number is unknown

	mu   sync.Mutex
	hand map[stream.Unit]struct{} // under mu
	back amount                   // under mu: given back because the loop ends
}

// An amount is a number of units and of their samples.
type amount struct{ units, samples int }

func (t *tally) size(u stream.Unit) int {
	if t.samples == nil {
		return 0
	}
	return t.samples(u)
}

func (t *tally) take(u stream.Unit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hand == nil {
		t.hand = make(map[stream.Unit]struct{})
	}
	t.hand[u] = struct{}{}
}

func (t *tally) drop(u stream.Unit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.hand, u)
}

func (t *tally) giveBack(u stream.Unit) {
	n := t.size(u)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.back.units, t.back.samples = t.back.units+1, t.back.samples+n
}

// inHand returns the units that the loop holds now.
func (t *tally) inHand() amount {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := amount{units: len(t.hand)}
	for u := range t.hand {
		a.samples += t.size(u)
	}
	return a
}

func (t *tally) givenBack() amount {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.back
}

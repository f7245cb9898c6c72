package generate

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lcbq/lcbq/worker"
)

// Turns bound the units that are being generated. A free turn goes to the unit that came to
// this worker first, not to the one that was looked up first. None is kept free for a unit
// that is still looked up: a card does not wait for a slow answer of the server.
type turns struct {
	mu      sync.Mutex
	free    int
	waiting []*turn // oldest unit first; empty while a turn is free
}

// A turn is what a unit waits for.
type turn struct {
	since time.Time     // when the unit came
	given chan struct{} // closed when it has the turn
}

// take waits for a turn for a unit that came at the given time. It returns worker.ErrDrained
// if drains is closed before.
func (q *turns) take(since time.Time, drains <-chan struct{}) error {
	t := q.enter(since)
	select {
	case <-t.given:
		return nil
	case <-drains:
		q.drop(t)
		return fmt.Errorf("wait for a turn: %w", worker.ErrDrained)
	}
}

// enter gives a unit its turn, or its place among those that wait.
func (q *turns) enter(since time.Time) *turn {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := &turn{since, make(chan struct{})}
	if q.free > 0 {
		q.free--
		close(t.given)
		return t
	}
	at := len(q.waiting)
	for at > 0 && q.waiting[at-1].since.After(since) {
		at--
	}
	q.waiting = slices.Insert(q.waiting, at, t)
	return t
}

// leave hands a turn on.
func (q *turns) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.hand()
}

// hand gives a turn to the first that waits. The turns are locked.
func (q *turns) hand() {
	if len(q.waiting) == 0 {
		q.free++
		return
	}
	close(q.waiting[0].given)
	q.waiting = slices.Delete(q.waiting, 0, 1)
}

// drop takes a unit out that waits no longer. It may have been given its turn meanwhile.
func (q *turns) drop(t *turn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if at := slices.Index(q.waiting, t); at >= 0 {
		q.waiting = slices.Delete(q.waiting, at, at+1)
		return
	}
	q.hand()
}

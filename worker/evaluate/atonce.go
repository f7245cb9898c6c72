package evaluate

import (
	"fmt"
	"sync"

	"github.com/lcbq/lcbq/worker"
)

// mostAtOnce bounds how many programs a grader ever judges at once.
const mostAtOnce = 1024

// AtOnce returns how many programs may be judged at once now.
func (g *Grader) AtOnce() int { return g.pool.now() }

// inLine returns how many programs of a unit wait or run at once: enough to fill all slots and the lane
// beside, and then those that wait for a copy of theirs to end.
func (g *Grader) inLine() int { return max(2*g.AtOnce(), leastInLine) }

// leastInLine is a unit of the default size, and more.
const leastInLine = 256

// Widen makes room for n programs at once, if there is less. It returns for how many there is room,
// and why for no more. Programs that are being judged go on.
func (g *Grader) Widen(n int) (room int, why string, err error) {
	room, why, err = g.pool.grow(min(n, mostAtOnce))
	if err != nil {
		err = fmt.Errorf("judge %d programs at once: %w", n, err)
	}
	return room, why, err
}

// An atOnce is how many programs a worker judges at once: as many as its machine's governor says,
// unless a person has said otherwise.
type atOnce struct {
	mu   sync.Mutex
	said int // by a person; 0 for nobody
	free int // what it is if nobody says anything; 0 until something has changed
	cpus []int
}

// NewUnits returns a gate for the units in hand of a worker that judges so many programs at once.
func NewUnits(slots int) *worker.Gate {
	g := worker.NewGate(unitsFor(mostAtOnce))
	g.Limit(unitsFor(slots))
	return g
}

// Limit judges at most n programs at once, on the given processors or, if cpus is nil, on all.
// The units in hand become fewer too. Programs that run go on. A number that a person has Set stays.
func (w *Worker) Limit(n int, cpus []int) {
	a := &w.atOnce
	a.mu.Lock()
	defer a.mu.Unlock()
	a.free, a.cpus = n, cpus
	if a.said > 0 {
		n = a.said
	}
	w.limit(n)
}

// Set judges n programs at once, whatever Limit says, or what Limit says if n is 0. It returns how
// many there were and are, and why there are no more. No unit is lost: what is in hand is finished.
func (w *Worker) Set(n int) (before, now int, why string, err error) {
	a := &w.atOnce
	a.mu.Lock()
	defer a.mu.Unlock()
	before = w.Grader.AtOnce()
	if n < 0 || n > mostAtOnce {
		return before, before, "", fmt.Errorf("judge %d programs at once: want 1 to %d", n, mostAtOnce)
	}
	if a.free == 0 {
		a.free = w.Slots
	}
	next := n
	if n == 0 {
		next = a.free
	}
	room, why, err := w.Grader.Widen(next)
	if err != nil {
		return before, before, "", err
	}
	a.said = min(n, room)
	w.limit(min(next, room))
	return before, w.Grader.AtOnce(), why, nil
}

// limit is Limit with atOnce held.
func (w *Worker) limit(n int) {
	w.Grader.Limit(n, w.atOnce.cpus)
	w.Units.Limit(unitsFor(n))
	w.Pulse.Tell()
}

package evaluate

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/lcbq/lcbq/worker"
)

// A program that has computed and slept for slowAfter is slow: about one in forty, and nearly all of
// the time. One of suspectAfter may be slow: no more units are taken in hand for its sake.
const (
	slowAfter    = time.Second
	suspectAfter = 100 * time.Millisecond
)

// Places are who may run a program. There is one for each slot that may be in use, and one more for
// each slow program beyond half of these, up to half as many: so slow programs go on in a lane
// beside, and half of the places stay free for fast ones until that lane is full too. No program is
// stopped for another, and none that is slow waits: when the last fast program ends, all slow ones run.
//
// Who waits is let in by turn: programs of the unit that came first go first. Places are safe for
// concurrent use.
type places struct {
	mu      sync.Mutex
	most    int  // slots that may be in use
	least   int  // of most, for fast programs only as long as the lane has room
	room    int  // for slow programs beside
	shut    bool // there are no slots for that
	in      int  // programs that run
	slow    int  // of them, those that are slow
	suspect int  // of them, those that may be slow and those that are
	units   int  // in hand
	lined   int  // of them, those whose programs wait in line or run
	waiting waiters
	next    int64         // number of the next waiter
	calm    chan struct{} // closed when a program has ended or is found slow; nil while nobody waits for that
}

// A turn orders programs that wait for a place: the lower one goes first.
type turn int64

// A waiter is a program that waits for a place.
type waiter struct {
	turn   turn
	number int64
	in     chan struct{} // closed when it has a place
	place  int           // in the heap
}

type waiters []*waiter

func (w *waiters) Len() int { return len(*w) }

func (w *waiters) Less(i, j int) bool {
	a, b := (*w)[i], (*w)[j]
	return a.turn < b.turn || a.turn == b.turn && a.number < b.number
}

func (w *waiters) Swap(i, j int) {
	all := *w
	all[i], all[j] = all[j], all[i]
	all[i].place, all[j].place = i, j
}

func (w *waiters) Push(x any) {
	one, _ := x.(*waiter) // nothing else is pushed
	one.place = len(*w)
	*w = append(*w, one)
}

func (w *waiters) Pop() any {
	old := *w
	one := old[len(old)-1]
	*w = old[:len(old)-1]
	one.place = -1
	return one
}

func newPlaces(n int) *places {
	p := &places{}
	p.limit(n)
	return p
}

// limit sets the number of slots that may be in use, at least 1. Programs that run go on.
func (p *places) limit(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = max(n, 1)
	p.least, p.room = p.most/2, p.most/2
	if p.shut {
		p.room = 0
	}
	p.admit()
}

// close takes the room for slow programs beside away for good: the host has no slots for that. It
// reports whether there was any.
func (p *places) close() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := !p.shut
	p.shut, p.room = true, 0
	return was
}

// now returns how many programs may run; mu is held.
func (p *places) now() int {
	beyond := p.slow - (p.most - p.least)
	return p.most + max(0, min(beyond, p.room))
}

// admit lets in whom there are places for; mu is held.
func (p *places) admit() {
	for p.in < p.now() && len(p.waiting) > 0 {
		one, _ := heap.Pop(&p.waiting).(*waiter)
		p.in++
		close(one.in)
	}
	if p.calm != nil {
		close(p.calm)
		p.calm = nil
	}
}

// enter waits for a place. It returns false when ctx was done before there was one.
func (p *places) enter(ctx context.Context, t turn) bool {
	p.mu.Lock()
	if p.in < p.now() && len(p.waiting) == 0 {
		p.in++
		p.mu.Unlock()
		return true
	}
	one := &waiter{turn: t, number: p.next, in: make(chan struct{})}
	p.next++
	heap.Push(&p.waiting, one)
	p.mu.Unlock()
	select {
	case <-one.in:
		return true
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if one.place >= 0 {
		heap.Remove(&p.waiting, one.place)
		return false
	}
	p.in-- // it was let in just now
	p.admit()
	return false
}

// leave gives back a place in which nothing ran.
func (p *places) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.in--
	p.admit()
}

// crowded reports whether no unit more is to be taken in hand: as many programs wait as there are slots, or
// as many are slow, or the places are full of programs that may be and others wait; mu is held. So slow
// programs do not pile up, and the last of them ends soon after the last fast one.
func (p *places) crowded() bool {
	return len(p.waiting) >= p.most || p.slow >= p.most || p.suspect >= p.most && len(p.waiting) >= max(1, p.most/2) || p.units-p.lined > p.most/openingShare
}

// openingShare is how many slots there are for each unit beyond the first that may be in hand while its
// programs are not in line yet: nobody knows how many wait then.
const openingShare = 16

// Enter waits until another unit is to be taken in hand. It returns false when ctx was done before.
func (p *places) Enter(ctx context.Context) bool {
	for {
		p.mu.Lock()
		if !p.crowded() && ctx.Err() == nil {
			p.units++
			p.mu.Unlock()
			return true
		}
		if p.calm == nil {
			p.calm = make(chan struct{})
		}
		calm := p.calm
		p.mu.Unlock()
		select {
		case <-calm:
		case <-ctx.Done():
			return false
		}
	}
}

// Leave says that a unit is in hand no more.
func (p *places) Leave() { p.count(-1, 0) }

// line says that the programs of a unit wait in line, and returns what says that they do no more.
func (p *places) line() (end func()) {
	p.count(0, 1)
	return func() { p.count(0, -1) }
}

func (p *places) count(units, lined int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.units, p.lined = p.units+units, p.lined+lined
	p.admit()
}

// A door decides when a worker takes another unit in hand.
type door struct {
	units  *worker.Gate
	places *places
}

func (d door) Enter(ctx context.Context) bool {
	if !d.units.Enter(ctx) {
		return false
	}
	if d.places.Enter(ctx) {
		return true
	}
	d.units.Leave()
	return false
}

func (d door) Leave() {
	d.places.Leave()
	d.units.Leave()
}

// A stay is one program's time in a place.
type stay struct {
	places *places
	spent  func() time.Duration // computed and slept so far

	timer *time.Timer
	long  longness // under places.mu
	ended bool     // under places.mu
}

// A longness is how slow a program was found to be.
type longness uint8

const (
	fast longness = iota
	suspect
	slow
)

// stays watches a program that has a place. End must follow.
func (p *places) stays(spent func() time.Duration) *stay {
	s := &stay{places: p, spent: spent}
	p.mu.Lock() // the timer may be early
	defer p.mu.Unlock()
	s.timer = time.AfterFunc(suspectAfter, s.look)
	return s
}

// look finds out how slow the program is.
func (s *stay) look() {
	spent := s.spent()
	p := s.places
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.ended || s.long == slow {
		return
	}
	if spent >= suspectAfter && s.long == fast {
		s.long = suspect
		p.suspect++
	}
	if spent >= slowAfter {
		s.long = slow
		p.slow++
		p.admit()
		return
	}
	next := suspectAfter
	if s.long == suspect {
		next = slowAfter
	}
	s.timer.Reset(max(next-spent, suspectAfter/10))
}

// end gives the place back.
func (s *stay) end() {
	p := s.places
	p.mu.Lock()
	defer p.mu.Unlock()
	s.ended = true
	s.timer.Stop() // it may be late: look sees the end
	if s.long >= suspect {
		p.suspect--
	}
	if s.long == slow {
		p.slow--
	}
	p.in--
	p.admit()
}

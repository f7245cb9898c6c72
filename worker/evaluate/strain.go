package evaluate

import (
	"time"

	"github.com/lcbq/lcbq/worker/sandbox"
)

// A strain measures how much slower than it could a program runs, and says how far beyond the limit it may go.
// One that has ended by then is run again with nothing beside it, and so the first run may be generous, but
// endless programs run as far. It belongs to one run of a program.
type strain struct {
	yard *yard
	last bool // of this run an answer beyond the limit counts as the slowdown asks

	test   int
	pieces []piece
	seen   time.Duration // what the test had used at the last of them
	waited time.Duration // what the program had waited when it was last seen
	before time.Duration // what it had waited when the test began
	memory int64         // the most that the program was found to hold

	longest time.Duration // what the test that took longest had used when it was last seen
	slowest float64       // its slowdown; 0 if that is not known
}

// A piece is a part of a test, how long a round of the yard's took at its end, and whether anything else was ready to
// run on the machine.
type piece struct {
	used, round time.Duration
	beside      bool
}

const (
	// parts is how many pieces there are of a test that uses up its limit: at six seconds two thirds of a millisecond
	// are spent on measuring each eighth of one. A test of fewer than leastPieces says nothing.
	parts       = 48
	leastPieces = 8

	// margin is how far every program may go beyond the limit, as a part of it: what a quiet machine measures of
	// itself, and neighbours add that leave no trace. It is also by how much a larger slowdown may be measured wrong: a
	// program goes on so far beyond it, because a second run decides.
	margin = 0.05

	// cold is what it costs to find caches cold each time that a program comes back to a processor which it shares
	// with others and mostly waits for, and coldLarge what it costs a program of largeMemory: 3 % of a loop and 18 %
	// of a table of twenty megabytes. The yard does not see it.
	cold, coldLarge = 0.03, 0.15
	largeMemory     = 40 << 20 // an interpreter alone holds 17

	// The yard does not see either what others take of memory's speed: the table was slower by 17 % beside one busy
	// process. So a large program that has company in a part of its pieces is let run as far as where nothing is measured.
	companyPart = 0.1

	// mostSlow is the most that anything measured buys, as a part of the limit: a busy hyperthread takes half of a
	// processor, also where the machine does not show that it has them, as rented ones do.
	mostSlow = 1
)

// strained returns what says how far beyond the limit a run of a trial may go, and notes its slowdown.
func (g *Grader) strained(t *trial) sandbox.Stretch {
	s := &strain{yard: g.yard, last: t.last}
	return func(now sandbox.Strain) (slack, grace time.Duration, known bool) {
		slack, grace, known = s.ask(now)
		t.slowed = s.slowest
		return slack, grace, known
	}
}

// Endless returns the processor time of a program that never ends, on a host on which nothing else runs.
func Endless(limit time.Duration) time.Duration { return limit + share(limit, margin) }

// ask is a sandbox.Stretch.
func (s *strain) ask(now sandbox.Strain) (slack, grace time.Duration, known bool) {
	if now.Test < s.test || now.Test == s.test && now.Used < s.seen { // the program is run again
		s.longest = 0
	}
	if now.Test != s.test || now.Used < s.seen {
		s.test, s.pieces, s.seen, s.before = now.Test, nil, 0, s.waited
	}
	s.waited, s.memory = max(s.waited, now.Waited), max(s.memory, now.Memory)
	if part := now.Used - s.seen; part >= now.Limit/parts && now.CPU >= 0 {
		if round, err := s.yard.look(now.CPU); err == nil {
			s.pieces = append(s.pieces, piece{part, round, s.yard.beside()})
			s.seen = now.Used
		}
	}
	slow, known := s.slow(now)
	if now.Used >= s.longest {
		s.longest, s.slowest = now.Used, slow
	}
	if !known {
		return 0, 0, false
	}
	if s.last && slow > margin {
		grace = share(now.Limit, slow)
	}
	beyond := max(margin, slow+min(margin, max(0, 2*(slow-margin))))
	if s.large() && s.company() {
		beyond = max(beyond, nearTo-1)
	}
	return share(now.Limit, beyond), grace, true
}

func (s *strain) large() bool { return s.memory >= largeMemory }

// cold returns what the program loses to cold caches if it mostly waits.
func (s *strain) cold() float64 {
	if s.large() {
		return coldLarge
	}
	return cold
}

// company reports whether other programs ran on the machine while the test did.
func (s *strain) company() bool {
	n := 0
	for _, p := range s.pieces {
		if p.beside {
			n++
		}
	}
	return float64(n) > companyPart*float64(len(s.pieces))
}

// slow returns by how much longer the test took than it would have with nothing beside it, as a part of that.
func (s *strain) slow(now sandbox.Strain) (slow float64, known bool) {
	best := s.yard.best()
	if best == 0 || len(s.pieces) < leastPieces || now.Used-s.seen > now.Limit/leastPieces {
		return 0, false
	}
	var alone float64 // what the work takes at the yard's best
	for _, p := range s.pieces {
		alone += float64(p.used) * min(1, float64(best)/float64(p.round))
	}
	slow = float64(s.seen)/alone - 1
	if waited := s.waited - s.before; waited > 0 {
		slow += s.cold() * float64(waited) / float64(waited+now.Used)
	}
	return min(slow, mostSlow), true
}

// share returns a part of a time.
func share(of time.Duration, part float64) time.Duration { return time.Duration(part * float64(of)) }

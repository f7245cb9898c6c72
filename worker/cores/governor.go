package cores

import (
	"sync"
	"time"

	"github.com/lcbq/lcbq/worker/gpu"
)

const (
	// waits is the percentage of busy GPU time below which the GPU waits for
	// processors, and full that from which it does not.
	waits, full = 90, 95
	// window is the time over which GPU time is averaged before programs get more or less.
	window = 3 * time.Second
	// rest is how long the GPUs have had nothing to do when programs get all processors.
	rest = 10 * time.Second
)

// A Governor says how many programs are judged at once on a machine whose GPUs
// generate. They have Alone while no GPU works. While one does they have Beside at
// most, and fewer as long as the GPU waits for processors: on a virtual machine the
// reserved ones share cores with the others, whatever the kernel there knows of it,
// and a loop that feeds a fast GPU loses a fifth of its speed to busy neighbours. At
// least Floor are left. It is safe for concurrent use.
type Governor struct {
	Alone, Beside Share
	Floor         int // 1 to Beside.Slots

	mu     sync.Mutex
	slots  int       // of Beside; 0 while the GPUs rest
	worked time.Time // when a GPU was last seen to work
	since  time.Time // when the average began
	last   time.Time // of the last reading
	busy   float64   // percent x seconds since then
}

// NewGovernor returns a governor that leaves programs at least an eighth of the machine's
// processors: beside a loop that needs two of sixteen, two programs cost it little.
func NewGovernor(alone, beside Share) *Governor {
	return &Governor{Alone: alone, Beside: beside, Floor: max(1, min(alone.Slots/8, beside.Slots))}
}

// Now returns what programs have.
func (g *Governor) Now() Share {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now()
}

func (g *Governor) now() Share {
	if g.slots == 0 {
		return g.Alone
	}
	s := g.Beside
	s.Slots = g.slots
	return s
}

// Look takes readings of the machine's GPUs made at a moment and returns what
// programs have from then on. A GPU whose use is unknown may work.
func (g *Governor) Look(cards []gpu.Reading, at time.Time) Share {
	g.mu.Lock()
	defer g.mu.Unlock()
	sum, working, unknown := 0, 0, 0
	for _, c := range cards {
		switch {
		case c.Fault != "": // nobody works on it
		case c.Utilization == gpu.Unknown:
			unknown++
		case c.Utilization > 0:
			sum += c.Utilization
			working++
		}
	}
	switch {
	case working > 0:
		g.steer(float64(sum)/float64(working), at)
	case unknown > 0:
		g.slots, g.worked = g.Beside.Slots, at // nothing says whether it waits
	case g.slots != 0 && at.Sub(g.worked) >= rest:
		g.slots = 0
	}
	return g.now()
}

// steer moves the number of programs by the mean use of the GPUs that work: a quarter
// less at a time where they wait, a sixteenth more where they do not.
func (g *Governor) steer(use float64, at time.Time) {
	g.worked = at
	if g.slots == 0 {
		g.slots = g.Floor
		g.since, g.last, g.busy = at, at, 0
		return
	}
	g.busy += use * at.Sub(g.last).Seconds()
	g.last = at
	took := at.Sub(g.since)
	if took < window {
		return
	}
	mean := g.busy / took.Seconds()
	g.since, g.busy = at, 0
	switch {
	case mean < waits:
		g.slots = max(g.Floor, g.slots-max(1, g.slots/4))
	case mean >= full:
		g.slots = min(g.Beside.Slots, g.slots+max(1, g.Beside.Slots/16))
	}
}

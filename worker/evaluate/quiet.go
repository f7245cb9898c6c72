package evaluate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A quiet is a set of whole cores on which programs are run again with nothing beside them.
// The cores are taken from all other programs while they are needed and given back after.
// Programs that wait for a quiet core hold no slot. A quiet is safe for concurrent use.
type quiet struct {
	host     *sandbox.Host
	machine  cores.Machine
	first    int           // number of its first slot
	patience time.Duration // how long a program waits for it

	mu      sync.Mutex
	base    []int     // processors of all programs while no core is taken; nil for all
	slots   []*pooled // by core taken, from the first
	idle    []*pooled
	waiting []chan *pooled
}

// The quiet takes at most one of quietShare cores, and one of a machine with fewer. It takes
// another core when quietBehind programs wait for each core that it has. At most quietQueue
// programs wait for each core that it may take.
const (
	quietShare  = 8
	quietBehind = 2
	quietQueue  = 16
)

// errBusy says that no quiet core will be free soon.
var errBusy = errors.New("no quiet processor free")

// newQuiet returns a quiet that takes nothing yet. Its slots are numbered from first.
func newQuiet(host *sandbox.Host, machine cores.Machine, first int) *quiet {
	return &quiet{host: host, machine: machine, first: first, patience: 4 * host.Environment().Limits.CPU}
}

// most returns how many cores may be taken; mu is held.
func (l *quiet) most() int { return max(len(l.cores())/quietShare, 1) }

// cores returns the cores that programs may run on; mu is held.
func (l *quiet) cores() [][]int {
	m := l.machine
	if l.base != nil {
		m.CPUs = l.base
	}
	return m.Cores()
}

// enter returns a slot on a quiet core, waiting for one until ctx is done. Its error is
// errBusy if none is free soon, and then the program is not run again.
func (l *quiet) enter(ctx context.Context) (*pooled, error) {
	l.mu.Lock()
	if n := len(l.idle); n > 0 {
		s := l.idle[n-1]
		l.idle = l.idle[:n-1]
		l.mu.Unlock()
		return s, nil
	}
	if len(l.slots) == 0 || len(l.slots) < l.most() && len(l.waiting) >= quietBehind*len(l.slots) {
		s, err := l.take()
		l.mu.Unlock()
		return s, err
	}
	if len(l.waiting) >= quietQueue*l.most() {
		l.mu.Unlock()
		return nil, errBusy
	}
	mine := make(chan *pooled, 1)
	l.waiting = append(l.waiting, mine)
	l.mu.Unlock()
	timer := time.NewTimer(l.patience)
	defer timer.Stop()
	var err error
	select {
	case s := <-mine:
		return s, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = errBusy
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, mine); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		return nil, err
	}
	return <-mine, nil // it was handed over just now
}

// take takes one more core and returns its slot; mu is held.
func (l *quiet) take() (*pooled, error) {
	slot, err := l.host.NewSlot(l.first + len(l.slots))
	if err != nil {
		return nil, errors.Join(errBusy, err)
	}
	s := &pooled{Slot: slot}
	l.slots = append(l.slots, s)
	l.pin()
	return s, nil
}

// leave gives a slot to the next program that waits. When none waits and no slot is in use,
// the cores go back to the other programs.
func (l *quiet) leave(s *pooled) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) > 0 {
		next := l.waiting[0]
		l.waiting = l.waiting[1:]
		next <- s
		return nil
	}
	l.idle = append(l.idle, s)
	if len(l.idle) < len(l.slots) {
		return nil
	}
	return l.free()
}

// free gives all cores back; mu is held, and all slots are idle.
func (l *quiet) free() error {
	var errs []error
	for _, s := range l.slots {
		errs = append(errs, s.Close())
	}
	l.slots, l.idle = nil, nil
	l.pin()
	return errors.Join(errs...)
}

// limit sets the processors of all programs while no core is taken; nil for all.
func (l *quiet) limit(cpus []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.base = cpus
	l.pin()
}

// pin has each quiet slot run on a processor of its core, from the last core on, and
// everything else on the other cores; mu is held. On a machine of one core nothing can be
// taken: there the program shares the core.
func (l *quiet) pin() {
	all := l.cores()
	rest := l.base
	if n := min(len(l.slots), len(all)-1); n > 0 {
		rest = slices.Concat(all[:len(all)-n]...)
		slices.Sort(rest)
		for i, s := range l.slots[:n] {
			s.Pin(all[len(all)-1-i][:1])
		}
	}
	l.host.Pin(rest)
}

// close stops the slots; none may be in use.
func (l *quiet) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.free()
}

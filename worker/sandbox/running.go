package sandbox

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrAlone is returned by Run when a program met with something that another
// program may be to blame for: it was killed and nobody can tell why, memory ran out
// while it had most of it, or there was no thread left for it. The caller runs it
// once more with nothing beside it; then there is nobody else to blame, and Run
// decides.
var ErrAlone = errors.New("program must be run alone")

// A running is one program among those that a host runs at the moment.
type running struct {
	pid    int  // 0 until it is known
	shared bool // another ran at some time since this one's start
	began  time.Time
	slept  atomic.Int64 // nanoseconds for which it was found asleep
}

// A register holds the programs that run. The zero value is ready for use.
type register struct {
	mu  sync.Mutex
	all map[*running]struct{}

	crowd time.Time // when a program was last found to have too many threads
}

// add notes that a program starts.
func (r *register) add() *running {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[*running]struct{}{}
	}
	p := &running{began: time.Now()}
	r.all[p] = struct{}{}
	if len(r.all) > 1 {
		for other := range r.all {
			other.shared = true
		}
	}
	return p
}

// remove notes that a program's process is gone.
func (r *register) remove(p *running) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, p)
}

// known notes a program's process.
func (r *register) known(p *running, pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.pid = pid
}

// process returns the process of a program, 0 if it is not known yet.
func (r *register) process(p *running) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return p.pid
}

// alone reports whether no other program ran since p started.
func (r *register) alone(p *running) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !p.shared
}

// others returns the processes of the other programs.
func (r *register) others(p *running) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var pids []int
	for other := range r.all {
		if other != p && other.pid != 0 {
			pids = append(pids, other.pid)
		}
	}
	return pids
}

// crowded notes that a program has more threads than it may.
func (r *register) crowded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.crowd = time.Now()
}

// crowdedSince reports whether a program had more threads than it may since p started.
func (r *register) crowdedSince(p *running) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.crowd.After(p.began)
}

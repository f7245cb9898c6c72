package sandbox

import (
	"math"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// A taskLimit is a limit on processes and threads, and how many there are.
type taskLimit struct {
	limit, used int
	format      string // of limit and used, for people
	keep        int    // of the rest for this process
}

// share returns how many of them slots may have.
func (l taskLimit) share() int { return l.limit - l.used - l.keep }

// scarce returns on how many of its processors the runtime may run under the limits, which may have a thread for
// each and more: a host of 64 processors would leave a session of 100 threads no program.
func scarce(processors int, limits []taskLimit) int {
	for _, l := range limits {
		processors = min(processors, max(2, (l.limit-l.used)/8))
	}
	return processors
}

// taskLimits returns the limits that hold for this process.
func taskLimits() []taskLimit {
	var all []taskLimit
	var tasks unix.Rlimit
	keep := spareTasks + runtime.GOMAXPROCS(0)
	// The kernel does not hold root to it.
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &tasks); err == nil && tasks.Cur < math.MaxInt32 && os.Geteuid() != 0 {
		all = append(all, taskLimit{int(tasks.Cur), tasksOf("/proc", os.Getuid()), "this user may have %d processes and threads (ulimit -u) and has %d", keep})
	}
	if places, err := cgroupPlaces(); err == nil {
		for _, dir := range append(places["pids"], places[""]...) {
			if limit, used, ok := groupTasks(dir); ok {
				all = append(all, taskLimit{limit, used, "the control group may have %d processes and threads (pids.max) and has %d", keep})
			}
		}
	}
	return all
}

// fewestTasks are what a slot may have at least: its fork servers and a program of
// three threads.
const fewestTasks = 5

// tasksPerSlot returns how many processes and threads each of so many slots may have, so
// that all together leave the rest of this process what it needs.
func tasksPerSlot(slots int, limits []taskLimit) int {
	n := maxTasks
	for _, l := range limits {
		n = min(n, l.share()/max(slots, 1))
	}
	return max(n, fewestTasks)
}

// reserveThreads has the runtime make the threads now that so many slots and its processors need. It keeps
// them, and ends the process if it needs one at a moment when programs have all that there may be.
func reserveThreads(slots int) {
	n := reserve*slots + runtime.GOMAXPROCS(0)
	var made, done sync.WaitGroup
	made.Add(n)
	for range n {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			made.Done()
			made.Wait() // all at once, each on a thread of its own
		})
	}
	done.Wait()
}

// reserve is what a slot needs of the runtime's threads: one that waits for its program and
// one that starts its fork servers.
const reserve = 2

// crowded reports whether p may have found no thread left because of others: it only says so,
// and running it alone holds up all the rest. Programs that keep to what they may have leave
// enough to each.
func (h *Host) crowded(p *running, limits []taskLimit) bool {
	for _, l := range limits {
		if l.limit-l.used < spareTasks {
			return true
		}
	}
	for _, pid := range h.running.others(p) {
		if _, threads, err := stateOf(pid); err == nil && threads > h.tasks {
			return true
		}
	}
	return h.running.crowdedSince(p)
}

package evaluate

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A yard measures how much slower a processor is at the moment than this host's processors can be: because of what
// runs on the same core, of its frequency, of other machines on the same hardware. It times rounds of fixed work on
// a thread of this process: that takes less than a millisecond, and there is no process to look after. It is safe
// for concurrent use.
type yard struct {
	round  func(cpu int) ([]time.Duration, error) // the times of the rounds of one slice on a processor
	beside func() bool                            // whether anything runs beside one program and this goroutine
	around *neighbours
	now    func() time.Time

	mu      sync.Mutex
	window  []time.Duration // the last rounds, fewer than windowRounds
	windows int             // so far
	fastest []quarter       // windows that none after them is as fast as, by time, from the one that counts on
}

// A quarter is what a quarter of the rounds of a window took, and when.
type quarter struct {
	took time.Duration
	at   time.Time
}

// A slice is sliceRounds rounds, and warmRounds before them that are not timed: these bring the work back into
// the caches that the program has had for itself. So a program makes no round slower by what it does to caches.
const (
	warmRounds  = 2
	sliceRounds = 4
	roundSteps  = 60_000 // an eighth of a millisecond
)

// The best that the host can is what a quarter of the rounds of its fastest window took. One that is calm for
// a few seconds shows it; a clock that is high for a millisecond, or went wrong, does not count. It is not trusted
// before there were enoughWindows: a host that has just begun may not have been calm.
//
// Where this host has hyperthreads, what runs on them is what slows programs most. There the fastest window ever
// counts, and the first one is of rounds beside idle hyperthreads alone: where these are always busy nothing is known.
// Where it has none, what slows a processor by much comes from outside, as on a rented machine, and may stay: there
// the fastest window of bestOf counts, which is what the host can at the time.
const (
	windowRounds  = 64
	enoughWindows = 3
	bestOf        = 10 * time.Minute
)

// newYard returns a yard for this host, whose processors are these, core by core.
func newYard(processors [][]int) *yard {
	return &yard{round: slice, beside: company, around: newNeighbours(processors), now: time.Now}
}

// look takes a slice on a processor, and returns how long one of its rounds took.
func (y *yard) look(cpu int) (time.Duration, error) {
	rounds, err := y.round(cpu)
	if err != nil {
		return 0, err
	}
	if y.begun() || y.around.idle(cpu) {
		y.note(rounds)
	}
	slices.Sort(rounds)
	return rounds[(len(rounds)-1)/2], nil
}

// begin takes the first window while nothing of this process runs yet, on an idle core if there is one: a host that is
// never calm again has been so then.
func (y *yard) begin() error {
	cpu, err := y.around.calmest()
	if err != nil {
		return err
	}
	for range windowRounds / sliceRounds {
		if _, err := y.look(cpu); err != nil {
			return err
		}
	}
	return nil
}

// note takes note of rounds that were timed one after the other.
func (y *yard) note(rounds []time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, r := range rounds {
		if y.window = append(y.window, r); len(y.window) < windowRounds {
			continue
		}
		slices.Sort(y.window)
		y.rank(quarter{y.window[windowRounds/4], y.now()})
		y.windows++
		y.window = y.window[:0]
	}
}

// rank finds a window's place among the fastest; mu is held.
func (y *yard) rank(q quarter) {
	if y.around.threads() && len(y.fastest) > 0 && y.fastest[0].took <= q.took {
		return
	}
	y.fastest = slices.DeleteFunc(y.fastest, func(was quarter) bool { return was.took >= q.took || q.at.Sub(was.at) > bestOf })
	y.fastest = append(y.fastest, q)
}

// begun reports whether there was a window.
func (y *yard) begun() bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.windows > 0
}

// best returns how long a round takes at its best, 0 if that is not known yet.
func (y *yard) best() time.Duration {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.windows < enoughWindows {
		return 0
	}
	return y.fastest[0].took
}

// company reports whether anything is ready to run on the machine beside one program and the thread that asks. It
// does where nobody can tell.
func company() bool {
	return stays(func() int {
		text, err := os.ReadFile("/proc/loadavg")
		if err != nil {
			return math.MaxInt
		}
		return readyIn(string(text))
	})
}

// companyLooks is in how many looks, one right after the other, company must be seen. A thread of this process that has
// nothing more to do looks for work for some microseconds and is ready to run meanwhile, so that a machine which does
// nothing else would seem to be shared.
// Of a large program on an idle machine half of the measurements see company all the same, why is not known: such a
// program runs on for longer than it needs to, and its verdict is the same.
const companyLooks = 10

// stays reports whether more than one program and the thread that asks are ready in every look.
func stays(ready func() int) bool {
	for range companyLooks {
		if ready() <= 2 {
			return false
		}
	}
	return true
}

// readyIn reads the number of threads that are ready to run in the text of loadavg.
func readyIn(text string) int {
	fields := strings.Fields(text)
	if len(fields) < 4 {
		return math.MaxInt
	}
	ready, _, _ := strings.Cut(fields[3], "/")
	n, err := strconv.Atoi(ready)
	if err != nil {
		return math.MaxInt
	}
	return n
}

// slice times rounds on a processor.
func slice(cpu int) (rounds []time.Duration, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var before, there unix.CPUSet
		if err = unix.SchedGetaffinity(0, &before); err != nil {
			runtime.UnlockOSThread()
			return
		}
		there.Set(cpu)
		if err = unix.SchedSetaffinity(0, &there); err == nil {
			rounds, err = timed(sliceRounds)
		}
		// A thread that cannot come back ends with this goroutine, which holds it.
		if back := unix.SchedSetaffinity(0, &before); back == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	if err != nil {
		return nil, fmt.Errorf("time processor %d: %w", cpu, err)
	}
	return rounds, nil
}

// timed times rounds on the calling thread, which must be locked.
func timed(n int) ([]time.Duration, error) {
	rounds := make([]time.Duration, 0, n)
	sum := interpret(warmRounds * roundSteps)
	last, err := threadTime()
	for i := 0; i < n && err == nil; i++ {
		sum += interpret(roundSteps)
		var now time.Duration
		now, err = threadTime()
		if now <= last {
			return nil, errClock
		}
		rounds, last = append(rounds, now-last), now
	}
	if sum == 0 {
		return nil, errClock // never; the work is not left out by the compiler
	}
	return rounds, err
}

func threadTime() (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano()), err
}

// An instruction of the yard's work, which is that of an interpreter: it fetches an instruction, jumps to what does
// it, and now and then looks something up that lies anywhere in 128 KB. No branch depends on what it finds: where
// some did, processors learned them by heart in some slices and not in others, which made 12 % of difference.
type instruction struct{ op, to, a, b uint8 }

const (
	opAdd = iota
	opMultiply
	opXor
	opShift
	opLook
	opStore
	opCount
	opSkipOdd
	opModulo
	opLoop
)

var program = [...]instruction{
	{opCount, 0, 0, 0},
	{opMultiply, 1, 1, 6},
	{opAdd, 1, 1, 0},
	{opShift, 2, 1, 0},
	{opLook, 3, 2, 0},
	{opXor, 4, 3, 0},
	{opModulo, 5, 4, 0},
	{opSkipOdd, 0, 0, 0},
	{opAdd, 7, 7, 4},
	{opStore, 5, 4, 0},
	{opAdd, 7, 7, 5},
	{opXor, 1, 1, 5},
	{opLoop, 0, 0, 0},
}

var cells = sync.OnceValue(func() *[1 << 14]uint64 {
	var h [1 << 14]uint64
	x := uint64(1)
	for i := range h {
		x = x*6364136223846793005 + 1442695040888963407
		h[i] = x
	}
	return &h
})

// interpret makes so many steps of the program.
func interpret(steps int) uint64 {
	h := cells()
	r := [8]uint64{1: 88172645463325252, 6: 6364136223846793005}
	var stack [64]uint64
	at := 0
	for range steps {
		in := program[at]
		at++
		to, a, b := &r[in.to&7], r[in.a&7], r[in.b&7]
		switch in.op {
		case opAdd:
			*to = a + b
		case opMultiply:
			*to = a * b
		case opXor:
			*to = a ^ b
		case opShift:
			*to = a >> 33
		case opLook:
			*to = h[a&(1<<14-1)]
		case opStore:
			stack[a&63] = *to
		case opCount:
			*to++
		case opSkipOdd:
			if a&1 != 0 {
				at++
			}
		case opModulo:
			*to = a%7 + stack[a&63]
		case opLoop:
			at = 0
		}
	}
	return r[7] + r[5] | 1
}

package sandbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// tick is how often, on average, a program that takes its time is looked at.
// Each program has a period of its own, from half to three halves of it, so
// that none can be awake just when it is looked at.
const tick = 100 * time.Millisecond

// clocks measure one test of a program, the load being one. Processor times
// are of the whole process since its start.
//
// Several tests may be asked for at a time. The program has then begun a test
// before we hear that the one before has ended, and we may hear it as late as the
// machine likes. The upper bound of a test's time is what the program used since we
// last knew that it waits for us. The lower one is what it used since we heard the
// last answer, and none where it may have gone on to the next test.
// Where a limit lies between the two, also the one that an answer may exceed by its
// grace, errUnclear has the program run again with one test asked for at a time: then
// they are the same.
type clocks struct {
	now   time.Duration // as last read
	asked time.Duration // when the program was last known to wait
	heard time.Duration // when the last answer came
	last  time.Duration // of the last test
	most  time.Duration // of any test

	started time.Time     // when the last answer came
	looked  time.Time     // when the program was last looked at
	idle    time.Duration // how long it was found asleep since started
	slept   time.Duration // the same, of all tests
	stuck   time.Duration // how long it was found stuck since started
	cut     bool          // a silent test was stopped for its processor time
}

// errUnclear says that a test's processor time cannot be told well enough.
var errUnclear = errors.New("processor time of a test unclear")

// read reads the processor clock.
func (k *clocks) read(pid int) (err error) {
	k.now, err = cpuTime(pid)
	return err
}

// ask starts the clocks of the next test, of a program that waits for us.
func (k *clocks) ask() {
	k.asked, k.heard = k.now, k.now
	k.restart()
}

// begin starts the clocks of a program that may have begun before we could read them.
func (k *clocks) begin() { k.asked, k.heard = 0, 0 }

func (k *clocks) restart() {
	k.started, k.idle, k.stuck = time.Now(), 0, 0
	k.looked = k.started
}

// answered stops the clocks of a test and judges it by its processor time. goesOn says that the program
// was asked for another test, and may have begun it.
// That a test took too long otherwise is decided by look alone: only there it
// is sure that the program had not answered, and not that we were late to hear
// it.
func (k *clocks) answered(limits Limits, goesOn bool) error {
	k.last = k.now - k.heard
	k.most = max(k.most, k.last)
	k.heard = k.now
	longest := k.now - k.asked
	switch {
	case k.last > limits.CPU+limits.grace && !goesOn:
		return overCPU(k.last, limits)
	case longest > limits.CPU+limits.grace:
		return errUnclear
	case longest > limits.CPU && (goesOn || k.last <= limits.CPU): // whether it needed its grace is told of it
		return errUnclear
	}
	k.restart()
	return nil
}

func overCPU(cpu time.Duration, limits Limits) error {
	return &stop{TimeLimit, fmt.Sprintf("used %.2f s of processor time, limit %v", cpu.Seconds(), limits.CPU)}
}

// errStuck says that a program reached its limit by waiting for what may be a slow
// disk. It is run again: what it read the first time is in memory then.
var errStuck = errors.New("program waits in the kernel")

// silent judges a test that has not been answered at the time now; state is what the
// program was found to do, stateErr says that nobody could tell.
func (k *clocks) silent(limits Limits, now time.Time, state doing, stateErr error) error {
	cpu, wall := k.now-k.heard, now.Sub(k.started)
	k.most = max(k.most, cpu)
	if cpu > limits.CPU+limits.Slack {
		k.cut = true
		return overCPU(cpu, limits)
	}
	// We may have been late to look; what it did meanwhile is not known.
	since := min(now.Sub(k.looked), 2*tick)
	switch {
	case stateErr != nil:
	case state == sleeping:
		k.idle += since
		k.slept += since
	case state == stuck:
		k.stuck += since
	}
	k.looked = now
	if ran := limits.meant(cpu); k.idle+k.stuck > 0 && ran+k.idle+k.stuck > limits.Wall {
		if ran+k.idle <= limits.Wall {
			return errStuck
		}
		return &stop{TimeLimit, fmt.Sprintf("ran %.2f s and slept %.2f s, limit %v", ran.Seconds(), k.idle.Seconds(), limits.Wall)}
	}
	switch {
	case wall <= limits.Hard:
		return nil
	case stateErr != nil:
		// Nothing told a sleeper from one who waits for a processor: only the
		// longer limit was not unjust.
		return &stop{TimeLimit, fmt.Sprintf("took %.1f s, limit %v", wall.Seconds(), limits.Hard)}
	}
	return fmt.Errorf("%w: a test was given %.2f s of processor time in %.0f s", ErrOverloaded, cpu.Seconds(), wall.Seconds())
}

// waitForMachine is how many times Limits.Hard a program has that the kernel knows to stand
// ready without a processor. Run again later it would want the same time once more.
const waitForMachine = 5

// unserved decides about a program that reached Limits.Hard, of which delay is how long
// its threads stood ready to run: the machine is overloaded only if that is where
// the time went. It returns nil while the program may go on.
func (k *clocks) unserved(limits Limits, wall, delay time.Duration, overloaded error) error {
	if own := wall - delay; own > times(limits.Wall, max(limits.by, 1)) {
		k.stuck = max(k.stuck, own-k.idle)
		return errStuck
	}
	if wall <= waitForMachine*limits.Hard {
		return nil
	}
	return overloaded
}

// period returns how long a program may go unseen: a tick, and less where it could
// go far beyond the limit meanwhile, as one with a thread for each processor does.
func (k *clocks) period(limits Limits, processors int) time.Duration {
	left := limits.CPU + limits.Slack - (k.now - k.heard)
	return min(tick, max(left/time.Duration(max(processors, 1)), shortestTick))
}

// shortestTick bounds what looking costs: a look takes tens of microseconds.
const shortestTick = 5 * time.Millisecond

// glance looks at a program that keeps on talking as often as at a silent one.
// The moment is left to chance: a program that was woken to say something could
// else be found awake whenever it is looked at.
func (c *conversation) glance() error {
	period := c.every()
	if time.Since(c.clocks.looked) < period {
		return nil
	}
	napFor(rand.N(period / 8))
	return c.look()
}

// every returns how often the program is looked at.
func (c *conversation) every() time.Duration {
	if c.period == 0 {
		return tick
	}
	return c.period
}

// lookEvery has the program looked at so often from now on, give or take half.
func (c *conversation) lookEvery(period time.Duration) error {
	if period == c.every() {
		return nil
	}
	c.period = period
	return setTimeouts(c.fd, period/2+rand.N(period))
}

// napFor suspends the calling thread, which has nothing to do meanwhile.
func napFor(d time.Duration) {
	ts := unix.NsecToTimespec(d.Nanoseconds())
	// A signal cuts it short, which harms nothing.
	_ = unix.Nanosleep(&ts, nil)
}

// forkPatience is how long a program may take to exist: its fork server has nothing else to
// do, but a loaded machine may have little time for both.
const forkPatience = 2 * time.Minute

// look is called when the program has said nothing for a tick.
func (c *conversation) look() error {
	if c.pid == 0 {
		if time.Since(c.clocks.started) > forkPatience {
			return fmt.Errorf("%w: no program started in %v", errServer, forkPatience)
		}
		return nil
	}
	if err := c.clocks.read(c.pid); err != nil {
		return err
	}
	state, threads, stateErr := stateOf(c.pid)
	if threads > c.host.tasks {
		c.host.running.crowded()
		return &stop{Crashed, fmt.Sprintf("started %d threads, limit %d", threads, c.host.tasks)}
	}
	// A program that has answered before we came to look is not silent, however long it has slept since. That counts only
	// until the first byte of an answer is read: else a program that says a byte now and then would have no limits.
	if c.have == 0 && c.spoke() {
		return nil
	}
	now := time.Now()
	err := c.clocks.silent(c.limits, now, state, stateErr)
	if c.program != nil {
		c.program.slept.Store(int64(c.clocks.slept))
	}
	if errors.Is(err, ErrOverloaded) {
		if delay, ok := runDelay(c.pid); ok {
			err = c.clocks.unserved(c.limits, now.Sub(c.clocks.started), delay, err)
		}
	}
	if errors.Is(err, errStuck) && c.final {
		err = &stop{TimeLimit, fmt.Sprintf("waited %.2f s in the kernel, limit %v", c.clocks.stuck.Seconds(), c.limits.Wall)}
	}
	if err != nil {
		return err
	}
	if err := c.softly(); err != nil {
		return err
	}
	c.stretched(threads)
	if err := c.lookEvery(c.clocks.period(c.limits, runtime.NumCPU())); err != nil {
		return err
	}
	return c.checkMemory()
}

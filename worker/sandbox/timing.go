package sandbox

import (
	"errors"
	"fmt"
	"time"
)

// tick is how often, on average, a program that takes its time is looked at.
// Each program has a period of its own, from half to three halves of it, so
// that none can be awake just when it is looked at.
const tick = 100 * time.Millisecond

// maxThreads bounds the threads of a program where the kernel does not. A
// thread costs the host a task and its kernel stack, whatever its own stack.
const maxThreads = 1024

// clocks measure one test of a program, the load being one. Processor times
// are of the whole process since its start.
//
// Tests may be asked for several at a time, and then the program has begun a
// test before we have heard of the end of the one before. So two bounds are
// kept: what the program used since we heard the last answer is less than what
// the test took; what it used since it was last known to wait for us is more.
// Where a limit lies between the two, errUnclear has the program run again with
// one test asked for at a time: then they are the same.
type clocks struct {
	now   time.Duration // as last read
	asked time.Duration // when the program was last known to wait
	heard time.Duration // when the last answer came
	last  time.Duration // of the last test
	most  time.Duration // of any test

	started time.Time     // when the last answer came
	looked  time.Time     // when the program was last looked at
	idle    time.Duration // how long it was found asleep since started
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

func (k *clocks) restart() {
	k.started, k.idle = time.Now(), 0
	k.looked = k.started
}

// answered stops the clocks of a test and judges it by its processor time.
// That a test took too long otherwise is decided by look alone: only there it
// is sure that the program had not answered, and not that we were late to hear
// it.
func (k *clocks) answered(limits Limits) error {
	k.last = k.now - k.heard
	k.most = max(k.most, k.last)
	k.heard = k.now
	switch {
	case k.last > limits.CPU:
		return overCPU(k.last, limits)
	case k.now-k.asked > limits.CPU:
		return errUnclear
	}
	k.restart()
	return nil
}

func overCPU(cpu time.Duration, limits Limits) error {
	return &stop{TimeLimit, fmt.Sprintf("used %.2f s of processor time, limit %v", cpu.Seconds(), limits.CPU)}
}

// silent judges a test that has not been answered at the time now; sleeping
// says that the program was found asleep, stateErr that nobody could tell.
func (k *clocks) silent(limits Limits, now time.Time, sleeping bool, stateErr error) error {
	cpu, wall := k.now-k.heard, now.Sub(k.started)
	k.most = max(k.most, cpu)
	if cpu > limits.CPU+limits.Slack {
		return overCPU(cpu, limits)
	}
	if sleeping {
		// We may have been late to look; what it did meanwhile is not known.
		k.idle += min(now.Sub(k.looked), 2*tick)
	}
	k.looked = now
	if k.idle > 0 && cpu+k.idle > limits.Wall {
		return &stop{TimeLimit, fmt.Sprintf("ran %.2f s and slept %.2f s, limit %v", cpu.Seconds(), k.idle.Seconds(), limits.Wall)}
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

// look is called when the program has said nothing for a tick.
func (c *conversation) look() error {
	if c.pid == 0 {
		if time.Since(c.clocks.started) > controlTimeout {
			return fmt.Errorf("%w: no program started in %v", errServer, controlTimeout)
		}
		return nil
	}
	if err := c.clocks.read(c.pid); err != nil {
		return err
	}
	sleeping, threads, stateErr := asleep(c.pid)
	if threads > maxThreads {
		return &stop{Crashed, fmt.Sprintf("started %d threads, limit %d", threads, maxThreads)}
	}
	if err := c.clocks.silent(c.limits, time.Now(), sleeping, stateErr); err != nil {
		return err
	}
	return c.host.memory.check(c.pid)
}

package sandbox

import (
	"fmt"
	"time"
)

// A Soft decides whether a program that is running is stopped, its outcome Stopped. It is asked
// each time that the program is looked at, with the test at hand, -1 while the program is
// loaded, and the processor time that the test has used so far. It is called by the goroutine
// that called Run.
type Soft func(test int, used time.Duration) (stop bool)

// Soft has f asked about the slot's next programs; nil has nobody asked. Programs that run as
// scripts are never stopped so.
func (s *Slot) Soft(f Soft) { s.soft = f }

// worthTelling is the processor time above which a test's is in Result.Times.
const worthTelling = 100 * time.Millisecond

// softly returns a stop if the slot's Soft says so.
func (c *conversation) softly() error {
	if c.soft == nil {
		return nil
	}
	used := c.clocks.now - c.clocks.heard
	if !c.soft(*c.test, used) {
		return nil
	}
	return &stop{Stopped, fmt.Sprintf("stopped at %.2f s of processor time", used.Seconds())}
}

// timed keeps the processor time of the test that was answered just now.
func (c *conversation) timed() {
	if c.test == nil || c.clocks.last <= worthTelling {
		return
	}
	if c.times == nil {
		c.times = make(map[int]time.Duration)
	}
	c.times[*c.test] = c.clocks.last
}

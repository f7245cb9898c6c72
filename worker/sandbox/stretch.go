package sandbox

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// A Strain is what is seen of a test when its program is looked at.
type Strain struct {
	Test   int           // -1 while the program is loaded
	Limit  time.Duration // of processor time
	Used   time.Duration // of processor time, by this test
	CPU    int           // the processor on which the program was last, -1 if that is not known
	Waited time.Duration // how long the program was ready since its start and had no processor; 0 for one of several threads
	Memory int64         // bytes that the program holds
}

// A Stretch decides how far beyond its limit of processor time a test may go on a host that is slower at the
// moment than it can be. One that does not answer is stopped slack beyond the limit, and an answer counts grace
// beyond it. known is false where nothing can be said: then Limits.Slack holds, and no grace. It is asked each
// time that the program is looked at, and when an answer may be beyond the limit, by the goroutine that called Run. Its
// answer holds until the next time.
type Stretch func(s Strain) (slack, grace time.Duration, known bool)

// Stretch has f asked about the slot's next programs; nil has nobody asked.
func (s *Slot) Stretch(f Stretch) { s.stretch = f }

// stretched asks how far the test at hand may go.
func (c *conversation) stretched(threads int) {
	if c.stretch == nil {
		return
	}
	now := Strain{Test: *c.test, Limit: c.limits.CPU, Used: c.clocks.now - c.clocks.heard, CPU: processorOf(c.pid), Memory: memoryOf(c.pid)}
	if threads == 1 {
		now.Waited, _ = runDelay(c.pid)
	}
	slack, grace, known := c.stretch(now)
	if !known {
		slack, grace = c.slack, 0
	}
	c.limits.Slack, c.limits.grace = slack, grace
}

// processorOf returns the processor on which the first thread of pid was last, -1 if that is not known.
func processorOf(pid int) int {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return -1
	}
	return processorIn(stat)
}

// processorIn reads the processor in the text of a stat. The name in it is in parentheses and may hold some.
func processorIn(stat []byte) int {
	const field = 36 // behind the name
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= field {
		return -1
	}
	n, err := strconv.Atoi(string(fields[field]))
	if err != nil || n < 0 {
		return -1
	}
	return n
}

package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the processor time that all threads of pid, dead ones
// included, have used. It needs no privilege and pid may be a zombie.
func cpuTime(pid int) (time.Duration, error) {
	// The kernel's encoding of "processor clock of a process", as
	// clock_getcpuclockid(3) makes it.
	clock := int32(^pid)<<3 | 2
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("read processor clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// errNoRunDelay is returned by runDelay where the kernel does not account for
// the time a thread waits for a processor; wall limits then mean little.
var errNoRunDelay = errors.New("no run delay in schedstat")

// runDelay returns how long the threads of pid that live now have been ready to
// run without a processor.
func runDelay(pid int) (time.Duration, error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("read run delay: %w", err)
	}
	var sum time.Duration
	for _, task := range tasks {
		stat, err := os.ReadFile(dir + "/" + task.Name() + "/schedstat")
		if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist) {
			continue // the thread ended meanwhile
		}
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errNoRunDelay, err)
		}
		fields := bytes.Fields(stat)
		if len(fields) < 2 {
			return 0, errNoRunDelay
		}
		ns, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errNoRunDelay, err)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

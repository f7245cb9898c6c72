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

// asleep reports whether every thread of pid sleeps or is stopped. A thread that
// is ready to run and has no processor, or waits for a disk, is not asleep:
// that is the machine's doing. So the time a program is found asleep, plus its
// processor time, is what it would have taken on a machine of its own.
func asleep(pid int) (all bool, threads int, err error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return false, 0, fmt.Errorf("read state of process %d: %w", pid, err)
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(dir + "/" + task.Name() + "/stat")
		if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist) {
			continue // the thread ended meanwhile
		}
		if err != nil {
			return false, 0, fmt.Errorf("read state of process %d: %w", pid, err)
		}
		// The name before the state is in parentheses and may hold some.
		end := bytes.LastIndexByte(stat, ')')
		if end < 0 || end+2 >= len(stat) {
			return false, 0, fmt.Errorf("read state of process %d: got %q", pid, stat)
		}
		switch stat[end+2] {
		case 'S', 'T', 't', 'Z', 'X':
		default:
			return false, len(tasks), nil
		}
	}
	return true, len(tasks), nil
}

package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// runDelay returns how long the threads that pid has now were ready to run and had no
// processor, all together. It reports false where the kernel does not count that.
func runDelay(pid int) (time.Duration, bool) {
	files, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/schedstat")
	var sum time.Duration
	known := false
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread ended meanwhile
		}
		delay, ok := delayIn(text)
		if !ok {
			return 0, false
		}
		sum, known = sum+delay, true
	}
	return sum, known
}

// mostDelay is longer than any host runs: a count beyond it is none.
const mostDelay = 100 * 365 * 24 * time.Hour

// delayIn reads the wait for a processor in the text of a schedstat: nanoseconds that a thread ran, that it
// waited, and how often it ran. It reports false for what no kernel counts.
func delayIn(text []byte) (time.Duration, bool) {
	fields := bytes.Fields(text)
	if len(fields) != 3 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return time.Duration(n), err == nil && n >= 0 && time.Duration(n) <= mostDelay
}

// A doing is what a program was found to do.
type doing uint8

const (
	awake doing = iota // a thread runs, or is ready to
	// stuck means that none is awake and one waits in the kernel for what no signal
	// ends. That is a disk, or what the program made.
	stuck
	sleeping // every thread sleeps or is stopped
)

// stateOf says what pid does, and how many threads it has. A thread that is ready
// to run and has no processor is awake: that is the machine's doing. So the time a
// program is found asleep, plus its processor time, is what it would have taken on a
// machine of its own.
func stateOf(pid int) (state doing, threads int, err error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return awake, 0, fmt.Errorf("read state of process %d: %w", pid, err)
	}
	state = sleeping
	for _, task := range tasks {
		stat, err := os.ReadFile(dir + "/" + task.Name() + "/stat")
		if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist) {
			continue // the thread ended meanwhile
		}
		if err != nil {
			return awake, 0, fmt.Errorf("read state of process %d: %w", pid, err)
		}
		// The name before the state is in parentheses and may hold some.
		end := bytes.LastIndexByte(stat, ')')
		if end < 0 || end+2 >= len(stat) {
			return awake, 0, fmt.Errorf("read state of process %d: got %q", pid, stat)
		}
		switch stat[end+2] {
		case 'S', 'T', 't', 'Z', 'X', 'I':
		case 'D':
			state = stuck
		default:
			return awake, len(tasks), nil
		}
	}
	return state, len(tasks), nil
}

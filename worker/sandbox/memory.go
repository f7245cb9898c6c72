package sandbox

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
)

// A memoryWatch keeps a host alive that promised programs more memory than it
// has: before the kernel must choose whom to kill, the program that has most goes.
type memoryWatch struct {
	total  int64 // bytes that the host has, or its container if that has less
	floor  int64 // bytes that must stay available
	groups []memoryGroup
	seen   *atomic.Int64 // kills, as last counted
}

// A memoryGroup is a control group that limits us: where its files are.
type memoryGroup struct {
	limit, usage, events string
}

// memoryFloor is the share of the memory, and the bytes, below which a host is
// about to fail.
const (
	memoryFloorShare = 20 // a twentieth
	memoryFloorMost  = 1 << 30
	// memoryBlameShare is the part of all memory from which a program that runs
	// alone is to blame for its end, and not whoever has the rest.
	memoryBlameShare = 3
)

// newMemoryWatch returns a watch over the memory of the host, and of the control
// groups of dirs that limit it, whichever has less.
func newMemoryWatch(dirs []string) memoryWatch {
	total, ok := meminfo("MemTotal:")
	if !ok {
		total = math.MaxInt64
	}
	w := memoryWatch{total: total}
	for _, dir := range dirs {
		for _, g := range []memoryGroup{
			{"memory.max", "memory.current", "memory.events"},
			{"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control"},
		} {
			g = memoryGroup{filepath.Join(dir, g.limit), filepath.Join(dir, g.usage), filepath.Join(dir, g.events)}
			// What is no limit is a word in version 2, and more than there is in version 1.
			if limit, ok := readNumber(g.limit); ok && limit < total {
				w.groups = append(w.groups, g)
				w.total = min(w.total, limit)
			}
		}
	}
	w.floor = min(w.total/memoryFloorShare, memoryFloorMost)
	w.seen = new(atomic.Int64)
	w.killed()
	return w
}

// memoryDirs returns the control groups that may limit our memory: ours and those
// above it, as far as they can be seen.
func memoryDirs() []string {
	places, err := cgroupPlaces()
	if err != nil {
		return nil
	}
	var dirs []string
	for _, dir := range append(places["memory"], places[""]...) {
		for ; len(dir) > 1 && !slices.Contains(dirs, dir); dir = filepath.Dir(dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// available returns what can still be had, by the kernel's estimate and by the
// limits of our own groups.
func (w memoryWatch) available() (int64, bool) {
	available, ok := meminfo("MemAvailable:")
	for _, g := range w.groups {
		limit, lok := readNumber(g.limit)
		used, uok := readNumber(g.usage)
		if !lok || !uok || ok && limit-used >= available {
			continue
		}
		// Usage holds the page cache, which the kernel gives back.
		left := limit - used + cachedBytes(filepath.Join(filepath.Dir(g.usage), "memory.stat"))
		if !ok || left < available {
			available, ok = left, true
		}
	}
	return available, ok
}

// killed reports whether the kernel has killed a process for want of memory, in
// our groups or on the host, since it was last asked.
func (w memoryWatch) killed() bool {
	n := fieldOf("/proc/vmstat", "oom_kill")
	for _, g := range w.groups {
		n += fieldOf(g.events, "oom_kill")
	}
	return w.seen.Swap(int64(n)) < int64(n)
}

// checkMemory says what becomes of a program by the memory that is left: a *stop if the
// program took it, ErrAlone if it has more than any other and the others had a part.
func (c *conversation) checkMemory() error {
	w := c.host.memory
	available, ok := w.available()
	if !ok || available >= w.floor {
		return nil
	}
	mine := memoryOf(c.pid)
	if c.host.running.alone(c.program) {
		if mine < w.total/memoryBlameShare {
			// Somebody else on this host has it.
			return fmt.Errorf("%w: %d MiB of memory left while a program holds %d MiB", ErrOverloaded, available>>20, mine>>20)
		}
		return &stop{MemoryLimit, fmt.Sprintf("held %d MiB, and %d MiB were left of %d MiB", mine>>20, available>>20, w.total>>20)}
	}
	for _, pid := range c.host.running.others(c.program) {
		if memoryOf(pid) > mine {
			return nil // that one goes
		}
	}
	return fmt.Errorf("%w: %d MiB of memory left while it holds %d MiB, more than any other", ErrAlone, available>>20, mine>>20)
}

// cachedBytes returns the reclaimable page cache of the group whose statistics are
// given.
func cachedBytes(stat string) int64 {
	if n := fieldOf(stat, "total_inactive_file"); n > 0 {
		return int64(n)
	}
	return int64(fieldOf(stat, "inactive_file"))
}

// fieldOf returns the number after a word at the start of a line, 0 if there is none.
func fieldOf(file, word string) int {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) == 2 && string(fields[0]) == word {
			n, _ := strconv.Atoi(string(fields[1]))
			return n
		}
	}
	return 0
}

// meminfo returns a line of /proc/meminfo in bytes.
func meminfo(key string) (int64, bool) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == key {
			kib, err := strconv.ParseInt(string(fields[1]), 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}

// memoryOf returns what pid takes of the host's memory, 0 if it is gone: its pages, those
// that were swapped out, and the tables of its address space, which mappings far apart make
// many times as large as the pages.
func memoryOf(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	var kib int64
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) != 3 {
			continue
		}
		switch string(fields[0]) {
		case "VmRSS:", "VmSwap:", "VmPTE:":
			n, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			kib += n
		}
	}
	return kib << 10
}

// readNumber returns the number that is a file's whole text.
func readNumber(file string) (int64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	return n, err == nil
}

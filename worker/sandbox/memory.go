package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// A memoryWatch keeps a host alive that promised programs more memory than it
// has: before the kernel must choose whom to kill, the program at hand goes.
type memoryWatch struct {
	floor int64 // bytes that must stay available
}

// memoryFloor is the share of the memory, and the bytes, below which a host is
// about to fail.
const (
	memoryFloorShare = 20 // a twentieth
	memoryFloorMost  = 1 << 30
	// memoryBlame is the resident size from which a program is to blame.
	memoryBlame = 256 << 20
)

func newMemoryWatch() memoryWatch {
	total, _ := meminfo("MemTotal:")
	return memoryWatch{floor: min(total/memoryFloorShare, memoryFloorMost)}
}

// check returns an error that wraps ErrOverloaded if memory is all but gone
// and the process has a good part of it.
func (w memoryWatch) check(pid int) error {
	available, ok := availableMemory()
	if !ok || available >= w.floor {
		return nil
	}
	resident := residentMemory(pid)
	if resident < memoryBlame {
		return nil
	}
	return fmt.Errorf("%w: %d MiB of memory left while a program holds %d MiB", ErrOverloaded, available>>20, resident>>20)
}

// availableMemory returns what can still be had, by the kernel's estimate and
// by the limit of our own container.
func availableMemory() (int64, bool) {
	available, ok := meminfo("MemAvailable:")
	for _, files := range [][2]string{
		{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
		{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"},
	} {
		limit, lok := readNumber(files[0])
		used, uok := readNumber(files[1])
		// Usage holds the page cache, which the kernel gives back: half is a
		// guess on the safe side where the group is near its limit.
		if lok && uok && limit-used/2 < available {
			available = min(available, limit-used+cachedBytes(files[1]))
		}
	}
	return available, ok
}

// cachedBytes returns the reclaimable page cache of the group whose usage file
// is given.
func cachedBytes(usage string) int64 {
	text, err := os.ReadFile(usage[:bytes.LastIndexByte([]byte(usage), '/')] + "/memory.stat")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) == 2 && (string(fields[0]) == "inactive_file" || string(fields[0]) == "total_inactive_file") {
			n, _ := strconv.ParseInt(string(fields[1]), 10, 64)
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

// residentMemory returns the resident size of pid, 0 if it is gone.
func residentMemory(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
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

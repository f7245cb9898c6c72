// Package cores divides the processors of this machine between the engines that
// generate on it and the programs that are judged on it. An engine keeps two
// threads busy while its GPU computes, the API server and the engine's loop, and
// the GPU waits whenever one of them does: for a processor that a program has, or
// for the half of a core that a program's hyperthread takes.
package cores

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Machine is the processors that this process may use.
type Machine struct {
	// CPUs are the kernel's numbers of the logical processors, ascending.
	CPUs []int
	// Quota is how many processors' time the control group grants, at most
	// len(CPUs): a container that sees 128 processors may have the time of 32.
	Quota int
	// Topology is the folder that says which processors are one core,
	// /sys/devices/system/cpu. Where it says nothing each is a core of its own.
	Topology string
}

// Here returns this machine, as far as this process may use it.
func Here() (Machine, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return Machine{}, fmt.Errorf("ask which processors may be used: %w", err)
	}
	m := Machine{Topology: "/sys/devices/system/cpu"}
	for cpu := range len(set) * strconv.IntSize {
		if set.IsSet(cpu) {
			m.CPUs = append(m.CPUs, cpu)
		}
	}
	m.Quota = min(runtime.GOMAXPROCS(0), len(m.CPUs)) // the runtime reads the quota
	return m, nil
}

// A Share is what programs get of a machine.
type Share struct {
	// CPUs are those that programs run on; nil is all.
	CPUs []int
	// Slots is how many programs have a processor each, at least 1.
	Slots int
	// Left is how many processors are left to engines.
	Left int
}

// All returns the share of programs that have the machine to themselves.
func (m Machine) All() Share { return Share{Slots: max(m.Quota, 1)} }

// Leave returns the share of programs that leave n processors to engines, but never
// more than most. It leaves whole cores; only the last one may be left in part, if most
// is reached within it. They are those with the lowest numbers, so that every process of
// this machine leaves the same.
func (m Machine) Leave(n, most int) Share {
	s := m.All()
	left := map[int]bool{}
	for _, cpu := range m.CPUs {
		if len(left) >= min(n, most) {
			break
		}
		for _, sibling := range m.core(cpu) {
			if len(left) < most {
				left[sibling] = true
			}
		}
	}
	if len(left) == 0 {
		return s
	}
	for _, cpu := range m.CPUs {
		if !left[cpu] {
			s.CPUs = append(s.CPUs, cpu)
		}
	}
	s.Left = len(left)
	s.Slots = max(min(m.Quota-s.Left, len(s.CPUs)), 1)
	return s
}

// Cores returns the usable processors core by core, in the order of their lowest numbers.
// The processors of one core are hyperthreads, which share its speed.
func (m Machine) Cores() [][]int {
	var all [][]int
	seen := map[int]bool{}
	for _, cpu := range m.CPUs {
		if seen[cpu] {
			continue
		}
		siblings := m.core(cpu)
		for _, c := range siblings {
			seen[c] = true
		}
		all = append(all, siblings)
	}
	return all
}

// core returns the usable processors of the core that cpu belongs to, cpu among them.
func (m Machine) core(cpu int) []int {
	text, err := os.ReadFile(fmt.Sprintf("%s/cpu%d/topology/thread_siblings_list", m.Topology, cpu))
	if err != nil {
		return []int{cpu}
	}
	all, err := parseList(strings.TrimSpace(string(text)))
	if err != nil || !slices.Contains(all, cpu) {
		return []int{cpu}
	}
	return slices.DeleteFunc(all, func(c int) bool { return !slices.Contains(m.CPUs, c) })
}

// parseList reads the kernel's form of a set of processors, such as 0-3,8.
func parseList(text string) ([]int, error) {
	var all []int
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		from, err := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("read processors %q: %w", text, err)
		}
		if from < 0 || to < from || to > maxCPU {
			return nil, fmt.Errorf("read processors %q: %q is no range of 0 to %d", text, part, maxCPU)
		}
		for cpu := from; cpu <= to; cpu++ {
			all = append(all, cpu)
		}
	}
	return all, nil
}

// maxCPU is the highest number that a set of the kernel's holds.
const maxCPU = 8191

package sandbox

import (
	"slices"

	"golang.org/x/sys/unix"
)

// usable returns cpus, or nil if none of them may be used any more: a container's processors can be changed
// while it runs. Programs then run on whatever is left. At the start such a setting is an error.
func (h *Host) usable(cpus []int) []int {
	if cpus == nil || !h.proved {
		return cpus
	}
	var mine unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mine); err != nil || slices.ContainsFunc(cpus, mine.IsSet) {
		return cpus
	}
	if !h.lost.Swap(true) {
		h.config.Log.Warn("programs run on whatever processors there are: those that they had were taken from this process; not logged again", "processors", cpus)
	}
	return nil
}

package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroups is where control groups for slots can be made: by controller, the
// parent directory. Version 2 has the same one for both.
type cgroups struct {
	memory, pids string
	v2           bool
	tasks        int // that a slot may have
}

// cgroupName starts the name of every group we make. The PID namespace and the
// process id after it tell whose it is, so that the next Probe can sweep what a
// killed process left. Slot ids are told apart only within a Host, hence the
// random end.
const cgroupName = "lcbq-"

// ownGroups starts the names of the groups that were made in our PID namespace,
// the only one in which we can tell the living from the dead.
func ownGroups() (string, error) {
	link, err := os.Readlink("/proc/self/ns/pid") // pid:[4026531836]
	if err != nil {
		return "", fmt.Errorf("find PID namespace: %w", err)
	}
	return cgroupName + strings.Trim(link, "pid:[]") + "-", nil
}

// try makes and removes a group with limits.
func (g *cgroups) try() error {
	dirs, err := g.make("probe", 1<<30)
	return errors.Join(err, g.remove(dirs))
}

// make makes the groups of a slot, of programs of so much memory.
func (g *cgroups) make(slot string, memory int64) ([]string, error) {
	prefix, err := ownGroups()
	if err != nil {
		return nil, err
	}
	name := prefix + strconv.Itoa(os.Getpid()) + "-" + slot + "-*"
	var dirs []string
	for _, parent := range slices.Compact([]string{g.memory, g.pids}) {
		if parent == "" {
			continue
		}
		dir, err := os.MkdirTemp(parent, name)
		if err != nil {
			return dirs, fmt.Errorf("make control group: %w", err)
		}
		dirs = append(dirs, dir)
	}
	memDir, pidsDir := dirs[0], dirs[len(dirs)-1]
	limit := strconv.FormatInt(memory, 10)
	memFile, swapFile, swap := "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", limit
	if g.v2 {
		memFile, swapFile, swap = "memory.max", "memory.swap.max", "0"
	}
	if err := os.WriteFile(filepath.Join(memDir, memFile), []byte(limit), 0); err != nil {
		return dirs, fmt.Errorf("limit memory of control group: %w", notHandedOn(err, "memory"))
	}
	// Absent where the kernel accounts for no swap.
	if err := os.WriteFile(filepath.Join(memDir, swapFile), []byte(swap), 0); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		return dirs, fmt.Errorf("limit swap of control group: %w", err)
	}
	if g.pids == "" {
		return dirs, nil
	}
	if err := os.WriteFile(filepath.Join(pidsDir, "pids.max"), []byte(strconv.Itoa(g.tasks)), 0); err != nil {
		return dirs, fmt.Errorf("limit tasks of control group: %w", notHandedOn(err, "pids"))
	}
	return dirs, nil
}

// notHandedOn says what it means that a new group of version 2 lacks a controller's files.
func notHandedOn(err error, controller string) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("the parent does not hand on the controller %s: %w", controller, err)
	}
	return err
}

// maxTasks bounds the threads of a slot's program, fork servers included. An
// honest program may have 300 at once: a thread for each item of a list.
const maxTasks = 384

// remove removes groups; their processes must have been waited for.
func (g *cgroups) remove(dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove control group %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// sweep removes the empty groups of processes that are gone. Those of another PID
// namespace stay: a living slot's group is empty until its fork server joins.
func (g *cgroups) sweep() {
	prefix, err := ownGroups()
	if err != nil {
		return
	}
	for _, parent := range []string{g.memory, g.pids} {
		dirs, _ := filepath.Glob(filepath.Join(parent, prefix+"*"))
		for _, dir := range dirs {
			owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
			pid, err := strconv.Atoi(owner)
			if err != nil || unix.Kill(pid, 0) == nil {
				continue
			}
			// Refused if it holds a process, and then it is not ours to sweep.
			_ = unix.Rmdir(dir)
		}
	}
}

// oomKills returns how many processes of a slot's group the kernel has killed
// for its memory.
func (g *cgroups) oomKills(dirs []string) int {
	file := "memory.oom_control"
	if g.v2 {
		file = "memory.events"
	}
	text, err := os.ReadFile(filepath.Join(dirs[0], file))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) == 2 && string(fields[0]) == "oom_kill" {
			n, _ := strconv.Atoi(string(fields[1]))
			return n
		}
	}
	return 0
}

// A cgroupFile is where a process writes to join a control group.
type cgroupFile struct {
	dir string
	fd  int // ends with the execution
}

// joinGroup begins what stage 1 says of a group that it cannot join.
const joinGroup = "join control group"

// notJoined reports whether a slot was not opened because its group could be made and not joined.
func notJoined(err error) bool {
	var refused *refusal
	return errors.As(err, &refused) && strings.Contains(refused.text, joinGroup)
}

// openCgroups opens groups to be joined.
func openCgroups(dirs []string) ([]cgroupFile, error) {
	files := make([]cgroupFile, len(dirs))
	for i, dir := range dirs {
		fd, err := unix.Open(filepath.Join(dir, "cgroup.procs"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", joinGroup, dir, err)
		}
		files[i] = cgroupFile{dir, fd}
	}
	return files, nil
}

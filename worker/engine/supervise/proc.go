package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A proc is a line of the kernel's table of processes.
type proc struct {
	pid, parent, session int
	zombie               bool
	used                 time.Duration // of processors, since its start
	start                string        // in ticks since boot: tells a process from another with its number
}

// tick is the unit of the kernel's times of a process: user space sees 100 a second everywhere.
const tick = 10 * time.Millisecond

// readProc reads one process.
func readProc(pid int) (proc, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return proc{}, err
	}
	// The name, in brackets, may hold brackets and blanks itself.
	i := bytes.LastIndexByte(stat, ')')
	f := strings.Fields(string(stat[i+1:]))
	const state, parent, session, user, system, start = 0, 1, 3, 11, 12, 19 // counted from the field behind the name
	if i < 0 || len(f) <= start {
		return proc{}, fmt.Errorf("read process %d: strange form %q", pid, stat)
	}
	p := proc{pid: pid, zombie: f[state] == "Z" || f[state] == "X", start: f[start]}
	for _, i := range []int{user, system} {
		if n, err := strconv.ParseInt(f[i], 10, 64); err == nil {
			p.used += time.Duration(n) * tick
		}
	}
	if p.parent, err = strconv.Atoi(f[parent]); err == nil {
		p.session, err = strconv.Atoi(f[session])
	}
	return p, err
}

// processes reads the table. What ends meanwhile is left out.
func processes() ([]proc, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return nil, err
	}
	all := make([]proc, 0, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := readProc(pid); err == nil {
			all = append(all, p)
		}
	}
	return all, nil
}

// descendants returns the children of a process, their children, and so on.
func descendants(all []proc, root int) []proc {
	children := map[int][]proc{}
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p)
	}
	var found []proc
	next := children[root]
	for len(next) > 0 {
		p := next[0]
		next = append(next[1:], children[p.pid]...)
		found = append(found, p)
	}
	return found
}

// members returns the live processes of a session, and those elsewhere that
// carry the mark in their environment. Where old is not nil, the session may be an old one, whose
// number somebody else's has by now: one of its processes must carry the mark or have one of
// the titles in its command line, for some write their title over their environment. Session 0
// is nobody's: the kernel shows it for every leader outside this PID namespace.
func members(all []proc, session int, mark string, old []string) []proc {
	var found []proc
	for _, p := range all {
		if p.zombie || p.pid == os.Getpid() {
			continue
		}
		if session != 0 && p.session == session && (old == nil || entitled(p.pid, old)) || carries(p.pid, mark) {
			found = append(found, p)
		}
	}
	return found
}

// entitled reports whether a process's command line holds one of the titles.
func entitled(pid int, titles []string) bool {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return err == nil && slices.ContainsFunc(titles, func(t string) bool { return bytes.Contains(bytes.ToLower(line), []byte(t)) })
}

// carries reports whether a process was started with the variable. A process
// that writes its own title may have overwritten it.
func carries(pid int, variable string) bool {
	env, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return false
	}
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if string(v) == variable {
			return true
		}
	}
	return false
}

// forming returns the processes that execute a program at this moment. They show neither arguments
// nor variables yet, so nobody can say whether they carry a mark.
func forming(all []proc) []proc {
	const kernel = 2 // the parent of the kernel's own threads, which never show any
	var found []proc
	for _, p := range all {
		if p.zombie || p.pid == kernel || p.parent == kernel {
			continue
		}
		bare := true
		for _, name := range []string{"environ", "cmdline"} {
			text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), name))
			bare = bare && err == nil && len(text) == 0
		}
		if bare {
			found = append(found, p)
		}
	}
	return found
}

// kill sends the signal that nothing survives. A process that has ended is no
// error.
func kill(all []proc) {
	for _, p := range all {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
}

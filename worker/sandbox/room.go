package sandbox

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoRoom is returned by NewSlot when the host ran short of something for one more slot, and
// did so again after a while. The slots that are open can go on without it.
var ErrNoRoom = errors.New("no room for another slot")

// What a slot takes: control socket, messages and handle of each of two fork servers, a
// program's socket and a question's inputs; a thread that starts and one that waits, the two
// servers and a program.
const (
	slotFiles = 10
	slotTasks = 5
)

// spareFiles is what is kept for the rest of the process: streams and connections.
const spareFiles = 64

// spareTasks is the same in threads, besides one for each of the runtime's processors: the runtime ends the
// process if it cannot make one.
const spareTasks = 30

// Room returns how many slots this session's limits held, at least 1, before the first was
// open, and which limit it is. It says nothing of processors.
func (h *Host) Room() (slots int, why string) { return h.room, h.roomWhy }

// roomNow returns how many slots the session's limits hold, those on tasks being given.
func roomNow(tasks []taskLimit) (slots int, why string) {
	slots, why = maxSlots, "slots are numbered to "+strconv.Itoa(maxSlots-1)
	bound := func(n int, format string, args ...any) {
		if n = max(n, 1); n < slots {
			slots, why = n, fmt.Sprintf(format, args...)
		}
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && files.Cur < math.MaxInt32 {
		open, _ := os.ReadDir("/proc/self/fd")
		bound((int(files.Cur)-spareFiles-len(open))/slotFiles, "this session may open %d files (ulimit -n)", files.Cur)
	}
	for _, l := range tasks {
		bound(l.share()/slotTasks, l.format, l.limit, l.used)
	}
	return slots, why
}

// More returns how many further slots this session's limits hold beside the open ones, at most n, and
// which limit it is if these are fewer. The runtime makes the threads now that so many slots need.
func (h *Host) More(open, n int) (more int, why string) {
	limits := taskLimits()
	more, why = roomNow(limits)
	if k, short := moreFor(limits, h.tasks, open); k < more {
		more, why = k, short
	}
	if k := max(0, maxSlots-open); k < more {
		more, why = k, "slots are numbered to "+strconv.Itoa(maxSlots-1)
	}
	if more >= n {
		more, why = n, ""
	}
	if len(limits) > 0 {
		reserveThreads(open + more)
	}
	return more, why
}

// AtOnce returns how many of n slots may be opened at once, at least 1: a start is processor time, nearly all of
// it, and takes more threads than the fork server that it ends as.
func (h *Host) AtOnce(n int) int {
	return atOnce(n, runtime.GOMAXPROCS(0), taskLimits())
}

// startTasks are the threads that the runtime has made in stage 1 when it becomes the interpreter, at most.
const startTasks = 8

func atOnce(n, processors int, limits []taskLimit) int {
	for _, l := range limits {
		processors = min(processors, (l.limit-l.used-n-spareTasks/2)/startTasks)
	}
	return max(processors, 1)
}

// moreFor returns how many further slots limits on tasks hold, if the program in each slot, the open ones
// too, takes as many as it may.
func moreFor(limits []taskLimit, each, open int) (more int, why string) {
	more = maxSlots
	for _, l := range limits {
		if k := max(0, l.share()/max(1, each)-open); k < more {
			more, why = k, fmt.Sprintf(l.format, l.limit, l.used)
		}
	}
	return more, why
}

// groupTasks returns the limit on the tasks of a control group and how many there are, of the
// group or whichever above it that is seen has the least room.
func groupTasks(dir string) (limit, used int, ok bool) {
	for ; len(dir) > 1; dir = filepath.Dir(dir) {
		most, hasMost := readNumber(filepath.Join(dir, "pids.max"))
		now, hasNow := readNumber(filepath.Join(dir, "pids.current"))
		if hasMost && hasNow && (!ok || int(most-now) < limit-used) {
			limit, used, ok = int(min(most, math.MaxInt32)), int(now), true
		}
	}
	return limit, used, ok
}

// tasksOf counts the threads of a user in the processes that proc shows.
func tasksOf(proc string, uid int) int {
	dirs, _ := filepath.Glob(proc + "/[0-9]*/status")
	n := 0
	for _, file := range dirs {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended
		}
		ours, threads := false, 0
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 2 {
				continue
			}
			switch fields[0] {
			case "Uid:":
				ours = fields[1] == strconv.Itoa(uid)
			case "Threads:":
				threads, _ = strconv.Atoi(fields[1])
			}
		}
		if ours {
			n += threads
		}
	}
	return n
}

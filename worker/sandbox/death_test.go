package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKilledProgram kills a program from outside and wants no verdict of it, alone
// or not; and a verdict of one that closed its socket and was killed for it.
func TestKilledProgram(t *testing.T) {
	t.Parallel()
	forEachLevel(t, Config{}, func(t *testing.T, h *Host) {
		t.Helper()
		s := openSlotOn(t, h)
		q := &Question{ID: "q", Inputs: []string{"1 2\n", "3 4\n"}}
		kill := func(int, Output) bool {
			for _, p := range descendants(t, s.servers[plain].process.Pid) {
				pid, _, _ := strings.Cut(p, " ")
				n, err := strconv.Atoi(pid)
				if err == nil {
					err = syscall.Kill(n, syscall.SIGKILL)
				}
				if err != nil {
					t.Error(err)
				}
			}
			return true
		}
		const source = "a, b = map(int, input().split())\nwhile a == 3: pass\nprint(a + b)\n"
		if r, err := s.Run(t.Context(), q, source, kill); !errors.Is(err, ErrAlone) {
			t.Errorf("Run of a program that was killed = %+v, %v, want ErrAlone", r, err)
		}
		r, err := s.Run(t.Context(), q, "import os\nos.close(3)\nwhile True: pass", kill)
		if err != nil || r.Outcome != Crashed || r.Detail != "closed its descriptors" {
			t.Errorf("Run of a program that closed its socket = %+v, %v", r, err)
		}
		r, err = s.Run(t.Context(), q, correctStdin, func(int, Output) bool { return true })
		if err != nil || r.Outcome != Accepted {
			t.Errorf("Run of a correct program afterwards = %+v, %v", r, err)
		}
	})
}

// TestRegister wants every program to be known as alone that was so all the time.
func TestRegister(t *testing.T) {
	t.Parallel()
	var r register
	first := r.add()
	if !r.alone(first) {
		t.Error("the only program is not alone")
	}
	second := r.add()
	r.known(second, 7)
	if r.alone(first) || r.alone(second) {
		t.Error("one of two programs is alone")
	}
	if got := r.others(first); len(got) != 1 || got[0] != 7 {
		t.Errorf("others = %v, want 7", got)
	}
	r.remove(second)
	if r.alone(first) {
		t.Error("a program is alone that had company")
	}
	r.remove(first)
	if third := r.add(); !r.alone(third) {
		t.Error("a program is not alone after the others have gone")
	}
}

// TestMemoryOfContainer wants the floor to be a share of what the container may have,
// and what is left to be the least of its groups.
func TestMemoryOfContainer(t *testing.T) {
	t.Parallel()
	group := func(files map[string]string) string {
		dir := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	host := newMemoryWatch(nil)
	v2 := group(map[string]string{"memory.max": "200000000\n", "memory.current": "150000000\n", "memory.stat": "anon 1\ninactive_file 30000000\n", "memory.events": "oom 9\noom_kill 2\n"})
	v1 := group(map[string]string{"memory.limit_in_bytes": "100000000\n", "memory.usage_in_bytes": "90000000\n", "memory.stat": "inactive_file 1\ntotal_inactive_file 5000000\n"})
	none := group(map[string]string{"memory.max": "max\n", "memory.current": "1\n"})
	large := group(map[string]string{"memory.limit_in_bytes": "9223372036854771712\n", "memory.usage_in_bytes": "1\n"})
	for _, tt := range []struct {
		name               string
		dirs               []string
		total, floor, left int64 // left is 0 for as much as the host has
	}{
		{"no group", nil, host.total, host.floor, 0},
		{"groups without a limit", []string{none, large, "/nowhere"}, host.total, host.floor, 0},
		{"version 2", []string{none, v2}, 200000000, 10000000, 80000000},
		{"version 1", []string{v1, large}, 100000000, 5000000, 15000000},
		{"both", []string{v2, v1}, 100000000, 5000000, 15000000},
	} {
		w := newMemoryWatch(tt.dirs)
		left, ok := w.available()
		if w.total != tt.total || w.floor != tt.floor || !ok || (tt.left != 0 && left != tt.left) {
			t.Errorf("%s: total %d, floor %d, left %d, want %d, %d, %d", tt.name, w.total, w.floor, left, tt.total, tt.floor, tt.left)
		}
	}
	w := newMemoryWatch([]string{v2})
	if err := os.WriteFile(filepath.Join(v2, "memory.events"), []byte("oom_kill 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !w.killed() {
		t.Error("a kill in the group was not seen")
	}
}

// TestMemoryBlame wants the program that has most of the memory to go when there is
// none left, with a verdict only if nobody else had a part.
func TestMemoryBlame(t *testing.T) {
	t.Parallel()
	self := memoryOf(os.Getpid())
	for _, tt := range []struct {
		name   string
		others []int
		total  int64
		want   string
	}{
		{"alone with most of it", nil, 2 * self, "stop"},
		{"alone with little of it", nil, 100 * self, "overloaded"},
		{"beside a smaller one", []int{1 << 22}, 2 * self, "alone"}, // no process has this number
		{"beside a larger one", []int{os.Getpid()}, 2 * self, ""},
	} {
		h := &Host{running: new(register), memory: memoryWatch{total: tt.total, floor: 1 << 62}}
		c := &conversation{host: h, pid: os.Getpid(), program: h.running.add()}
		for _, pid := range tt.others {
			h.running.known(h.running.add(), pid)
		}
		if tt.name == "beside a larger one" {
			c.pid = 1 << 22
		}
		err := c.checkMemory()
		got := ""
		switch {
		case isStop(err):
			got = "stop"
		case errors.Is(err, ErrOverloaded):
			got = "overloaded"
		case errors.Is(err, ErrAlone):
			got = "alone"
		}
		if got != tt.want {
			t.Errorf("%s: checkMemory = %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestStuck wants the time that a program waits in the kernel to count, but a slow
// disk to have a second chance.
func TestStuck(t *testing.T) {
	t.Parallel()
	limits := Limits{CPU: time.Second, Wall: time.Second, Hard: time.Minute}
	run := func(states ...doing) error {
		var k clocks
		k.restart()
		now := k.started
		for i := range 100 {
			now = now.Add(tick)
			if err := k.silent(limits, now, states[i%len(states)], nil); err != nil {
				return err
			}
		}
		return nil
	}
	if err := run(stuck); !errors.Is(err, errStuck) {
		t.Errorf("always stuck = %v, want errStuck", err)
	}
	if err := run(sleeping); !isStop(err) {
		t.Errorf("always asleep = %v, want a stop", err)
	}
	if err := run(awake); err != nil {
		t.Errorf("always awake = %v, want nothing before the hard limit", err)
	}
	if err := run(awake, stuck); !errors.Is(err, errStuck) {
		t.Errorf("stuck half of the time = %v, want errStuck in the end", err)
	}
}

// TestOutOfMemoryScore wants a program to be killed for want of memory before its
// fork server, whenever one forks.
func TestOutOfMemoryScore(t *testing.T) {
	t.Parallel()
	forEachLevel(t, Config{}, func(t *testing.T, h *Host) {
		t.Helper()
		if err := unix.Access(oomScore, unix.W_OK); err != nil {
			t.Skip("no score to raise here:", err)
		}
		s := openSlotOn(t, h)
		for n := range 2 {
			server := s.servers[plain].process.Pid
			seen := 0
			r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{"1 2\n"}}, correctStdin, func(int, Output) bool {
				for _, pid := range pidsBelow(t, server) {
					if program, fork := scoreOf(t, pid), scoreOf(t, server); fork >= program || program != 1000 {
						t.Errorf("score of program %d is %d, of its fork server %d", n, program, fork)
					}
					seen++
				}
				return true
			})
			if err != nil || r.Outcome != Accepted || seen != 1 {
				t.Fatalf("Run = %+v, %v, with %d programs, want one accepted", r, err, seen)
			}
		}
	})
}

// TestServerOutOfMemory has the kernel kill the fork server for the memory that its
// program takes, and wants that to be the program's failure.
func TestServerOutOfMemory(t *testing.T) {
	t.Parallel()
	h := probeAt(t, A, Config{Limits: Limits{Memory: 1 << 30}})
	if h.groups == nil {
		t.Skip("no control groups here")
	}
	s := openSlotOn(t, h)
	const most = 128 << 20
	name := "memory.limit_in_bytes"
	if h.groups.v2 {
		name = "memory.max"
	}
	if err := os.WriteFile(filepath.Join(s.groups[0], name), []byte(strconv.Itoa(most)), 0); err != nil {
		t.Fatal(err)
	}
	server := s.servers[plain].process.Pid
	// As if the fork server were the larger.
	invert := func(int, Output) bool {
		for pid, score := range map[int]string{server: "1000", pidsBelow(t, server)[0]: "0"} {
			if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte(score), 0); err != nil {
				t.Error(err)
			}
		}
		return true
	}
	source := fmt.Sprintf("import sys\nkeep = bytearray(%d) if input() == 'hold' else 0\nprint(1)", 4*most)
	r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{"wait\n", "hold\n"}}, spin+source, invert)
	if err != nil || r.Outcome != MemoryLimit || r.Detail != "the kernel killed its fork server for their memory" {
		t.Errorf("Run of a program for which its fork server was killed = %+v, %v, want memory limit", r, err)
	}
	r, err = s.Run(t.Context(), &Question{ID: "next", Inputs: []string{"1 2\n"}}, correctStdin, func(_ int, o Output) bool { return string(o.Text) == "3\n" })
	if err != nil || r.Outcome != Accepted {
		t.Errorf("Run of a correct program afterwards = %+v, %v", r, err)
	}
}

// spin makes the tests of a program slow enough to be asked for one at a time.
const spin = "import time\nwhile time.process_time() < 0.1: pass\n"

// pidsBelow returns the processes below pid.
func pidsBelow(t *testing.T, pid int) []int {
	t.Helper()
	var pids []int
	for _, p := range descendants(t, pid) {
		text, _, _ := strings.Cut(p, " ")
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, n)
	}
	return pids
}

// scoreOf returns by how much the kernel prefers to kill pid for want of memory.
func scoreOf(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRaiseScore wants a session whose score is high already, and may not be lowered,
// to keep fork server and programs alike.
func TestRaiseScore(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "oom_score_adj")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := dieEarly(file)
	if err != nil || fd == none {
		t.Fatalf("dieEarly = %d, %v", fd, err)
	}
	defer func() { _ = syscall.Close(fd) }()
	if text, err := os.ReadFile(file); err != nil || string(text) != serverOOM {
		t.Errorf("dieEarly wrote %q, %v, want %s", text, err, serverOOM)
	}
	if fd, err := dieEarly(file + "/absent"); fd != none || err == nil {
		t.Errorf("dieEarly without the file = %d, %v", fd, err)
	}
}

// TestUnserved wants a program at the hard limit to be charged with the time in which
// it did not even want a processor, and with no other: while it stands ready it is waited for.
func TestUnserved(t *testing.T) {
	t.Parallel()
	limits := Limits{}.withDefaults()
	hard := limits.Hard
	for _, tt := range []struct {
		name        string
		wall, delay time.Duration
		want        error
	}{
		{"never served", hard, hard, nil},
		{"more threads than that", hard, 40 * hard, nil},
		{"served but for what it may take", hard, hard - limits.Wall, nil},
		{"wanted no processor", hard, 0, errStuck},
		{"half of the time", hard, hard / 2, errStuck},
		{"not served for long", waitForMachine * hard, waitForMachine * hard, nil},
		{"never going to be served", waitForMachine*hard + 1, waitForMachine * hard, ErrOverloaded},
		{"wanted no processor for long", waitForMachine*hard + 1, hard, errStuck},
	} {
		var k clocks
		if err := k.unserved(limits, tt.wall, tt.delay, ErrOverloaded); !errors.Is(err, tt.want) {
			t.Errorf("%s: unserved = %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestDelayThatLies wants a count that no kernel makes to be none, so that nobody is charged for it.
func TestDelayThatLies(t *testing.T) {
	t.Parallel()
	if d, ok := delayIn([]byte("17 1500000000 3\n")); !ok || d != 1500*time.Millisecond {
		t.Errorf("delayIn = %v, %v", d, ok)
	}
	for _, text := range []string{"", "1 2", "1 2 3 4", "1 -2 3", "1 x 3", "1 2.5 3", "1 9223372036854775807 3", "1 99999999999999999999 3"} {
		if d, ok := delayIn([]byte(text)); ok {
			t.Errorf("of %q the delay is %v", text, d)
		}
	}
}

// TestRunDelay wants the delay of a process that competes with itself to be seen.
func TestRunDelay(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/schedstat"); err != nil {
		t.Skip("the kernel does not count it here")
	}
	delay, ok := runDelay(os.Getpid())
	if !ok || delay <= 0 {
		t.Errorf("runDelay of a running process = %v, %v", delay, ok)
	}
	if _, ok := runDelay(1 << 30); ok {
		t.Error("runDelay knows a process that is not there")
	}
}

// TestPeriod wants a program near its limit to be looked at more often, the more
// processors it could use.
func TestPeriod(t *testing.T) {
	t.Parallel()
	limits := Limits{}.withDefaults()
	most := limits.CPU + limits.Slack
	for _, processors := range []int{0, 1, 2, 64, 1000} {
		last := tick
		for used := time.Duration(0); used < most+time.Second; used += 10 * time.Millisecond {
			k := clocks{now: time.Minute + used, heard: time.Minute}
			period := k.period(limits, processors)
			left := most - used
			if period > last || period < shortestTick || period > shortestTick && period*time.Duration(processors) > left {
				t.Fatalf("%v left on %d processors: looked at every %v", left, processors, period)
			}
			last = period
		}
	}
}

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	forEachLevel(t, Config{Limits: Limits{Memory: 512 << 20, CPU: 2 * time.Second, Wall: time.Second}}, func(t *testing.T, h *Host) {
		t.Helper()
		b := newBench(t, openSlotOn(t, h))
		t.Run("ten gigabytes", func(t *testing.T) { //nolint:paralleltest // one slot
			r, err := b.slot.Run(t.Context(), b.stdin, "x = bytearray(10 << 30)", func(int, Output) bool { return true })
			if err != nil || r.Outcome != MemoryLimit || r.PeakMemory > 64<<20 {
				t.Errorf("Run = %+v, %v", r, err)
			}
		})
		t.Run("endless print", func(t *testing.T) { //nolint:paralleltest // one slot
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := b.slot.Run(t.Context(), b.stdin, "while True: print('x' * 10000)", func(int, Output) bool { return true })
			runtime.ReadMemStats(&after)
			if err != nil || r.Outcome != OutputLimit || r.PeakMemory > 64<<20 || after.Sys > before.Sys+64<<20 {
				t.Errorf("Run = %+v, %v; our memory grew by %d", r, err, after.Sys-before.Sys)
			}
			if peak := peakOf(t, b.slot.servers[plain].process.Pid); peak <= 0 || peak > 64<<20 {
				t.Errorf("the fork server held %d bytes at its peak, want 64 MiB at most", peak)
			}
		})
		t.Run("sleeper", func(t *testing.T) { //nolint:paralleltest // one slot
			r, err := b.slot.Run(t.Context(), b.stdin, "import time\ntime.sleep(3600)", func(int, Output) bool { return true })
			if err != nil || r.Outcome != TimeLimit {
				t.Errorf("Run = %+v, %v", r, err)
			}
		})
		t.Run("second test", func(t *testing.T) { //nolint:paralleltest // one slot
			r, err := b.slot.Run(t.Context(), b.stdin, "import time\na = input()\nif a != '5 7': time.sleep(60)\nprint(a)", func(int, Output) bool { return true })
			if err != nil || r.Outcome != TimeLimit || r.Test != 1 {
				t.Errorf("Run = %+v, %v, want time limit in test 1", r, err)
			}
		})
	})
}

// peakOf returns the most memory that a process was ever resident with.
func peakOf(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(line, &kib); err != nil {
		t.Fatalf("peak of process %d: %v in %q", pid, err, text)
	}
	return kib << 10
}

// TestLacking takes a layer of the kernel away and wants a lower level or a
// refusal that says what to do.
func TestLacking(t *testing.T) {
	t.Parallel()
	missing := errors.New("not here")
	strange := t.TempDir() // groups can be made in it as in any folder
	for _, tt := range []struct {
		name  string
		max   Level
		lack  func(k *kernel)
		level Level
		text  string // in the error or in a layer's reason
	}{
		{"no landlock at A", A, func(k *kernel) { k.landlock, k.landlockErr = 0, missing }, A, "landlock"},
		{"no landlock at B", B, func(k *kernel) { k.landlock, k.landlockErr = 0, missing }, B, "landlock"},
		{"no landlock at C", C, func(k *kernel) { k.landlock, k.landlockErr = 0, missing }, 0, "nothing else would keep a program from our user's files"},
		{"no filter at A", A, func(k *kernel) { k.seccompErr = missing }, A, "CONFIG_SECCOMP_FILTER"},
		{"no filter at B", B, func(k *kernel) { k.seccompErr = missing }, 0, "nothing else would hold a program's processes"},
		{"no memfd", C, func(k *kernel) { k.memfdErr = missing }, C, "through a pipe"},
		{"no states", C, func(k *kernel) { k.stateErr = missing }, C, "hidepid"},
		{"old landlock", C, func(k *kernel) { k.landlock = 1 }, C, "ABI 1"},
		{"no group to make", A, func(k *kernel) { k.groups, k.groupsErr = nil, missing }, A, "memory and tasks not here"},
		{"groups that cannot be joined", A, func(k *kernel) { k.groups, k.groupsErr = &cgroups{memory: strange}, nil }, A, "join control group " + strange},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.level > C && os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			k := askKernel()
			tt.lack(&k)
			h, err := Probe(t.Context(), Config{Python: testPython, MaxLevel: tt.max, kernel: &k})
			if tt.level == 0 {
				if err == nil || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("Probe = %v, want an error with %q", err, tt.text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Level() != tt.level {
				t.Errorf("Level = %v, want %v", h.Level(), tt.level)
			}
			said := ""
			for _, l := range h.Layers() {
				said += l.Name + " " + l.Why + "\n"
			}
			if !strings.Contains(said, tt.text) {
				t.Errorf("layers %s say nothing of %q", said, tt.text)
			}
			newBench(t, openSlotOn(t, h)).check(t)
		})
	}
}

// TestNoRoomToFork takes the tasks of a slot's control group away: a program
// that cannot be started is our failure, and the next one must start.
func TestNoRoomToFork(t *testing.T) {
	t.Parallel()
	h := probeAt(t, A, Config{patience: tick})
	if h.groups == nil {
		t.Skip("no control groups here")
	}
	s := openSlotOn(t, h)
	b := newBench(t, s)
	file := filepath.Join(s.groups[len(s.groups)-1], "pids.max")
	if err := os.WriteFile(file, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	r, err := s.Run(t.Context(), b.next, correctStdin, func(int, Output) bool { return true })
	if !errors.Is(err, unix.EAGAIN) {
		t.Errorf("Run without room for a process = %+v, %v, want EAGAIN", r, err)
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(maxTasks)), 0); err != nil {
		t.Fatal(err)
	}
	b.check(t)
}

// TestForkRefused has the kernel refuse the fork of a program, as it does when
// processes or memory have run out: that is our failure, said at once, and no
// verdict; and on a new slot of the same host programs run.
func TestForkRefused(t *testing.T) {
	t.Parallel()
	forEachLevel(t, Config{}, func(t *testing.T, h *Host) {
		t.Helper()
		for _, errno := range []unix.Errno{unix.ENOMEM, unix.EAGAIN} {
			rules := serverRules(rights{})
			rules[unix.SYS_CLONE] = giveErrno(errno)
			poor := *h
			poor.config.patience = 2 * tick
			poor.plan.BaseFilter = assemble(rules).encode()
			s := openSlotOn(t, &poor)
			for range 3 {
				r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{"1 2\n"}}, correctStdin, func(int, Output) bool { return true })
				if !errors.Is(err, errno) || r.Outcome != 0 {
					t.Errorf("Run where fork says %v = %+v, %v", errno, r, err)
				}
			}
		}
		newBench(t, openSlotOn(t, h)).check(t)
	})
}

// TestScriptWithoutMemfd wants a refusal that says why: a script's standard input
// must be a file.
func TestScriptWithoutMemfd(t *testing.T) {
	t.Parallel()
	k := askKernel()
	k.memfdErr = unix.ENOSYS
	_, err := Probe(t.Context(), Config{Python: testPython, Mode: Script, kernel: &k})
	if !errors.Is(err, unix.ENOSYS) || !strings.Contains(err.Error(), "memfd_create") {
		t.Errorf("Probe = %v, want a refusal for want of memfd_create", err)
	}
}

// privateInterpreters returns interpreters that only root can read: those below
// /root, and one made from the system's.
func privateInterpreters(t *testing.T) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	found, err := filepath.Glob("/root/.pyenv/versions/3.1[0-9]*/bin/python3")
	if err != nil {
		t.Fatal(err)
	}
	const where = "import sys, sysconfig; print(sys._base_executable, sysconfig.get_path('stdlib'))"
	out, err := exec.CommandContext(t.Context(), testPython, "-I", "-c", where).Output()
	if err != nil {
		t.Fatal(err)
	}
	binary, library, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	binary, err = filepath.EvalSymlinks(binary)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	python := filepath.Join(dir, "bin", filepath.Base(binary))
	for _, c := range [][]string{
		{"mkdir", filepath.Join(dir, "bin"), filepath.Join(dir, "lib")},
		{"cp", binary, python},
		{"cp", "-a", library, filepath.Join(dir, "lib")},
	} {
		if out, err := exec.CommandContext(t.Context(), c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", c, err, out)
		}
	}
	return append(found, python)
}

// TestPrivateInterpreter uses one that only root can read.
func TestPrivateInterpreter(t *testing.T) {
	t.Parallel()
	found := privateInterpreters(t)
	if !*full {
		found = found[len(found)-1:] // the copy that was made for this
	}
	for _, python := range found {
		for _, most := range []Level{A, B} {
			t.Run(python+" "+most.String(), func(t *testing.T) {
				t.Parallel()
				h, err := Probe(t.Context(), Config{Python: python, MaxLevel: most})
				if err != nil {
					t.Fatal(err)
				}
				// B's user cannot read it, and C is root without its rights.
				if want := map[Level]Level{A: A, B: C}[most]; h.Level() != want {
					t.Errorf("Level = %v, want %v", h.Level(), want)
				}
				b := newBench(t, openSlotOn(t, h))
				b.judge(t, hostileCase{"imports", "import decimal, fractions, sqlite3, zoneinfo, hashlib\nprint(decimal.Decimal(1) / 3 > 0)", []string{"accepted"}}, func(int) string { return "True\n" })
				b.check(t)
			})
		}
	}
}

// TestStableUnderLoad wants five sixths of the limit to pass with eight busy
// loops beside it, and seven sixths to fail.
func TestStableUnderLoad(t *testing.T) {
	t.Parallel()
	h, err := Probe(t.Context(), Config{Python: testPython, Limits: Limits{CPU: 300 * time.Millisecond, Wall: 300 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	s := openSlotOn(t, h)
	for range 2 * runtime.NumCPU() {
		startBusyLoop(t)
	}
	const source = "import time\nx = float(input())\nt = time.process_time()\nwhile time.process_time() < t + x: pass\nprint(x)\n"
	for input, want := range map[string]Outcome{"0.2": Accepted, "0.4": TimeLimit} {
		r, err := s.Run(t.Context(), &Question{ID: input, Inputs: []string{input}}, source, func(int, Output) bool { return true })
		if err != nil || r.Outcome != want {
			t.Errorf("Run of %s s under load = %+v, %v, want %v", input, r, err, want)
		}
	}
}

// startBusyLoop starts a process that uses all it can get, until the test ends.
func startBusyLoop(t *testing.T) {
	t.Helper()
	busy := exec.CommandContext(t.Context(), "sh", "-c", "while :; do :; done")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = busy.Process.Kill()
		_ = busy.Wait() // killed, as it should be
	})
}

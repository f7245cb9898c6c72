package sandbox

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// wantLevel is the level that Probe must give. It is for the tests that run
// the binary elsewhere; without it any level is right.
var wantLevel = flag.String("level", "", "the level that this host gives")

// child makes the binary a judge that runs a program for ever: the process
// that TestParentKilled kills.
var child = flag.Bool("judge-for-ever", false, "run an endless program, after printing the fork server's pid")

func TestLevel(t *testing.T) {
	t.Parallel()
	h, err := Probe(t.Context(), Config{Python: testPython})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range h.Layers() {
		t.Logf("%-60s %-5v %s", l.Name, l.On, l.Why)
	}
	if *wantLevel != "" && h.Level().String() != *wantLevel {
		t.Errorf("Level = %v, want %v", h.Level(), *wantLevel)
	}
	if h.Environment().Digest() == "" || h.Environment().Level != h.Level() {
		t.Errorf("Environment = %+v", h.Environment())
	}
}

// forEachLevel runs f at each level that this host gives.
func forEachLevel(t *testing.T, config Config, f func(t *testing.T, h *Host)) {
	t.Helper()
	for _, level := range []Level{A, B, C} {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			f(t, probeAt(t, level, config))
		})
	}
}

func TestKilledServer(t *testing.T) {
	t.Parallel()
	forEachLevel(t, Config{}, func(t *testing.T, h *Host) {
		t.Helper()
		s := openSlotOn(t, h)
		q := &Question{ID: "q", Inputs: []string{"1 2\n", "3 4\n"}}
		killed := false
		pid := 0
		r, err := s.Run(t.Context(), q, correctStdin, func(int, Output) bool {
			if !killed {
				killed = true
				pid = s.servers[plain].process.Pid
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Error(err)
				}
			}
			return true
		})
		if err != nil || r.Outcome != Accepted {
			t.Errorf("Run = %+v, %v, want accepted on a new fork server", r, err)
		}
		if s.servers[plain].process.Pid == pid {
			t.Error("the fork server is still the old one")
		}
		if left := descendants(t, os.Getpid()); len(left) > 0 && strings.Contains(strings.Join(left, " "), strconv.Itoa(pid)) {
			t.Errorf("left %v", left)
		}
	})
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	forEachLevel(t, Config{}, func(t *testing.T, h *Host) {
		t.Helper()
		b := newBench(t, openSlotOn(t, h))
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := b.slot.Run(ctx, b.stdin, "while True: pass", func(int, Output) bool { return true })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run = %v, want the context's error", err)
		}
		b.check(t)
	})
}

func TestNumpyAfterHostile(t *testing.T) {
	t.Parallel()
	forEachLevel(t, Config{Limits: shortLimits}, func(t *testing.T, h *Host) {
		t.Helper()
		if !h.numpy {
			t.Skipf("no numpy in %s", h.interpreter.Executable)
		}
		b := newBench(t, openSlotOn(t, h))
		for _, source := range []string{
			"import numpy as np\nnp.ones = None\nwhile True: pass",
			"import numpy, os\nos._exit(0)",
		} {
			if r, err := b.slot.Run(t.Context(), b.stdin, source, func(int, Output) bool { return true }); err != nil || r.Outcome == Accepted {
				t.Errorf("Run = %+v, %v", r, err)
			}
			b.judge(t, hostileCase{"numpy", "import numpy as np\nprint(int(np.ones(3).sum()))", []string{"accepted"}}, func(int) string { return "3\n" })
		}
	})
}

// TestParentKilled kills a judge with a running program and waits until
// nothing of it is left.
func TestParentKilled(t *testing.T) {
	if *child {
		judgeForEver(t)
		return
	}
	t.Parallel()
	for _, level := range []Level{A, B, C} {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestParentKilled$", "-judge-for-ever", "-level="+level.String())
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(stdout).ReadString('\n')
			var server, user int
			if _, scanErr := fmt.Sscanf(line, "server %d user %d\n", &server, &user); err != nil || scanErr != nil {
				_ = cmd.Wait()
				t.Skipf("no level %v here: %s", level, line)
			}
			if user != 0 && user != slotUID(forEver(level)) {
				t.Errorf("the program has user %d, which a slot of this process can have", user)
			}
			// The program is running when it uses the processor.
			await(t, "a program", func() bool { return len(descendants(t, server)) > 0 })
			family := append(descendants(t, cmd.Process.Pid), strconv.Itoa(server))
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // killed, as it should be
			await(t, "the end of "+strings.Join(family, ", "), func() bool {
				for _, p := range family {
					pid, _, _ := strings.Cut(p, " ")
					if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains(string(stat), ") Z ") {
						return false
					}
				}
				return true
			})
		})
	}
}

// forEver returns the slot of the test's process whose user the judge of a level takes. In a container, whose first
// process the test is, what dies with the judge stays there dead: no slot that is opened may have its user.
func forEver(level Level) int { return maxSlots - 1 - int(level) }

// judgeForEver runs an endless program at the level of the flag.
func judgeForEver(t *testing.T) {
	t.Helper()
	level := map[string]Level{"A": A, "B": B, "C": C}[*wantLevel]
	h := probeAt(t, level, Config{Limits: Limits{CPU: time.Hour, Wall: time.Hour}})
	id := 0
	for slotUID(id) != userOf(os.Getppid(), forEver(level)) {
		id++
	}
	s, err := h.NewSlot(id)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := h.planFor(s, plain)
	_, err = fmt.Fprintf(os.Stdout, "server %d user %d\n", s.servers[plain].process.Pid, p.UID)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Run(t.Context(), &Question{ID: "q", Inputs: []string{""}}, "while True: pass", func(int, Output) bool { return true })
	t.Error(err)
}

// await waits until done holds; it is for what the kernel does by itself.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for wait := patience.Begin(20 * time.Second); !done(); <-ticker.C {
		if wait.Over() {
			t.Fatalf("still waiting for %s", what)
		}
	}
}

// TestManyAtOnce runs sixty programs on more slots than there are processors and
// wants of each what it gives alone.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	h, err := Probe(t.Context(), Config{Python: testPython, Limits: Limits{CPU: 400 * time.Millisecond, Wall: 2 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	programs := []struct {
		source string
		want   Outcome
	}{
		{correctStdin, Accepted},
		{"print(1)", Rejected},
		{"import time\nt = time.process_time()\nwhile time.process_time() < t + 0.05: pass\n" + correctStdin, Accepted},
		{"import time\nt = time.process_time()\nwhile time.process_time() < t + 0.6: pass\n" + correctStdin, TimeLimit},
		{"1/0", Exception},
	}
	q := &Question{ID: "q", Inputs: []string{"20 22\n"}}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		s := openSlotOn(t, h)
		wg.Go(func() {
			for n := next.Add(1); n <= 60; n = next.Add(1) {
				p := programs[n%5]
				if n > 20 && n%5 == 3 {
					p = programs[0] // enough seconds burnt
				}
				r, err := s.Run(t.Context(), q, p.source, func(_ int, o Output) bool { return string(o.Text) == "42\n" })
				if err != nil || r.Outcome != p.want {
					t.Errorf("program %d: Run = %+v, %v, want %v", n, r, err, p.want)
				}
			}
		})
	}
	wg.Wait()
}

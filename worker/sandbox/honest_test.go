package sandbox

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	//go:embed testdata/honest/calls.txtar
	honestCalls string
	//go:embed testdata/honest/threads.txtar
	honestThreads string
)

// honestPrograms returns the programs of a catalogue by name.
func honestPrograms(t *testing.T, text string) map[string]string {
	t.Helper()
	programs := map[string]string{}
	for section := range strings.SplitSeq("\n"+text, "\n-- ") {
		name, source, ok := strings.Cut(section, " --\n")
		if !ok {
			continue
		}
		if programs[name] != "" {
			t.Fatalf("two programs named %q", name)
		}
		programs[name] = source + "\n"
	}
	return programs
}

// TestHonestCalls runs programs that do what the official runner lets them do, in
// both modes: each at one level, and at every one if -full is given.
func TestHonestCalls(t *testing.T) {
	t.Parallel()
	programs := honestPrograms(t, honestCalls)
	maps.Copy(programs, honestPrograms(t, honestThreads))
	for _, mode := range []Mode{LCB, Script} {
		forEachLevel(t, Config{Mode: mode}, func(t *testing.T, h *Host) {
			t.Helper()
			s := openSlotOn(t, h)
			q := &Question{ID: "sum", Inputs: []string{"1 2\n", "30 -4\n"}}
			for name, source := range programs {
				if mode == Script && strings.HasSuffix(name, ", lcb alone") {
					continue // the interpreter would refuse it at its end
				}
				if !drawn(name, slices.Index([]Level{A, B, C}, h.Level()), 3) {
					continue
				}
				said := ""
				r, err := s.Run(t.Context(), q, source, func(i int, o Output) bool {
					said = string(o.Text)
					return slices.Contains([]string{[]string{"3", "26"}[i], []string{"1+2", "30+-4"}[i]}, strings.TrimSpace(said))
				})
				if err != nil || r.Outcome != Accepted {
					t.Errorf("%s, %v: Run = %v at test %d, printed %q, %s, %v", mode, name, r.Outcome, r.Test, said, r.Detail, err)
				}
			}
		})
	}
}

// TestHonestMethod is TestHonestCalls for a function that writes to standard error.
func TestHonestMethod(t *testing.T) {
	t.Parallel()
	forEachLevel(t, Config{}, func(t *testing.T, h *Host) {
		t.Helper()
		b := newBench(t, openSlotOn(t, h))
		for _, body := range []string{
			"print('debug', file=sys.stderr)", "import os\n        os.write(2, b'x')", "print('x', file=open('/dev/null', 'w'))",
			"import asyncio\n        asyncio.run(asyncio.sleep(0))",
		} {
			source := fmt.Sprintf("class Solution:\n    def f(self, x):\n        %s\n        return x + 1\n", body)
			b.judge(t, hostileCase{body, source, []string{"accepted"}}, nil)
		}
	})
}

// TestNullWithoutLandlock wants the null device to be written to where nothing but the
// filter keeps a program from writing to files, and no file to be.
func TestNullWithoutLandlock(t *testing.T) {
	t.Parallel()
	k := askKernel()
	k.landlock, k.landlockErr = 0, errors.New("not here")
	h := probeAt(t, B, Config{kernel: &k})
	b := newBench(t, openSlotOn(t, h))
	for _, body := range []string{
		"print('x', file=open('/dev/null', 'w'))", "open(os.devnull, 'wb').write(b'x')", "io.open(os.devnull, 'a').close()",
		"os.close(os.open(os.devnull, os.O_WRONLY))", "__import__('pathlib').Path(os.devnull).write_text('x')",
		"open('/dev/null').read()", "contextlib.redirect_stdout(open(os.devnull, 'w')).__enter__()",
	} {
		source := fmt.Sprintf("import contextlib, io, os\nclass Solution:\n    def f(self, x):\n        %s\n        return x + 1\n", body)
		b.judge(t, hostileCase{body, source, []string{"accepted"}}, nil)
	}
	for _, body := range []string{"open('/tmp/lcbq-trace', 'w')", "os.open('/dev/shm/lcbq-trace', os.O_WRONLY | os.O_CREAT)", "open('/dev/null/x', 'w')"} {
		source := fmt.Sprintf("import os\nclass Solution:\n    def f(self, x):\n        %s\n        return x + 1\n", body)
		b.judge(t, hostileCase{body, source, []string{"exception"}}, nil)
	}
}

// TestSignalsToItself wants a program to end by a signal that it sends to itself at every
// level: it may be the first process of its namespace, which the kernel spares.
func TestSignalsToItself(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{LCB, Script} {
		forEachLevel(t, Config{Mode: mode}, func(t *testing.T, h *Host) {
			t.Helper()
			s := openSlotOn(t, h)
			for body, want := range map[string]Outcome{
				"signal.raise_signal(signal.SIGTERM)":                                              Crashed,
				"signal.raise_signal(signal.SIGKILL)":                                              Crashed,
				"import threading; signal.pthread_kill(threading.get_ident(), 1)":                  Crashed,
				"signal.raise_signal(signal.SIGCHLD)":                                              Accepted,
				"signal.raise_signal(signal.SIGPIPE)":                                              Accepted,
				"signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.raise_signal(15)":           Accepted,
				"signal.signal(signal.SIGHUP, lambda *a: None); signal.raise_signal(1)":            Accepted,
				"signal.raise_signal(1000)":                                                        Exception,
				"import threading; signal.pthread_kill(threading.get_ident(), 0); signal.alarm(0)": Accepted,
			} {
				if strings.Contains(body, "SIGKILL") && h.Level() != A {
					continue // who sent it is not known there: see TestKilledProgram
				}
				r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{"1 2\n"}}, "import os, signal\n"+body+"\nprint(3)", func(int, Output) bool { return true })
				if err != nil || r.Outcome != want {
					t.Errorf("%s, %s: Run = %+v, %v, want %v", mode, body, r, err, want)
				}
			}
		})
	}
}

// TestThreadsThatNeverEnd wants the limits of a test to hold for the threads that it
// leaves behind, and those that failed or that a failing program leaves to change
// nothing.
func TestThreadsThatNeverEnd(t *testing.T) {
	t.Parallel()
	h := probeAt(t, C, Config{Limits: Limits{CPU: 500 * time.Millisecond, Wall: time.Second}})
	s := openSlotOn(t, h)
	for _, c := range []struct {
		name, source string
		want         Outcome
	}{
		{"sleeps", "import threading, time\nprint(1)\nthreading.Thread(target=time.sleep, args=(1000,)).start()", TimeLimit},
		{"computes", "import threading\nprint(1)\ndef f():\n    while True: pass\nthreading.Thread(target=f).start()", TimeLimit},
		{"waits for work", "import queue, threading\nprint(1)\nthreading.Thread(target=queue.Queue().get).start()", TimeLimit},
		{"makes another for ever", "import threading\nprint(1)\ndef f(): threading.Thread(target=f).start()\nf()", TimeLimit},
		{"work of an executor", "import time\nfrom concurrent.futures import ThreadPoolExecutor\nprint(1)\nThreadPoolExecutor(1).submit(time.sleep, 1000)", TimeLimit},
		{"fails beside it", "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n1 / 0", Exception},
		{"exits beside it", "import os, threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\nos._exit(0)", Crashed},
	} {
		r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{"1 2\n"}}, c.source, func(int, Output) bool { return true })
		if err != nil || r.Outcome != c.want {
			t.Errorf("%s: Run = %+v, %v, want %v", c.name, r, err, c.want)
		}
	}
}

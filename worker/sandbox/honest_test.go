package sandbox

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"os/signal"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
// both modes: an eighth of them at each level, and all of them if -full is given.
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
				if !drawn(name, slices.Index([]Level{A, B, C}, h.Level()), 8) {
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

// TestNoBuiltins wants a script to be answered for that took away the builtins which the
// fork server's own part calls.
func TestNoBuiltins(t *testing.T) {
	t.Parallel()
	s := openSlotOn(t, probeAt(t, C, Config{Mode: Script}))
	const source = "import builtins, sys\nsys.stdout.write('x' * 100000)\nsys.stdout.flush()\nbuiltins.len = builtins.min = builtins.memoryview = None"
	got := 0
	r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{""}}, source, func(_ int, o Output) bool {
		got = len(o.Text)
		return true
	})
	if err != nil || r.Outcome != Accepted || got != 100000 {
		t.Errorf("Run = %+v, %v, %d bytes", r, err, got)
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

// TestSignalsToItself wants a program to end by a signal that it sends to itself, or has a
// timer send, as under the official runner: at every level, for it may be the first process
// of its namespace, which the kernel spares, and of a process group without a terminal,
// which none of its signals stops. A quarter of the programs run at each level, and all of them if
// -full is given.
func TestSignalsToItself(t *testing.T) {
	t.Parallel()
	const forEver = "\nwhile True: pass"
	for _, mode := range []Mode{LCB, Script} {
		forEachLevel(t, Config{Mode: mode}, func(t *testing.T, h *Host) {
			t.Helper()
			s := openSlotOn(t, h)
			for body, want := range map[string]Outcome{
				"signal.raise_signal(signal.SIGTERM)":                                                                                   Crashed,
				"signal.raise_signal(signal.SIGUSR1)":                                                                                   Crashed,
				"signal.raise_signal(signal.SIGRTMIN + 3)":                                                                              Crashed,
				"signal.raise_signal(signal.SIGKILL)":                                                                                   Crashed,
				"signal.raise_signal(signal.SIGSTOP)":                                                                                   Crashed,
				"signal.raise_signal(signal.SIGTSTP)":                                                                                   Crashed,
				"signal.raise_signal(signal.SIGTTIN)":                                                                                   Crashed,
				"signal.raise_signal(signal.SIGXCPU)":                                                                                   Crashed,
				"import threading; signal.pthread_kill(threading.get_ident(), 1)":                                                       Crashed,
				"import ctypes; ctypes.CDLL(None)['raise'](15)":                                                                         Crashed,
				"import ctypes; ctypes.CDLL(None).abort()":                                                                              Crashed,
				"import faulthandler; faulthandler._sigsegv()":                                                                          Crashed,
				"signal.pthread_sigmask(0, [10]); signal.raise_signal(10); signal.pthread_sigmask(1, [10])":                             Crashed,
				"signal.signal(signal.SIGPIPE, signal.SIG_DFL); r, w = os.pipe(); os.close(r); os.write(w, b'x')":                       Crashed,
				"signal.setitimer(signal.ITIMER_VIRTUAL, 0.01)" + forEver:                                                               Crashed,
				"signal.setitimer(signal.ITIMER_PROF, 0.01)" + forEver:                                                                  Crashed,
				"signal.signal(signal.SIGALRM, signal.SIG_DFL); signal.setitimer(signal.ITIMER_REAL, 0.01)" + forEver:                   Crashed,
				"signal.signal(signal.SIGPROF, print); signal.signal(27, 0); signal.setitimer(2, 0.01)" + forEver:                       Crashed,
				"signal.siginterrupt(signal.SIGVTALRM, True); signal.setitimer(1, 0.01)" + forEver:                                      Crashed,
				"hit = []; signal.signal(signal.SIGVTALRM, lambda *a: hit.append(1)); signal.setitimer(1, 0.01)\nwhile not hit: pass":   Accepted,
				"signal.signal(signal.SIGVTALRM, signal.SIG_IGN); signal.setitimer(1, 0.01)\nfor i in range(10 ** 6): pass":             Accepted,
				"hit = []; signal.signal(signal.SIGTSTP, lambda *a: hit.append(1)); signal.raise_signal(signal.SIGTSTP)\nassert hit":    Accepted,
				"signal.pthread_sigmask(0, [10]); signal.raise_signal(10); assert signal.sigwait([10]) == 10":                           Accepted,
				"import faulthandler; faulthandler.register(signal.SIGUSR1); signal.raise_signal(signal.SIGUSR1)":                       Accepted,
				"assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL is signal.signal(signal.SIGUSR1, signal.SIG_IGN)":            Accepted,
				"assert signal.signal(15, signal.SIG_DFL) is signal.SIG_DFL is signal.getsignal(15); signal.signal(15, signal.SIG_IGN)": Accepted,
				"signal.raise_signal(signal.SIGCHLD)":                                                                                   Accepted,
				"signal.raise_signal(signal.SIGPIPE)":                                                                                   Accepted,
				"signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.raise_signal(15)":                                                Accepted,
				"signal.signal(signal.SIGHUP, lambda *a: None); signal.raise_signal(1)":                                                 Accepted,
				"signal.raise_signal(1000)":                                                                                             Exception,
				"import threading; signal.pthread_kill(threading.get_ident(), 0); signal.alarm(0)":                                      Accepted,
			} {
				if !drawn(body, slices.Index([]Level{A, B, C}, h.Level()), 4) {
					continue
				}
				if h.Level() != A && strings.Contains(body, "XCPU") {
					want = TimeLimit // as the kernel sends it for that
				}
				r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{"1 2\n"}}, "import os, signal\n"+body+"\nprint(3)", func(int, Output) bool { return true })
				if err != nil || r.Outcome != want {
					t.Errorf("%s, %s: Run = %+v, %v, want %v", mode, body, r, err, want)
				}
			}
		})
	}
}

// TestIgnoredSignals wants signals that lcbq was started to ignore, as nohup and a shell's
// background do, to be for a program what they are elsewhere.
func TestIgnoredSignals(t *testing.T) { //nolint:paralleltest // it concerns the whole process
	signal.Ignore(unix.SIGHUP, unix.SIGQUIT)
	defer signal.Reset(unix.SIGHUP, unix.SIGQUIT)
	s := openSlotOn(t, probeAt(t, C, Config{Recycle: 1}))
	for name, want := range map[string]Outcome{"SIGHUP": Crashed, "SIGQUIT": Crashed, "SIGINT": Exception, "SIGPIPE": Accepted} {
		source := "import signal\nsignal.raise_signal(signal." + name + ")\nprint(3)"
		r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{""}}, source, func(int, Output) bool { return true })
		if err != nil || r.Outcome != want {
			t.Errorf("%s: Run = %+v, %v, want %v", name, r, err, want)
		}
	}
}

// TestRefusedCalls holds the README of the judge to what it says: the calls that the official
// runner allows and that are an error here, at every level.
func TestRefusedCalls(t *testing.T) {
	t.Parallel()
	const file = "f = os.open(os.__file__, os.O_RDONLY); r, w = os.pipe(); "
	forEachLevel(t, Config{}, func(t *testing.T, h *Host) {
		t.Helper()
		s := openSlotOn(t, h)
		for body, want := range map[string]string{
			"os.memfd_create('x')":                                            "PermissionError",
			file + "fcntl.flock(f, fcntl.LOCK_SH)":                            "PermissionError",
			file + "fcntl.lockf(f, fcntl.LOCK_SH)":                            "PermissionError",
			file + "os.sendfile(w, f, 0, 1)":                                  "PermissionError",
			file + "os.splice(f, w, 1)":                                       "PermissionError",
			file + "os.posix_fadvise(f, 0, 0, 0)":                             "PermissionError",
			file + "fcntl.fcntl(w, 1031, 1 << 20)":                            "PermissionError",
			"os.pidfd_open(os.getpid())":                                      "PermissionError",
			"posix.kill(os.getpid(), 0)":                                      "PermissionError",
			"socket.socket()":                                                 "PermissionError",
			"os.execv('/bin/true', ['true'])":                                 "PermissionError",
			"posix.fork()":                                                    "PermissionError",
			"os.openpty()":                                                    "FileNotFoundError PermissionError OSError",
			"multiprocessing.shared_memory.SharedMemory(create=True, size=1)": "FileNotFoundError PermissionError OSError",
			"getpass.getuser()":                                               "KeyError OSError",
			"os.environ['HOME']":                                              "KeyError",
			"open('/proc/self/status')":                                       "FileNotFoundError PermissionError",
			"os.listdir('.')":                                                 "PermissionError FileNotFoundError",
			"0 / (ctypes.CDLL(None).inotify_init() + 1)":                      "ZeroDivisionError",
			"import resource; 1 / 0":                                          "ModuleNotFoundError",
		} {
			source := "import ctypes, fcntl, getpass, multiprocessing.shared_memory, os, posix, socket\n" + body + "\nprint(3)"
			r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{"1 2\n"}}, source, func(int, Output) bool { return true })
			if err != nil || r.Exception == nil || !slices.Contains(strings.Fields(want), r.Exception.Type) {
				t.Errorf("%s: Run = %+v, %v, want %s", body, r, err, want)
			}
		}
	})
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
		{"makes another for ever", "import threading\nprint(1)\ndef f(last):\n    if last is not threading.main_thread(): last.join()\n    threading.Thread(target=f, args=(threading.current_thread(),)).start()\nf(threading.main_thread())", TimeLimit},
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

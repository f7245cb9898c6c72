package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine/supervise/supervisetest"
	hostproc "github.com/lcbq/lcbq/worker/process"
	"github.com/lcbq/lcbq/worker/pythontest"
)

// lcbq starts a process that supervises an engine, and waits until that serves.
func lcbq(t *testing.T, n nest, behaviours ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "supervise", filepath.Join(n.dir, "state")) //nolint:gosec // it is this test
	cmd.Env = n.environ(behaviours...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal("lcbq does not serve: ", err)
	}
	return cmd
}

// TestKilledLcbq kills the supervising process in the worst way, and wants the
// guardian to end the engine.
func TestKilledLcbq(t *testing.T) {
	t.Parallel()
	n := newNest(t)
	cmd := lcbq(t, n, supervisetest.Forks, supervisetest.Stubborn)
	if left := n.processes(t, "child loner"); len(left) != 1 {
		t.Fatalf("grandchildren: %v, want one", left)
	}
	dir, _, _ := strings.Cut(n.processes(t, "test serve")[n.one(t, "test serve")], "/s ")
	dir = dir[strings.LastIndex(dir, " ")+1:]
	if _, err := os.Stat(filepath.Join(dir, "s")); err != nil {
		t.Fatal(err)
	}
	wait := patience.Begin(10 * time.Second)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	until(t, "nothing is left", func() bool { return len(n.processes(t, "")) == 0 })
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder of the socket: %v, want none", err)
	}
	if wait.Over() {
		t.Error("the engine did not end within 10s of lcbq, as of a quiet machine")
	}
}

// TestKilledLcbqAndGuardian kills both at once. What is left then is ended by
// the next lcbq, before it starts an engine of its own.
func TestKilledLcbqAndGuardian(t *testing.T) {
	t.Parallel()
	n := newNest(t)
	cmd := lcbq(t, n, supervisetest.Forks)
	guardian := n.one(t, guardianName)
	_ = syscall.Kill(cmd.Process.Pid, syscall.SIGSTOP) // or it would see the guardian die
	_ = syscall.Kill(guardian, syscall.SIGKILL)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	until(t, "the leader is gone", func() bool { return len(n.processes(t, " serve ")) == 0 })
	if left := n.processes(t, ""); len(left) != 2 {
		t.Fatalf("left are %v, want the two that ignore everything", left)
	}
	cfg := n.config()
	cfg.State = filepath.Join(n.dir, "state")
	e, stop := start(t, cfg)
	if err := e.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := n.processes(t, "child"); len(left) != 0 {
		t.Errorf("left are %v, want them ended before the next engine", left)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestOneEngineOnly wants a second lcbq on the same card refused.
func TestOneEngineOnly(t *testing.T) {
	t.Parallel()
	n := newNest(t)
	cfg := n.config()
	e, stop := start(t, cfg)
	if err := e.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := reclaim(ctx, cfg.State); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("reclaim of a living engine = %v, want it to wait", err)
	}
	if e.Phase() != Serving {
		t.Errorf("Phase = %v, want serving still", e.Phase())
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestMembers wants strangers spared who have an old session's number, and every
// process whose session's leader this PID namespace does not show.
func TestMembers(t *testing.T) {
	t.Parallel()
	n := newNest(t)
	// A session of their own: the one of the test may read 0. The core is its leader.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `env -i sleep 60 & exec "$0" "$@"`, os.Args[0], "child", "loner", "VLLM::EngineCore") //nolint:gosec // it is this test
	cmd.Env = n.environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	core, other := cmd.Process.Pid, 0
	t.Cleanup(func() {
		_ = syscall.Kill(-core, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	vllm := []string{"vllm"}
	var all []proc
	until(t, "both have their names", func() bool {
		var err error
		if all, err = processes(); err != nil {
			t.Fatal(err)
		}
		children := descendants(all, core)
		if len(children) != 1 {
			return false
		}
		other = children[0].pid
		return entitled(core, vllm) && !entitled(other, vllm) && !carries(other, n.mark)
	})
	for _, tt := range []struct {
		session     int
		mark        string
		old         []string
		core, sleep bool
	}{
		{core, "A=b", nil, true, true},
		{core, "A=b", vllm, true, false},
		{0, n.mark, vllm, true, false},
		{0, n.mark, nil, true, false},
		{other, "A=b", nil, false, false},
	} {
		found := map[int]bool{}
		for _, p := range members(all, tt.session, tt.mark, tt.old) {
			found[p.pid] = true
		}
		if found[core] != tt.core || found[other] != tt.sleep || found[os.Getpid()] {
			t.Errorf("members %+v: core %t, sleep %t, self %t", tt, found[core], found[other], found[os.Getpid()])
		}
	}
	hidden := []proc{{pid: other}}
	if found := members(hidden, 0, "A=b", nil); len(found) != 0 {
		t.Errorf("members of session 0 = %v, want none", found)
	}
}

// TestSweepWaitsForAProcessThatForms: a process that executes a program at the moment of the look shows no
// mark. It is ended all the same when it does.
func TestSweepWaitsForAProcessThatForms(t *testing.T) {
	t.Parallel()
	python := pythontest.Find(t)
	n := newNest(t)
	// It hides both, as the kernel does while it executes a program, and executes one when its input ends.
	cmd := exec.CommandContext(t.Context(), python, "-c", `
import ctypes, os, struct, sys
f = [int(x) for x in open("/proc/self/stat").read().rpartition(")")[2].split()[1:]]
libc = ctypes.CDLL(None, use_errno=True)
libc.sbrk.restype = ctypes.c_void_p
start_code, end_code, stack, start_data, end_data, start_brk, arg, env = f[22], f[23], f[24], f[41], f[42], f[43], f[44], f[46]
layout = struct.pack("12QII", start_code, end_code, start_data, end_data, start_brk, libc.sbrk(0), stack, arg, arg, env, env, 0, 0, 2**32 - 1)
set_mm, set_mm_map = 35, 14
if libc.prctl(set_mm, set_mm_map, layout, ctypes.c_ulong(len(layout)), 0):
    sys.exit("errno %d" % ctypes.get_errno())
print(flush=True)
sys.stdin.read()
os.execv("/bin/sleep", ["sleep", "60"])
`)
	cmd.Env = n.environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		_ = cmd.Wait()
		t.Skip("no process can hide its arguments here: prctl")
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	swept := make(chan error, 1)
	go func() { swept <- sweep(0, n.mark, nil) }()
	select {
	case err := <-swept:
		t.Fatalf("sweep = %v before the process could be told", err)
	case <-time.After(200 * time.Millisecond): // some looks
	}
	_ = in.Close()
	if err := <-swept; err != nil {
		t.Error(err)
	}
	defer patience.After(10*time.Second, func() {
		t.Error("the process lives on")
		_ = cmd.Process.Kill()
	})()
	_ = cmd.Wait() // it was killed
}

// TestReclaimSpares wants no process touched that only has an old one's number.
func TestReclaimSpares(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	self, err := readProc(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprintf(`{"Boot":%q,"Session":%d,"Start":"1","Mark":"A=b"}`, hostproc.Boot(), self.session), // started at another time
		fmt.Sprintf(`{"Boot":"x","Session":%d,"Start":%q,"Mark":"A=b"}`, self.pid, self.start),          // in another life of the machine
		fmt.Sprintf(`{"Boot":%q,"Session":1,"Start":"1","Mark":"A=b"}`, hostproc.Boot()),
		fmt.Sprintf(`{"Boot":%q,"Session":9,"Start":"1","Mark":""}`, hostproc.Boot()),
		"", "nonsense", "{",
	} {
		if err := os.WriteFile(state, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := reclaim(t.Context(), state); err != nil {
			t.Errorf("reclaim of %q = %v, want nil", text, err)
		}
		if _, err := os.Stat(state); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("reclaim of %q leaves the file", text)
		}
	}
}

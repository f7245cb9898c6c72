package process_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/process"
	"github.com/lcbq/lcbq/worker/process/processtest"
)

func TestSelf(t *testing.T) {
	t.Parallel()
	self, err := process.Self()
	if err != nil {
		t.Fatal(err)
	}
	if !self.Alive() || !self.Here() {
		t.Errorf("%+v: Alive = %t, Here = %t, want both", self, self.Alive(), self.Here())
	}
	back, err := process.Parse(self.String())
	if err != nil || back != self {
		t.Errorf("Parse(%q) = %+v, %v, want %+v", self, back, err, self)
	}
	for name, other := range map[string]process.ID{
		"started before":  {Boot: self.Boot, PID: self.PID, Start: "1"},
		"of another boot": {Boot: "x", PID: self.PID, Start: self.Start},
	} {
		if other.Alive() || !errors.Is(other.Signal(syscall.SIGCONT), process.ErrGone) {
			t.Errorf("one %s with our number counts as alive", name)
		}
	}
	for _, text := range []string{"", "1", "1 2", "x 2 3", "0 2 3", "-1 2 3"} {
		if id, err := process.Parse(text); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", text, id)
		}
	}
}

// waits is the variable that makes a child of this test wait to be ended.
const waits = "LCBQ_TEST_WAITS"

func TestMain(m *testing.M) {
	if _, ok := os.LookupEnv(waits); ok {
		<-time.After(time.Hour) // select{} with nothing else to do is a deadlock, which Go ends at once
	}
	m.Run()
}

// child starts a process of this program, by way of a copy of its file if one is wanted.
func child(t *testing.T, exe string) (*exec.Cmd, process.ID) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), waits+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := process.Of(cmd.Process.Pid)
	if err != nil || !id.Alive() {
		t.Fatalf("Of = %+v, %v, want it alive", id, err)
	}
	return cmd, id
}

// another returns another file with this program, which every user may run.
func another(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "lcbq-process-*") //nolint:usetesting // a test's own folder is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "another")
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // others run it
		t.Fatal(err)
	}
	processtest.Write(t, path, text)
	return path
}

func TestSignal(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, exe := range []string{exe, another(t)} { // go run builds it anew each time
		cmd, id := child(t, exe)
		if err := id.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		err := cmd.Wait()
		if err == nil || !strings.Contains(err.Error(), "terminated") {
			t.Errorf("the child ended with %v, want our signal", err)
		}
		if id.Alive() || !errors.Is(id.Signal(syscall.SIGTERM), process.ErrGone) {
			t.Error("an ended process counts as alive")
		}
	}
}

// TestStrangers wants no signal sent to another program of this user, nor to this program of another.
func TestStrangers(t *testing.T) {
	t.Parallel()
	other := exec.CommandContext(t.Context(), "sleep", "600")
	cmds := []*exec.Cmd{other}
	if gofmt, err := exec.LookPath("gofmt"); err == nil { // of Go too, and waits for its input
		cmd := exec.CommandContext(t.Context(), gofmt)
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	if os.Geteuid() == 0 {
		foreign := exec.CommandContext(t.Context(), another(t))
		foreign.Env = append(os.Environ(), waits+"=1")
		foreign.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
		cmds = append(cmds, foreign)
	}
	for _, cmd := range cmds {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		id, err := process.Of(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := id.Signal(syscall.SIGTERM); !errors.Is(err, process.ErrStranger) {
			t.Errorf("Signal of %v = %v, want ErrStranger", cmd, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("%v ended with %v, want our kill alone", cmd, err)
		}
	}
}

// TestZombie wants a process that nobody has reaped to count as ended.
func TestZombie(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := process.Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for n := 0; id.Alive(); n++ { // until the kernel has done it
		if n > 1e7 {
			t.Fatal("a killed process stays alive")
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("sleep ended well")
	}
}

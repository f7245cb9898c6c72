package process_test

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/lcbq/lcbq/worker/process"
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

func TestSignal(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := process.Of(cmd.Process.Pid)
	if err != nil || !id.Alive() {
		t.Fatalf("Of = %+v, %v, want it alive", id, err)
	}
	if err := id.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("sleep ended with %v, want our signal", err)
	}
	if id.Alive() || !errors.Is(id.Signal(syscall.SIGTERM), process.ErrGone) {
		t.Error("an ended process counts as alive")
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
	if err := id.Signal(syscall.SIGKILL); err != nil {
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

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const recipes = "../../config/recipes"

// TestRecipesForSystemd has systemd itself read the units: a setting that it does not know is a
// line of its output.
func TestRecipesForSystemd(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here: it comes with systemd")
	}
	units, err := filepath.Glob(filepath.Join(recipes, "*.service"))
	if err != nil || len(units) != 2 {
		t.Fatalf("units %v, %v, want two", units, err)
	}
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		// verify wants the program to be there.
		here := strings.ReplaceAll(string(text), "/usr/local/bin/lcbq", "/bin/true")
		if !strings.Contains(here, "ExecStart=/bin/true ") {
			t.Errorf("%s starts no lcbq", unit)
		}
		copied := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(copied, []byte(here), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", copied).CombinedOutput()
		if err != nil || bytes.Contains(out, []byte(filepath.Base(unit))) {
			t.Errorf("verify %s: %v\n%s", unit, err, out)
		}
	}
}

// TestRecipeForSlurm runs the script as Slurm does and ends it by the signal that it asks for.
func TestRecipeForSlurm(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "")
	f.serve("--store-dir", filepath.Join(t.TempDir(), "store"))
	script, err := filepath.Abs(filepath.Join(recipes, "slurm-evaluate.sh"))
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	lcbq := command(t)
	// The script finds lcbq on the path.
	if err := os.Symlink(lcbq.Path, filepath.Join(bin, "lcbq")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "bash", script).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("LCBQ_NATS")) {
		t.Errorf("without an address: %v, want it refused by name\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "bash", script)
	cmd.Env = slices.Concat(lcbq.Env, []string{"PATH=" + bin + ":/usr/bin:/bin", "LCBQ_NATS=nats://" + f.addrs[0], "SLURM_CPUS_PER_TASK=1"})
	var log said
	cmd.Stderr, cmd.WaitDelay = &log, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that nothing is left where the signal ends bash alone
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }()
	log.await(t, "waiting for a run to work on")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, cmd); status != 0 {
		t.Errorf("drained by SIGTERM: exit status %d, want 0\n%s", status, &log)
	}
}

package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestSweepGroups wants the groups of a dead process swept, and no others: not the
// empty ones of a living process, and not those that another PID namespace's process
// made, whose number means nobody or somebody else here.
func TestSweepGroups(t *testing.T) {
	t.Parallel()
	dead := exec.CommandContext(t.Context(), "true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	gone := strconv.Itoa(dead.Process.Pid)
	prefix, err := ownGroups()
	if err != nil || !strings.HasPrefix(prefix, cgroupName) {
		t.Fatalf("ownGroups = %q, %v", prefix, err)
	}
	dir := t.TempDir()
	groups := map[string]bool{ // name: stays
		prefix + gone + "-s0-1":                      false,
		prefix + strconv.Itoa(os.Getpid()) + "-s0-1": true,
		cgroupName + "1-" + gone + "-s0-1":           true,
		prefix + "x-s0-1":                            true,
		"others-" + gone:                             true,
	}
	for name := range groups {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	g := &cgroups{memory: dir, pids: dir}
	g.sweep()
	for name, stays := range groups {
		if _, err := os.Stat(filepath.Join(dir, name)); stays && err != nil || !stays && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after the sweep %s: %v, want it there: %t", name, err, stays)
		}
	}
}

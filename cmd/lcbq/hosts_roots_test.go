//go:build hosts

package main

// The roots of other systems, by debootstrap.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// makingRoots is held by the one host that looks for a root, and makes it.
var makingRoots sync.Mutex

// hostRoot returns another system's root, or why there is none. One called SUITE-machine
// starts by itself, from the disk beside it.
func hostRoot(t *testing.T, name string) (root, why string) {
	t.Helper()
	makingRoots.Lock() // several hosts have the same
	defer makingRoots.Unlock()
	dir := *hostRoots
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err.Error()
		}
		dir = filepath.Join(cache, "lcbq", "hosts")
	}
	root = filepath.Join(dir, name)
	if _, err := os.Stat(filepath.Join(root, "usr", "bin", "python3")); err == nil {
		return openToAll(root)
	}
	if !*hostMake {
		return "", "no root in the cache, -hosts.make makes it"
	}
	debootstrap, err := exec.LookPath("debootstrap")
	if err != nil {
		return "", "needs debootstrap"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // for the plain user
		t.Fatal(err)
	}
	half, err := os.MkdirTemp(dir, "half-") //nolint:usetesting // it stays, under another name
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(half) }()
	// The mirror is the one that apt has. The suite's own script may be newer than the
	// installed debootstrap: all are sid's.
	targets, err := exec.CommandContext(t.Context(), "apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages").Output()
	mirror, _, _ := strings.Cut(string(targets), "\n")
	if err != nil || mirror == "" {
		return "", fmt.Sprintf("apt names no mirror: %v", err)
	}
	suite, machine := strings.CutSuffix(name, "-machine")
	with := "python3"
	if machine {
		with = machineSystem
	}
	cmd := exec.CommandContext(t.Context(), debootstrap, "--variant=minbase", "--include="+with, suite, half, mirror, "sid")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Sprintf("debootstrap: %v: %.200s", err, out[max(0, len(out)-200):])
	}
	if machine {
		if err := prepareMachine(t.Context(), half, root+".disk"); err != nil {
			return "", err.Error()
		}
	}
	if err := os.Rename(half, root); err != nil {
		t.Fatal(err)
	}
	return openToAll(root)
}

// openToAll lets a plain user into a root, which is made in a folder of root's own.
func openToAll(dir string) (root, why string) {
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // for the plain user
		return "", err.Error()
	}
	return dir, ""
}

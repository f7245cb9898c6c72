package sandbox

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
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

// TestPlacesOf wants our own group found in each layout that hosts and containers have.
func TestPlacesOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, mounts, own string
		want              map[string][]string
	}{
		{
			"version 1, as systemd mounts it",
			"33 25 0:28 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n34 25 0:29 / /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids\n",
			"5:pids:/user.slice/user-0.slice\n4:memory:/user.slice\n1:name=systemd:/init.scope\n",
			map[string][]string{
				"memory": {"/sys/fs/cgroup/memory/user.slice", "/sys/fs/cgroup/memory"},
				"pids":   {"/sys/fs/cgroup/pids/user.slice/user-0.slice", "/sys/fs/cgroup/pids"},
			},
		},
		{
			"version 1, controllers together, somewhere else",
			"33 25 0:28 / /cg rw - cgroup none rw,memory,pids,cpu\n",
			"4:cpu,memory,pids:/a\n",
			map[string][]string{"cpu": {"/cg/a", "/cg"}, "memory": {"/cg/a", "/cg"}, "pids": {"/cg/a", "/cg"}},
		},
		{
			"version 2",
			"33 25 0:28 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
			"0::/system.slice/ssh.service\n",
			map[string][]string{"": {"/sys/fs/cgroup/system.slice/ssh.service", "/sys/fs/cgroup"}},
		},
		{
			"hybrid",
			"33 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n34 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			"4:memory:/\n0::/\n",
			map[string][]string{"memory": {"/sys/fs/cgroup/memory"}, "": {"/sys/fs/cgroup/unified"}},
		},
		{
			"a container that sees its part, under the host's names",
			"33 25 0:28 /docker/1f2e /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			"4:memory:/docker/1f2e/sub\n",
			map[string][]string{"memory": {"/sys/fs/cgroup/memory/sub", "/sys/fs/cgroup/memory"}},
		},
		{
			"a container with names of its own",
			"33 25 0:28 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/\n",
			map[string][]string{"": {"/sys/fs/cgroup"}},
		},
		{
			"outside what is seen, and a name that only begins alike",
			"33 25 0:28 /doc /sys/fs/cgroup rw - cgroup2 cgroup rw\n34 25 0:29 / /cg/memory rw - cgroup cgroup rw,memory\n",
			"0::/../other\n4:memory:/docker\n",
			map[string][]string{"": {"/sys/fs/cgroup"}, "memory": {"/cg/memory/docker", "/cg/memory"}},
		},
		{
			"mounted twice, in a folder with a space",
			"33 25 0:28 / /a\\040b rw - cgroup2 cgroup2 rw\n34 25 0:28 / /c rw - cgroup2 cgroup2 rw\n", "0::/x:y\n",
			map[string][]string{"": {"/a b/x:y", "/a b", "/c/x:y", "/c"}},
		},
		{"none", "33 25 0:28 / /sys rw - sysfs sysfs rw\nnonsense\n", "", map[string][]string{}},
	} {
		if got := placesOf(tt.mounts, ownCgroups(tt.own)); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: placesOf = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestJoinsGroupsLast wants a slot's groups joined when nothing else is left to do: the runtime may
// need a thread before, which a small group refuses, and then it ends the process.
func TestJoinsGroupsLast(t *testing.T) {
	t.Parallel()
	h := probeAt(t, A, Config{})
	full := t.TempDir()
	if err := os.Symlink("/dev/full", filepath.Join(full, "cgroup.procs")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		view []fixture
		dir  string
		want string
	}{
		{"nothing else fails", h.plan.View, full, "join control group " + full + ": no space left on device"},
		{"the view fails", []fixture{{Path: "/no-such", Dir: true}}, full, "/no-such"},
		{"no group", h.plan.View, full + "/none", "join control group " + full + "/none: no such file or directory"},
	} {
		other := *h
		other.config.Log = slog.New(slog.DiscardHandler)
		other.plan.View = c.view
		s := openSlotOn(t, h)
		s.host, s.groups = &other, append(s.groups, c.dir)
		_, err := s.start(plain, nil)
		if s.host, s.groups = h, s.groups[:len(s.groups)-1]; err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: start = %v, want %q", c.name, err, c.want)
		}
	}
	small := *h
	if h.groups != nil {
		groups := *h.groups
		groups.tasks = 1 // fewer than it has as it joins
		small.groups = &groups
	}
	s := openSlotOn(t, &small)
	if h.groups != nil {
		in, err := os.ReadFile(filepath.Join(s.groups[len(s.groups)-1], "cgroup.procs"))
		if err != nil || strings.Count(string(in), "\n") != 1 {
			t.Errorf("the slot's group holds %q, %v, want its fork server", in, err)
		}
	}
}

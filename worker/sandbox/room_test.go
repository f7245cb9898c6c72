package sandbox

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tellRoom makes the binary the session of which TestRoom asks.
var tellRoom = flag.Bool("tell-room", false, "say how many slots there is room for, or why none")

func TestTasksOf(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	for name, status := range map[string]string{
		"1": "Name:\tinit\nUid:\t0\t0\t0\t0\nThreads:\t1\n",
		"2": "Name:\tUid:\nUid:\t1000\t0\t0\t0\nThreads:\t7\n",
		"3": "Name:\tx\nUid:\t1000\t1000\t1000\t1000\nThreads:\t3\n",
		"4": "Name:\tx\nUid:\t10000\t1000\t1000\t1000\nThreads:\t100\n",
	} {
		if err := os.MkdirAll(filepath.Join(proc, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, name, "status"), []byte(status), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := tasksOf(proc, 1000); got != 10 {
		t.Errorf("tasksOf = %d, want 10", got)
	}
}

// TestGroupTasks wants the limit with the least room, of a group or of one above it.
func TestGroupTasks(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := groupTasks(dir); ok {
		t.Error("groupTasks found a limit where there is none")
	}
	for file, text := range map[string]string{
		"a/b/pids.max": "max\n", "a/b/pids.current": "3\n",
		"a/pids.max": "64\n", "a/pids.current": "60\n",
		"pids.max": "100\n", "pids.current": "90\n",
	} {
		if err := os.WriteFile(filepath.Join(top, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if limit, used, ok := groupTasks(dir); !ok || limit != 64 || used != 60 {
		t.Errorf("groupTasks = %d, %d, %t, want 64, 60, true", limit, used, ok)
	}
}

// TestRoom asks for the room of this host in a session of few files, and of little memory.
func TestRoom(t *testing.T) {
	if *tellRoom {
		h, err := Probe(t.Context(), Config{Python: testPython})
		if err != nil {
			t.Logf("Probe = %v", err)
			return
		}
		slots, why := h.Room()
		t.Logf("room for %d: %s", slots, why)
		return
	}
	t.Parallel()
	for _, tt := range []struct{ limit, want string }{
		{"-n 256", "this session may open 256 files (ulimit -n)"},
		{"-n 80", "room for 1: "},
		{"-v 3000000", "this session allows 2929 MiB (ulimit -v)"},
		{"-d 3000000", "this session allows 2929 MiB (ulimit -d)"},
		{"-t 600", "give programs 710 s of processor time: this session allows 600 s (ulimit -t)"},
		{"-s 4096", "give programs 8 MiB of stack: this session allows 4 MiB (ulimit -s)"},
	} {
		// Without the right to raise the limit, and of these rights no others are needed.
		line := "ulimit " + tt.limit + ` && exec "$@"`
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		argv := []string{"sh", "-c", line, "sh", self, "-test.run=^TestRoom$", "-test.v", "-tell-room"}
		if os.Geteuid() == 0 {
			setpriv, err := exec.LookPath("setpriv")
			if err != nil {
				t.Skip("needs setpriv of util-linux, to give up the right to raise limits")
			}
			argv = append([]string{setpriv, "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"}, argv...)
		}
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), tt.want) {
			t.Errorf("with ulimit %s: %v, want %q in\n%s", tt.limit, err, tt.want, out)
		}
	}
}

func TestCheckProc(t *testing.T) {
	t.Parallel()
	if err := checkProc("/proc"); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	if err := checkProc(dir); err == nil || !strings.Contains(err.Error(), "mount -t proc proc "+dir) {
		t.Errorf("checkProc = %v, want the remedy", err)
	}
}

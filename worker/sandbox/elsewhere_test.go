//go:build sandbox

package sandbox

// These tests run the others again where there are fewer rights: as a plain
// user, and in a container as Docker makes it. They need root, runc, and half
// a minute each, hence the build tag.

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/process/processtest"
	"github.com/lcbq/lcbq/worker/sandbox/sandboxtest"
)

// everywhere are the tests that must hold on any host.
const everywhere = "^(TestLevel|TestHostile|TestScript|TestKilledServer|TestNumpyAfterHostile|TestLimits|TestManyAtOnce|TestParentKilled|TestForkRefused)$"

// nobody is the plain user of these tests.
const nobody = 65534

// copySelf puts the test binary where any user can execute it.
func copySelf(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	dir, err := os.MkdirTemp("", "lcbq-test-") //nolint:usetesting // T.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	processtest.Write(t, filepath.Join(dir, "sandbox.test"), self)
	return dir
}

// args are the arguments of a test binary that runs everything that must hold,
// and demands that level is the best.
func args(path, level string) []string {
	return []string{path, "-test.timeout=5m", "-test.run=" + everywhere, "-full", "-level=" + level}
}

func TestAsPlainUser(t *testing.T) {
	t.Parallel()
	dir := copySelf(t)
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "sandbox.test"))
	cmd.Args = args(cmd.Path, "A")
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{}}}
	report(t, cmd)
}

// TestTmp isolates as root where /tmp can be written by nobody, and where there
// is none: the view of the interpreter's files is made somewhere else.
func TestTmp(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]string{
		"read-only": "mount -t tmpfs -o ro none /tmp",
		// Another root, of the host's directories without that one.
		"missing": `mount -t tmpfs none /mnt && cd /mnt && mkdir old &&
			for d in /*; do case $d in /tmp|/mnt) ;; *) if [ -L $d ]; then cp -a $d .; elif [ -d $d ]; then mkdir .$d && mount --rbind $d .$d; fi;; esac; done &&
			pivot_root . old && umount -l /old && rmdir /old && cd /`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := copySelf(t)
			// Where neither of the two hides it.
			const hold = "exec 9<\"$0\" && "
			run := " && exec /proc/self/fd/9 -test.run='^(TestLevel|TestLimits)$' -level=A"
			cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", hold+prepare+run, filepath.Join(dir, "sandbox.test"))
			cmd.Dir = "/"
			report(t, cmd)
		})
	}
}

// TestDefaultLimits runs what takes seconds under the limits that a user gets: a
// program of 5 s passes with eight busy loops beside it, and one that sleeps, and
// one that swallows every exception, end at 6 s.
func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	h, err := Probe(t.Context(), Config{Python: testPython})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, source string
		want         Outcome
		cpu          time.Duration // at most
		loops        int           // beside it
	}{
		{"five seconds", "import time\nwhile time.process_time() < 5: pass", Accepted, 6 * time.Second, 8},
		{"seven seconds", "import time\nwhile time.process_time() < 7: pass", TimeLimit, 6500 * time.Millisecond, 0},
		{"sleeper", "import time\ntime.sleep(60)", TimeLimit, time.Second, 0},
		{"swallower", "while True:\n    try:\n        while True: pass\n    except BaseException: pass", TimeLimit, 6500 * time.Millisecond, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := openSlotOn(t, h)
			for range tt.loops { // here: before its turn they would burn beside every other test
				startBusyLoop(t)
			}
			start := time.Now()
			r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{""}}, tt.source, func(int, Output) bool { return true })
			if err != nil || r.Outcome != tt.want || r.CPU > tt.cpu {
				t.Errorf("Run = %+v, %v, want %v and at most %v", r, err, tt.want, tt.cpu)
			}
			t.Logf("%v after %.2f s of processor time, %.1f s in all", r.Outcome, r.CPU.Seconds(), time.Since(start).Seconds())
		})
	}
}

func TestInContainer(t *testing.T) {
	t.Parallel()
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("needs runc")
	}
	for _, tt := range []struct {
		name string
		container
	}{
		{"root", container{level: "B", caps: sandboxtest.DockerCaps, tmp: true}},
		{"user", container{level: "C", uid: nobody, tmp: true}},
		{"root without capabilities", container{level: "C", tests: "^(TestLevel|TestLimits|TestForkRefused)$", tmp: true}},
		{"no tmp", container{level: "B", caps: sandboxtest.DockerCaps, tests: "^(TestLevel|TestLimits)$"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := copySelf(t)
			writeBundle(t, runc, dir, tt.container)
			cmd := exec.CommandContext(t.Context(), runc, "--root", filepath.Join(dir, "state"), "run", "--bundle", dir, filepath.Base(dir))
			cmd.Dir = dir
			report(t, cmd)
		})
	}
}

// A container is what differs between those of the tests.
type container struct {
	level string // that it must give
	uid   int
	caps  []string // effective
	tests string   // what runs in it, everywhere if empty
	tmp   bool     // has a /tmp, read-only as all of its image
}

// writeBundle makes dir a bundle of the OCI runtime: the host's /usr and /etc
// as a read-only image, and Docker's defaults for the rest.
func writeBundle(t *testing.T, runc, dir string, c container) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), runc, "spec", "--bundle", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("runc spec: %v: %s", err, out)
	}
	root := filepath.Join(dir, "rootfs")
	subs := []string{"usr", "etc", "test", "proc", "dev", "sys", "root"}
	if c.tmp {
		subs = append(subs, "tmp")
	}
	for _, sub := range subs {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"bin", "lib", "lib64", "sbin"} {
		if target, err := os.Readlink("/" + link); err == nil {
			if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var spec map[string]any
	readJSON(t, filepath.Join(dir, "config.json"), &spec)
	arguments := args("/test/sandbox.test", c.level)
	if c.tests != "" {
		arguments = append(arguments, "-test.run="+c.tests)
	}
	bounding := sandboxtest.DockerCaps
	if c.uid == 0 {
		bounding = c.caps
	}
	caps := append([]string{}, c.caps...)
	spec["process"] = map[string]any{
		"user": map[string]any{"uid": c.uid, "gid": c.uid}, "cwd": "/",
		"args": arguments,
		"env":  []string{"PATH=/usr/bin:/bin", "HOME=/root"},
		"capabilities": map[string]any{
			"bounding": append([]string{}, bounding...), "effective": caps, "permitted": caps,
		},
	}
	spec["root"] = map[string]any{"path": "rootfs", "readonly": true}
	mounts, _ := spec["mounts"].([]any)
	bind := func(source, destination string) any {
		return map[string]any{"source": source, "destination": destination, "type": "bind", "options": []string{"bind", "ro"}}
	}
	mounts = append(mounts, bind("/usr", "/usr"), bind("/etc", "/etc"), bind(dir, "/test"))
	spec["mounts"] = mounts
	linux, _ := spec["linux"].(map[string]any)
	linux["seccomp"] = sandboxtest.DockerSeccomp(t)
	text, err := json.Marshal(spec)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readJSON(t *testing.T, file string, to any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

package sandbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/worker/process/processtest"
)

var (
	// handing makes the binary the process that TestHandedDescriptors looks at.
	handing = flag.Bool("hand-descriptors", false, "make the descriptors of stage 1, and look what they replaced")
	// startSlots makes the binary open so many slots at once, and close them, -start-times times.
	startSlots = flag.Int("start-slots", 0, "open so many slots at once")
	startTimes = flag.Int("start-times", 1, "how often")
)

// TestHandedDescriptors wants what stage 1 hands to the fork server to replace no descriptor
// that was there before, wherever the runtime has put its own.
func TestHandedDescriptors(t *testing.T) {
	if *handing {
		handDescriptors(t)
		return
	}
	t.Parallel()
	for open := range 10 {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestHandedDescriptors$", "-hand-descriptors")
		for range open { // shifts what the runtime gets
			cmd.ExtraFiles = append(cmd.ExtraFiles, os.Stderr)
		}
		report(t, cmd)
	}
}

// handDescriptors does as stage 1 does.
func handDescriptors(t *testing.T) {
	t.Helper()
	// The runtime makes what it waits with when it first opens a pipe.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), w.Close() }()
	before := descriptors(t)
	pidns, err := openPIDNamespace()
	landlock := none
	if abi, noLandlock := landlockVersion(); err == nil && noLandlock == nil {
		landlock, err = makeRuleset(abi, []fixture{{Path: "/", Dir: true}})
	}
	if err = errors.Join(err, hand(landlock), hand(pidns)); err != nil {
		t.Fatal(err)
	}
	after := descriptors(t)
	for fd, was := range before {
		if after[fd] != was {
			t.Errorf("descriptor %s was %s and is %s", fd, was, after[fd])
		}
	}
	if len(after) == len(before) || strings.Contains(strings.Join(valuesOf(before), " "), "pid:[") {
		t.Errorf("descriptors %v after %v, want the namespace among the new ones", after, before)
	}
}

func valuesOf(m map[string]string) []string {
	var all []string
	for v := range maps.Values(m) {
		all = append(all, v)
	}
	return all
}

// descriptors returns what each open descriptor of this process is.
func descriptors(t *testing.T) map[string]string {
	t.Helper()
	return descriptorsOf(t, os.Getpid())
}

// descriptorsOf returns what each open descriptor of a process is.
func descriptorsOf(t *testing.T, pid int) map[string]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		if link, err := os.Readlink(dir + "/" + e.Name()); err == nil { // fails for the folder's own
			all[e.Name()] = link
		}
	}
	return all
}

// report runs cmd and fails the test with what failed in there.
func report(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v: %v\n%.20000s", cmd.Args, err, out)
	}
}

// TestStartsWithoutControlGroups opens many slots at once on a host whose control groups
// cannot be seen: the runtime has one descriptor less there than elsewhere. The matrix of
// hosts runs it with -start-slots on hosts of other kinds.
func TestStartsWithoutControlGroups(t *testing.T) {
	if *startSlots > 0 {
		startAndClose(t, *startSlots, *startTimes)
		return
	}
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to hide the control groups")
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c",
		`mount --make-rprivate / && { [ ! -d /sys/fs/cgroup ] || mount -t tmpfs none /sys/fs/cgroup; } && exec "$@"`, "sh",
		"/proc/self/exe") // sh's own: replaced below
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args[len(cmd.Args)-1] = self
	cmd.Args = append(cmd.Args, "-test.run=^TestStartsWithoutControlGroups$", "-test.timeout=9m",
		"-start-slots=16", "-start-times=2")
	report(t, cmd)
}

// startAndClose opens slots at once and closes them, and wants no start to fail: not even
// one that is tried again.
func startAndClose(t *testing.T, slots, times int) {
	t.Helper()
	var warned lockedBuffer
	h, err := Probe(t.Context(), Config{Python: testPython, Log: slog.New(slog.NewTextHandler(&warned, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range times {
		var all sync.WaitGroup
		for id := range slots {
			all.Go(func() {
				s, err := h.NewSlot(id)
				if err == nil {
					err = s.Close()
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	if text := warned.String(); text != "" {
		t.Errorf("at level %v: %s", h.Level(), text)
	}
}

// A lockedBuffer is a buffer for several writers.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// fragile replaces the interpreter of h by one that fails its first starts, with two lines.
func fragile(t *testing.T, h *Host, failures int) {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\n"
	for i := range failures { // the one thing that may be made under the limits of a fork server
		script += fmt.Sprintf("mkdir %s/%d 2>/dev/null && { echo the cause >&2; echo the end >&2; exit 7; }\n", dir, i)
	}
	script += "exec " + h.plan.Python + " \"$@\"\n"
	h.plan.Python = filepath.Join(dir, "python")
	processtest.Write(t, h.plan.Python, []byte(script))
}

func TestStartIsTriedAgain(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T, prepare func(h *Host)) (string, error) {
		t.Helper()
		var warned lockedBuffer
		h := probeAt(t, C, Config{Log: slog.New(slog.NewTextHandler(&warned, nil))})
		prepare(h)
		s, err := h.NewSlot(int(slotIDs.Add(1)))
		if err == nil {
			err = s.Close()
		}
		return warned.String(), err
	}
	t.Run("fails twice", func(t *testing.T) {
		t.Parallel()
		warned, err := open(t, func(h *Host) { fragile(t, h, 2) })
		if err != nil || strings.Count(warned, "the cause") != 2 || strings.Count(warned, "the end") != 2 || !strings.Contains(warned, "exit status 7") {
			t.Errorf("NewSlot = %v after %q, want it open after two failures told in full", err, warned)
		}
	})
	t.Run("always fails", func(t *testing.T) {
		t.Parallel()
		_, err := open(t, func(h *Host) { fragile(t, h, 100) })
		for _, want := range []string{"4 starts failed", "exit status 7", "the cause\nthe end"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("NewSlot = %v, want %q in it", err, want)
			}
		}
	})
	t.Run("is refused", func(t *testing.T) {
		t.Parallel()
		warned, err := open(t, func(h *Host) { h.plan.Python = "/nonexistent/python" })
		if !errors.Is(err, unix.ENOENT) || warned != "" {
			t.Errorf("NewSlot = %v after %q, want ENOENT at once", err, warned)
		}
	})
}

// TestRefusedEarly has stage 1 refuse and end before all of the plan is sent: its reason is told, not that it is gone.
func TestRefusedEarly(t *testing.T) {
	t.Parallel()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(pair[0]) }()
	s := &server{control: pair[0], process: &os.Process{Pid: os.Getpid()}, reaped: make(chan struct{}), stderr: new(said)}
	close(s.reaped)
	_, err = unix.Write(pair[1], append(binary.LittleEndian.AppendUint32([]byte("S"), uint32(unix.ENOSYS)), "no such call"...))
	if err := errors.Join(err, unix.Close(pair[1])); err != nil {
		t.Fatal(err)
	}
	if err := s.greet(&plan{}); !errors.Is(err, unix.ENOSYS) || !strings.Contains(err.Error(), "stage 1: no such call") {
		t.Errorf("greet = %v, want what stage 1 said", err)
	}
}

// TestSlowStart wants a fork server that is slow to be waited for, and one that
// sleeps not to be.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	h := probeAt(t, C, Config{control: 10 * time.Millisecond})
	s := openSlotOn(t, h)
	srv := s.servers[plain]
	if err := unix.Kill(srv.process.Pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_, err := srv.load(&Question{ID: "q", Inputs: []string{"1"}}, h.supply)
	if !errors.Is(err, errServer) || !strings.Contains(err.Error(), "no answer in") {
		t.Errorf("load = %v, want that it does not answer", err)
	}
}

// TestInheritedDescriptors wants what this process was started with, and would pass on,
// kept from fork servers.
func TestInheritedDescriptors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	inherited, err := unix.Dup(int(file.Fd())) // without close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(inherited) }()
	s := openSlot(t, Config{})
	fds := fmt.Sprintf("/proc/%d/fd", s.servers[plain].process.Pid)
	entries, err := os.ReadDir(fds)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if link, _ := os.Readlink(filepath.Join(fds, e.Name())); strings.HasPrefix(link, dir) {
			t.Errorf("the fork server has %s as descriptor %s", link, e.Name())
		}
	}
}

func TestCloseListed(t *testing.T) {
	t.Parallel()
	file, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	fd, err := unix.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	dir := t.TempDir() // not the real one: the descriptors of other tests' children are to stay
	if err := os.WriteFile(fmt.Sprintf("%s/%d", dir, fd), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err = closeListed(dir)
	flags, flagErr := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flagErr != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("closeListed = %v, flags %d, %v, want close-on-exec", err, flags, flagErr)
	}
}

func TestNothing(t *testing.T) {
	t.Parallel()
	fake := filepath.Join(t.TempDir(), "null")
	if err := os.WriteFile(fake, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, device := range []string{os.DevNull, fake, fake + ".missing"} {
		in, out, err := nothing(device)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(in); err != nil || len(text) > 0 {
			t.Errorf("of %s reading gave %q, %v", device, text, err)
		}
		for range 100 { // more than a pipe holds
			if _, err := out.Write(make([]byte, 4096)); err != nil {
				t.Fatalf("of %s writing gave %v", device, err)
			}
		}
		if err := errors.Join(in.Close(), out.Close()); err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(fake); err != nil || string(text) != "text" {
		t.Errorf("the file that is no device holds %q, %v", text, err)
	}
}

func TestSaid(t *testing.T) {
	t.Parallel()
	short := new(said)
	_, _ = io.WriteString(short, "first\n")
	_, _ = io.WriteString(short, "last\n")
	if got := short.all(); got != "first\nlast" {
		t.Errorf("all = %q", got)
	}
	long := new(said)
	for i := range 5000 {
		_, _ = fmt.Fprintf(long, "line %05d\n", i)
	}
	got := long.all()
	if !strings.HasPrefix(got, "line 00000\n") || !strings.HasSuffix(got, "line 04999") || len(got) > 2*saidSize+50 ||
		!strings.Contains(got, fmt.Sprintf("\n[%d bytes left out]\n", 5000*11-2*saidSize)) {
		t.Errorf("all = %d bytes, %.40q ... %q", len(got), got, got[len(got)-40:])
	}
}

// TestUmask wants the level of this host whatever files the user's umask closes.
func TestUmask(t *testing.T) {
	t.Parallel()
	h, err := Probe(t.Context(), Config{Python: testPython})
	if err != nil {
		t.Fatal(err)
	}
	umasks := []string{"777", "077", "000"}
	if !*full {
		umasks = umasks[:1] // the hardest
	}
	for _, umask := range umasks {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		report(t, exec.CommandContext(t.Context(), "sh", "-c", "umask "+umask+` && exec "$@"`, "sh", self, "-test.run=^TestLevel$", "-level="+h.Level().String()))
	}
}

package embed_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// A platter is what of a folder is on the disk after a power loss, as the system calls of a
// traced process say. The content of a file is there once a sync of it that began
// after it was written has returned, or when it is renamed and was opened with
// O_SYNC. Names, renames, removals and truncations are there, in order, once any
// later sync has returned, which is what the journals of ext4 and xfs give. A file
// that has a name and was never synced is empty.
type platter struct {
	dir     string
	files   map[string][]byte
	pending []func() // changes of names since the last sync
	syncs   int
}

func (p *platter) inside(path string) bool { return strings.HasPrefix(path, p.dir+"/") }

// commit puts the pending changes on the disk, and the content of a file.
func (p *platter) commit(path string, content []byte) {
	for _, change := range p.pending {
		change()
	}
	p.pending = nil
	if p.inside(path) && content != nil {
		p.files[path] = content
	}
	p.syncs++
}

// write makes the folder anew elsewhere.
func (p *platter) write(t *testing.T, dir string) {
	t.Helper()
	for path, content := range p.files {
		to := filepath.Join(dir, strings.TrimPrefix(path, p.dir))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A tracer follows the system calls of a process and all its threads. All its
// methods run on the thread that started the process.
type tracer struct {
	platter *platter
	pid     int
	calls   map[int]*call   // by thread
	synced  map[string]bool // paths opened with O_SYNC
}

// A call is a system call between its beginning and its end.
type call struct {
	number uint64
	args   [6]uint64
	path   string
	other  string // the second path of a rename
	before []byte // the file's content when its sync began
}

// Of PTRACE_GET_SYSCALL_INFO, which x/sys does not name.
const (
	getSyscallInfo = 0x420e
	callExit       = 2
	callBegins     = 3 // stopped by the filter
)

// filtered are the system calls that a tracer wants to see. Stopping at every one
// would make a server under load a hundred times slower.
var filtered = []uint32{
	syscall.SYS_FSYNC, syscall.SYS_FDATASYNC, syscall.SYS_OPENAT, syscall.SYS_UNLINKAT, syscall.SYS_RENAMEAT, unix.SYS_RENAMEAT2, syscall.SYS_FTRUNCATE,
}

// filterCalls makes the kernel stop this process's threads for its tracer at the
// filtered calls.
func filterCalls() error {
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: 0, Size: 4}} // the call's number
	for _, number := range filtered {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: number, SkipTrue: 1}, bpf.RetConstant{Val: unix.SECCOMP_RET_TRACE})
	}
	raw, err := bpf.Assemble(append(program, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}))
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]} //nolint:gosec // a dozen
	_, _, errno := syscall.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return fmt.Errorf("filter system calls: %w", errno)
	}
	return nil
}

// follow runs until the process is gone.
func (tr *tracer) follow() error {
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(tr.pid, &status, 0, nil); err != nil {
		return fmt.Errorf("wait for the process to stop at its start: %w", err)
	}
	options := syscall.PTRACE_O_TRACECLONE | syscall.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACESECCOMP
	if err := syscall.PtraceSetOptions(tr.pid, options); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	if err := syscall.PtraceCont(tr.pid, 0); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	for {
		// Of this thread's tracees alone: other tests wait for children of their own.
		tid, err := syscall.Wait4(-1, &status, syscall.WALL|unix.WNOTHREAD, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ECHILD):
			return nil
		case err != nil:
			return fmt.Errorf("wait: %w", err)
		case status.Exited() || status.Signaled():
			if tid == tr.pid {
				return nil
			}
			continue
		}
		if err := tr.stopped(tid, status); err != nil && !errors.Is(err, syscall.ESRCH) { // which is killed meanwhile
			return err
		}
	}
}

// stopped looks at a thread that stands still and lets it go on: to the end of the
// system call, if it begins one that the filter picks, and else to the next such.
func (tr *tracer) stopped(tid int, status syscall.WaitStatus) error {
	signal := status.StopSignal()
	switch signal { //nolint:exhaustive // all others are passed on
	case syscall.SIGTRAP | 0x80:
		if err := tr.observe(tid); err != nil {
			return err
		}
		signal = 0
	case syscall.SIGTRAP:
		if status.TrapCause() == unix.PTRACE_EVENT_SECCOMP {
			if err := tr.observe(tid); err != nil {
				return err
			}
			return syscall.PtraceSyscall(tid, 0)
		}
		signal = 0 // a thread was made
	case syscall.SIGSTOP: // it begins
		signal = 0
	}
	return syscall.PtraceCont(tid, int(signal))
}

// observe looks at a thread that begins or ends a system call.
func (tr *tracer) observe(tid int) error {
	var info [88]byte
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, getSyscallInfo, uintptr(tid), uintptr(len(info)), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("read system call: %w", errno)
	}
	switch info[0] {
	case callBegins: // laid out as an entry
		c := &call{number: binary.NativeEndian.Uint64(info[24:])}
		for i := range c.args {
			c.args[i] = binary.NativeEndian.Uint64(info[32+8*i:])
		}
		tr.calls[tid] = c
		tr.entry(c)
	case callExit:
		if c := tr.calls[tid]; c != nil {
			tr.exit(c, int64(binary.NativeEndian.Uint64(info[24:]))) //nolint:gosec // as the kernel has it
		}
		delete(tr.calls, tid)
	}
	return nil
}

func (tr *tracer) entry(c *call) {
	switch c.number {
	case syscall.SYS_FSYNC, syscall.SYS_FDATASYNC:
		c.path = tr.descriptor(c.args[0])
		if tr.platter.inside(c.path) {
			c.before = contentOf(c.path)
		}
	case syscall.SYS_OPENAT:
		c.path = tr.resolve(c.args[0], c.args[1])
	case syscall.SYS_UNLINKAT:
		c.path = tr.resolve(c.args[0], c.args[1])
	case syscall.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		c.path, c.other = tr.resolve(c.args[0], c.args[1]), tr.resolve(c.args[2], c.args[3])
		if tr.synced[c.path] {
			tr.platter.commit(c.path, contentOf(c.path))
		}
	case syscall.SYS_FTRUNCATE:
		c.path = tr.descriptor(c.args[0])
	}
}

// contentOf returns what a file holds, nil of a folder or of what is gone.
func contentOf(path string) []byte {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return b
}

func (tr *tracer) exit(c *call, result int64) {
	p := tr.platter
	if result < 0 {
		return
	}
	switch c.number {
	case syscall.SYS_FSYNC, syscall.SYS_FDATASYNC:
		if p.inside(c.path) {
			p.commit(c.path, c.before)
		}
	case syscall.SYS_OPENAT:
		tr.opened(c)
	}
	if !p.inside(c.path) && !p.inside(c.other) {
		return
	}
	from, to := c.path, c.other
	switch c.number {
	case syscall.SYS_UNLINKAT:
		p.pending = append(p.pending, func() { delete(p.files, from) })
	case syscall.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		p.pending = append(p.pending, func() {
			for path, content := range p.files { // a folder moves with what is in it
				if rest, ok := strings.CutPrefix(path, from+"/"); ok {
					delete(p.files, path)
					p.files[to+"/"+rest] = content
				}
			}
			if content, ok := p.files[from]; ok {
				delete(p.files, from)
				p.files[to] = content
			}
		})
	case syscall.SYS_FTRUNCATE:
		size := int(c.args[1]) //nolint:gosec // the size of a file
		p.pending = append(p.pending, func() { p.files[from] = p.files[from][:min(size, len(p.files[from]))] })
	}
}

func (tr *tracer) opened(c *call) {
	p := tr.platter
	flags := c.args[2]
	if !p.inside(c.path) || flags&syscall.O_DIRECTORY != 0 {
		return
	}
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		tr.synced[c.path] = flags&syscall.O_SYNC == syscall.O_SYNC
	}
	path := c.path
	switch {
	case flags&syscall.O_TRUNC != 0:
		p.pending = append(p.pending, func() { p.files[path] = nil })
	case flags&syscall.O_CREAT != 0:
		p.pending = append(p.pending, func() {
			if _, ok := p.files[path]; !ok {
				p.files[path] = nil
			}
		})
	}
}

// descriptor returns the path behind a descriptor of the process.
func (tr *tracer) descriptor(fd uint64) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tr.pid, int32(fd))) //nolint:gosec // a descriptor
	if err != nil {
		return ""
	}
	return path
}

// resolve reads a path out of the process's memory.
func (tr *tracer) resolve(dirfd, address uint64) string {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", tr.pid))
	if err != nil {
		return ""
	}
	defer mem.Close() //nolint:errcheck // only read
	buf := make([]byte, 4096)
	n, _ := mem.ReadAt(buf, int64(address)) //nolint:gosec // it may end with the mapping
	path, _, ok := bytes.Cut(buf[:n], []byte{0})
	if !ok || len(path) == 0 {
		return ""
	}
	if path[0] != '/' {
		return filepath.Join(tr.descriptor(dirfd), string(path))
	}
	return filepath.Clean(string(path))
}

// traced follows a server on dir until it is killed, and says where it is.
func traced(t *testing.T, dir, mode string) (url string, kill func() (*platter, error)) {
	t.Helper()
	cmd, out := child(t, dir, mode)
	cmd.Env = append(cmd.Env, childTraced+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	tr := &tracer{platter: &platter{dir: dir, files: make(map[string][]byte)}, calls: make(map[int]*call), synced: make(map[string]bool)}
	began, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the tracer is a thread; this one ends with the goroutine
		err := cmd.Start()
		if err == nil {
			tr.pid = cmd.Process.Pid
		}
		began <- err
		if err == nil {
			ended <- tr.follow()
		}
	}()
	if err := <-began; err != nil {
		t.Skipf("processes cannot be traced here: %v", err)
	}
	kill = func() (*platter, error) {
		if err := syscall.Kill(tr.pid, syscall.SIGKILL); err != nil {
			return nil, err
		}
		err := <-ended
		_ = cmd.Wait() // the tracer has seen its end
		return tr.platter, err
	}
	return firstLine(t, out), kill
}

// TestAcknowledgedOutlivesPowerLoss cuts the server's files back to what was synced
// when the power failed: every unit acknowledged by then must be there. The same
// without syncs must lose some, or the test sees nothing.
func TestAcknowledgedOutlivesPowerLoss(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"synced", "unsynced"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			url, kill := traced(t, filepath.Join(t.TempDir(), "store"), mode)
			if err := declare(t, url, time.Minute); err != nil {
				t.Fatal(err)
			}
			p := &publisher{acked: make(map[stream.Unit]stream.Stage)}
			done := make(chan struct{})
			go func() {
				defer close(done)
				p.publish(t.Context(), t, url)
			}()
			const enough = 600
			streamtest.WaitFor(t, "units to be acknowledged", func(context.Context) (bool, error) { return len(p.sofar()) >= enough, nil })
			acked := p.sofar() // before the power fails
			platter, err := kill()
			<-done
			if err != nil {
				t.Fatal(err)
			}
			after := filepath.Join(t.TempDir(), "after")
			platter.write(t, after)
			srv := start(t, embed.Config{Dir: after, Open: true})
			defer stop(t, srv)
			lost := missing(t, srv.URL(), acked)
			t.Logf("%d units acknowledged, %d syncs, %d units lost", len(acked), platter.syncs, lost)
			if mode == "synced" && lost > 0 {
				t.Errorf("%d of %d acknowledged units are lost", lost, len(acked))
			}
			if mode == "unsynced" && lost == 0 {
				t.Error("nothing is lost without syncs: the test would not notice if they were missing")
			}
		})
	}
}

// TestAcknowledgedBatchOutlivesPowerLoss is the same of tasks that went as one batch, with
// nothing published after it whose sync could cover for the batch's own.
func TestAcknowledgedBatchOutlivesPowerLoss(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"synced", "unsynced"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			url, kill := traced(t, filepath.Join(t.TempDir(), "store"), mode)
			if err := declare(t, url, time.Minute); err != nil {
				t.Fatal(err)
			}
			var tasks []stream.Task
			for i := range 300 {
				tasks = append(tasks, stream.Task{Unit: stream.Unit{Cell: stream.Cell{Run: "r", Temperature: 700}, Index: i}, N: 1})
			}
			if err := connect(t, url).PublishTasks(t.Context(), tasks); err != nil {
				t.Fatal(err)
			}
			platter, err := kill()
			if err != nil {
				t.Fatal(err)
			}
			after := filepath.Join(t.TempDir(), "after")
			platter.write(t, after)
			srv := start(t, embed.Config{Dir: after, Open: true})
			defer stop(t, srv)
			q := connect(t, srv.URL())
			if err := q.Declare(t.Context(), 1); err != nil { // without syncs the stream itself may be gone
				t.Fatal(err)
			}
			units, err := q.Units(t.Context(), stream.Generate, tasks[0].Cell)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d syncs, %d of %d tasks are there", platter.syncs, len(units), len(tasks))
			if mode == "synced" && len(units) != len(tasks) {
				t.Errorf("%d of %d acknowledged tasks are lost", len(tasks)-len(units), len(tasks))
			}
			if mode == "unsynced" && len(units) == len(tasks) {
				t.Error("nothing is lost without syncs: the test would not notice if they were missing")
			}
		})
	}
}

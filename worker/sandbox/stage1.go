package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stage1Name is what a process that is to become a fork server is called: the
// binary starts itself under this name, so that no other file is needed.
const stage1Name = "lcbq-sandbox-stage1"

// bootstrap is all the Python that stage 1 starts: the rest, and the driver,
// come over the control socket.
const bootstrap = `import _socket, sys
s = _socket.socket(fileno=3)
g = {"__name__": "zygote"}
exec(compile(s.recv(1 << 20), "<zygote>", "exec"), g)
p = __import__("json").loads(s.recv(1 << 20))
p["landlock_fd"], p["pidns_fd"], p["oom_fd"] = map(int, sys.argv[1:])
g["main"](s, p, s.recv(1 << 20))`

// Main turns the process into a fork server if that is what it was started
// for, and otherwise does nothing. Every binary that uses the package calls it
// before anything else in main, and every test binary in TestMain.
func Main() {
	if len(os.Args) != 1 || os.Args[0] != stage1Name {
		return
	}
	// Stage 1 sets properties of the thread that becomes the fork server.
	runtime.LockOSThread()
	debug.SetGCPercent(-1) // it lives for a millisecond, and a collection starts threads
	err := stage1()
	// Only an error leads here. The parent's other reader is the fork server,
	// whose first byte is never an S.
	var errno syscall.Errno
	errors.As(err, &errno)
	_, _ = unix.Write(controlFD, append(binary.LittleEndian.AppendUint32([]byte("S"), uint32(errno)), err.Error()...))
	unix.Exit(1)
}

// stage1 applies the plan to the process and executes the interpreter.
func stage1() error {
	buf := make([]byte, maxMessage)
	n, err := unix.Read(controlFD, buf)
	if err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	var p plan
	if err := json.Unmarshal(buf[:n], &p); err != nil {
		return fmt.Errorf("decode plan: %w", err)
	}
	if err := ownDescriptors(); err != nil {
		return fmt.Errorf("keep inherited descriptors from programs: %w", err)
	}
	// Set for the thread that forked us; the exec below is of this one.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("set parent death signal: %w", err)
	}
	oom := none
	if p.FirstToDie {
		if oom, err = dieEarly(oomScore); err != nil {
			return fmt.Errorf("raise out-of-memory score: %w", err)
		}
	}
	// Whatever the user's is: every program must be able to enter the folders of its view.
	unix.Umask(0o022)
	// The view that is entered below does not show them.
	groups, err := openCgroups(p.CgroupDirs)
	if err != nil {
		return err
	}
	pidns, landlock := none, none
	if p.PIDNS {
		if pidns, err = openPIDNamespace(); err != nil {
			return err
		}
	}
	if p.Namespaces {
		if err := enterView(p.View); err != nil {
			return err
		}
		if err := unix.Sethostname([]byte("sandbox")); err != nil {
			return fmt.Errorf("set host name: %w", err)
		}
	}
	if p.Landlock > 0 {
		if landlock, err = makeRuleset(p.Landlock, p.View); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	unix.Umask(0o077)
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("change to the root directory: %w", err)
	}
	for _, fd := range []int{controlFD, landlock, pidns, oom} {
		if err := hand(fd); err != nil {
			return err
		}
	}
	limits, err := resourceLimits(&p)
	if err != nil {
		return err
	}
	// The full name, from which it finds its modules.
	argv := []string{p.Python, "-S", "-s", "-B", "-c", bootstrap, strconv.Itoa(landlock), strconv.Itoa(pidns), strconv.Itoa(oom)}
	return become(p.Python, argv, serverEnv, limits, groups)
}

// oomScore is the file that says whom the kernel kills first for want of memory.
const oomScore = "/proc/self/oom_score_adj"

// The scores of a fork server, and of its programs, which die before anything else.
const (
	serverOOM  = "900"
	programOOM = "1000" // as in zygote.py
)

// dieEarly makes the process one of those that the kernel kills first for want of
// memory, and returns a descriptor by which a fork server has its programs die before
// itself: the server's end would be taken for its own failure. It returns none where the
// session's score is higher already and may not be lowered; then both have the same.
func dieEarly(file string) (int, error) {
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return none, err
	}
	if _, err = unix.Write(fd, []byte(serverOOM)); err == nil {
		return fd, nil
	}
	if errors.Is(err, unix.EACCES) {
		_, err = unix.Write(fd, []byte(programOOM))
	}
	_ = unix.Close(fd)
	return none, err
}

// serverEnv is the whole environment of a fork server, which clears it before
// it forks. A fixed hash seed makes a program that depends on the order of a
// set behave alike in every run. What the loader would resolve at a function's first
// call, each program would resolve anew. An arena of the C library reserves 64 MiB of
// the address space, and by default a program with many threads has eight a processor.
var serverEnv = []string{
	"PYTHONHASHSEED=0", "LC_ALL=C.UTF-8", "TZ=UTC", "LD_BIND_NOW=1", "MALLOC_ARENA_MAX=2",
	"OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1",
}

// ownDescriptors makes every descriptor but the first three end with the execution, those
// that whoever started lcbq left open among them. It closes none: some are the
// runtime's.
func ownDescriptors() error {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err == nil {
		return nil
	}
	return closeListed("/proc/self/fd")
}

// closeListed is ownDescriptors for a kernel before Linux 5.11: dir names the descriptors.
func closeListed(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd) // without effect on the folder's own, which is closed
		}
	}
	return nil
}

// openPIDNamespace returns a descriptor of the process's own PID namespace, to which the fork
// server comes back after it made a program.
func openPIDNamespace() (int, error) {
	fd, err := unix.Open("/proc/self/ns/pid", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return none, fmt.Errorf("open pid namespace: %w", err)
	}
	return fd, nil
}

// hand leaves a descriptor to the fork server under the number that it has.
func hand(fd int) error {
	if fd == none {
		return nil
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
		return fmt.Errorf("hand descriptor %d to the fork server: %w", fd, err)
	}
	return nil
}

// openFiles is the limit on descriptors, which zygote.py knows as OPEN_FILES.
const openFiles = 64

// A resourceLimit is one limit to set.
type resourceLimit struct {
	name     string
	resource int
	want     unix.Rlimit
}

// resourceLimits returns the limits that the fork server shares with its
// programs: inherited, they cost a program nothing.
func resourceLimits(p *plan) ([]resourceLimit, error) {
	limits := []resourceLimit{
		{"file size", unix.RLIMIT_FSIZE, unix.Rlimit{}},
		{"core size", unix.RLIMIT_CORE, unix.Rlimit{}},
		{"open files", unix.RLIMIT_NOFILE, unix.Rlimit{Cur: openFiles, Max: openFiles}},
		{"locked memory", unix.RLIMIT_MEMLOCK, unix.Rlimit{}},
		{"message queues", unix.RLIMIT_MSGQUEUE, unix.Rlimit{}},
		// Soft only: a larger default would make each thread reserve as much.
		{"stack", unix.RLIMIT_STACK, unix.Rlimit{Cur: stackSize, Max: unix.RLIM_INFINITY}},
		// Not what the user's session is held to: checkInherited wants its hard limit to allow it.
		{"data", unix.RLIMIT_DATA, unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}},
		{"address space", unix.RLIMIT_AS, unix.Rlimit{Cur: uint64(p.Memory), Max: uint64(p.Memory)}},
	}
	if p.Processes != 0 {
		limits = append(limits, resourceLimit{"processes", unix.RLIMIT_NPROC, unix.Rlimit{Cur: uint64(p.Processes), Max: uint64(p.Processes)}})
	}
	for i := range limits {
		l := &limits[i]
		var have unix.Rlimit
		if err := unix.Getrlimit(l.resource, &have); err != nil {
			return nil, fmt.Errorf("read limit on %s: %w", l.name, err)
		}
		l.want.Cur, l.want.Max = min(l.want.Cur, have.Max), min(l.want.Max, have.Max)
	}
	return limits, nil
}

// become joins the control groups, sets the limits and executes path in place of this process.
// Between the first of them and the execution it makes system calls that the Go scheduler does
// not see: one that it saw, on a slow machine, would have it start a thread, which the
// limits on memory and processes forbid, and the runtime would abort. The threads that it
// has already are more than a slot's group may allow; one may join it all the same.
func become(path string, argv, env []string, limits []resourceLimit, groups []cgroupFile) error {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return fmt.Errorf("execute %s: %w", path, err)
	}
	args, err := syscall.SlicePtrFromStrings(argv)
	if err != nil {
		return fmt.Errorf("execute %s: %w", path, err)
	}
	vars, err := syscall.SlicePtrFromStrings(env)
	if err != nil {
		return fmt.Errorf("execute %s: %w", path, err)
	}
	for _, g := range groups {
		own := [1]byte{'0'}
		if _, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(g.fd), uintptr(unsafe.Pointer(&own)), 1); errno != 0 {
			return fmt.Errorf("%s %s: %w", joinGroup, g.dir, errno)
		}
	}
	for i := range limits {
		l := &limits[i]
		_, _, errno := unix.RawSyscall6(unix.SYS_PRLIMIT64, 0, uintptr(l.resource), uintptr(unsafe.Pointer(&l.want)), 0, 0, 0)
		if errno != 0 {
			return fmt.Errorf("limit %s: %w", l.name, errno)
		}
	}
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&vars[0])))
	return fmt.Errorf("execute %s: %w", path, errno)
}

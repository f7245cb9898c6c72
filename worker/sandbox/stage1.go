package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stage1Name is what a process that is to become a fork server is called: the
// binary starts itself under this name, so that no other file is needed.
const stage1Name = "lcbq-sandbox-stage1"

// bootstrap is all the Python that stage 1 starts: the rest, and the driver,
// come over the control socket.
const bootstrap = `import _socket
s = _socket.socket(fileno=3)
g = {"__name__": "zygote"}
exec(compile(s.recv(1 << 20), "<zygote>", "exec"), g)
g["main"](s, __import__("json").loads(s.recv(1 << 20)), s.recv(1 << 20))`

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
	_, _ = unix.Write(controlFD, append([]byte("S"), err.Error()...))
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
	// Set for the thread that forked us; the exec below is of this one.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("set parent death signal: %w", err)
	}
	// Soft and hard alike: the kernel kills programs before anything else.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
		return fmt.Errorf("raise out-of-memory score: %w", err)
	}
	if err := joinCgroups(p.CgroupDirs); err != nil {
		return err
	}
	if p.PIDNS {
		if err := openAs("/proc/self/ns/pid", pidnsFD); err != nil {
			return fmt.Errorf("open pid namespace: %w", err)
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
		if err := makeRuleset(p.Landlock, p.View, landlockFD); err != nil {
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
	if _, err := unix.FcntlInt(controlFD, unix.F_SETFD, 0); err != nil {
		return fmt.Errorf("keep control socket: %w", err)
	}
	limits, err := resourceLimits(&p)
	if err != nil {
		return err
	}
	// The full name, from which it finds its modules.
	return become(p.Python, []string{p.Python, "-S", "-s", "-B", "-c", bootstrap}, serverEnv, limits)
}

// serverEnv is the whole environment of a fork server, which clears it before
// it forks. A fixed hash seed makes a program that depends on the order of a
// set behave alike in every run. What the loader would resolve at a function's first
// call, each program would resolve anew.
var serverEnv = []string{
	"PYTHONHASHSEED=0", "LC_ALL=C.UTF-8", "TZ=UTC", "LD_BIND_NOW=1",
	"OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1",
}

// openAs opens path so that it is inherited as descriptor fd.
func openAs(path string, fd int) error {
	got, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return inheritAs(got, fd)
}

// inheritAs moves descriptor got to number fd, to be inherited.
func inheritAs(got, fd int) error {
	if got == fd {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		return err
	}
	defer func() { _ = unix.Close(got) }()
	return unix.Dup3(got, fd, 0)
}

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
		{"open files", unix.RLIMIT_NOFILE, unix.Rlimit{Cur: 64, Max: 64}},
		{"locked memory", unix.RLIMIT_MEMLOCK, unix.Rlimit{}},
		{"message queues", unix.RLIMIT_MSGQUEUE, unix.Rlimit{}},
		// Soft only: a larger default would make each thread reserve as much.
		{"stack", unix.RLIMIT_STACK, unix.Rlimit{Cur: 8 << 20, Max: unix.RLIM_INFINITY}},
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

// become sets the limits and executes path in place of this process. Between the
// first limit and the execution it makes system calls that the Go scheduler does
// not see: one that it saw, on a slow machine, would have it start a thread, which
// the limits on memory and processes forbid, and the runtime would abort.
func become(path string, argv, env []string, limits []resourceLimit) error {
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

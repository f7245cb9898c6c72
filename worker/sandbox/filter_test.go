package sandbox

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// runFilter returns what the kernel would do with a system call.
func runFilter(t *testing.T, p insns, arch, nr uint32, args ...uint64) uint32 {
	t.Helper()
	return installed(t, p).run(t, arch, nr, args...)
}

// A machine runs one filter many times.
type machine struct{ vm *bpf.VM }

func installed(t *testing.T, p insns) machine {
	t.Helper()
	raw := make([]bpf.RawInstruction, len(p))
	for i, in := range p {
		raw[i] = bpf.RawInstruction{Op: in.Code, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	code, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("the filter holds an instruction that is none")
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	return machine{vm}
}

func (m machine) run(t *testing.T, arch, nr uint32, args ...uint64) uint32 {
	t.Helper()
	// The machine of x/net reads big-endian words, the kernel's native ones:
	// so each word is put down big-endian, at its little-endian place.
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data[dataNr:], nr)
	binary.BigEndian.PutUint32(data[dataArch:], arch)
	for i, arg := range args {
		binary.BigEndian.PutUint32(data[dataArgs+8*i:], uint32(arg))
		binary.BigEndian.PutUint32(data[dataArgs+8*i+4:], uint32(arg>>32))
	}
	action, err := m.vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(action)
}

func TestFilter(t *testing.T) {
	t.Parallel()
	const (
		ok   = unix.SECCOMP_RET_ALLOW
		kill = uint32(unix.SECCOMP_RET_KILL_PROCESS)
		no   = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		acc  = unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)
		mem  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOMEM)
		nos  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
		tty  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOTTY)
	)
	of := func(r rights) (filter, stack) {
		server := assemble(serverRules(r))
		return server, stack{server, assembleDelta(deltaRules(r))}
	}
	server, program := of(rights{signals: true})
	_, alone := of(rights{})
	_, devices := of(rights{devices: true})
	for _, tt := range []struct {
		name string
		p    filter
		arch uint32
		nr   uint32
		args []uint64
		want uint32
	}{
		{"read", program, auditArch, unix.SYS_READ, nil, ok},
		{"mmap with exec, which extension modules need", program, auditArch, unix.SYS_MMAP, []uint64{0, 4096, 7}, ok},
		{"map a file to read", program, auditArch, unix.SYS_MMAP, []uint64{0, 4096, 1, unix.MAP_SHARED, 3}, ok},
		{"anonymous memory", program, auditArch, unix.SYS_MMAP, []uint64{0, 4096, 3, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS}, ok},
		{"shared anonymous memory", program, auditArch, unix.SYS_MMAP, []uint64{0, 4096, 3, unix.MAP_SHARED | unix.MAP_ANONYMOUS}, mem},
		{"shared anonymous memory, flags checked", program, auditArch, unix.SYS_MMAP, []uint64{0, 4096, 3, unix.MAP_SHARED_VALIDATE | unix.MAP_ANONYMOUS}, mem},
		{"memory of the pool of huge pages", program, auditArch, unix.SYS_MMAP, []uint64{0, 2 << 20, 3, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_HUGETLB}, mem},
		{"shared memory of that pool", program, auditArch, unix.SYS_MMAP, []uint64{0, 2 << 20, 3, unix.MAP_SHARED | unix.MAP_ANONYMOUS | unix.MAP_HUGETLB}, mem},
		{"free pages", program, auditArch, unix.SYS_MADVISE, []uint64{0, 4096, unix.MADV_DONTNEED}, ok},
		{"drop a file's pages", program, auditArch, unix.SYS_MADVISE, []uint64{0, 4096, unix.MADV_PAGEOUT}, no},
		{"advise on a file", program, auditArch, unix.SYS_FADVISE64, nil, no},
		{"read what is cached", program, auditArch, unix.SYS_PREADV2, nil, nos},
		{"barriers there are", program, auditArch, unix.SYS_MEMBARRIER, []uint64{membarrierQuery}, ok},
		{"barrier of its own", program, auditArch, unix.SYS_MEMBARRIER, []uint64{membarrierPrivateExpedited}, ok},
		{"barrier of all", program, auditArch, unix.SYS_MEMBARRIER, []uint64{membarrierGlobal}, no},
		{"barrier of all that registered", program, auditArch, unix.SYS_MEMBARRIER, []uint64{membarrierGlobalExpedited}, no},
		{"another architecture", program, unix.AUDIT_ARCH_I386, unix.SYS_READ, nil, kill},
		{"the other ABI", program, auditArch, x32Bit | unix.SYS_READ, nil, kill},
		{"beyond what is known", program, auditArch, 600, nil, nos},
		{"far beyond", program, auditArch, x32Bit - 1, nil, nos},
		{"thread", program, auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND | unix.CLONE_FILES}, ok},
		{"thread with descriptors of its own", program, auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND}, no},
		{"close a range", program, auditArch, unix.SYS_CLOSE_RANGE, []uint64{3, 9, 0}, ok},
		{"close a range of descriptors of its own", program, auditArch, unix.SYS_CLOSE_RANGE, []uint64{3, 9, unix.CLOSE_RANGE_UNSHARE}, no},
		{"thread that its maker waits for", program, auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_FILES | unix.CLONE_VFORK}, no},
		{"process", program, auditArch, unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}, no},
		{"thread in a namespace", program, auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_THREAD | unix.CLONE_FILES | unix.CLONE_NEWUSER}, no},
		{"give the processor up", program, auditArch, unix.SYS_SCHED_YIELD, nil, unix.SECCOMP_RET_ERRNO},
		{"lower its priority", program, auditArch, unix.SYS_SETPRIORITY, []uint64{0, 0, 1}, unix.SECCOMP_RET_ERRNO},
		{"move to another processor", program, auditArch, unix.SYS_SCHED_SETAFFINITY, []uint64{0, 8, 1}, unix.SECCOMP_RET_ERRNO},
		{"mode of files", program, auditArch, unix.SYS_UMASK, []uint64{0o22}, unix.SECCOMP_RET_ERRNO},
		{"wait for a child", program, auditArch, unix.SYS_WAIT4, []uint64{1}, unix.SECCOMP_RET_ERRNO | uint32(unix.ECHILD)},
		{"server waits for a program", server, auditArch, unix.SYS_WAIT4, []uint64{1}, ok},
		{"a file in memory", program, auditArch, unix.SYS_MEMFD_CREATE, []uint64{1, 0}, no},
		{"lock a file", program, auditArch, unix.SYS_FLOCK, []uint64{3, 1}, no},
		{"copy within the kernel", program, auditArch, unix.SYS_SENDFILE, []uint64{3, 4, 0, 1}, no},
		{"what is in the page cache", program, auditArch, unix.SYS_MINCORE, []uint64{1, 1, 1}, no},
		{"fill the page cache", program, auditArch, unix.SYS_READAHEAD, []uint64{3, 0, 1}, no},
		{"count the page cache", program, auditArch, 451, []uint64{3, 1, 1, 0}, no}, // cachestat
		{"read what is in the page cache alone", program, auditArch, unix.SYS_PREADV2, []uint64{3, 1, 1, 0, 0, 8}, nos},
		{"drop from the page cache", program, auditArch, unix.SYS_FADVISE64, []uint64{3, 0, 0, unix.FADV_DONTNEED}, no},
		{"clone3", program, auditArch, unix.SYS_CLONE3, nil, nos},
		{"open to read", program, auditArch, unix.SYS_OPENAT, []uint64{0, 0, unix.O_RDONLY | unix.O_CLOEXEC | unix.O_DIRECTORY}, ok},
		{"open to write", program, auditArch, unix.SYS_OPENAT, []uint64{0, 0, unix.O_WRONLY}, acc},
		{"open to read and write", program, auditArch, unix.SYS_OPENAT, []uint64{0, 0, unix.O_RDWR}, acc},
		{"truncate", program, auditArch, unix.SYS_OPENAT, []uint64{0, 0, unix.O_TRUNC}, acc},
		{"temporary file", program, auditArch, unix.SYS_OPENAT, []uint64{0, 0, unix.O_TMPFILE}, acc},
		{"open /dev/null as Python does", devices, auditArch, unix.SYS_OPENAT, []uint64{0, 0, unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC | unix.O_CLOEXEC}, ok},
		{"open a device for both", devices, auditArch, unix.SYS_OPENAT, []uint64{0, 0, unix.O_RDWR}, ok},
		{"open a device to append", devices, auditArch, unix.SYS_OPENAT, []uint64{0, 0, unix.O_WRONLY | unix.O_APPEND}, ok},
		{"the fourth access mode", devices, auditArch, unix.SYS_OPENAT, []uint64{0, 0, unix.O_WRONLY | unix.O_RDWR}, acc},
		{"truncate what is read", devices, auditArch, unix.SYS_OPENAT, []uint64{0, 0, unix.O_TRUNC}, acc},
		{"make what is read", devices, auditArch, unix.SYS_OPENAT, []uint64{0, 0, unix.O_CREAT}, acc},
		{"temporary file beside devices", devices, auditArch, unix.SYS_OPENAT, []uint64{0, 0, unix.O_TMPFILE | unix.O_RDWR}, acc},
		{"socket", program, auditArch, unix.SYS_SOCKET, []uint64{1, 1}, no},
		{"socket pair", program, auditArch, unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, ok},
		{"socket pair of a network", program, auditArch, unix.SYS_SOCKETPAIR, []uint64{unix.AF_INET, unix.SOCK_STREAM}, no},
		{"send to the other end", program, auditArch, unix.SYS_SENDTO, []uint64{9, 1 << 40, 1, 0, 0, 0}, ok},
		{"send to an address", program, auditArch, unix.SYS_SENDTO, []uint64{9, 1, 1, 0, 1, 0}, no},
		{"send to a high address", program, auditArch, unix.SYS_SENDTO, []uint64{9, 1, 1, 0, 1 << 32, 0}, no},
		{"send out of band", program, auditArch, unix.SYS_SENDTO, []uint64{9, 1, 1, unix.MSG_OOB | unix.MSG_DONTWAIT, 0, 0}, unix.SECCOMP_RET_ERRNO | uint32(unix.EOPNOTSUPP)},
		{"send descriptors", program, auditArch, unix.SYS_SENDMSG, []uint64{9, 1, 0}, no},
		{"connect", program, auditArch, unix.SYS_CONNECT, []uint64{9, 1, 0}, no},
		{"set a socket's options", program, auditArch, unix.SYS_SETSOCKOPT, []uint64{9, 1, 16}, no},
		{"kill", program, auditArch, unix.SYS_KILL, []uint64{1, 9}, no},
		{"tgkill where no other is in reach", program, auditArch, unix.SYS_TGKILL, []uint64{1, 1, 6}, ok},
		{"end as for want of memory", program, auditArch, unix.SYS_TGKILL, []uint64{1, 1, uint64(unix.SIGKILL)}, kill},
		{"stop itself", program, auditArch, unix.SYS_TGKILL, []uint64{1, 1, uint64(unix.SIGSTOP)}, kill},
		{"tgkill where others are", alone, auditArch, unix.SYS_TGKILL, []uint64{1, 1, 6}, no},
		{"read limits", program, auditArch, unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_AS, 0, 1}, ok},
		{"set a limit", program, auditArch, unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_AS, 1 << 32, 0}, no},
		{"set a limit, low pointer", program, auditArch, unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_AS, 1, 0}, no},
		{"set the stack", program, auditArch, unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_STACK, 1, 0}, ok},
		{"set another's stack", program, auditArch, unix.SYS_PRLIMIT64, []uint64{7, unix.RLIMIT_STACK, 1, 0}, no},
		{"name a thread", program, auditArch, unix.SYS_PRCTL, []uint64{unix.PR_SET_NAME}, ok},
		{"outlive the parent", program, auditArch, unix.SYS_PRCTL, []uint64{unix.PR_SET_PDEATHSIG, 0}, no},
		{"is it a terminal", program, auditArch, unix.SYS_IOCTL, []uint64{0, unix.TCGETS}, ok},
		{"push into a terminal", program, auditArch, unix.SYS_IOCTL, []uint64{0, unix.TIOCSTI}, tty},
		{"duplicate", program, auditArch, unix.SYS_FCNTL, []uint64{0, unix.F_DUPFD_CLOEXEC}, ok},
		{"be told by signal", program, auditArch, unix.SYS_FCNTL, []uint64{0, unix.F_SETOWN}, no},
		{"server forks", server, auditArch, unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}, ok},
		{"server makes a network", server, auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_NEWNET}, no},
		{"server unshares processes", server, auditArch, unix.SYS_UNSHARE, []uint64{unix.CLONE_NEWPID}, ok},
		{"server unshares more", server, auditArch, unix.SYS_UNSHARE, []uint64{unix.CLONE_NEWPID | unix.CLONE_NEWNS}, no},
		{"server executes", server, auditArch, unix.SYS_EXECVE, nil, no},
		{"server writes a file", server, auditArch, unix.SYS_OPENAT, []uint64{0, 0, unix.O_WRONLY}, acc},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.p.run(t, tt.arch, tt.nr, tt.args...); got != tt.want {
				t.Errorf("filter gives %#x, want %#x", got, tt.want)
			}
		})
	}
}

// A filter is one or several, as the kernel runs them.
type filter interface {
	run(t *testing.T, arch, nr uint32, args ...uint64) uint32
}

func (p insns) run(t *testing.T, arch, nr uint32, args ...uint64) uint32 {
	t.Helper()
	return runFilter(t, p, arch, nr, args...)
}

// A stack is what was installed one after the other: the kernel runs all, and the
// strictest action counts, of equals the last one's.
type stack []filter

func (s stack) run(t *testing.T, arch, nr uint32, args ...uint64) uint32 {
	t.Helper()
	result := uint32(unix.SECCOMP_RET_ALLOW)
	for _, p := range s {
		action := p.run(t, arch, nr, args...)
		strictness := func(a uint32) int32 { return int32(a & unix.SECCOMP_RET_ACTION_FULL) }
		if strictness(action) <= strictness(result) {
			result = action
		}
	}
	return result
}

// TestFilterNumbers compares the filters of a program with its rules for every
// number, and for arguments that any rule looks at: the tree must lose none, and
// two filters must be as strict as one of all the rules.
func TestFilterNumbers(t *testing.T) {
	t.Parallel()
	for _, r := range []rights{{}, {signals: true}, {devices: true}, {signals: true, devices: true}} {
		rules := programRules(r)
		code := assemble(rules)
		whole := installed(t, code)
		both := stack{installed(t, assemble(serverRules(r))), installed(t, assembleDelta(deltaRules(r)))}
		values := map[uint64]bool{0: true, 1: true, ^uint64(0): true, 1 << 32: true}
		for _, in := range code {
			if in.Code&0x07 == unix.BPF_JMP {
				for _, v := range []uint32{in.K, in.K - 1, in.K + 1} {
					values[uint64(v)] = true
				}
			}
		}
		for nr := range uint32(firstUnknown + 30) {
			want := unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
			if nr >= firstUnknown {
				want = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
			}
			if rule, ok := rules[nr]; ok {
				// A rule alone is a filter for its arguments.
				want = runFilter(t, rule, auditArch, nr)
			}
			if got := whole.run(t, auditArch, nr); got != want {
				t.Errorf("call %d: one filter gives %#x, want %#x", nr, got, want)
			}
			if len(serverRules(r)[nr]) <= 1 && len(rules[nr]) <= 1 {
				// Whatever the arguments.
				if got := both.run(t, auditArch, nr); got != want {
					t.Errorf("call %d: two filters give %#x, want %#x", nr, got, want)
				}
				continue
			}
			for v := range values {
				for _, args := range [][]uint64{{v}, {0, v}, {0, 0, v}, {0, 0, 0, 0, v}, {0, unix.RLIMIT_AS, v}, {0, 0, 0, v}, {0, 0, 0, unix.MAP_SHARED | v}, {unix.CLONE_THREAD | v}, {unix.CLONE_THREAD | unix.CLONE_FILES | v}} {
					want, got := whole.run(t, auditArch, nr, args...), both.run(t, auditArch, nr, args...)
					if got != want {
						t.Errorf("call %d with %#x: two filters give %#x, want %#x", nr, args, got, want)
					}
				}
			}
		}
	}
}

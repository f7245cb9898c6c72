package sandbox

import (
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// calls are what any Python program may ask of the kernel, whatever the
// arguments: memory, threads, time, reading what is open. A program that needs
// another sees EPERM, never a kill, because a new C library may try a call for
// no more than a hint.
var calls = []uint32{
	// Memory.
	unix.SYS_BRK, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MREMAP,
	// Threads and signals within the process.
	unix.SYS_FUTEX, unix.SYS_FUTEX_WAITV, unix.SYS_SET_ROBUST_LIST, unix.SYS_GET_ROBUST_LIST, unix.SYS_RSEQ,
	unix.SYS_SCHED_GETAFFINITY, unix.SYS_SCHED_GETSCHEDULER, unix.SYS_SCHED_GETPARAM, unix.SYS_GETCPU, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPENDING, unix.SYS_RT_SIGSUSPEND,
	unix.SYS_RT_SIGTIMEDWAIT, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
	// Time.
	unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_NANOSLEEP, unix.SYS_GETTIMEOFDAY,
	unix.SYS_SETITIMER, unix.SYS_GETITIMER, unix.SYS_TIMERFD_CREATE, unix.SYS_TIMERFD_SETTIME, unix.SYS_TIMERFD_GETTIME, unix.SYS_TIMES, unix.SYS_GETRUSAGE,
	// Descriptors. Opening is a rule of its own.
	unix.SYS_READ, unix.SYS_READV, unix.SYS_PREAD64, unix.SYS_PREADV, unix.SYS_WRITE, unix.SYS_WRITEV,
	unix.SYS_CLOSE, unix.SYS_LSEEK, unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_PIPE2, unix.SYS_EVENTFD2,
	unix.SYS_PPOLL, unix.SYS_PSELECT6, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2,
	unix.SYS_FSTAT, unix.SYS_STATX, unix.SYS_READLINKAT, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_GETDENTS64,
	unix.SYS_STATFS, unix.SYS_FSTATFS,
	// Of socket pairs. Making one and sending are rules of their own.
	unix.SYS_RECVFROM, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_GETSOCKOPT, unix.SYS_SHUTDOWN,
	// Who and where am I.
	unix.SYS_GETPID, unix.SYS_GETPPID, unix.SYS_GETTID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
	unix.SYS_GETRESUID, unix.SYS_GETRESGID, unix.SYS_GETGROUPS, unix.SYS_GETPGID, unix.SYS_GETSID, unix.SYS_GETPRIORITY,
	unix.SYS_GETCWD, unix.SYS_UNAME, unix.SYS_SYSINFO, unix.SYS_GETRANDOM, unix.SYS_GET_MEMPOLICY,
}

// absent are calls that a C library tries first and does without. One of them,
// preadv2, can tell what is in the page cache.
var absent = []uint32{
	unix.SYS_CLONE3, unix.SYS_OPENAT2, unix.SYS_MEMFD_SECRET, unix.SYS_PREADV2, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
}

// done are calls that are said to have been done and are not: their place among other
// processes, and the mode of files to be made, are nothing that a program is judged by.
// Giving the processor up is among them, because who does it for ever would look like one
// who is given none.
var done = []uint32{
	unix.SYS_SCHED_YIELD, unix.SYS_SETPRIORITY, unix.SYS_SCHED_SETAFFINITY, unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETPARAM,
	unix.SYS_SETPGID, unix.SYS_SETSID, unix.SYS_UMASK,
}

// The ioctls on any descriptor that x/sys does not name.
const (
	fioclex  = 0x5451
	fionclex = 0x5450
	fionbio  = 0x5421
	fionread = 0x541b
)

const (
	// writing are the flags that make an open more than reading.
	writing = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC | unix.O_APPEND | (unix.O_TMPFILE &^ unix.O_DIRECTORY)
	// madvCollapse is not named by x/sys on every architecture.
	madvCollapse = 25
	// namespaces are the flags of clone that make new ones.
	namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
)

// The commands of membarrier, which x/sys does not name.
const (
	membarrierQuery                    = 0
	membarrierGlobal                   = 1 << 0
	membarrierGlobalExpedited          = 1 << 1
	membarrierPrivateExpedited         = 1 << 3
	membarrierRegisterPrivateExpedited = 1 << 4
	membarrierPrivateSyncCore          = 1 << 5
	membarrierRegisterPrivateSyncCore  = 1 << 6
)

// membarriers are the commands that concern the process alone: to ask which there
// are, and to register for and make barriers of its own threads.
var membarriers = []uint32{
	membarrierQuery, membarrierPrivateExpedited, membarrierRegisterPrivateExpedited,
	membarrierPrivateSyncCore, membarrierRegisterPrivateSyncCore,
}

// rights are what else holds a program, so that the filter need not.
type rights struct {
	// signals says that the program can reach no process but its own.
	signals bool
	// devices says that the program's files are read-only to it whatever it opens
	// them for, all but devices such as /dev/null, by landlock or by their mounts.
	devices bool
}

// opening is the rule for the flags of an open.
func opening(r rights) insns {
	refused := giveErrno(unix.EACCES)
	if !r.devices {
		return anySet(writing, refused, allow())
	}
	// What writes in truth is left to those who know the file. They look at the
	// access mode alone: the fourth one, and what changes a file that is opened to
	// be read, would pass them by.
	reading := anySet(writing, refused, allow())
	mode := anySet(unix.O_WRONLY, anySet(unix.O_RDWR, refused, allow()), anySet(unix.O_RDWR, allow(), reading))
	return anySet(unix.O_TMPFILE&^unix.O_DIRECTORY, refused, mode)
}

// programRules are the calls of a confined program.
func programRules(r rights) map[uint32]insns {
	refused := giveErrno(unix.EPERM)
	rules := commonRules(r)
	// A new process is a new thread or nothing.
	// With CLONE_VFORK the caller would wait for it beyond the reach of any signal.
	// One that has descriptors of its own could fill as many sockets as the limit
	// allows, in memory that no limit of a process counts.
	thread := anySet(unix.CLONE_FILES, anySet(namespaces|unix.CLONE_VFORK, refused, allow()), refused)
	rules[unix.SYS_CLONE] = argument(0, anySet(unix.CLONE_THREAD, thread, refused))
	rules[unix.SYS_PRCTL] = argument(0, oneOf([]uint32{unix.PR_SET_NAME, unix.PR_GET_NAME, unix.PR_GET_DUMPABLE, unix.PR_SET_VMA}, allow(), refused))
	rules[unix.SYS_WAIT4] = giveErrno(unix.ECHILD)
	// Limits are read, and only the stack's is set: it lies within that on the
	// address space, and programs that recurse ask for it.
	readOnly := argument(2, choose(unix.BPF_JEQ, 0, argumentHigh(2, choose(unix.BPF_JEQ, 0, allow(), refused)), refused))
	stack := argument(1, choose(unix.BPF_JEQ, unix.RLIMIT_STACK, allow(), readOnly))
	rules[unix.SYS_PRLIMIT64] = argument(0, choose(unix.BPF_JEQ, 0, stack, refused))
	if r.signals {
		// But none ends itself as the kernel ends a program for want of memory: it dies of
		// the filter. So does one that stops itself, as the first process of a namespace
		// cannot.
		rules[unix.SYS_TGKILL] = argument(2, oneOf([]uint32{uint32(unix.SIGKILL), uint32(unix.SIGSTOP)}, give(unix.SECCOMP_RET_KILL_PROCESS), allow()))
	}
	return rules
}

// deltaRules are what programRules refuse of what serverRules allow: with the fork
// server's filter, which a program inherits and cannot lose, they hold it to
// programRules, and are installed in a fraction of the time. Where the server's
// filter already says no, it does not matter what they say.
func deltaRules(r rights) map[uint32]insns {
	program, rules := programRules(r), serverRules(r)
	for nr, rule := range rules {
		mine, ok := program[nr]
		switch {
		case !ok:
			rules[nr] = giveErrno(unix.EPERM)
		case slices.Equal(mine, rule):
			rules[nr] = allow()
		default:
			rules[nr] = mine
		}
	}
	return rules
}

// commonRules are the calls that a program and its fork server have in common.
func commonRules(r rights) map[uint32]insns {
	rules := maps.Collect(func(yield func(uint32, insns) bool) {
		for _, list := range [][]uint32{calls, callsOfArch} {
			for _, nr := range list {
				if !yield(nr, allow()) {
					return
				}
			}
		}
	})
	refused := giveErrno(unix.EPERM)
	for _, nr := range absent {
		rules[nr] = giveErrno(unix.ENOSYS)
	}
	// Shared anonymous memory stays when its mapping shrinks, so that no limit of a
	// process counts it: there is none. Files are mapped to read. Nor is there memory of
	// the machine's pool of huge pages: it counts as nobody's, and how much is left of it
	// would tell programs of each other.
	noMemory := giveErrno(unix.ENOMEM)
	private := anySet(unix.MAP_HUGETLB, noMemory, allow())
	rules[unix.SYS_MMAP] = argument(3, anySet(unix.MAP_SHARED, anySet(unix.MAP_ANONYMOUS, noMemory, allow()), private))
	// Advice may free a process's own pages, but not drop a file's from the page
	// cache, where programs to come would find a mark by it, nor wait for others.
	rules[unix.SYS_MADVISE] = argument(2, oneOf([]uint32{unix.MADV_COLD, unix.MADV_PAGEOUT, unix.MADV_MERGEABLE, madvCollapse}, refused, allow()))
	// The other commands wait, in a sleep that nothing ends, for every processor.
	rules[unix.SYS_MEMBARRIER] = argument(0, oneOf(membarriers, allow(), refused))
	for _, nr := range done {
		rules[nr] = giveErrno(0)
	}
	rules[unix.SYS_OPENAT] = argument(2, opening(r))
	addOpen(rules, opening(r))
	// Pairs that are connected to each other, as every event loop makes one: no
	// address leads out of them, and none may be given.
	rules[unix.SYS_SOCKETPAIR] = argument(0, choose(unix.BPF_JEQ, unix.AF_UNIX, allow(), refused))
	// Bytes out of band would make a socket ready to read that holds none.
	inBand := argument(3, anySet(unix.MSG_OOB, giveErrno(unix.EOPNOTSUPP), allow()))
	rules[unix.SYS_SENDTO] = argument(4, choose(unix.BPF_JEQ, 0, argumentHigh(4, choose(unix.BPF_JEQ, 0, inBand, refused)), refused))
	rules[unix.SYS_CLOSE_RANGE] = argument(2, anySet(unix.CLOSE_RANGE_UNSHARE, refused, allow()))
	rules[unix.SYS_IOCTL] = argument(1, oneOf([]uint32{unix.TCGETS, unix.TIOCGWINSZ, fionread, fionbio, fioclex, fionclex}, allow(), giveErrno(unix.ENOTTY)))
	rules[unix.SYS_FCNTL] = argument(1, oneOf([]uint32{unix.F_DUPFD, unix.F_DUPFD_CLOEXEC, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL, unix.F_GET_SEALS}, allow(), refused))
	return rules
}

// serverRules are the calls of the fork server itself: what a program may do,
// and what it takes to start, confine and reap one.
func serverRules(r rights) map[uint32]insns {
	refused := giveErrno(unix.EPERM)
	rules := commonRules(r)
	for _, nr := range []uint32{
		unix.SYS_PRCTL, unix.SYS_PRLIMIT64, unix.SYS_TGKILL, unix.SYS_KILL, unix.SYS_WAIT4, unix.SYS_RECVMSG, unix.SYS_SENDMSG,
		unix.SYS_SETRESUID, unix.SYS_SETRESGID, unix.SYS_SETGROUPS, unix.SYS_CAPSET,
		unix.SYS_SECCOMP, unix.SYS_LANDLOCK_RESTRICT_SELF, unix.SYS_SETNS,
	} {
		rules[nr] = allow()
	}
	rules[unix.SYS_FCNTL] = allow()
	rules[unix.SYS_CLONE] = argument(0, anySet(namespaces, refused, allow()))
	rules[unix.SYS_UNSHARE] = argument(0, choose(unix.BPF_JEQ, unix.CLONE_NEWPID, allow(), refused))
	return rules
}

package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// callsOfArch are the older forms of calls, which only this architecture has.
var callsOfArch = []uint32{
	unix.SYS_POLL, unix.SYS_SELECT, unix.SYS_EPOLL_CREATE, unix.SYS_EPOLL_WAIT, unix.SYS_EVENTFD, unix.SYS_PIPE, unix.SYS_DUP2,
	unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_NEWFSTATAT, unix.SYS_ACCESS, unix.SYS_READLINK, unix.SYS_GETDENTS, unix.SYS_TIME,
	unix.SYS_ALARM, unix.SYS_PAUSE, unix.SYS_GETPGRP,
}

// addOpen adds the rule for the older form of openat.
func addOpen(rules map[uint32]insns, flags insns) {
	rules[unix.SYS_OPEN] = argument(1, flags)
}

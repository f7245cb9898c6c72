package sandbox

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The access rights of landlock, by the ABI version that brought them.
const (
	landlockFS1  = 1<<13 - 1 // execute ... make symbolic link
	landlockFS2  = 1 << 13   // refer
	landlockFS3  = 1 << 14   // truncate
	landlockFS5  = 1 << 15   // ioctl on devices
	landlockRead = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
)

// landlockScopes is the ABI version from which a program can be kept from
// signalling others.
const landlockScopes = 6

// landlockAttr is struct landlock_ruleset_attr of ABI 6; the kernel takes any
// prefix of it.
type landlockAttr struct {
	handledFS, handledNet, scoped uint64
}

// landlockVersion returns the ABI version of the kernel's landlock.
func landlockVersion() (int, error) {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, errno
	}
	return int(v), nil
}

// makeRuleset returns the descriptor of a ruleset that lets its bearer read the
// fixtures, write to /dev/null, and nothing else: no other file, no TCP port, and from ABI 6 no
// signal and no abstract socket outside its own domain.
func makeRuleset(abi int, fixtures []fixture) (int, error) {
	attr := landlockAttr{handledFS: landlockFS1}
	size := unsafe.Sizeof(attr.handledFS)
	if abi >= 2 {
		attr.handledFS |= landlockFS2
	}
	if abi >= 3 {
		attr.handledFS |= landlockFS3
	}
	if abi >= 4 {
		attr.handledNet = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		size += unsafe.Sizeof(attr.handledNet)
	}
	if abi >= 5 {
		attr.handledFS |= landlockFS5
	}
	if abi >= landlockScopes {
		attr.scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
		size += unsafe.Sizeof(attr.scoped)
	}
	ruleset, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return none, fmt.Errorf("create landlock ruleset: %w", errno)
	}
	for _, f := range fixtures {
		if f.Link != "" {
			continue
		}
		if err := allowRead(int(ruleset), f); err != nil {
			return none, fmt.Errorf("add %s to landlock ruleset: %w", f.Path, err)
		}
	}
	return int(ruleset), nil
}

// allowRead adds the rule that f may be read, and /dev/null written to.
func allowRead(ruleset int, f fixture) error {
	parent, err := unix.Open(f.Path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(parent) }()
	attr := unix.LandlockPathBeneathAttr{Allowed_access: unix.LANDLOCK_ACCESS_FS_READ_FILE, Parent_fd: int32(parent)}
	if f.Dir {
		attr.Allowed_access = landlockRead
	}
	if f.Path == os.DevNull {
		attr.Allowed_access |= unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

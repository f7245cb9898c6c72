// Package process gives processes names that no other process ever has. A number alone
// is not such a name: the kernel gives it to other processes later, after a restart of
// the machine too, and every container counts anew.
package process

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// An ID names one process. The zero value names none.
type ID struct {
	Boot  string // the boot of the machine and the PID namespace, as Boot returns it
	PID   int
	Start string // when it was started, in ticks since the boot
}

// Boot tells one boot of the machine, and one start of the container, from the
// next: process numbers mean something within it only.
func Boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id)) + " " + ns
}

// Self returns this process's ID. It returns an error where /proc is that of another
// PID namespace, or of no Linux.
func Self() (ID, error) { return Of(os.Getpid()) }

// Of returns the ID of a process of this PID namespace.
func Of(pid int) (ID, error) {
	if err := CheckProc(); err != nil {
		return ID{}, err
	}
	_, start, err := stat(pid)
	return ID{Boot(), pid, start}, err
}

// CheckProc returns an error if the numbers in /proc are not those that system calls
// take, as after an unshare without a mount of its own /proc.
func CheckProc() error {
	self, err := os.Readlink("/proc/self")
	if err != nil {
		return fmt.Errorf("read /proc: %w", err)
	}
	if self != strconv.Itoa(os.Getpid()) {
		return fmt.Errorf("/proc is that of another PID namespace: this process is %d and it says %s\nmount the right one: mount -t proc proc /proc", os.Getpid(), self)
	}
	return nil
}

// stat returns the state letter and the start of a process.
func stat(pid int) (state, start string, err error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", "", err
	}
	// The name, in brackets, may hold brackets and blanks itself.
	i := bytes.LastIndexByte(text, ')')
	f := strings.Fields(string(text[i+1:]))
	const started = 19 // counted from the field behind the name
	if i < 0 || len(f) <= started {
		return "", "", fmt.Errorf("read process %d: strange form %q", pid, text)
	}
	return f[0], f[started], nil
}

// String returns the ID as Parse reads it.
func (id ID) String() string { return fmt.Sprintf("%d %s %s", id.PID, id.Start, id.Boot) }

// Parse reads what String returned.
func Parse(text string) (ID, error) {
	pid, rest, _ := strings.Cut(text, " ")
	start, boot, ok := strings.Cut(rest, " ")
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 0 || !ok {
		return ID{}, fmt.Errorf("read process id %q: want a number, a start and a boot", text)
	}
	return ID{boot, n, start}, nil
}

// Here reports whether the process was started where this one was: only then can it
// be looked at and signalled.
func (id ID) Here() bool { return id.Boot == Boot() && CheckProc() == nil }

// Alive reports whether the process is here and runs. One that has ended and was not
// reaped does not.
func (id ID) Alive() bool {
	if !id.Here() {
		return false
	}
	state, start, err := stat(id.PID)
	return err == nil && start == id.Start && state != "Z" && state != "X"
}

// Errors by which callers decide.
var (
	// ErrGone says that the process has ended.
	ErrGone = errors.New("the process has ended")
	// ErrStranger says that the process is none of ours. Where names of processes come from a server,
	// whoever can write there could otherwise have this user's processes ended by it.
	ErrStranger = errors.New("no process of this program and user")
)

// Signal sends a signal to the process, if it is one of ours: of the same user, and running the same
// program as this one. It returns ErrGone if it has ended, and an error that wraps ErrStranger if it is
// somebody else's.
func (id ID) Signal(sig syscall.Signal) error {
	if !id.Here() {
		return ErrGone
	}
	// What is looked at is what is signalled, whoever gets the number meanwhile.
	fd, err := unix.PidfdOpen(id.PID, 0)
	switch {
	case errors.Is(err, syscall.ESRCH):
		return ErrGone
	case err == nil:
		defer func() { _ = unix.Close(fd) }() // nothing was written
	}
	if !id.Alive() {
		return ErrGone
	}
	if err := id.ours(); err != nil {
		return err
	}
	if err == nil {
		err = unix.PidfdSendSignal(fd, sig, nil, 0)
	} else { // a kernel, or a list of allowed calls, from before these calls
		err = syscall.Kill(id.PID, sig)
	}
	if errors.Is(err, syscall.ESRCH) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("signal process %d: %w", id.PID, err)
	}
	return nil
}

// ours returns an error that wraps ErrStranger unless the process is this user's and runs this program:
// the same file, or another build of it.
func (id ID) ours() error {
	dir := filepath.Join("/proc", strconv.Itoa(id.PID))
	info, err := os.Stat(dir)
	if err != nil {
		return ErrGone
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("process %d: %w", id.PID, ErrStranger)
	}
	exe := filepath.Join(dir, "exe")
	its, err := os.Stat(exe)
	if err != nil {
		return fmt.Errorf("process %d: %w: %w", id.PID, ErrStranger, err)
	}
	mine, err := os.Stat("/proc/self/exe")
	if err == nil && os.SameFile(mine, its) {
		return nil
	}
	built, err := buildinfo.ReadFile(exe)
	self, ok := debug.ReadBuildInfo()
	if err != nil || !ok || self.Path == "" || built.Path != self.Path {
		return fmt.Errorf("process %d: %w", id.PID, ErrStranger)
	}
	return nil
}

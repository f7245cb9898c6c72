// Package process names processes for good. A number alone does not: it is used
// again by another process, after a restart of the machine and in every container.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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

// ErrGone says that the process has ended.
var ErrGone = errors.New("the process has ended")

// Signal sends a signal to the process. It returns ErrGone if it has ended.
func (id ID) Signal(sig syscall.Signal) error {
	if !id.Alive() {
		return ErrGone
	}
	err := syscall.Kill(id.PID, sig)
	if errors.Is(err, syscall.ESRCH) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("signal process %d: %w", id.PID, err)
	}
	return nil
}

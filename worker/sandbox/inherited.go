package sandbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// stackSize is the stack of a program's first thread, the usual one of a login.
const stackSize = 8 << 20

// usualTests is how many tests a question has at most, as a rule: a program has its time limit in each.
const usualTests = 100

// An allowance is a limit of this session that must not be below what programs are promised:
// they would fail here and pass elsewhere.
type allowance struct {
	resource int
	want     uint64
	what     string // of what programs are promised
	option   string // of ulimit
	remedy   string
}

// allowances returns what programs under limits l need of the session's limits.
func allowances(l Limits) []allowance {
	const less = "raise the limit, or promise programs less with --memory-limit"
	// One second more than the kernel is told to end a program after, to kill it then.
	cpu := uint64(l.kernelCPU(usualTests+1)) + 1
	return []allowance{
		{unix.RLIMIT_AS, uint64(l.Memory), "address space", "-v", less},
		{unix.RLIMIT_DATA, uint64(l.Memory), "data", "-d", less},
		{unix.RLIMIT_STACK, stackSize, "stack", "-s", "raise the limit"},
		{unix.RLIMIT_CPU, cpu, "processor time", "-t", "raise the limit, or promise programs less with --time-limit"},
	}
}

// amount returns so much of a resource in its unit.
func (a allowance) amount(n uint64) string {
	if a.resource == unix.RLIMIT_CPU {
		return fmt.Sprintf("%d s", n)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// checkInherited returns an error if the session's hard limits are below what programs need
// and cannot be raised.
func checkInherited(l Limits) error {
	for _, a := range allowances(l) {
		var have unix.Rlimit
		if err := unix.Getrlimit(a.resource, &have); err != nil {
			return fmt.Errorf("read limit on %s: %w", a.what, err)
		}
		if have.Max >= a.want {
			continue
		}
		raised := unix.Rlimit{Cur: have.Cur, Max: a.want}
		err := unix.Prlimit(0, a.resource, &raised, nil)
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("give programs %s of %s: this session allows %s (ulimit %s)\n%s", a.amount(a.want), a.what, a.amount(have.Max), a.option, a.remedy)
		}
		if err != nil {
			return fmt.Errorf("raise limit on %s: %w", a.what, err)
		}
	}
	return nil
}

// checkProc returns an error if /proc is not there: this program starts itself from it, and
// reads from it how programs fare.
func checkProc(dir string) error {
	if _, err := os.Readlink(dir + "/self/exe"); err != nil {
		return fmt.Errorf("use %s: %w\nmount it, as most systems have it: mount -t proc proc %s", dir, err, dir)
	}
	return nil
}

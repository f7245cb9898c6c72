package sandbox

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

//go:embed selftest.py
var selftestSource string

// A stance is one way to isolate programs, to be tried.
type stance struct {
	level  Level
	name   string
	remedy string
	root   bool // makes sense for root only
	userns bool // namespaces by way of a user namespace
	uid    bool // a user of its own per slot
}

// stances are tried from the strongest to the weakest.
var stances = []stance{
	{level: A, name: "namespaces", root: true, uid: true, remedy: "run with CAP_SYS_ADMIN, in a container --privileged"},
	{level: A, name: "user namespaces", userns: true, remedy: "allow unprivileged user namespaces, or run as root"},
	{level: B, name: "a user per slot", root: true, uid: true, remedy: "install the interpreter where any user can read it"},
	{level: C, name: "no privilege", remedy: "use a kernel with seccomp and landlock (Linux 5.13)"},
}

// A kernel is what the kernel offers here, and why not.
type kernel struct {
	landlock    int // ABI version
	landlockErr error
	seccompErr  error
	memfdErr    error
	stateErr    error
	oomErr      error    // why a program cannot be made the first to die when memory runs out
	groups      *cgroups // where groups can be made
	groupsErr   error
}

// askKernel finds out what the kernel offers.
func askKernel() kernel {
	var k kernel
	k.landlock, k.landlockErr = landlockVersion()
	errnoAction := uint32(unix.SECCOMP_RET_ERRNO)
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&errnoAction))); errno != 0 {
		k.seccompErr = errno
	}
	fd, err := unix.MemfdCreate("lcbq-probe", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if k.memfdErr = err; err == nil {
		_ = unix.Close(fd)
	}
	_, _, k.stateErr = stateOf(os.Getpid())
	k.oomErr = unix.Access(oomScore, unix.W_OK)
	k.groups, k.groupsErr = findCgroups()
	return k
}

// settleLevel finds the strongest stance that holds, and says why each
// stronger one does not. It returns the slot that holds there.
func (h *Host) settleLevel(ctx context.Context, k kernel) (*Slot, error) {
	base, err := h.basePlan(k)
	if err != nil {
		return nil, err
	}
	if h.config.Mode == Script && k.memfdErr != nil {
		return nil, fmt.Errorf("judge as a script: a real standard input needs memfd_create (Linux 3.17): %w", k.memfdErr)
	}
	if k.groupsErr == nil {
		k.groups.tasks = h.tasks
		k.groups.sweep()
	}
	var refused []error
	var slot *Slot
	for _, st := range stances {
		err := h.unfit(st, k)
		if err == nil {
			h.groups = nil
			if st.level == A {
				h.groups = k.groups
			}
			slot, err = h.try(ctx, st, base, k)
		}
		if h.groups != nil && notJoined(err) {
			// A container that sees its host's groups can make some there, and not leave its own.
			h.groups, k.groups, k.groupsErr = nil, nil, err
			slot, err = h.try(ctx, st, base, k)
		}
		if ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("try level %v: %w", st.level, context.Cause(ctx)), slot.Close())
		}
		if err != nil {
			refused = append(refused, fmt.Errorf("level %v (%s): %w\n  remedy: %s", st.level, st.name, err, st.remedy))
			continue
		}
		h.level = st.level
		h.layers = h.describeLayers(st, k, refused)
		break
	}
	switch {
	case h.level == 0:
		return nil, errors.Join(append([]error{errors.New("this host has no way to contain a program")}, refused...)...)
	case h.level < h.config.MinLevel:
		err := fmt.Errorf("this host gives level %v, want %v or better", h.level, h.config.MinLevel)
		return nil, errors.Join(append([]error{err}, append(refused, slot.Close())...)...)
	}
	return slot, nil
}

// unfit returns why a stance is not worth a try.
func (h *Host) unfit(st stance, k kernel) error {
	switch {
	case h.config.MaxLevel != 0 && st.level > h.config.MaxLevel:
		return fmt.Errorf("not wanted: at most level %v is", h.config.MaxLevel)
	case st.root && os.Geteuid() != 0:
		return errors.New("needs root")
	case st.level < A && k.seccompErr != nil:
		return fmt.Errorf("the kernel has no system call filter, and nothing else would hold a program's processes: %w", k.seccompErr)
	case st.level < B && k.landlockErr != nil:
		return fmt.Errorf("the kernel has no landlock, and nothing else would keep a program from our user's files: %w", k.landlockErr)
	}
	return nil
}

// basePlan returns the part of the plan that no stance changes.
func (h *Host) basePlan(k kernel) (plan, error) {
	view, err := viewOf(append(h.interpreter.files(), "/dev/null", "/dev/urandom"))
	if err != nil {
		return plan{}, err
	}
	p := plan{
		View: view, Python: h.interpreter.Executable, Path: h.interpreter.Path,
		Mode: h.config.Mode.String(), OutputCap: h.config.Limits.Output,
		Memory:     h.config.Limits.Memory,
		FirstToDie: k.oomErr == nil,
		NrCapset:   unix.SYS_CAPSET, NrLandlockRestrict: unix.SYS_LANDLOCK_RESTRICT_SELF, NrSeccomp: unix.SYS_SECCOMP,
	}
	if k.landlockErr == nil {
		p.Landlock = k.landlock
	}
	return p, nil
}

// try takes a stance and proves it: a program that tries to get out must fail
// to, and one that imports must not. It returns the slot that it did so on.
func (h *Host) try(ctx context.Context, st stance, base plan, k kernel) (*Slot, error) {
	h.plan, h.userns = base, st.userns
	h.plan.Namespaces = st.level == A
	h.plan.PIDNS = h.plan.Namespaces
	if st.uid {
		h.plan.UID, h.plan.Processes = firstUID, int64(h.tasks)
	}
	// A user other than root has no capabilities to drop, but in its own
	// namespace it has them all.
	h.plan.DropCaps = !st.uid
	if k.seccompErr == nil {
		// With its own processes out of sight or of another user, a signal
		// reaches only the program itself.
		has := rights{
			signals: st.level >= B || h.plan.Landlock >= landlockScopes,
			devices: h.plan.Namespaces || h.plan.Landlock > 0,
		}
		h.plan.NullByFD = !has.devices
		h.plan.BaseFilter = assemble(serverRules(has)).encode()
		h.plan.Filter = assembleDelta(deltaRules(has)).encode()
	}
	slot, err := h.NewSlot(0)
	if err != nil {
		return nil, err
	}
	if err := h.prove(ctx, slot, h.outOfReach(st, k)); err != nil {
		return nil, errors.Join(err, slot.Close())
	}
	return slot, nil
}

// prove runs the self-test in the slot, and starts the fork server with numpy: both must work.
func (h *Host) prove(ctx context.Context, slot *Slot, outOfReach []string) error {
	q := &Question{ID: "selftest", Inputs: []string{strings.Join(outOfReach, " ") + "\n"}}
	said := ""
	r, err := slot.Run(ctx, q, selftestSource, func(_ int, o Output) bool {
		said = string(o.Text)
		return said == "done\n"
	})
	if err != nil {
		return err
	}
	if r.Outcome != Accepted {
		return fmt.Errorf("self-test: %v %s %s", r.Outcome, strconv.Quote(said), r.Detail)
	}
	if h.numpy {
		if _, err := slot.server(withNumpy); err != nil {
			return err
		}
	}
	// The name of the question is not ours alone.
	return slot.servers[plain].forgetAll()
}

// outOfReach names what the self-test must not reach.
func (h *Host) outOfReach(st stance, k kernel) []string {
	tries := []string{"writing", "network"}
	if st.level == A || k.landlockErr == nil {
		tries = append(tries, "files", "kernel")
	}
	if k.seccompErr == nil {
		tries = append(tries, "processes", "signals", "programs")
	}
	return tries
}

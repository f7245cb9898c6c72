package sandbox

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

//go:embed selftest.py
var selftestSource string

// A stance is one way to isolate programs, to be tried.
type stance struct {
	level  Level
	name   string
	needs  string // what the user can do to get it
	root   bool   // only as root
	user   bool   // only as a plain user, or as root whose rights were taken
	userns bool
	uid    bool // a user of its own per slot
}

// stances are tried from the strongest to the weakest.
var stances = []stance{
	{level: A, name: "namespaces as root", root: true, uid: true, needs: "run with CAP_SYS_ADMIN"},
	{level: A, name: "user namespaces", user: true, userns: true, needs: "allow unprivileged user namespaces"},
	{level: B, name: "a user per slot", root: true, uid: true, needs: "run as root"},
	{level: C, name: "no rights needed"},
}

// settleLevel finds the strongest stance that holds.
func (h *Host) settleLevel(ctx context.Context) error {
	view, err := viewOf(append(h.interpreter.files(), "/dev/null", "/dev/zero", "/dev/urandom"))
	if err != nil {
		return err
	}
	kernel, err := h.kernelLayers()
	if err != nil {
		return err
	}
	base := plan{
		View: view, Python: h.interpreter.Executable, Path: h.interpreter.Path,
		Mode: h.config.Mode.String(), OutputCap: h.config.Limits.Output,
		Memory: h.config.Limits.Memory, Landlock: kernel.landlock,
		LandlockFD: -1, PIDNSFD: -1,
		NrCapset: unix.SYS_CAPSET, NrLandlockRestrict: unix.SYS_LANDLOCK_RESTRICT_SELF, NrSeccomp: unix.SYS_SECCOMP,
	}
	if kernel.landlock > 0 {
		base.LandlockFD = landlockFD
	}
	if kernel.seccomp {
		base.Filter = assemble(auditArch, programRules(true)).encode()
		base.BaseFilter = assemble(auditArch, serverRules()).encode()
	}
	h.memory = newMemoryWatch()
	var tried []error
	for _, st := range stances {
		if (st.root && os.Geteuid() != 0) || (h.config.MaxLevel != 0 && st.level > h.config.MaxLevel) {
			continue
		}
		if err := h.try(ctx, st, base, kernel); err != nil {
			tried = append(tried, fmt.Errorf("level %v (%s): %w", st.level, st.name, err))
			continue
		}
		h.level = st.level
		break
	}
	if h.level == 0 {
		return errors.Join(append([]error{errors.New("no way to contain programs on this host")}, tried...)...)
	}
	if h.level < h.config.MinLevel {
		return errors.Join(append([]error{fmt.Errorf("this host gives sandbox level %v, want %v", h.level, h.config.MinLevel)}, tried...)...)
	}
	return nil
}

// kernelLayers is what the kernel offers to anybody.
type kernelLayers struct {
	landlock int
	seccomp  bool
}

func (h *Host) kernelLayers() (kernelLayers, error) {
	var k kernelLayers
	var err error
	k.landlock, err = landlockVersion()
	_ = err
	k.seccomp = true
	return k, nil
}

// try takes a stance and proves it by a slot of its own.
func (h *Host) try(ctx context.Context, st stance, base plan, kernel kernelLayers) error {
	h.plan, h.userns = base, st.userns
	h.plan.Namespaces = st.level == A
	h.plan.PIDNS = h.plan.Namespaces
	if h.plan.PIDNS {
		h.plan.PIDNSFD = pidnsFD
	}
	if st.uid {
		h.plan.UID = firstUID
		h.plan.Processes = maxTasks
	}
	h.plan.DropCaps = true
	slot, err := h.NewSlot(maxSlots - 1)
	if err != nil {
		return err
	}
	out := "nothing"
	tries := []string{"writing", "network", "processes", "programs"}
	if kernel.landlock > 0 || st.level == A {
		tries = append(tries, "files")
	}
	q := &Question{ID: "selftest", Inputs: []string{strings.Join(tries, " ") + "\n"}}
	r, err := slot.Run(ctx, q, selftestSource, func(_ int, o Output) bool {
		out = string(o.Text)
		return out == "done\n"
	})
	if err := errors.Join(err, slot.Close()); err != nil {
		return err
	}
	if r.Outcome != Accepted {
		return fmt.Errorf("self-test: %v: %s%s", r.Outcome, strconv.Quote(out), r.Detail)
	}
	return nil
}

func (h *Host) enter(id int) ([]string, error) { return nil, nil }
func (h *Host) leave(id int) error             { return nil }
func (h *Host) outOfMemory(id int) bool        { return false }
func (s *Slot) runScript(ctx context.Context, srv *server, index uint32, q *Question, source string, check Check) (Result, error) {
	return Result{}, errors.New("not yet")
}

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Host is a machine that was found fit to run programs, and how. It is safe
// for concurrent use.
type Host struct {
	config      Config
	interpreter *interpreter
	level       Level
	layers      []Layer
	environment Environment
	plan        plan // what the slots share
	userns      bool
	numpy       bool
	groups      *cgroups // nil where there are none
	memory      memoryWatch
	running     *register
	tasks       int // that a slot may have, programs' threads included
	room        int // slots that the session has room for
	roomWhy     string
	supply      supply
	cpus        *atomic.Pointer[[]int] // Config.CPUs, or what Pin said since
	proved      bool                   // its level is settled
	lost        *atomic.Bool           // the log has that processors were taken from this process
}

// Pin makes the programs that start from now on run on the processors, by the kernel's numbers; nil
// is all that this process may use. Those that run stay where they are.
func (h *Host) Pin(cpus []int) { h.cpus.Store(&cpus) }

// CPUs returns the processors that Config or Pin named last, nil for all.
func (h *Host) CPUs() []int { return *h.cpus.Load() }

// Level returns how much a program is isolated here.
func (h *Host) Level() Level { return h.level }

// Layers returns each layer, whether it is on, and if not, why.
func (h *Host) Layers() []Layer { return h.layers }

// Environment returns what a verdict depends on besides the program.
func (h *Host) Environment() Environment { return h.environment }

// Probe finds the interpreter and the best level this host gives, and proves
// it by running a program there that tries to get out. The error says what to
// do about it.
func Probe(ctx context.Context, config Config) (*Host, error) {
	h, slot, err := Open(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := slot.Close(); err != nil {
		return nil, fmt.Errorf("probe sandbox: %w", err)
	}
	return h, nil
}

// Open is Probe for who judges next: it also returns slot 0, on which the level was proved, so
// that no fork server is started twice.
func Open(ctx context.Context, config Config) (*Host, *Slot, error) {
	h, slot, err := open(ctx, config)
	if err != nil {
		return nil, nil, fmt.Errorf("probe sandbox: %w", err)
	}
	return h, slot, nil
}

func open(ctx context.Context, config Config) (*Host, *Slot, error) {
	if len(os.Args) > 0 && os.Args[0] == stage1Name {
		return nil, nil, errors.New("sandbox.Main was not called first in main")
	}
	config = config.withDefaults()
	if err := errors.Join(checkProc("/proc"), checkInherited(config.Limits)); err != nil {
		return nil, nil, err
	}
	in, err := interrogate(ctx, config.Python)
	if err != nil {
		return nil, nil, err
	}
	h := &Host{config: config, interpreter: in, running: new(register), cpus: new(atomic.Pointer[[]int]), lost: new(atomic.Bool)}
	h.Pin(config.CPUs)
	_, h.numpy = in.Packages["numpy"]
	h.memory = newMemoryWatch(memoryDirs())
	limits := taskLimits()
	if n := runtime.GOMAXPROCS(0); scarce(n, limits) < n {
		runtime.GOMAXPROCS(scarce(n, limits))
		limits = taskLimits()
	}
	h.room, h.roomWhy = roomNow(limits)
	// Those that there is no room for are never opened: threads for them would be taken from the others.
	slots := min(config.Slots, h.room)
	if h.tasks = tasksPerSlot(slots, limits); len(limits) > 0 {
		reserveThreads(slots)
	}
	k := askKernel()
	if config.kernel != nil {
		k = *config.kernel
	}
	h.supply = sealedFile
	if k.memfdErr != nil {
		h.supply = feedPipe
	}
	slot, err := h.settleLevel(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	h.environment = h.describeEnvironment()
	h.proved = true
	return h, slot, nil
}

// kernelCPU returns the processor seconds after which the kernel ends a
// program of so many tests even if nobody here looks: a second belt.
func (l Limits) kernelCPU(tests int) uint32 {
	seconds := time.Duration(tests) * (l.CPU + time.Second) / time.Second
	return uint32(min(int64(seconds)+2, 1<<30))
}

// planFor returns the plan of a slot's fork server and how to start it.
func (h *Host) planFor(s *Slot, f flavour) (*plan, *syscall.SysProcAttr) {
	p := h.plan
	p.Numpy = f == withNumpy
	if h.plan.UID != 0 {
		p.UID = slotUID(s.id)
	}
	p.CgroupDirs = s.groups
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if p.Namespaces {
		attr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWPID
	}
	if h.userns {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return &p, attr
}

// firstUID is the first of the users that slots have: above what distributions
// assign, and within the 65536 that containers usually map.
const firstUID = 64000

// slotUID returns the user of a slot. No two slots of a process share one, and
// those of two processes hardly ever do.
func slotUID(id int) int { return userOf(os.Getpid(), id) }

// userOf returns the user that a slot of a process has.
func userOf(pid, id int) int { return firstUID + (pid*37+id)%maxSlots }

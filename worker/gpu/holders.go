package gpu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A State says what the kernel knows of a process that the driver lists.
type State uint8

// The states. Only Gone, Zombie and Unlisted are faults: memory that nobody
// alive accounts for.
const (
	Ours      State = iota + 1 // a process of the engine that is asked about
	Foreign                    // alive, and somebody else's
	Zombie                     // dead and not reaped: its memory is on its way out, or stuck in the kernel
	Gone                       // listed by the driver, unknown to the kernel
	Elsewhere                  // not visible from this container: of the host or another container
	Unlisted                   // memory in use beyond the baseline, and no process listed for it
)

var stateNames = [...]string{Ours: "ours", Foreign: "foreign", Zombie: "zombie", Gone: "gone", Elsewhere: "elsewhere", Unlisted: "unlisted"}

// String returns the state's name.
func (s State) String() string {
	if s < Ours || s > Unlisted {
		return "unknown"
	}
	return stateNames[s]
}

// A Holder is who holds memory of a card.
type Holder struct {
	GPU     int    // index
	PID     int    // 0 where State is Unlisted
	State   State  // what the kernel knows of it
	Command string // program and arguments, as far as they can be read
	Memory  uint64 // bytes, 0 where the driver does not know
}

// String says in plain words who holds what, and what can be done about it.
func (h Holder) String() string {
	much := "memory"
	if h.Memory > 0 {
		much = fmt.Sprintf("%.1f GiB", float64(h.Memory)/(1<<30))
	}
	who := fmt.Sprintf("process %d", h.PID)
	if h.Command != "" {
		who += " (" + h.Command + ")"
	}
	switch h.State {
	case Ours, Foreign:
		s := fmt.Sprintf("GPU %d: %s holds %s", h.GPU, who, much)
		if h.State == Foreign {
			s += ", and is not of this run: end it yourself if it should not be there (kill " + strconv.Itoa(h.PID) + ")"
		}
		return s
	case Zombie:
		return fmt.Sprintf("GPU %d: %s is dead and still holds %s: this passes within seconds once its parent reaps it; where it stays, the driver is stuck, and only a reset of the GPU (nvidia-smi --gpu-reset -i %d, with nothing running on it) or a restart of the machine or pod frees it", h.GPU, who, much, h.GPU)
	case Gone:
		return fmt.Sprintf("GPU %d: %s does not exist any more, yet the driver counts %s for it: no signal reaches it; a reset of the GPU (nvidia-smi --gpu-reset -i %d, with nothing running on it) or a restart of the machine or pod frees it", h.GPU, who, much, h.GPU)
	case Elsewhere:
		return fmt.Sprintf("GPU %d: process %d holds %s and is not visible from this container: it runs on the host or in another container, or is what is left of a dead one; it can be ended only from there, or by a restart of the pod", h.GPU, h.PID, much)
	case Unlisted:
		return fmt.Sprintf("GPU %d: %s in use that the driver lists no process for: the holder runs in another container, or is what is left of a dead one; nvidia-smi on the host names it, and a restart of the pod frees it", h.GPU, much)
	default:
		return fmt.Sprintf("GPU %d: %s holds %s", h.GPU, who, much)
	}
}

// slack is how far memory may lie above the baseline and still count as back
// there: the driver's own bookkeeping moves by some MiB.
const slack = 64 << 20

// A Baseline is what was in use on each card, by UUID, before an engine was
// started there, without what processes held that can be seen from here.
type Baseline map[string]uint64

// Kernel tells what the kernel knows of processes. The zero value asks this
// machine's.
type Kernel struct {
	Proc string // the proc file system; "" is /proc
	// Contained overrides whether this process lives in a PID namespace of its
	// own, where numbers from the driver may be the host's; nil finds out.
	Contained *bool
}

// initPIDNamespace is the inode of the first PID namespace, fixed by the kernel
// (PROC_PID_INIT_INO).
const initPIDNamespace = "pid:[4026531836]"

// proc returns the root of the proc file system.
func (k Kernel) proc() string { return cmp.Or(k.Proc, "/proc") }

// contained reports whether process numbers here differ from the host's.
func (k Kernel) contained() bool {
	if k.Contained != nil {
		return *k.Contained
	}
	ns, err := os.Readlink(filepath.Join(k.proc(), "self", "ns", "pid"))
	return err == nil && ns != initPIDNamespace
}

// look returns the state and the command of one process. The state is Foreign
// for one that is alive.
func (k Kernel) look(pid int) (State, string) {
	dir := filepath.Join(k.proc(), strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		if k.contained() {
			return Elsewhere, ""
		}
		return Gone, ""
	}
	// The name, in brackets, may hold brackets and blanks itself.
	_, tail, _ := strings.Cut(string(stat), "(")
	name, rest := tail, ""
	if i := strings.LastIndex(tail, ")"); i >= 0 {
		name, rest = tail[:i], strings.TrimSpace(tail[i+1:])
	}
	command := name
	if line, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && len(line) > 0 {
		command = strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
	}
	const most = 80
	if len(command) > most {
		command = strings.ToValidUTF8(command[:most], "") + "..."
	}
	if strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X") {
		return Zombie, command
	}
	return Foreign, command
}

// Base takes the baseline from readings.
func (k Kernel) Base(all []Reading) Baseline {
	b := Baseline{}
	for _, r := range all {
		unseen, elsewhere := k.unseen(r)
		b[r.UUID] = unseen + elsewhere
	}
	return b
}

// unseen returns the memory in use that no listed process accounts for, and that
// of processes elsewhere. In a container the driver may list the engine's own
// processes by the host's numbers, as such: only the sum tells when they are gone.
func (k Kernel) unseen(r Reading) (unlisted, elsewhere uint64) {
	unlisted = r.Used
	for _, p := range r.Processes {
		m := min(unlisted, p.Memory)
		unlisted -= m
		if state, _ := k.look(p.PID); state == Elsewhere {
			elsewhere += m
		}
	}
	return unlisted, elsewhere
}

// Holders says who holds memory of the cards: every process that the driver
// lists, and what is in use beyond the baseline with no process listed. Cards
// that the baseline does not name are taken to have been empty. ours tells the
// engine's own processes; nil means none.
func (k Kernel) Holders(all []Reading, base Baseline, ours func(pid int) bool) []Holder {
	var list []Holder
	for _, r := range all {
		for _, p := range r.Processes {
			h := Holder{GPU: r.Index, PID: p.PID, Memory: p.Memory}
			h.State, h.Command = k.look(p.PID)
			if h.State == Foreign && ours != nil && ours(p.PID) {
				h.State = Ours
			}
			list = append(list, h)
		}
		if unlisted, _ := k.unseen(r); unlisted > base[r.UUID]+slack {
			list = append(list, Holder{GPU: r.Index, State: Unlisted, Memory: unlisted - base[r.UUID]})
		}
	}
	return list
}

// pollEvery is how often AwaitFree looks. Memory of a killed process is gone
// within about 0.3 s.
const pollEvery = 100 * time.Millisecond

// ErrHeld is returned by AwaitFree when memory is still held at the end of its
// time. The caller does not start an engine on that card.
var ErrHeld = errors.New("GPU memory is not free")

// AwaitFree waits until one card is free of everything but the baseline and
// processes that are alive and not ours, and passes every reading of it to each,
// so that the fall can be shown. It returns an error that wraps ErrHeld and
// says who holds what when ctx is done before.
func (k Kernel) AwaitFree(ctx context.Context, s Source, uuid string, base Baseline, ours func(pid int) bool, each func(Reading)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var why error
	for {
		// The read must not be cut short by the end of the waiting, or its result
		// would say nothing about who holds the memory.
		all, err := s.Read(context.WithoutCancel(ctx))
		if err != nil {
			why = err
		} else {
			one, held := k.held(all, uuid, base, ours)
			if each != nil && one != nil {
				each(*one)
			}
			if one == nil {
				return fmt.Errorf("wait for memory: GPU %s is not there any more", uuid)
			}
			if len(held) == 0 {
				return nil
			}
			why = errors.New(strings.Join(held, "\n"))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w:\n%w", ErrHeld, why)
		case <-tick.C:
		}
	}
}

// held returns the reading of one card and who keeps it from being free.
func (k Kernel) held(all []Reading, uuid string, base Baseline, ours func(pid int) bool) (*Reading, []string) {
	i := slices.IndexFunc(all, func(r Reading) bool { return r.UUID == uuid })
	if i < 0 {
		return nil, nil
	}
	unlisted, elsewhere := k.unseen(all[i])
	above := unlisted+elsewhere > base[uuid]+slack
	var held []string
	for _, h := range k.Holders(all[i:i+1], base, ours) {
		if h.State != Foreign && (h.State != Elsewhere || above) {
			held = append(held, h.String())
		}
	}
	if above && len(held) == 0 {
		held = append(held, Holder{GPU: all[i].Index, State: Unlisted, Memory: unlisted + elsewhere - base[uuid]}.String())
	}
	return &all[i], held
}

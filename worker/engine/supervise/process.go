package supervise

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	hostproc "github.com/lcbq/lcbq/worker/process"
)

// errStuck is returned when killed processes do not die: they wait in the
// kernel, on a wedged GPU as a rule, and no restart will get their memory back.
var errStuck = errors.New("processes survive SIGKILL")

// A process is an engine under its guardian, seen from here.
type process struct {
	cmd     *exec.Cmd // the guardian
	control *os.File
	mark    string        // variable in the environment of everything it starts
	exited  chan struct{} // closed when the leader has ended, for the reason why
	why     string        // only read once exited is closed
	cleared chan struct{} // closed when the guardian has ended, nothing of the engine being left unless err says so
	err     error         // only read once cleared is closed
}

// spawn starts an engine under a guardian. The output goes to log, which spawn
// leaves open. It returns when the engine's leader runs.
func spawn(what order, environ []string, log *os.File) (*process, error) {
	commands, control, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	reports, report, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, commands.Close(), control.Close())
	}
	p := &process{
		control: control,
		mark:    fmt.Sprintf("LCBQ_ENGINE=%d-%d", os.Getpid(), time.Now().UnixNano()),
		exited:  make(chan struct{}),
		cleared: make(chan struct{}),
	}
	p.cmd = &exec.Cmd{
		Path:       "/proc/self/exe", // this program, even if its file was replaced since
		Args:       []string{guardianName},
		Env:        append(append([]string(nil), environ...), p.mark),
		Stdout:     log,
		Stderr:     log,
		ExtraFiles: []*os.File{commands, report},
		// A session of its own: Ctrl-C at the terminal and the terminal's end are
		// for lcbq alone.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = p.cmd.Start()
	// The other ends must be the guardian's alone, or nobody would hear it die.
	err = errors.Join(err, commands.Close(), report.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start guardian: %w", err), control.Close(), reports.Close())
	}
	line, err := json.Marshal(what)
	if err == nil {
		_, err = control.Write(append(line, '\n'))
	}
	if err != nil { // the end of its commands ends the guardian
		return nil, errors.Join(fmt.Errorf("tell guardian what to run: %w", err), control.Close(), reports.Close(), p.cmd.Wait())
	}
	lines := bufio.NewScanner(reports)
	first := "failed: the guardian says nothing: main does not call supervise.Guardian"
	if lines.Scan() {
		first = lines.Text()
	}
	if _, ok := strings.CutPrefix(first, "started "); !ok {
		_ = p.cmd.Wait() // its status says less than its words
		return nil, errors.Join(errors.New(strings.TrimPrefix(first, "failed ")), control.Close(), reports.Close())
	}
	go p.follow(lines, reports)
	return p, nil
}

// killed reports whether the leader has ended by a signal.
func (p *process) killed() bool {
	select {
	case <-p.exited:
		return !strings.HasPrefix(p.why, "exit status")
	default:
		return false
	}
}

// session returns the id of the session that the engine's processes are in.
func (p *process) session() int { return p.cmd.Process.Pid }

// follow reads the guardian's reports to their end.
func (p *process) follow(lines *bufio.Scanner, reports *os.File) {
	cleared := false
	for lines.Scan() {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case "exited":
			p.why = rest
			close(p.exited)
		case "stuck":
			p.err = fmt.Errorf("%w: %s", errStuck, rest)
		case "clear":
			cleared, p.err = true, nil
		}
	}
	_ = p.cmd.Wait() // the reports say more than its status
	_ = reports.Close()
	_ = p.control.Close()
	if !cleared {
		// The guardian was killed. The leader died with it; the rest is for us.
		if p.why == "" {
			p.why = "its guardian was killed"
			close(p.exited)
		}
		p.err = sweep(p.session(), p.mark, nil)
	}
	close(p.cleared)
}

// tell sends a command. A guardian that has ended does not need it.
func (p *process) tell(cmd byte) { _, _ = p.control.Write([]byte{cmd}) }

// stop ends the engine. It asks it first, and kills what is left after the grace, or as
// soon as hurry is closed. It returns when no process of it is left, or an error if one
// cannot be killed.
func (p *process) stop(grace time.Duration, hurry <-chan struct{}) error {
	p.tell(cmdTerm)
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.cleared:
		return p.err
	case <-t.C:
	case <-hurry:
	}
	p.tell(cmdKill)
	t.Reset(stuckAfter + 10*time.Second)
	select {
	case <-p.cleared:
		return p.err
	case <-t.C:
		return errStuck
	}
}

// sweep kills the members of a session until there are none. old names what the processes of an
// old session call themselves, as members wants it.
func sweep(session int, mark string, old []string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	seen := make(map[proc]time.Time) // processes that execute a program, by when they were first seen
	for deadline := time.Now().Add(stuckAfter); ; <-tick.C {
		all, err := processes()
		if err != nil {
			return err
		}
		unsure := forming(all) // first: what shows its mark afterwards is found by the next line
		left := members(all, session, mark, old)
		if len(left) == 0 {
			if !waits(unsure, seen) {
				return nil
			}
			continue
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: process %d and %d more", errStuck, left[0].pid, len(left)-1)
		}
		kill(left)
	}
}

// formsFor is how long a process may take to execute a program, on a machine that is full of others.
// One that shows nothing for longer hides its arguments, and is none of ours.
const formsFor = 10 * time.Second

// waits reports whether one of the processes may yet turn out to be ours; seen is kept between calls.
func waits(all []proc, seen map[proc]time.Time) bool {
	waits := false
	for _, p := range all {
		who := proc{pid: p.pid, start: p.start}
		if _, ok := seen[who]; !ok {
			seen[who] = time.Now()
		}
		waits = waits || time.Since(seen[who]) < formsFor
	}
	return waits
}

// A leftover is an engine that an earlier lcbq started, as its state file
// remembers it in JSON.
type leftover struct {
	Boot    string // id of the boot it was started in
	Session int    // pid of its guardian
	Start   string // of the guardian
	Mark    string
	Dir     string // of its socket
	// Titles are parts of the names that its processes give themselves. A file without them is of
	// an lcbq that supervised nothing but vLLM.
	Titles []string
}

func (l leftover) titles() []string {
	if len(l.Titles) == 0 {
		return []string{"vllm"}
	}
	return l.Titles
}

// remember writes the state file.
func (p *process) remember(path, dir string, titles []string) error {
	if path == "" {
		return nil
	}
	guardian, err := readProc(p.session())
	if err != nil {
		return err
	}
	text, err := json.Marshal(leftover{hostproc.Boot(), guardian.pid, guardian.start, p.mark, dir, titles})
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// forget removes the state file.
func forget(path string) {
	if path != "" {
		_ = os.Remove(path) // one that stays names processes that are gone
	}
}

// Reclaim ends what an earlier lcbq's engine left behind, as the state file
// remembers it. It returns an error where a running lcbq has an engine there.
// [Engine.Run] does the same; a caller does it before, to refuse early.
func Reclaim(ctx context.Context, state string) error { return reclaim(ctx, state) }

// reclaim ends what an earlier lcbq's engine left behind, which takes the death
// of both lcbq and its guardian at once. An engine whose guardian lives is either
// being ended at this moment or belongs to a running lcbq.
func reclaim(ctx context.Context, path string) error {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var l leftover
	if json.Unmarshal(text, &l) != nil || l.Session <= 1 || l.Mark == "" || l.Boot != hostproc.Boot() {
		forget(path) // another life of the machine, or a file cut short
		return nil
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2*orphanGrace + 4*time.Second); ; {
		g, err := readProc(l.Session)
		if err == nil && g.start != l.Start {
			break // another process by now: none of ours can be in its session
		}
		if err != nil || g.zombie {
			if err := sweep(l.Session, l.Mark, l.titles()); err != nil {
				return err
			}
			if strings.HasPrefix(filepath.Base(l.Dir), dirPrefix) {
				_ = os.RemoveAll(l.Dir) // nobody listens there any more
			}
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("another lcbq runs an engine here, with process %d as its guardian\nstop that one first", l.Session)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	forget(path)
	return nil
}

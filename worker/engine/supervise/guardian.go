package supervise

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// guardianName is the guardian's whole command line. It holds neither our name
// nor the server's: a `pkill -9 -f` of either must not take the guardian along. What to
// run it is told through the pipe.
const guardianName = "engine-guardian"

// The guardian's files, as the parent passes them.
const (
	commandFD = 3 // an order on a line, then commands; the end says that the parent is dead
	reportFD  = 4 // reports go out, one a line
)

// Commands to the guardian.
const (
	cmdTerm = 'T' // send SIGTERM to the engine's leader
	cmdKill = 'K' // kill everything
)

// An order says what to run. It travels in JSON.
type order struct {
	Argv []string
	Dir  string // removed at the end if lcbq is dead and cannot do it
}

// orphanGrace is how long an engine whose lcbq was killed may take to end
// politely. Its shared memory segments and sockets are cleaned up then; the GPU's
// memory comes back either way.
const orphanGrace = 3 * time.Second

// stuckAfter is how long killed processes may take to die. Unmapping 80 GiB of
// pinned memory takes seconds; a minute means that the kernel holds them.
const stuckAfter = time.Minute

// Guardian makes this process the guardian of an engine if it was started as
// one. It then returns true, and the status to exit with, when no process of the
// engine is left:
//
//	func main() {
//		if status, ok := supervise.Guardian(); ok {
//			os.Exit(status)
//		}
//
// The guardian stands between lcbq and the engine, as this program executed
// anew. It adopts every orphan among the engine's processes, whatever session
// they move to, and kills them all when lcbq says so, when the engine's leader
// ends, and when lcbq dies in whatever way: the kernel then closes the pipe
// between them. If the guardian itself is killed, the kernel kills the engine's
// leader with it, and lcbq the rest.
func Guardian() (status int, ok bool) {
	if len(os.Args) != 1 || os.Args[0] != guardianName {
		return 0, false
	}
	// The death signal of a child is bound to the thread that started it: this
	// one must live as long as the process.
	runtime.LockOSThread()
	for _, fd := range []int{commandFD, reportFD} {
		syscall.CloseOnExec(fd) // or the engine would hold the pipes open
	}
	g := &guardian{
		report:   os.NewFile(reportFD, "report"),
		children: make(chan os.Signal, 1),
		tick:     time.NewTicker(time.Second),
	}
	defer g.tick.Stop()
	if err := g.run(bufio.NewReader(os.NewFile(commandFD, "command"))); err != nil {
		g.say("failed %v", err)
		return 1, true
	}
	g.say("clear")
	return 0, true
}

// A guardian is the state of one. One goroutine uses it.
type guardian struct {
	report   io.Writer
	leader   int  // pid, 0 once it was reaped
	asked    bool // the leader was asked to end
	children chan os.Signal
	tick     *time.Ticker // slow until the killing begins
	killing  time.Time    // when it began; zero before
	stuck    bool         // it was said already
}

// say reports to the parent, which may be dead.
func (g *guardian) say(format string, args ...any) {
	_, _ = fmt.Fprintf(g.report, format+"\n", args...)
}

// run starts the engine and returns when nothing of it is left.
func (g *guardian) run(commands *bufio.Reader) error {
	line, err := commands.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read what to run: %w", err)
	}
	var what order
	if err := json.Unmarshal(line, &what); err != nil || len(what.Argv) == 0 {
		return fmt.Errorf("read what to run from %q: %w", line, err)
	}
	// Signals meant for lcbq's whole group or service stop lcbq; the guardian
	// waits for its word. They are caught, not ignored: what is ignored would be
	// ignored by the engine too.
	others := make(chan os.Signal, 1)
	signal.Notify(others, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	signal.Notify(g.children, syscall.SIGCHLD)
	if err := adopt(); err != nil {
		return err
	}
	if err := g.start(what.Argv); err != nil {
		return err
	}
	words := make(chan byte)
	go listen(commands, words)
	var patience <-chan time.Time
	for {
		select {
		case <-others:
		case <-g.children:
		case <-g.tick.C:
		case <-patience:
			g.kill()
		case word, ok := <-words:
			switch {
			case ok && word == cmdTerm:
				g.terminate()
			case ok && word == cmdKill:
				g.kill()
			case !ok: // lcbq is dead
				words = nil
				defer func() { _ = os.RemoveAll(what.Dir) }()
				g.terminate()
				patience = time.After(orphanGrace)
			}
		}
		if g.reap() {
			return nil
		}
		g.strike()
	}
}

// adopt makes this process the parent of every orphan among its descendants.
func adopt() error {
	const prSetChildSubreaper = 36 // linux/prctl.h; package syscall has no name for it
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		return fmt.Errorf("become subreaper: %w", errno)
	}
	return nil
}

// start starts the engine's leader in a group of its own. It dies with the
// guardian.
func (g *guardian) start(argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	p, err := os.StartProcess(path, argv, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return err
	}
	g.leader = p.Pid
	g.say("started %d", p.Pid)
	return p.Release() // reap waits for it
}

// listen passes commands on and closes words when no more can come.
func listen(b *bufio.Reader, words chan<- byte) {
	defer close(words)
	for {
		word, err := b.ReadByte()
		if err != nil {
			return
		}
		words <- word
	}
}

// terminate asks the leader to end, once: a second signal during its clean-up
// cuts that short. Its pid is its own until reap has seen it.
func (g *guardian) terminate() {
	if g.leader != 0 && !g.asked {
		g.asked = true
		_ = syscall.Kill(g.leader, syscall.SIGTERM)
	}
}

// kill begins the killing.
func (g *guardian) kill() {
	if g.killing.IsZero() {
		g.killing = time.Now()
		g.tick.Reset(10 * time.Millisecond)
	}
}

// strike kills everything below the guardian. It is repeated until nothing is
// left, for new processes may have been forked meanwhile.
func (g *guardian) strike() {
	if g.killing.IsZero() {
		return
	}
	all, err := processes()
	if err != nil {
		g.say("trouble %v", err)
		return
	}
	left := descendants(all, os.Getpid())
	kill(left)
	if !g.stuck && time.Since(g.killing) > stuckAfter {
		g.stuck = true
		pids := []int{}
		for _, p := range left {
			pids = append(pids, p.pid)
		}
		g.say("stuck %v", pids)
	}
}

// reap collects what has ended, and reports whether nothing is left.
func (g *guardian) reap() bool {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.ECHILD):
			return true
		case err != nil || pid == 0:
			return false
		case pid == g.leader:
			g.leader = 0
			g.say("exited %s", describe(status))
			g.kill() // workers outlive their leader, and hold the GPU's memory
		}
	}
}

// describe says how a process ended.
func describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return fmt.Sprintf("signal %d (%v)", int(s.Signal()), s.Signal())
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

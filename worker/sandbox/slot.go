package sandbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A flavour is what a fork server has loaded besides the preamble. A second
// one is started when a program first needs it.
type flavour uint8

const (
	plain flavour = iota
	withNumpy
	flavours
)

// A Slot runs one program at a time, and is used by one goroutine at a time.
type Slot struct {
	host    *Host
	id      int
	servers [flavours]*server
	buf     []byte
	groups  []string // control groups, empty where there are none
	oom     int      // processes the kernel killed in them, as last seen

	// spawn hands a function to the thread that starts fork servers. The
	// kernel kills a fork server when the thread that started it ends, so this
	// one lives as long as the slot.
	spawn   chan func()
	spawned chan struct{}
	closed  bool
}

// NewSlot returns a slot with a fork server running. id tells the slots of a
// host apart, from 0 up to 999; two slots of one process must not share it.
func (h *Host) NewSlot(id int) (*Slot, error) {
	if id < 0 || id >= maxSlots {
		return nil, fmt.Errorf("open slot %d: want 0 to %d", id, maxSlots-1)
	}
	s := &Slot{
		host: h, id: id,
		buf:     make([]byte, 64<<10),
		spawn:   make(chan func()),
		spawned: make(chan struct{}),
	}
	go func() {
		defer close(s.spawned)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for f := range s.spawn {
			f()
		}
	}()
	err := s.makeGroups()
	if err == nil {
		_, err = s.server(plain)
	}
	if err != nil {
		err = fmt.Errorf("open slot %d: %w", id, err)
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// maxSlots bounds slot ids, so that their users do not run into others.
const maxSlots = 1000

// Close ends the slot's fork servers and everything they started. When it has
// returned, no process, descriptor or control group of the slot is left.
func (s *Slot) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	for f := range s.servers {
		s.discard(flavour(f))
	}
	close(s.spawn)
	<-s.spawned
	if s.host.groups == nil {
		return nil
	}
	return s.host.groups.remove(s.groups)
}

// makeGroups makes the slot's control groups where the host has them.
func (s *Slot) makeGroups() error {
	if s.host.groups == nil {
		return nil
	}
	var err error
	s.groups, err = s.host.groups.make(strconv.Itoa(s.id), s.host.config.Limits.Memory+serverMemory)
	return err
}

// serverMemory is what the fork servers of a slot may need besides a program:
// two of them, the larger with numpy and the inputs of a few questions.
const serverMemory = 1 << 30

// outOfMemory reports whether the kernel killed a process of the slot for its
// memory since the last call.
func (s *Slot) outOfMemory() bool {
	if len(s.groups) == 0 {
		return false
	}
	n := s.host.groups.oomKills(s.groups)
	killed := n > s.oom
	s.oom = n
	return killed
}

// server returns the fork server of flavour f, started if need be.
func (s *Slot) server(f flavour) (*server, error) {
	cpus := *s.host.cpus.Load()
	if srv := s.servers[f]; srv != nil {
		if srv.programs < s.host.config.Recycle && slices.Equal(srv.cpus, cpus) {
			return srv, nil
		}
		s.discard(f)
	}
	p, attr := s.host.planFor(s, f)
	srv, err := startServer(p, attr, cpus, func(start func()) {
		done := make(chan struct{})
		s.spawn <- func() { start(); close(done) }
		<-done
	})
	if err != nil {
		return nil, err
	}
	s.servers[f] = srv
	return srv, nil
}

// discard ends the fork server of flavour f, if there is one.
func (s *Slot) discard(f flavour) {
	if srv := s.servers[f]; srv != nil {
		srv.kill()
		s.servers[f] = nil
	}
}

// attempts is how often a program is started when fork servers die under it.
const attempts = 2

// Run runs source against the tests of q, in order, and stops at the first
// that fails. The error is never the program's fault: ErrOverloaded asks for
// another try later, ctx's error means that ctx ended first.
func (s *Slot) Run(ctx context.Context, q *Question, source string, check Check) (Result, error) {
	if s.closed {
		return Result{}, ErrClosed
	}
	f := plain
	if s.host.numpy && needsNumpy(source) {
		f = withNumpy
	}
	var err error
	for range attempts {
		if err := ctx.Err(); err != nil {
			return Result{}, fmt.Errorf("run program: %w", err)
		}
		var r Result
		r, err = s.attempt(ctx, f, q, source, check)
		if err == nil {
			return r, nil
		}
		if errors.Is(err, errServer) {
			s.host.config.Log.Warn("fork server replaced", "slot", s.id, "question", q.ID, "err", err)
			s.discard(f)
			continue
		}
		break
	}
	return Result{}, fmt.Errorf("run program of question %s: %w", q.ID, err)
}

// needsNumpy reports whether the program's text speaks of numpy, or of what
// imports it. One that hides it runs as well, only slower.
func needsNumpy(source string) bool {
	return strings.Contains(source, "numpy") || strings.Contains(source, "scipy") || strings.Contains(source, "pandas")
}

// attempt runs the program once.
func (s *Slot) attempt(ctx context.Context, f flavour, q *Question, source string, check Check) (Result, error) {
	srv, err := s.server(f)
	if err != nil {
		return Result{}, err
	}
	index, err := srv.load(q, s.host.supply)
	if err != nil {
		return Result{}, err
	}
	if s.host.config.Mode == Script && q.Kind == Stdin {
		return s.runScript(ctx, srv, index, q, source, check)
	}
	r, err := s.converseOnce(ctx, srv, index, q, source, check, false)
	if errors.Is(err, errUnclear) {
		r, err = s.converseOnce(ctx, srv, index, q, source, check, true)
	}
	return r, err
}

// converseOnce runs a program of LCB mode in a process of its own.
func (s *Slot) converseOnce(ctx context.Context, srv *server, index uint32, q *Question, source string, check Check, strict bool) (Result, error) {
	c, err := s.converse(srv, index, 0, len(q.Inputs))
	if err != nil {
		return Result{}, err
	}
	defer s.hangUp(c)
	c.strict = strict
	release := c.watch(ctx)
	r := Result{}
	err = c.talk(q, source, check, &r.Test)
	release()
	return s.settle(ctx, srv, c, r, err)
}

// converse starts a program of question index and returns the conversation
// with it, to be ended by hangUp. extra descriptors go to the program too.
func (s *Slot) converse(srv *server, index uint32, test, tests int, extra ...int) (*conversation, error) {
	pair, err := programSocket()
	if err != nil {
		return nil, err
	}
	err = srv.start(index, test, s.host.kernelCPU(tests+1), append([]int{pair[1]}, extra...)...)
	_ = unix.Close(pair[1])
	if err != nil {
		_ = unix.Close(pair[0])
		return nil, err
	}
	return &conversation{host: s.host, limits: s.host.config.Limits, fd: pair[0], out: -1, buf: s.buf}, nil
}

// hangUp closes what a conversation holds.
func (s *Slot) hangUp(c *conversation) {
	_ = unix.Close(c.fd)
	if c.out >= 0 {
		_ = unix.Close(c.out)
	}
	if len(c.buf) <= keepBuffer {
		s.buf = c.buf
	}
}

// keepBuffer is the largest buffer a slot holds on to between programs.
const keepBuffer = 1 << 20

// settle reaps the program and makes a result, or an error of ours, of how its
// conversation ended.
func (s *Slot) settle(ctx context.Context, srv *server, c *conversation, r Result, ended error) (Result, error) {
	d, err := srv.reap()
	var refused *refusal
	if errors.Is(err, errServer) {
		s.adopt(srv, c.pid)
	}
	switch {
	case errors.As(err, &refused):
		return Result{}, fmt.Errorf("start program: %w", err)
	case err != nil:
		return Result{}, err
	case ctx.Err() != nil && ended != nil && !isStop(ended):
		return Result{}, context.Cause(ctx)
	}
	r.CPU, r.TestCPU, r.PeakMemory = d.cpu, c.clocks.most, d.peak
	var halt *stop
	var exc *raised
	switch {
	case ended == nil:
		r.Outcome = Accepted
	case errors.As(ended, &halt):
		r.Outcome, r.Detail = halt.outcome, halt.detail
	case errors.As(ended, &exc):
		r.Outcome, r.Exception, r.Detail = Exception, &exc.Raised, exc.Error()
		if exc.Type == "MemoryError" {
			r.Outcome = MemoryLimit
		}
	case errors.Is(ended, errGone) && c.pid == 0:
		return Result{}, fmt.Errorf("%w: program died before it was confined: %s", errServer, describe(d.status))
	case errors.Is(ended, errGone):
		r.Outcome, r.Detail = Crashed, describe(d.status)
		s.explainDeath(&r, d)
	default:
		return Result{}, ended
	}
	return r, nil
}

// adopt waits for a program whose fork server died, in case we are the process
// that inherits orphans: the kernel has killed it, but it would stay a zombie.
func (s *Slot) adopt(srv *server, pid int) {
	_ = srv.process.Kill()
	<-srv.reaped
	if pid != 0 && !s.host.plan.PIDNS {
		_, _ = unix.Wait4(pid, nil, 0, nil)
	}
}

// explainDeath fills in what ended a process that ended by itself.
func (s *Slot) explainDeath(r *Result, d death) {
	if !d.status.Signaled() {
		return
	}
	r.Signal = d.status.Signal()
	switch {
	case r.Signal == syscall.SIGXCPU:
		r.Outcome, r.Detail = TimeLimit, "killed by the kernel for its processor time"
	case r.Signal == syscall.SIGKILL && s.outOfMemory():
		r.Outcome, r.Detail = MemoryLimit, "killed by the kernel for its memory"
	case r.Signal == syscall.SIGKILL:
		// It closed its socket, and we ended it.
		r.Signal, r.Detail = 0, "closed its descriptors"
	}
}

func isStop(err error) bool {
	var halt *stop
	var exc *raised
	return errors.As(err, &halt) || errors.As(err, &exc)
}

// describe says how a process ended.
func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "killed by signal " + unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("exited with status %d", status.ExitStatus())
}

// programSocket returns a socket pair for one program: ours is first, has the
// kernel attach credentials, and times out each tick.
func programSocket() ([2]int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return pair, fmt.Errorf("open program's socket: %w", err)
	}
	if err = setTimeouts(pair[0], tick/2+rand.N(tick)); err == nil {
		err = unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	}
	if err != nil {
		_ = unix.Close(pair[0])
		_ = unix.Close(pair[1])
		return pair, fmt.Errorf("open program's socket: %w", err)
	}
	return pair, nil
}

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
	"sync/atomic"
	"syscall"
	"time"

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
	groups  []string                // control groups, empty where there are none
	oom     int                     // processes the kernel killed in them, as last seen
	cpus    []int                   // that its programs run on instead of the host's, nil for those
	now     atomic.Pointer[running] // its program, nil while there is none
	soft    Soft                    // nil for none
	stretch Stretch                 // nil for none
	scale   float64                 // of limits of processor time; 0 is 1

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
// returned, no process, descriptor or control group of the slot is left. To close no slot
// does nothing.
func (s *Slot) Close() error {
	if s == nil || s.closed {
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

// Pin makes the slot's next programs run on the processors whatever Host.Pin says, by the
// kernel's numbers; nil is what Host.Pin says.
func (s *Slot) Pin(cpus []int) { s.cpus = cpus }

// server returns the fork server of flavour f, started if need be.
func (s *Slot) server(f flavour) (*server, error) {
	cpus := s.cpus
	if cpus == nil {
		cpus = *s.host.cpus.Load()
	}
	cpus = s.host.usable(cpus)
	if srv := s.servers[f]; srv != nil {
		if srv.programs < s.host.config.Recycle && srv.move(cpus) == nil {
			return srv, nil
		}
		s.discard(f)
	}
	srv, err := s.start(f, cpus)
	if err != nil {
		return nil, err
	}
	s.servers[f] = srv
	return srv, nil
}

// starts is how often the start of a fork server is tried before it counts as failed.
const starts = 4

// start starts a fork server of flavour f on the processors. A start that failed for
// what may pass is tried again after a while.
func (s *Slot) start(f flavour, cpus []int) (*server, error) {
	p, attr := s.host.planFor(s, f)
	var first error
	for try := 1; ; try++ {
		srv, err := startServer(p, attr, cpus, s.host.config.control, func(start func()) {
			done := make(chan struct{})
			s.spawn <- func() { start(); close(done) }
			<-done
		})
		if err == nil {
			return srv, nil
		}
		if first == nil {
			first = err
		}
		if !passing(err) {
			return nil, err
		}
		if try == starts {
			if err.Error() != first.Error() {
				err = fmt.Errorf("%w\nthe first of these failures was: %w", err, first)
			}
			if short(err) {
				err = fmt.Errorf("%w: %w", ErrNoRoom, err)
			}
			return nil, fmt.Errorf("%d starts failed, the last one: %w", starts, err)
		}
		s.host.config.Log.Warn("fork server starts again", "slot", s.id, "try", try, "of", starts, "err", err)
		pause := time.NewTimer(startPause << (2 * (try - 1)))
		<-pause.C
	}
}

// startPause is the first pause between starts; each is four times the one before, all
// together a second.
const startPause = 50 * time.Millisecond

// passing reports whether a start that failed with err may succeed the next time: the
// host ran short of something, or the server died without a word of its own.
func passing(err error) bool {
	var refused *refusal
	if errors.Is(err, errServer) && !errors.As(err, &refused) {
		return true
	}
	return short(err)
}

// short reports whether err says that the host ran short of something.
func short(err error) bool {
	return slices.ContainsFunc([]syscall.Errno{unix.EAGAIN, unix.ENOMEM, unix.EMFILE, unix.ENFILE}, func(e syscall.Errno) bool {
		return errors.Is(err, e)
	})
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
	began := time.Now()
	for try := 1; ; {
		if err := ctx.Err(); err != nil {
			return Result{}, fmt.Errorf("run program: %w", err)
		}
		r, err := s.attempt(ctx, f, q, source, check)
		var refused *refusal
		switch {
		case err == nil:
			return r, nil
		case errors.Is(err, errServer) && try < attempts:
			try++
			s.host.config.Log.Warn("fork server replaced", "slot", s.id, "question", q.ID, "err", err)
			s.discard(f)
		case errors.As(err, &refused) && errors.Is(err, unix.EAGAIN) && time.Since(began) < s.host.config.patience:
			// Another program has all the threads that the host may have. It will be
			// found to have too many, or reach a limit of time.
			napFor(tick)
		default:
			if errors.Is(err, errServer) {
				s.discard(f)
			}
			return Result{}, fmt.Errorf("run program of question %s: %w", q.ID, err)
		}
	}
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
	if errors.Is(err, errUnclear) || errors.Is(err, errStuck) {
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
	c.strict, c.final = strict, strict
	release := c.watch(ctx)
	r := Result{}
	c.test, c.soft, c.stretch = &r.Test, s.soft, s.stretch
	err = c.talk(q, source, check, &r.Test)
	release()
	r.Times = c.times
	return s.settle(ctx, srv, c, r, err)
}

// converse starts a program of question index and returns the conversation
// with it, to be ended by hangUp. extra descriptors go to the program too.
func (s *Slot) converse(srv *server, index uint32, test, tests int, extra ...int) (*conversation, error) {
	pair, err := programSocket()
	if err != nil {
		return nil, err
	}
	limits := s.host.config.Limits.scaled(s.scale)
	kernelCPU := limits.kernelCPU(tests + 1)
	err = srv.start(index, test, kernelCPU, append([]int{pair[1]}, extra...)...)
	_ = unix.Close(pair[1])
	if err != nil {
		_ = unix.Close(pair[0])
		return nil, err
	}
	c := &conversation{host: s.host, limits: limits, slack: limits.Slack, fd: pair[0], out: -1, buf: s.buf, kernelCPU: kernelCPU, program: s.host.running.add()}
	s.now.Store(c.program)
	return c, nil
}

// hangUp closes what a conversation holds.
func (s *Slot) hangUp(c *conversation) {
	s.now.Store(nil)
	s.host.running.remove(c.program)
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

package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// settle reaps the program and makes a result, or an error of ours, of how its
// conversation ended.
func (s *Slot) settle(ctx context.Context, srv *server, c *conversation, r Result, end error) (Result, error) {
	r.Chance = c.chance
	died := errors.Is(end, errGone) && c.pid != 0 && ended(c.pid)
	d, err := srv.reap()
	var refused *refusal
	if errors.Is(err, errServer) {
		s.adopt(srv, c.pid)
	}
	switch {
	case errors.Is(err, errServer) && c.pid != 0 && s.outOfMemory():
		// In a group that holds nothing but this slot. Whom of it the kernel chose to
		// kill says nothing of who took the memory.
		s.discard(flavour(slices.Index(s.servers[:], srv)))
		r.Outcome, r.Detail = MemoryLimit, "the kernel killed its fork server for their memory"
		r.CPU, r.TestCPU = c.clocks.now, c.clocks.most
		return r, nil
	case errors.As(err, &refused):
		return Result{}, fmt.Errorf("start program: %w", err)
	case err != nil:
		return Result{}, err
	case ctx.Err() != nil && end != nil && !isStop(end):
		return Result{}, context.Cause(ctx)
	}
	r.CPU, r.TestCPU, r.PeakMemory = d.cpu, c.clocks.most, d.peak
	var halt *stop
	var exc *raised
	switch {
	case end == nil:
		r.Outcome = Accepted
	case errors.As(end, &halt):
		r.Outcome, r.Detail, r.Cut = halt.outcome, halt.detail, c.clocks.cut
	case errors.As(end, &exc):
		r.Outcome, r.Exception, r.Detail = Exception, &exc.Raised, exc.Error()
		switch {
		case exc.outOfMemory():
			r.Outcome = MemoryLimit
		case exc.outOfThreads() && !s.host.running.alone(c.program) && s.host.crowded(c.program, taskLimits()):
			return Result{}, fmt.Errorf("%w: it could not start a thread", ErrAlone)
		}
	case errors.Is(end, errGone) && c.pid == 0:
		return Result{}, fmt.Errorf("%w: program died before it was confined: %s", errServer, describe(d.status))
	case errors.Is(end, errGone):
		r.Outcome, r.Detail = Crashed, describe(d.status)
		return s.explainDeath(c, r, d, died)
	default:
		return Result{}, end
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

// explainDeath says what ended a process; died tells that this was before we did.
func (s *Slot) explainDeath(c *conversation, r Result, d death, died bool) (Result, error) {
	if !d.status.Signaled() {
		// The first process of a namespace ends itself by a signal, see end_by_signals of the driver.
		switch n := syscall.Signal(d.status.ExitStatus()); {
		case !s.host.plan.PIDNS || unix.SignalName(n) == "":
		case n == syscall.SIGXCPU && d.cpu+tick >= time.Duration(c.kernelCPU)*time.Second:
			r.Outcome, r.Detail = TimeLimit, "ended by the kernel for its processor time"
		default:
			r.Detail += ", which a signal " + unix.SignalName(n) + " comes to as well"
		}
		return r, nil
	}
	r.Signal = d.status.Signal()
	switch {
	case r.Signal == syscall.SIGXCPU:
		r.Outcome, r.Detail = TimeLimit, "killed by the kernel for its processor time"
	case r.Signal != syscall.SIGKILL:
	case d.cpu >= time.Duration(c.kernelCPU)*time.Second:
		// It ignored the signal before this one.
		r.Outcome, r.Detail = TimeLimit, "killed by the kernel for its processor time"
	case s.outOfMemory():
		r.Outcome, r.Detail = MemoryLimit, "killed by the kernel for its memory"
	case !died:
		// It closed its socket, and we ended it.
		r.Signal, r.Detail = 0, "closed its descriptors"
	case s.host.memory.killed() && s.host.running.alone(c.program) && d.peak >= s.host.memory.total/memoryBlameShare:
		r.Outcome, r.Detail = MemoryLimit, "killed by the kernel for its memory"
	default:
		return Result{}, fmt.Errorf("%w: it was killed by a signal that was not ours, with %d MiB at its peak", ErrAlone, d.peak>>20)
	}
	return r, nil
}

// exiting is the flag of a thread that is about to end, in its stat.
const exiting = 0x4

// ended reports whether every thread of pid has ended or is about to. A process of
// which one has not closed its socket by itself.
func ended(pid int) bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return true // gone, or out of our sight: then nobody saw it close anything
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(dir + "/" + task.Name() + "/stat")
		if err != nil {
			continue
		}
		// After the name: state, five numbers, flags.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 7 {
			continue
		}
		flags, err := strconv.ParseUint(string(fields[6]), 10, 64)
		if err == nil && flags&exiting == 0 && fields[0][0] != 'Z' && fields[0][0] != 'X' {
			return false
		}
	}
	return true
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

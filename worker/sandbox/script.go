package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/worker/sandbox/driver"
)

// runScript runs a stdin program as a real script: a process per test.
func (s *Slot) runScript(ctx context.Context, srv *server, index uint32, q *Question, source string, check Check) (Result, error) {
	total := Result{Outcome: Accepted, Test: len(q.Inputs)}
	for i, input := range q.Inputs {
		r, text, err := s.scriptTest(ctx, srv, index, i, input, source, false)
		if errors.Is(err, errStuck) {
			r, text, err = s.scriptTest(ctx, srv, index, i, input, source, true)
		}
		if err != nil {
			return Result{}, err
		}
		total.CPU += r.CPU
		total.Chance = total.Chance || r.Chance
		total.TestCPU = max(total.TestCPU, r.TestCPU)
		total.PeakMemory = max(total.PeakMemory, r.PeakMemory)
		if r.Outcome == Accepted && !check(i, Output{Text: text}) {
			r.Outcome = Rejected
		}
		if r.Outcome != Accepted {
			r.CPU, r.TestCPU, r.PeakMemory, r.Chance = total.CPU, total.TestCPU, total.PeakMemory, total.Chance
			return r, nil
		}
	}
	return total, nil
}

// scriptTest runs one test and returns what the script printed.
func (s *Slot) scriptTest(ctx context.Context, srv *server, index uint32, test int, input, source string, final bool) (Result, []byte, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Result{}, nil, fmt.Errorf("open script's output: %w", err)
	}
	stdin, fed, err := s.host.supply([]byte(input))
	if err != nil {
		_ = unix.Close(pair[0])
		_ = unix.Close(pair[1])
		return Result{}, nil, err
	}
	defer fed()
	c, err := s.converse(srv, index, test, 1, pair[1], stdin)
	_ = unix.Close(pair[1])
	_ = unix.Close(stdin)
	if err != nil {
		_ = unix.Close(pair[0])
		return Result{}, nil, err
	}
	c.out, c.strict, c.final = pair[0], true, final
	defer s.hangUp(c)
	release := c.watch(ctx)
	r := Result{}
	c.test, c.stretch = &r.Test, s.stretch
	ended := c.script(source, test, &r.Test)
	release()
	r, err = s.settle(ctx, srv, c, r, ended)
	if err != nil {
		return Result{}, nil, err
	}
	// A script may end as it likes: what counts is its status and its output.
	if r.Outcome == Crashed && r.Test >= 0 && errors.Is(ended, errGone) && r.Detail == describe(0) {
		r.Outcome, r.Detail = Accepted, ""
	}
	if r.Outcome != Accepted {
		return r, nil, nil
	}
	// The process is gone, so that the rest of its output is all here.
	c.over = true
	if err := c.takeOutput(); err != nil {
		var halt *stop
		if !errors.As(err, &halt) {
			return Result{}, nil, err
		}
		r.Outcome, r.Detail = halt.outcome, halt.detail
	}
	return r, c.text, nil
}

// script holds the conversation with a script's process.
func (c *conversation) script(source string, test int, at *int) error {
	*at = -1
	if err := c.load(source, driver.Text{}, 0); err != nil {
		return err
	}
	*at = test
	if err := c.goAhead(1); err != nil {
		return err
	}
	_, err := c.answer(statusDone)
	return err
}

// drain reads what the script has printed so far, and while it says nothing on
// its own socket, waits until either has something.
func (c *conversation) drain() error {
	for {
		if err := c.takeOutput(); err != nil {
			return err
		}
		fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}, {Fd: int32(c.out), Events: unix.POLLIN}}
		if c.closed {
			fds = fds[:1]
		}
		n, err := unix.Poll(fds, int(c.every()/time.Millisecond))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for script: %w", err)
		case n == 0:
			if err := c.look(); err != nil {
				return err
			}
		case fds[0].Revents != 0:
			return c.takeOutput()
		}
		if err := c.glance(); err != nil {
			return err
		}
	}
}

// takeOutput reads the script's output until there is none.
func (c *conversation) takeOutput() error {
	for !c.closed {
		var chunk [64 << 10]byte
		n, _, err := unix.Recvfrom(c.out, chunk[:], unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
		case err != nil || n == 0:
			c.closed = true
		case int64(len(c.text)+n) > c.limits.Output:
			return &stop{OutputLimit, fmt.Sprintf("printed more than %d bytes", c.limits.Output)}
		default:
			c.text = append(c.text, chunk[:n]...)
			if c.over {
				continue
			}
			if err := c.glance(); err != nil {
				return err
			}
		}
	}
	return nil
}

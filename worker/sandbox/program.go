package sandbox

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// The statuses of a program's frames; the first five are the driver's.
const (
	statusOutput = 1
	statusValue  = 2
	statusError  = 3
	statusLimit  = 4
	statusDone   = 5
	statusLoaded = 0x10
)

const frameHeader = 5

// tick is how often, on average, a program that takes its time is looked at.
// Each program has a period of its own, from half to three halves of it, so
// that none can be awake just when it is looked at.
const tick = 100 * time.Millisecond

// maxThreads bounds the threads of a program where the kernel does not. A
// thread costs the host a task and its kernel stack, whatever its own stack.
const maxThreads = 1024

// A conversation is one program's process as seen from here: the socket, the
// clocks, and why it was given up. It holds no verdict on the host: that a
// program can end a conversation at any moment is its right.
type conversation struct {
	host   *Host
	limits Limits
	fd     int // ours of the program's socket, blocking, times out each tick
	pid    int // known once the program is confined
	buf    []byte
	have   int // bytes of buf read and not yet consumed

	// A script's standard output: ours of the socket, and what came of it.
	out    int // -1 for none
	text   []byte
	closed bool // the program's side is

	// The current test.
	started time.Time
	baseCPU time.Duration
	looked  time.Time     // when last looked at
	idle    time.Duration // time found asleep
	lastCPU time.Duration // at the last look

	testCPU time.Duration // largest of all tests
}

// errGone says that the program closed its socket, which only its death does.
var errGone = errors.New("program gone")

// A stop is a reason to end the program: its outcome, decided here.
type stop struct {
	outcome Outcome
	detail  string
}

func (s *stop) Error() string { return s.detail }

// begin starts the clocks of the next test.
func (c *conversation) begin() {
	c.started, c.idle, c.baseCPU = time.Now(), 0, c.lastCPU
	c.looked = c.started
}

// readCPU returns the processor time of the current test so far.
func (c *conversation) readCPU() (time.Duration, error) {
	now, err := cpuTime(c.pid)
	if err != nil {
		return 0, err
	}
	c.lastCPU = now
	return now - c.baseCPU, nil
}

// end stops the clocks of the current test: an answer that took too much
// processor time is none. That it took too long is decided by look alone, since
// only there it is sure that the program had not answered, and not that we were
// late to hear it.
func (c *conversation) end() error {
	cpu, err := c.readCPU()
	if err != nil {
		return err
	}
	c.testCPU = max(c.testCPU, cpu)
	return c.judgeCPU(cpu)
}

// judgeCPU returns a stop if the current test is over the processor limit.
func (c *conversation) judgeCPU(cpu time.Duration) error {
	if cpu <= c.limits.CPU {
		return nil
	}
	return &stop{TimeLimit, fmt.Sprintf("used %.2f s of processor time, limit %v", cpu.Seconds(), c.limits.CPU)}
}

// look is called when the program has said nothing for a tick.
func (c *conversation) look() error {
	if c.pid == 0 {
		if time.Since(c.started) > controlTimeout {
			return fmt.Errorf("%w: no program started in %v", errServer, controlTimeout)
		}
		return nil
	}
	cpu, err := c.readCPU()
	if err != nil {
		return err
	}
	c.testCPU = max(c.testCPU, cpu)
	if err := c.judgeCPU(cpu); err != nil {
		return err
	}
	if err := c.host.memory.check(c.pid); err != nil {
		return err
	}
	now := time.Now()
	sleeping, threads, stateErr := asleep(c.pid)
	if threads > maxThreads {
		return &stop{Crashed, fmt.Sprintf("started %d threads, limit %d", threads, maxThreads)}
	}
	if sleeping {
		// We may have been late to look; what it did meanwhile is not known.
		c.idle += min(now.Sub(c.looked), 2*tick)
	}
	c.looked = now
	return c.judgeWall(cpu, now.Sub(c.started), stateErr)
}

// judgeWall returns a stop if the current test has slept too long, and
// ErrOverloaded if it took very long for want of a processor.
func (c *conversation) judgeWall(cpu, wall time.Duration, stateErr error) error {
	if cpu+c.idle > c.limits.Wall {
		return &stop{TimeLimit, fmt.Sprintf("ran %.2f s and slept %.2f s, limit %v", cpu.Seconds(), c.idle.Seconds(), c.limits.Wall)}
	}
	switch {
	case wall <= c.limits.Hard:
		return nil
	case stateErr != nil:
		// Nothing told a sleeper from one who waits for a processor: only the
		// longer limit was not unjust.
		return &stop{TimeLimit, fmt.Sprintf("took %.1f s, limit %v", wall.Seconds(), c.limits.Hard)}
	}
	return fmt.Errorf("%w: a test was given %.2f s of processor time in %.0f s", ErrOverloaded, cpu.Seconds(), wall.Seconds())
}

// fill reads at least one more byte.
func (c *conversation) fill() error {
	for {
		if c.out >= 0 {
			if err := c.drain(); err != nil {
				return err
			}
		}
		n, err := unix.Read(c.fd, c.buf[c.have:])
		switch {
		case err == nil && n == 0, errors.Is(err, unix.ECONNRESET):
			return errGone
		case err == nil:
			c.have += n
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if err := c.look(); err != nil {
				return err
			}
		default:
			return fmt.Errorf("read program's socket: %w", err)
		}
	}
}

// ready waits until the program is confined, and learns its process id from
// the credentials that the kernel attaches: in our terms, whatever namespace
// the program lives in.
func (c *conversation) ready() error {
	oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for {
		n, oobn, _, _, err := unix.Recvmsg(c.fd, c.buf, oob, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			if err := c.look(); err != nil {
				return err
			}
			continue
		case err == nil && n == 0, errors.Is(err, unix.ECONNRESET):
			return errGone
		case err != nil:
			return fmt.Errorf("read program's socket: %w", err)
		}
		if c.buf[0] != 'R' {
			return fmt.Errorf("%w: confine program: %s", errServer, c.buf[1:n])
		}
		c.have = copy(c.buf, c.buf[1:n])
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(messages) == 0 {
			return fmt.Errorf("%w: no credentials with the first message: %v", errServer, err)
		}
		cred, err := unix.ParseUnixCredentials(&messages[0])
		if err != nil || cred.Pid == 0 {
			return fmt.Errorf("%w: no process id with the first message: %v", errServer, err)
		}
		c.pid = int(cred.Pid)
		return nil
	}
}

// frame reads one frame. The payload is valid until the next call. Anything
// behind it was sent before it was asked for, so it is out of turn.
func (c *conversation) frame() (status byte, payload []byte, err error) {
	for c.have < frameHeader {
		if err := c.fill(); err != nil {
			return 0, nil, err
		}
	}
	size := int64(binary.LittleEndian.Uint32(c.buf[1:]))
	// Values are a little larger than the text they stand for; the driver keeps
	// the exact limit.
	if size > 2*c.limits.Output+frameSlack {
		return 0, nil, &stop{OutputLimit, fmt.Sprintf("answered %d bytes, limit %d", size, c.limits.Output)}
	}
	total := frameHeader + int(size)
	for c.have < total {
		if c.have == len(c.buf) {
			// Doubled as the bytes come, not as they are announced.
			c.buf = append(c.buf, make([]byte, min(len(c.buf), total-len(c.buf)))...)
		}
		if err := c.fill(); err != nil {
			return 0, nil, err
		}
	}
	if c.have > total {
		return 0, nil, outOfTurn()
	}
	c.have = 0
	return c.buf[0], c.buf[frameHeader:total], nil
}

// frameSlack is room for what an answer holds besides the output: an exception.
const frameSlack = 64 << 10

func outOfTurn() error { return &stop{Crashed, "answered what it was not asked"} }

// goAhead asks for the next test, if the program has kept silent.
func (c *conversation) goAhead() error {
	n, _, err := unix.Recvfrom(c.fd, c.buf[:1], unix.MSG_DONTWAIT|unix.MSG_PEEK)
	if err == nil && n > 0 {
		return outOfTurn()
	}
	c.begin()
	_, err = unix.SendmsgN(c.fd, []byte("G"), nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return errGone
	}
	if err != nil {
		return fmt.Errorf("ask program for a test: %w", err)
	}
	return nil
}

// sendSource sends the program's text, length first. A program is read whole
// before it runs, so this cannot block for longer than the process takes.
func (c *conversation) sendSource(source string) error {
	data := make([]byte, 0, 4+len(source))
	data = append(binary.LittleEndian.AppendUint32(data, uint32(len(source))), source...)
	for len(data) > 0 {
		n, err := unix.SendmsgN(c.fd, data, nil, nil, unix.MSG_NOSIGNAL)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if err := c.look(); err != nil {
				return err
			}
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
			return errGone
		case err != nil:
			return fmt.Errorf("send program: %w", err)
		default:
			data = data[n:]
		}
	}
	return nil
}

// talk holds the whole conversation with a program of LCB mode and returns
// what ended it: nil if every test was accepted, a *stop, a *raised, errGone,
// or an error of ours. It leaves in test the index of the test at hand.
func (c *conversation) talk(q *Question, source string, check Check, test *int) error {
	*test = -1
	if err := c.load(source); err != nil {
		return err
	}
	want := byte(statusOutput)
	if q.Kind == Functional {
		want = statusValue
	}
	for i := range q.Inputs {
		*test = i
		if err := c.goAhead(); err != nil {
			return err
		}
		payload, err := c.answer(want)
		if err != nil {
			return err
		}
		if !check(i, output(q.Kind, payload)) {
			return &stop{Rejected, ""}
		}
	}
	*test = len(q.Inputs)
	return nil
}

// load waits for the program's process, gives it the source, and waits until
// that is compiled and loaded, under the limits of a test.
func (c *conversation) load(source string) error {
	c.started = time.Now()
	small := len(source) <= inlineSource
	if small {
		if err := c.sendSource(source); err != nil {
			return err
		}
	}
	if err := c.ready(); err != nil {
		return err
	}
	if _, err := c.readCPU(); err != nil {
		return err
	}
	c.begin()
	if !small {
		if err := c.sendSource(source); err != nil {
			return err
		}
	}
	_, err := c.answer(statusLoaded)
	return err
}

// inlineSource is what a new socket's buffer holds for sure: such a program is
// sent before its process exists, and saves a wait.
const inlineSource = 64 << 10

func output(kind Kind, payload []byte) Output {
	if kind == Functional {
		return Output{Value: payload}
	}
	return Output{Text: payload}
}

// answer reads the frame that ends a test and stops its clocks.
func (c *conversation) answer(want byte) ([]byte, error) {
	status, payload, err := c.frame()
	if err != nil {
		return nil, err
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	switch status {
	case want:
		return payload, nil
	case statusError:
		e := new(raised)
		if err := json.Unmarshal(payload, &e.Raised); err != nil {
			return nil, &stop{Crashed, "answered an error that does not decode"}
		}
		return nil, e
	case statusLimit:
		return nil, &stop{OutputLimit, fmt.Sprintf("more than %d bytes", c.limits.Output)}
	}
	return nil, &stop{Crashed, fmt.Sprintf("answered with status %d", status)}
}

// raised is the error that stands for an exception of the program.
type raised struct{ Raised }

func (r *raised) Error() string { return r.Type + ": " + r.Message }

// watch ends the conversation when ctx is done; release undoes that and must
// be called before the socket is closed.
func (c *conversation) watch(ctx context.Context) (release func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
		close(done)
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

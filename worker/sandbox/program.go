package sandbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/worker/sandbox/driver"
)

// A conversation is one program's process as seen from here: the socket, the
// clocks, and why it was given up. It holds no verdict on the host: that a
// program can end a conversation at any moment is its right.
type conversation struct {
	host   *Host
	limits Limits
	slack  time.Duration // of limits, while nothing is known of the processor
	fd     int           // ours of the program's socket, blocking, times out each tick
	pid    int           // known once the program is confined
	buf    []byte
	have   int           // bytes of buf read and not yet consumed
	used   int           // bytes of buf that the last frame took, consumed by the next read
	asked  int           // frames asked for that have not come
	period time.Duration // between two looks, 0 for a tick
	strict bool
	final  bool // what is unclear this time stays so
	chance bool // its driver said that its outcome depends on chance

	kernelCPU uint32   // seconds of processor time after which the kernel ends the program
	program   *running // nil for none

	test    *int    // the test at hand; nil where nobody asks for it
	soft    Soft    // nil for none
	stretch Stretch // nil for none
	times   map[int]time.Duration

	// A script's standard output: ours of the socket, and what came of it.
	out    int // -1 for none
	text   []byte
	closed bool // the program's side is
	over   bool // the process was reaped

	clocks clocks
}

// errGone says that the program closed its socket, which only its death does.
var errGone = errors.New("program gone")

// A stop is a reason to end the program: its outcome, decided here.
type stop struct {
	outcome Outcome
	detail  string
}

func (s *stop) Error() string { return s.detail }

// fill reads at least one more byte.
func (c *conversation) fill() error {
	if c.have > 0 {
		// Part of a frame is here: the program has yet to answer, however busily
		// it sends.
		if err := c.glance(); err != nil {
			return err
		}
	}
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
		if c.pid, err = senderOf(oob[:oobn]); err == nil && c.program != nil {
			c.host.running.known(c.program, c.pid)
		}
		return err
	}
}

// senderOf returns the process id in the control data of a message.
func senderOf(oob []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err == nil && len(messages) == 0 {
		err = unix.ENODATA
	}
	if err != nil {
		return 0, fmt.Errorf("%w: read credentials of the first message: %w", errServer, err)
	}
	cred, err := unix.ParseUnixCredentials(&messages[0])
	if err == nil && cred.Pid == 0 {
		err = unix.ESRCH
	}
	if err != nil {
		return 0, fmt.Errorf("%w: read credentials of the first message: %w", errServer, err)
	}
	return int(cred.Pid), nil
}

func outOfTurn() error { return &stop{Crashed, "answered what it was not asked"} }

// spoke reports whether the program has said what we have not read.
func (c *conversation) spoke() bool {
	var first [1]byte
	n, _, err := unix.Recvfrom(c.fd, first[:], unix.MSG_DONTWAIT|unix.MSG_PEEK)
	return err == nil && n > 0
}

// goAhead asks for the next n tests, if the program has kept silent.
func (c *conversation) goAhead(n int) error {
	if c.spoke() {
		return outOfTurn()
	}
	c.clocks.ask()
	c.asked = n
	_, err := unix.SendmsgN(c.fd, goAheads[:n], nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	switch {
	case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
		return errGone
	case errors.Is(err, unix.EAGAIN):
		// The driver reads each before it answers, so that few are ever unread.
		return &stop{Crashed, "does not read which tests it is asked for"}
	case err != nil:
		return fmt.Errorf("ask program for a test: %w", err)
	}
	return nil
}

// goAheads is asked for as many tests as it has bytes.
var goAheads = []byte("GGGGGGGGGGGGGGGG")

// pace returns how many of the tests left to ask for at once. Quick tests are
// asked for several at a time, because the hand-over costs more than they do;
// in strict pace each is asked for alone, and its clocks are exact.
func (c *conversation) pace(left int) int {
	if c.strict || c.clocks.last > quick {
		return 1
	}
	return min(left, len(goAheads))
}

// quick is the processor time below which a test says that the next ones will
// not be slow either. If they are, nothing is lost but some precision.
const quick = 20 * time.Millisecond

// send sends data, which the program reads before it does anything else, so
// that this cannot block for longer than its process takes.
func (c *conversation) send(data []byte) error {
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
			if err := c.glance(); err != nil {
				return err
			}
		}
	}
	return nil
}

// talk holds the whole conversation with a program of LCB mode and returns
// what ended it: nil if every test was accepted, a *stop, a *raised, errGone,
// errUnclear, or an error of ours. It leaves in test the index of the test at
// hand.
func (c *conversation) talk(q *Question, source string, check Check, test *int) error {
	*test = -1
	want, text := byte(statusValue), driver.Text{}
	if q.Kind == Stdin {
		want, text = statusOutput, driver.Wrap(source)
	}
	if err := c.load(source, text, len(q.Inputs)); err != nil {
		return err
	}
	for i := range q.Inputs {
		*test = i
		if c.asked == 0 {
			if err := c.goAhead(c.pace(len(q.Inputs) - i)); err != nil {
				return err
			}
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
// that is compiled and loaded, under the limits of a test. Unless the pace is
// strict, the first of the tests is asked for along with it.
func (c *conversation) load(source string, text driver.Text, tests int) error {
	data := message(source, text)
	c.asked = 1
	if tests > 0 && !c.strict {
		data = append(data, 'G')
		c.asked = 2
	}
	if err := c.hand(data); err != nil {
		return err
	}
	_, err := c.answer(statusLoaded)
	return err
}

// hand waits for the program's process and gives it its message, under the limits of a test.
func (c *conversation) hand(data []byte) error {
	c.clocks.restart()
	small := len(data) <= inlineSource
	if small {
		if err := c.send(data); err != nil {
			return err
		}
	}
	if err := c.ready(); err != nil {
		return err
	}
	if err := c.clocks.read(c.pid); err != nil {
		return err
	}
	if small {
		c.clocks.begin()
		return nil
	}
	c.clocks.ask()
	return c.send(data)
}

// message lays out a program as its process reads it: length u32 of the rest, text
// length u32, number of import lines u32, these u32 each, text, source.
func message(source string, text driver.Text) []byte {
	size := 8 + 4*len(text.Imports) + len(text.Wrapped) + len(source)
	data := binary.LittleEndian.AppendUint32(make([]byte, 0, 5+size), uint32(size))
	data = binary.LittleEndian.AppendUint32(data, uint32(len(text.Wrapped)))
	data = binary.LittleEndian.AppendUint32(data, uint32(len(text.Imports)))
	for _, line := range text.Imports {
		data = binary.LittleEndian.AppendUint32(data, line)
	}
	return append(append(data, text.Wrapped...), source...)
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

package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// This file reads what comes from a program's process. The driver writes it, but
// a program can write to the same socket, so that nothing in it is believed: each
// frame must be one that the driver can have written at that moment, and all else
// is a failure of the program's own.

// The statuses of a program's frames; the first five are the driver's.
const (
	statusOutput = 1
	statusValue  = 2
	statusError  = 3
	statusLimit  = 4
	statusDone   = 5
	statusLoaded = 0x10

	// statusChance is added to any of them when the program is known to depend on
	// chance: on the clock, on random numbers, on which of its threads is first.
	statusChance = 0x80
)

const frameHeader = 5

const (
	// frameSlack is what the encoding of a value may need beyond the output limit.
	frameSlack = 64 << 10
	// mostError is what an error frame may hold. The driver cuts the type and the
	// message to a few hundred characters, each of at most twelve bytes here.
	mostError = 16 << 10
)

// mostPayload returns the largest payload of a frame with this status.
func mostPayload(status byte, limits Limits) int64 {
	switch status {
	case statusOutput:
		return limits.Output
	case statusValue:
		// Values are a little larger than the text they stand for; the driver keeps
		// the exact limit.
		return 2*limits.Output + frameSlack
	case statusError:
		return mostError
	}
	return 0
}

// header checks a frame by its first bytes, before anything is done for the rest.
// want is the status of a frame that is no failure.
func (c *conversation) header(want byte) (status byte, size int, err error) {
	status = c.buf[0] &^ statusChance
	switch status {
	case want, statusError, statusLimit:
	default:
		return 0, 0, &stop{Crashed, fmt.Sprintf("answered with status %d", c.buf[0])}
	}
	c.chance = c.chance || c.buf[0] != status
	announced := int64(binary.LittleEndian.Uint32(c.buf[1:]))
	if announced <= mostPayload(status, c.limits) {
		return status, int(announced), nil
	}
	if status == statusOutput || status == statusValue {
		return 0, 0, &stop{OutputLimit, fmt.Sprintf("answered %d bytes, limit %d", announced, c.limits.Output)}
	}
	return 0, 0, &stop{Crashed, fmt.Sprintf("answered status %d with %d bytes", status, announced)}
}

// frame reads the next frame. The payload is valid until the next call. What
// comes beyond the frames asked for is out of turn.
func (c *conversation) frame(want byte) (status byte, payload []byte, err error) {
	c.have = copy(c.buf, c.buf[c.used:c.have])
	c.used = 0
	for c.have < frameHeader {
		if err := c.fill(); err != nil {
			return 0, nil, err
		}
	}
	status, size, err := c.header(want)
	if err != nil {
		return 0, nil, err
	}
	total := frameHeader + size
	for c.have < total {
		if c.have == len(c.buf) {
			// Doubled as the bytes come, not as they are announced.
			c.buf = append(c.buf, make([]byte, min(len(c.buf), total-len(c.buf)))...)
		}
		if err := c.fill(); err != nil {
			return 0, nil, err
		}
	}
	c.used = total
	c.asked--
	// Nothing follows a failure either.
	if (c.asked == 0 || status != want) && c.have > total {
		return 0, nil, outOfTurn()
	}
	return status, c.buf[frameHeader:total], nil
}

// answer reads the frame that ends a test, and judges the test by its clocks:
// an answer that took too long is none.
func (c *conversation) answer(want byte) ([]byte, error) {
	status, payload, err := c.frame(want)
	if err != nil {
		return nil, err
	}
	if err := c.clocks.read(c.pid); err != nil {
		return nil, err
	}
	if c.stretch != nil && c.clocks.now-c.clocks.asked > c.limits.CPU {
		if _, threads, err := stateOf(c.pid); err == nil {
			c.stretched(threads) // a busy machine may not have let us look since the limit, or at all
		}
	}
	if err := c.clocks.answered(c.limits, c.asked > 0 && status == want); err != nil {
		return nil, err
	}
	c.timed()
	switch status {
	case statusError:
		return nil, raisedIn(payload, want == statusLoaded)
	case statusLimit:
		return nil, &stop{OutputLimit, fmt.Sprintf("more than %d bytes", c.limits.Output)}
	}
	return payload, nil
}

// raised is the error that stands for an exception of the program.
type raised struct{ Raised }

func (r *raised) Error() string { return r.Type + ": " + r.Message }

// outOfMemory reports whether the program was told that there is no more memory,
// by the interpreter or by the kernel.
func (r *raised) outOfMemory() bool {
	return r.Type == "MemoryError" || r.Type == "OSError" && strings.HasPrefix(r.Message, "[Errno 12] ")
}

// outOfThreads reports whether the program could not start another thread.
func (r *raised) outOfThreads() bool {
	return r.Type == "RuntimeError" && r.Message == "can't start new thread"
}

// An error frame is this text and no other: every field once, in this order, in
// ASCII, its numbers within range.
var errorFrame = regexp.MustCompile(`^\{"type":("(?:[ !#-\[\]-~]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"),` +
	`"message":("(?:[ !#-\[\]-~]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"),` +
	`"line":([0-9]{1,9}),"where":"(load|test)","code":(-[345])\}$`)

// raisedIn decodes an error frame, of the load or of a test. What the driver
// cannot have said is a *stop.
func raisedIn(payload []byte, loading bool) error {
	forged := &stop{Crashed, "answered an error that is none"}
	if !errorFrame.Match(payload) {
		return forged
	}
	e := new(raised)
	if json.Unmarshal(payload, &e.Raised) != nil {
		return forged
	}
	// The official runner has no time limit for what is loaded.
	if (e.Where == "load") != loading || loading && e.Code == -3 {
		return forged
	}
	e.Type, e.Message = cut(e.Type), cut(e.Message)
	return e
}

// mostText bounds a type's name and a message, in bytes: the driver's bounds
// are in characters.
const mostText = 4 * 300

func cut(s string) string {
	if len(s) <= mostText {
		return s
	}
	return strings.ToValidUTF8(s[:mostText], "")
}

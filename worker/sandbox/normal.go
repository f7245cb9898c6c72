package sandbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lcbq/lcbq/worker/sandbox/driver"
)

// noQuestion is what zygote.py knows as NO_QUESTION.
const noQuestion = math.MaxUint32

// mostNormal bounds the texts whose normal form is asked for, in bytes, as normal.py does in
// characters.
const mostNormal = 64 << 10

// normalLimits bound the making of a normal form: a hundred times what a usual program takes.
// What takes longer has none.
var normalLimits = Limits{
	CPU: 300 * time.Millisecond, Wall: 6 * time.Second, Hard: time.Minute, Memory: 1 << 30, Output: 16 << 20,
}

// Normal returns the digest of source's normal form: programs of one kind of question with the
// same digest differ in comments, docstrings and layout only, and end alike but for the line
// of an exception. It reports false for a source that has none, because it may look at its
// own text, does not compile, or is too large.
//
// The form is made by a process confined as a program is, which never runs the source. Its
// error says nothing of the source.
func (s *Slot) Normal(ctx context.Context, source string) (form [sha256.Size]byte, ok bool, err error) {
	if s.closed {
		return form, false, ErrClosed
	}
	if ctx.Err() != nil { // an answer may be faster than the end of ctx
		return form, false, fmt.Errorf("make normal form: %w", context.Cause(ctx))
	}
	if s.host.config.NoNormalForm || len(source) > mostNormal {
		return form, false, nil
	}
	srv, err := s.server(plain)
	if err != nil {
		return form, false, fmt.Errorf("make normal form: %w", err)
	}
	c, err := s.converse(srv, noQuestion, 0, 1)
	if err != nil {
		s.discard(plain)
		return form, false, fmt.Errorf("make normal form: %w", err)
	}
	defer s.hangUp(c)
	c.limits = normalLimits
	if s.host.config.normal > 0 {
		c.limits.CPU = s.host.config.normal
	}
	release := c.watch(ctx)
	c.asked = 1
	var payload []byte
	if err = c.hand(message(source, driver.Text{})); err == nil {
		payload, err = c.answer(statusOutput)
	}
	release()
	// A hash of its own kind: no source has the digest of a form.
	sum := sha256.Sum256(append([]byte("normal form\x00"), payload...))
	r, err := s.settle(ctx, srv, c, Result{}, err)
	if err != nil {
		if errors.Is(err, errServer) {
			s.discard(plain)
		}
		return form, false, fmt.Errorf("make normal form: %w", err)
	}
	if r.Outcome != Accepted || len(payload) == 0 {
		return form, false, nil
	}
	return sum, true, nil
}

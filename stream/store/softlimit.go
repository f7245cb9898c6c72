package store

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream/link"
)

// A SoftLimit is beyond which processor time an audited time limit stops the programs of one
// question. Who writes it first has written it for the whole run: all evaluators stop at the
// same limits.
type SoftLimit struct {
	Least  float64         `json:"least_s"`         // of every test
	Tests  map[int]float64 `json:"tests,omitempty"` // of the tests that have a longer one, and of the load as test -1
	Judged int             `json:"judged"`          // distinct programs that it was learned from
	Passed int             `json:"passed"`          // of those, the ones that passed
}

// softLimitSubject returns where the soft limit of a question is kept. No run id holds a tilde.
func softLimitSubject(run string, question int) string {
	return JudgeSubject(run + "~q" + strconv.Itoa(question))
}

// check refuses a soft limit that no lcbq wrote. What it cannot refuse costs time or precision:
// whatever the limit, the corrected counts are unbiased.
func (l *SoftLimit) check() error {
	for test, s := range l.Tests {
		if test < -1 || !(s >= l.Least) || math.IsInf(s, 1) {
			return fmt.Errorf("test %d has %v s: %w", test, s, ErrUnreadable)
		}
	}
	if !(l.Least >= LeastSoftLimit) || math.IsInf(l.Least, 1) {
		return fmt.Errorf("least_s = %v: %w", l.Least, ErrUnreadable)
	}
	return nil
}

// LeastSoftLimit is below which no soft limit is, in seconds.
const LeastSoftLimit = 1

// SoftLimit returns the soft limit of a run's question, or ErrNotFound while there is none.
func (s *Store) SoftLimit(ctx context.Context, run string, question int) (*SoftLimit, error) {
	subject := softLimitSubject(run, question)
	var text []byte
	err := each(ctx, s.js, JudgeStream, subject, 1, func(m *jetstream.RawStreamMsg) error {
		text = m.Data
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", subject, err)
	}
	if text == nil {
		return nil, fmt.Errorf("read %s: %w", subject, ErrNotFound)
	}
	var l SoftLimit
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", subject, ErrUnreadable, err)
	}
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("read %s: %w", subject, err)
	}
	return &l, nil
}

// PutSoftLimit sets the soft limit of a run's question unless there is one, and returns the one
// that holds from now on.
func (s *Store) PutSoftLimit(ctx context.Context, run string, question int, l *SoftLimit) (*SoftLimit, error) {
	subject := softLimitSubject(run, question)
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("write %s: %w", subject, err)
	}
	body, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", subject, err)
	}
	_, err = link.Repeat(ctx, s.conn, func(ctx context.Context) (*jetstream.PubAck, error) {
		return s.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: body},
			jetstream.WithExpectLastSequencePerSubject(0), jetstream.WithExpectStream(JudgeStream))
	})
	if err != nil && !wrongRevision(err) {
		return nil, fmt.Errorf("write %s: %w", subject, err)
	}
	return s.SoftLimit(ctx, run, question)
}

package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/link"
)

// A Look is what the server says of a stage at one moment.
type Look struct {
	At       time.Time          // by the server's clock
	Messages uint64             // in the stream, of all runs
	Bytes    uint64             // on disk
	Most     int64              // bytes that the stream may hold; 0 if only the server's disk limits it
	Runs     map[string]RunLook // by run, of those that have a consumer; "" is all runs, in COMBINE
}

// A RunLook is what of a stage's units is one run's.
type RunLook struct {
	Paused   bool
	Waiting  uint64 // units stored and not handed out
	InFlight int    // units handed out and not settled
	Again    int    // units in flight that were handed out before
}

// Look reads a stage with two requests, whatever it holds.
func (q *Queue) Look(ctx context.Context, stage stream.Stage) (Look, error) {
	s, err := q.stream(ctx, stage.Stream())
	if err != nil {
		return Look{}, err
	}
	info, err := q.info(ctx, s, stage.Stream())
	if err != nil {
		return Look{}, err
	}
	look := Look{At: info.TimeStamp, Messages: info.State.Msgs, Bytes: info.State.Bytes, Runs: make(map[string]RunLook)}
	look.Most, _ = strconv.ParseInt(info.Config.Metadata[allotted], 10, 64) // absent where lcbq did not declare it
	all, err := q.list(ctx, s, stage.Stream())
	if err != nil {
		return Look{}, err
	}
	for _, c := range all {
		run, ok := strings.CutPrefix(c.Name, consumers[stage])
		if slices.Contains(workStages, stage) {
			run, ok = strings.CutPrefix(c.Name, consumers[stage]+"-")
		}
		if ok {
			look.Runs[run] = RunLook{Paused: c.Paused, Waiting: c.NumPending, InFlight: max(0, c.NumAckPending), Again: c.NumRedelivered}
		}
	}
	return look, nil
}

// DeadMessages returns how many units were given up, of all runs. It costs one request,
// however many there are.
func (q *Queue) DeadMessages(ctx context.Context) (uint64, error) {
	s, err := q.stream(ctx, stream.DeadStream)
	if err != nil {
		return 0, err
	}
	info, err := q.info(ctx, s, stream.DeadStream)
	if err != nil {
		return 0, err
	}
	return info.State.Msgs, nil
}

// info reads what the server says of a stream.
func (q *Queue) info(ctx context.Context, s jetstream.Stream, name string) (*jetstream.StreamInfo, error) {
	info, err := link.Repeat(ctx, q.js.Conn(), func(ctx context.Context) (*jetstream.StreamInfo, error) { return s.Info(ctx) })
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, fmt.Errorf("stream %s: %w", name, ErrNotDeclared)
	case err != nil:
		return nil, fmt.Errorf("read stream %s: %w", name, err)
	}
	return info, nil
}

// list reads the consumers of a stream. It makes none.
func (q *Queue) list(ctx context.Context, s jetstream.Stream, name string) ([]*jetstream.ConsumerInfo, error) {
	all, err := link.Repeat(ctx, q.js.Conn(), func(ctx context.Context) (all []*jetstream.ConsumerInfo, err error) {
		l := s.ListConsumers(ctx)
		for info := range l.Info() {
			all = append(all, info)
		}
		return all, l.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list consumers of %s: %w", name, err)
	}
	return all, nil
}

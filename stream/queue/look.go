package queue

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lcbq/lcbq/stream"
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
	info, err := s.Info(ctx)
	if err != nil {
		return Look{}, fmt.Errorf("read stream %s: %w", stage.Stream(), err)
	}
	look := Look{At: info.TimeStamp, Messages: info.State.Msgs, Bytes: info.State.Bytes, Runs: make(map[string]RunLook)}
	look.Most, _ = strconv.ParseInt(info.Config.Metadata[allotted], 10, 64) // absent where lcbq did not declare it
	l := s.ListConsumers(ctx)
	for c := range l.Info() {
		run, ok := strings.CutPrefix(c.Name, consumers[stage])
		if slices.Contains(workStages, stage) {
			run, ok = strings.CutPrefix(c.Name, consumers[stage]+"-")
		}
		if ok {
			look.Runs[run] = RunLook{Paused: c.Paused, Waiting: c.NumPending, InFlight: max(0, c.NumAckPending), Again: c.NumRedelivered}
		}
	}
	if err := l.Err(); err != nil {
		return Look{}, fmt.Errorf("list consumers of %s: %w", stage.Stream(), err)
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
	info, err := s.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read stream %s: %w", stream.DeadStream, err)
	}
	return info.State.Msgs, nil
}

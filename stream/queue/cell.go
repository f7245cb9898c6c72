package queue

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/link"
)

// Units returns the indices of the cell's units that are stored at stage.
func (q *Queue) Units(ctx context.Context, stage stream.Stage, c stream.Cell) (map[int]bool, error) {
	units := make(map[int]bool)
	err := q.each(ctx, stage.Stream(), c.Filter(stage), func(subject string) error {
		_, u, err := stream.ParseSubject(subject)
		if err != nil {
			return err
		}
		units[u.Index] = true
		return nil
	})
	return units, err
}

// each calls f with every subject of the stream that matches filter. The filter
// must be narrow: the server builds the whole list at once.
func (q *Queue) each(ctx context.Context, name, filter string, f func(subject string) error) error {
	s, err := q.stream(ctx, name)
	if err != nil {
		return err
	}
	info, err := link.Repeat(ctx, q.js.Conn(), func(ctx context.Context) (*jetstream.StreamInfo, error) {
		return s.Info(ctx, jetstream.WithSubjectFilter(filter))
	})
	if err != nil {
		return fmt.Errorf("list subjects %s: %w", filter, err)
	}
	for subject := range info.State.Subjects {
		if err := f(subject); err != nil {
			return err
		}
	}
	return nil
}

// Purge removes all units of the cell at stage. Call it only when the cell's
// state says that it is done: the subjects are the ledger until then.
func (q *Queue) Purge(ctx context.Context, stage stream.Stage, c stream.Cell) error {
	return q.purge(ctx, stage.Stream(), c.Filter(stage))
}

func (q *Queue) purge(ctx context.Context, name, filter string) error {
	s, err := q.stream(ctx, name)
	if err != nil {
		return err
	}
	_, err = link.Repeat(ctx, q.js.Conn(), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.Purge(ctx, jetstream.WithPurgeSubject(filter))
	})
	if err != nil {
		return fmt.Errorf("purge %s: %w", filter, err)
	}
	return nil
}

// Remove removes one unit at stage, if it is there: a late duplicate of a cell
// that is done.
func (q *Queue) Remove(ctx context.Context, stage stream.Stage, u stream.Unit) error {
	return q.purge(ctx, stage.Stream(), u.Subject(stage))
}

// QuestionUnits returns the units of one question of a run that are stored at
// stage, at all temperatures.
func (q *Queue) QuestionUnits(ctx context.Context, stage stream.Stage, run string, question int) ([]stream.Unit, error) {
	var units []stream.Unit
	err := q.each(ctx, stage.Stream(), fmt.Sprintf("%s.%s.q%d.>", stage, run, question), func(subject string) error {
		_, u, err := stream.ParseSubject(subject)
		units = append(units, u)
		return err
	})
	return units, err
}

// A Lag is what waits in one stage.
type Lag struct {
	Waiting     uint64 `json:"waiting"`     // units stored and not handed out
	InFlight    int    `json:"in_flight"`   // units handed out and not settled
	Redelivered int    `json:"redelivered"` // units in flight that were handed out before
	Stored      uint64 `json:"stored"`      // messages in the stream
	Bytes       uint64 `json:"bytes"`       // on disk
}

// Lag returns what waits in stage, as `nats consumer report` counts it, over all
// runs.
func (q *Queue) Lag(ctx context.Context, stage stream.Stage) (Lag, error) {
	s, err := q.stream(ctx, stage.Stream())
	if err != nil {
		return Lag{}, err
	}
	infos, err := q.laneInfos(ctx, stage)
	if err != nil {
		return Lag{}, err
	}
	si, err := s.Info(ctx)
	if err != nil {
		return Lag{}, fmt.Errorf("read stream %s: %w", stage.Stream(), err)
	}
	lag := Lag{Stored: si.State.Msgs, Bytes: si.State.Bytes}
	for _, info := range infos {
		lag.Waiting += info.NumPending
		lag.InFlight += info.NumAckPending
		lag.Redelivered += info.NumRedelivered
	}
	return lag, nil
}

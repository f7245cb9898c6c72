package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
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

// eachPage is each for a filter that is wide: no more than a page of subjects is held
// here at any time. A subject that comes or goes meanwhile may be overlooked or seen
// twice.
func (q *Queue) eachPage(ctx context.Context, name, filter string, f func(subject string) error) error {
	for offset := 0; ; {
		page, total, err := q.page(ctx, name, filter, offset)
		if err != nil {
			return fmt.Errorf("list subjects %s: %w", filter, err)
		}
		for subject := range page {
			if err := f(subject); err != nil {
				return err
			}
		}
		if offset += len(page); len(page) == 0 || offset >= total {
			return nil
		}
	}
}

// page asks the server for the subjects from offset on, as many as it gives at once,
// and how many there are in all. The client library knows only all of them.
func (q *Queue) page(ctx context.Context, name, filter string, offset int) (subjects map[string]uint64, total int, err error) {
	request, err := json.Marshal(map[string]any{"subjects_filter": filter, "offset": offset})
	if err != nil {
		return nil, 0, err
	}
	opts := q.js.Options()
	prefix := cmp.Or(opts.APIPrefix, jetstream.DefaultAPIPrefix)
	if opts.Domain != "" {
		prefix = "$JS." + opts.Domain + ".API."
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(opts.DefaultTimeout, pageWait))
	defer cancel()
	reply, err := link.Repeat(ctx, q.js.Conn(), func(ctx context.Context) (*nats.Msg, error) {
		return q.js.Conn().RequestWithContext(ctx, prefix+"STREAM.INFO."+name, request)
	})
	if err != nil {
		return nil, 0, err
	}
	var said struct {
		Total int                 `json:"total"`
		Error *jetstream.APIError `json:"error"`
		State struct {
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	if err := json.Unmarshal(reply.Data, &said); err != nil {
		return nil, 0, err
	}
	if said.Error != nil {
		return nil, 0, said.Error
	}
	return said.State.Subjects, said.Total, nil
}

// pageWait bounds the wait for one page where the client has no default of its own.
const pageWait = 30 * time.Second

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

// Delete removes the one message of a stage that has the sequence, if it is there, and overwrites it.
func (q *Queue) Delete(ctx context.Context, stage stream.Stage, sequence uint64) error {
	s, err := q.stream(ctx, stage.Stream())
	if err != nil {
		return err
	}
	_, err = link.Repeat(ctx, q.js.Conn(), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.SecureDeleteMsg(ctx, sequence)
	})
	if err == nil {
		return nil
	}
	if _, _, gone := q.At(ctx, stage, sequence); errors.Is(gone, ErrNotFound) {
		return nil
	}
	return fmt.Errorf("delete message %d of %s: %w", sequence, stage.Stream(), err)
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
	all, err := q.Consumers(ctx, stage, nil)
	if err != nil {
		return Lag{}, err
	}
	si, err := q.info(ctx, s, stage.Stream())
	if err != nil {
		return Lag{}, err
	}
	lag := Lag{Stored: si.State.Msgs, Bytes: si.State.Bytes}
	for _, c := range all {
		lag.Waiting += c.Waiting
		lag.InFlight += c.InFlight
		lag.Redelivered += c.Again
	}
	return lag, nil
}

// RunLag returns what waits in stage of one run. Its bytes, and all of the combiner's stage, are those of the
// server: its runs share them.
func (q *Queue) RunLag(ctx context.Context, stage stream.Stage, run string) (Lag, error) {
	lag, err := q.Lag(ctx, stage)
	if err != nil || !slices.Contains(workStages, stage) {
		return lag, err
	}
	all, err := q.Consumers(ctx, stage, nil)
	if err != nil {
		return Lag{}, err
	}
	own := Lag{Bytes: lag.Bytes}
	for _, c := range all {
		if c.Run == run {
			own.Waiting, own.InFlight, own.Redelivered = c.Waiting, c.InFlight, c.Again
			own.Stored = c.Waiting + uint64(max(0, c.InFlight))
		}
	}
	return own, nil
}

// CountRun returns how many messages of a run are stored in all stages and among the
// units given up. It reads the stages in the order in which units move, so that a unit that
// moves meanwhile is counted at least once. Given-up units move both ways: it reads them
// before and after.
func (q *Queue) CountRun(ctx context.Context, run string) (int, error) {
	return q.countRun(ctx, run, func(stage stream.Stage) (int, error) {
		return q.count(ctx, stage.Stream(), runFilter(stage, run))
	})
}

// CountServed is CountRun by what the consumers of GENERATE and EVALUATE know, which is never more. For CountRun
// the server lists all subjects of a run: of 280,000 that takes it half a second of a processor.
func (q *Queue) CountServed(ctx context.Context, run string) (int, error) {
	return q.countRun(ctx, run, func(stage stream.Stage) (int, error) {
		if !ofRuns(stage) {
			return q.count(ctx, stage.Stream(), runFilter(stage, run))
		}
		all, err := q.Consumers(ctx, stage, nil)
		n := 0
		for _, c := range all {
			if c.Run == run {
				n += int(c.Waiting) + max(0, c.InFlight) //nolint:gosec // a count of messages fits
			}
		}
		return n, err
	})
}

func (q *Queue) countRun(ctx context.Context, run string, at func(stream.Stage) (int, error)) (int, error) {
	dead, err := q.count(ctx, stream.DeadStream, deadFilter(run))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, stage := range stream.Stages {
		stored, err := at(stage)
		if err != nil {
			return 0, err
		}
		n += stored
	}
	after, err := q.count(ctx, stream.DeadStream, deadFilter(run))
	return n + max(dead, after), err
}

// count returns how many subjects of a stream match filter, without listing them.
func (q *Queue) count(ctx context.Context, name, filter string) (int, error) {
	_, total, err := q.page(ctx, name, filter, beyond)
	if err != nil {
		return 0, fmt.Errorf("count subjects %s: %w", filter, err)
	}
	return total, nil
}

// beyond is an offset at which no stream has a subject: the server then says only how
// many there are.
const beyond = math.MaxInt32

// PurgeRun removes all units of a run from all stages and from the units given up.
// Only a run that is cancelled may be purged: the subjects are its ledger.
func (q *Queue) PurgeRun(ctx context.Context, run string) error {
	for _, stage := range stream.Stages {
		if err := q.purge(ctx, stage.Stream(), runFilter(stage, run)); err != nil {
			return err
		}
	}
	return q.purge(ctx, stream.DeadStream, deadFilter(run))
}

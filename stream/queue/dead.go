package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
)

// Bury stores d under its subject in DEAD. A message already there is success: a
// unit dies once. A subject that is not one of lcbq's own, a stranger's publish,
// is buried as it is.
func (q *Queue) Bury(ctx context.Context, d stream.Dead) error {
	body, err := stream.Encode(d)
	if err != nil {
		return err
	}
	_, err = q.put(ctx, stream.DeadStream, "dead."+d.Subject, body)
	return err
}

// DeadUnits returns the units given up of a run, or of all runs if run is empty.
func (q *Queue) DeadUnits(ctx context.Context, run string) ([]stream.Dead, error) {
	filter := "dead.>"
	if run != "" {
		filter = "dead.*." + run + ".>"
	}
	var dead []stream.Dead
	err := q.each(ctx, stream.DeadStream, filter, func(subject string) error {
		msg, err := q.last(ctx, stream.DeadStream, subject)
		if errors.Is(err, ErrNotFound) {
			return nil // requeued since it was listed
		}
		if err != nil {
			return err
		}
		var d stream.Dead
		if err := stream.Decode(msg.Data, &d); err != nil {
			return fmt.Errorf("read %s: %w", subject, err)
		}
		dead = append(dead, d)
		return nil
	})
	return dead, err
}

// Requeue puts a dead unit back where it was and removes it from DEAD. A crash
// between the two leaves both; the unit's unique subjects keep that harmless.
func (q *Queue) Requeue(ctx context.Context, d stream.Dead) error {
	stage, _, _ := strings.Cut(d.Subject, ".")
	if _, err := q.put(ctx, stream.Stage(stage).Stream(), d.Subject, d.Body); err != nil {
		return err
	}
	s, err := q.stream(ctx, stream.DeadStream)
	if err != nil {
		return err
	}
	if err := s.Purge(ctx, jetstream.WithPurgeSubject("dead."+d.Subject)); err != nil {
		return fmt.Errorf("remove dead.%s: %w", d.Subject, err)
	}
	return nil
}

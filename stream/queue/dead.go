package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/stream"
)

// Bury stores d under its subject in DEAD. A message already there is success: a
// unit dies once. A subject that is not one of lcbq's own, a stranger's publish,
// is buried as it is.
func (q *Queue) Bury(ctx context.Context, d stream.Dead) error {
	if d.Stage == "" {
		stage, _, _ := strings.Cut(d.Subject, ".")
		d.Stage = stream.Stage(stage)
	}
	body, err := stream.Encode(d)
	if err != nil {
		return err
	}
	_, err = q.put(ctx, stream.DeadStream, "dead."+d.Subject, body)
	return err
}

// DeadUnits returns the units given up of a run, or of all runs if run is empty,
// in the order of their subjects. It reads each one: to count them use DeadCount.
func (q *Queue) DeadUnits(ctx context.Context, run string) ([]stream.Dead, error) {
	subjects, err := q.deadSubjects(ctx, run)
	if err != nil {
		return nil, err
	}
	slices.Sort(subjects)
	var dead []stream.Dead
	for _, subject := range subjects {
		d, err := q.DeadUnit(ctx, strings.TrimPrefix(subject, "dead."))
		if errors.Is(err, ErrNotFound) {
			continue // requeued since it was listed
		}
		if err != nil {
			return nil, err
		}
		dead = append(dead, d)
	}
	return dead, nil
}

// DeadUnit returns the unit that was given up under subject, or ErrNotFound.
func (q *Queue) DeadUnit(ctx context.Context, subject string) (stream.Dead, error) {
	var d stream.Dead
	msg, err := q.last(ctx, stream.DeadStream, "dead."+subject)
	if err != nil {
		return d, err
	}
	// Workers may publish under the subjects of their stage alone. What they write there may be anything, and name another
	// unit.
	if err := stream.Decode(msg.Data, &d); err != nil {
		d = stream.Dead{Reason: stream.Poison, Error: "no lcbq wrote what was said of it", Body: msg.Data, At: msg.Time.UnixMilli()}
	}
	if d.Subject != subject {
		stage, _, _ := strings.Cut(subject, ".")
		d.Subject, d.Stage = subject, stream.Stage(stage)
	}
	return d, nil
}

// DeadCount returns how many units of a run were given up, or of all runs if run is
// empty.
func (q *Queue) DeadCount(ctx context.Context, run string) (int, error) {
	return q.count(ctx, stream.DeadStream, deadFilter(run))
}

// deadFilter matches the units given up of a run, or of all runs if run is empty.
func deadFilter(run string) string {
	if run == "" {
		return "dead.>"
	}
	return "dead.*." + run + ".>"
}

func (q *Queue) deadSubjects(ctx context.Context, run string) ([]string, error) {
	var subjects []string
	err := q.each(ctx, stream.DeadStream, deadFilter(run), func(subject string) error {
		subjects = append(subjects, subject)
		return nil
	})
	return subjects, err
}

// DeadIn returns the units given up of a question, or of a whole run if question
// is negative, with the stage in which each was given up.
func (q *Queue) DeadIn(ctx context.Context, run string, question int) (map[stream.Unit]stream.Stage, error) {
	filter := deadFilter(run)
	if question >= 0 {
		filter = fmt.Sprintf("dead.*.%s.q%d.>", run, question)
	}
	units := make(map[stream.Unit]stream.Stage)
	err := q.each(ctx, stream.DeadStream, filter, func(subject string) error {
		stage, u, err := stream.ParseSubject(strings.TrimPrefix(subject, "dead."))
		if err == nil {
			units[u] = stage
		}
		return nil
	})
	return units, err
}

// DeadOf returns the units given up of a cell, by index, with the stages in which
// each was given up.
func (q *Queue) DeadOf(ctx context.Context, c stream.Cell) (map[int][]stream.Stage, error) {
	units := make(map[int][]stream.Stage)
	err := q.each(ctx, stream.DeadStream, "dead.*."+c.Key()+".>", func(subject string) error {
		stage, u, err := stream.ParseSubject(strings.TrimPrefix(subject, "dead."))
		if err == nil {
			units[u.Index] = append(units[u.Index], stage)
		}
		return nil
	})
	return units, err
}

// Requeue puts a dead unit back where it was and removes it from DEAD. A crash
// between the two leaves both; the unit's unique subjects keep that harmless.
//
// COMBINE keeps the units that were given up. There the unit is removed first, so that it
// is a new message for the combiner. DEAD holds it meanwhile.
func (q *Queue) Requeue(ctx context.Context, d stream.Dead) error {
	stage, u, err := stream.ParseSubject(d.Subject)
	if err != nil {
		return fmt.Errorf("requeue: %w\nit is no unit of lcbq's; remove it with 'nats stream purge %s --subject dead.%s'", err, stream.DeadStream, d.Subject)
	}
	if stage == stream.Combine {
		if err := q.Remove(ctx, stage, u); err != nil {
			return err
		}
	}
	if _, err := q.put(ctx, stage.Stream(), d.Subject, d.Body); err != nil {
		return err
	}
	return q.Forgive(ctx, stage, u)
}

// Forgive removes a unit from DEAD, if it is there.
func (q *Queue) Forgive(ctx context.Context, stage stream.Stage, u stream.Unit) error {
	return q.purge(ctx, stream.DeadStream, u.DeadSubject(stage))
}

// ForgiveCombine removes from DEAD the units of a run that the combiner gave up.
// They still lie in COMBINE, and the next look at their cells decides again.
func (q *Queue) ForgiveCombine(ctx context.Context, run string) error {
	return q.purge(ctx, stream.DeadStream, "dead."+runFilter(stream.Combine, run))
}

package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
)

// A Steward looks after what no worker is handed: units whose workers died as often
// as the server lets them, units that another program took off their queue, units
// of runs that are cancelled or never were. It keeps the lanes as the manifests
// say. One runs beside every combiner; several do no harm.
type Steward struct {
	Sweeper
	Log   *slog.Logger
	Every time.Duration // interval of its rounds; stewardEvery if 0
}

const stewardEvery = 5 * time.Second

// advisoriesAtOnce bounds what a round holds in memory.
const advisoriesAtOnce = 100

// Run makes rounds until ctx is done. A round that fails is logged and made again.
func (s *Steward) Run(ctx context.Context) {
	tick := time.NewTicker(cmp.Or(s.Every, stewardEvery))
	defer tick.Stop()
	failing := false
	for {
		err := s.Round(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			s.Log.Warn("units that no worker is handed were not looked after, trying again", "err", err)
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Round does once what is to be done now.
func (s *Steward) Round(ctx context.Context) error {
	if err := s.Arrange(ctx); err != nil {
		return err
	}
	runs, err := s.Store.Runs(ctx)
	if err != nil {
		return err
	}
	known := make(map[string]*store.Manifest, len(runs))
	for _, m := range runs {
		known[m.ID] = m
		if m.Cancelled != 0 { // what its workers still held
			if err := s.Queue.PurgeRun(ctx, m.ID); err != nil {
				return err
			}
		}
	}
	for _, stage := range []stream.Stage{stream.Generate, stream.Evaluate} {
		strays, err := s.Queue.Strays(ctx, stage)
		if err != nil {
			return err
		}
		for _, stray := range strays {
			if err := s.stray(ctx, stage, stray, known); err != nil {
				return err
			}
		}
	}
	return s.advisories(ctx, known)
}

// stray takes care of a message that no lane serves.
func (s *Steward) stray(ctx context.Context, stage stream.Stage, stray queue.Stray, known map[string]*store.Manifest) error {
	_, u, err := stream.ParseSubject(stray.Subject)
	switch m := known[u.Run]; {
	case err != nil:
	case m == nil:
		if _, _, err = s.Store.Run(ctx, u.Run); !errors.Is(err, store.ErrNotFound) {
			return err // submitted since the round began, or not to be read now
		}
	case m.Open():
		return nil // its lane is on its way
	default:
		settled, err := s.settled(ctx, m, stage, u)
		if err != nil || !settled {
			return err
		}
		return s.Queue.RemoveSubject(ctx, stage, stray.Subject)
	}
	return s.bury(ctx, stream.Dead{
		Subject: stray.Subject, Stage: stage, Reason: stream.Poison, Error: err.Error(), Body: stray.Body,
	})
}

// bury puts a message among the dead and takes it off its work queue.
func (s *Steward) bury(ctx context.Context, d stream.Dead) error {
	d.Worker, d.At = "steward", time.Now().UnixMilli()
	s.Log.Error("unit given up", "subject", d.Subject, "reason", d.Reason, "err", d.Error, "deliveries", d.Deliveries)
	if err := s.Queue.Bury(ctx, d); err != nil {
		return err
	}
	if d.Stage == stream.Combine {
		return nil // the ledger: the unit counts once its cell can be written
	}
	return s.Queue.RemoveSubject(ctx, d.Stage, d.Subject)
}

// settled reports whether a unit at stage has nothing left to do there: its output
// exists.
func (s *Steward) settled(ctx context.Context, m *store.Manifest, stage stream.Stage, u stream.Unit) (bool, error) {
	later := false
	for _, st := range stream.Stages {
		if later {
			if there, err := s.Queue.Has(ctx, st, u); there || err != nil {
				return there, err
			}
		}
		later = later || st == stage
	}
	q, ok := m.Question(u.Question)
	if tasks := m.Tasks(q, u.Temperature); ok && u.Index < len(tasks) {
		return s.Store.CellDone(ctx, u.Cell, tasks[u.Index].First+tasks[u.Index].N)
	}
	return false, nil
}

// advisories takes care of the units that the server hands out no more.
func (s *Steward) advisories(ctx context.Context, known map[string]*store.Manifest) error {
	for {
		batch, err := s.Queue.Advisories(ctx, advisoriesAtOnce)
		if err != nil {
			return err
		}
		for _, a := range batch {
			gone, err := s.advised(ctx, a, known)
			if err != nil {
				return fmt.Errorf("look after message %d of %s: %w", a.Sequence, a.Stage.Stream(), err)
			}
			if gone {
				if err := s.buryLost(ctx, a); err != nil {
					return err
				}
			}
			if err := a.Settle(); err != nil {
				return err
			}
		}
		if len(batch) < advisoriesAtOnce {
			return nil
		}
	}
}

// advised takes care of one unit. It reports true if the unit's message is gone, and
// with it what it was.
func (s *Steward) advised(ctx context.Context, a *queue.Advisory, known map[string]*store.Manifest) (lost bool, err error) {
	subject, body, err := s.Queue.At(ctx, a.Stage, a.Sequence)
	if errors.Is(err, queue.ErrNotFound) {
		return a.Exit == queue.Terminated && a.Stage != stream.Combine, nil
	}
	if err != nil {
		return false, err
	}
	if _, u, err := stream.ParseSubject(subject); err == nil && known[u.Run] != nil {
		settled, err := s.settled(ctx, known[u.Run], a.Stage, u)
		if err != nil {
			return false, err
		}
		if settled {
			return false, s.Queue.RemoveSubject(ctx, a.Stage, subject)
		}
	}
	d := stream.Dead{Subject: subject, Stage: a.Stage, Deliveries: a.Deliveries, Body: body}
	switch a.Exit {
	case queue.MaxDeliveries:
		d.Reason = stream.Unanswered
		d.Error = fmt.Sprintf("handed out %d times, and no worker lived to answer for it", a.Deliveries)
	case queue.Terminated:
		d.Reason, d.Error = stream.Terminated, terminated(a)
	}
	return false, s.bury(ctx, d)
}

func terminated(a *queue.Advisory) string {
	text := "another program took it off its queue"
	if a.Reason != "" {
		text += ": " + a.Reason
	}
	return text
}

// buryLost finds which unit another program took off its queue, by what is missing,
// and puts it among the dead as one to generate: its message is gone.
func (s *Steward) buryLost(ctx context.Context, a *queue.Advisory) error {
	runs, err := s.Store.Runs(ctx)
	if err != nil {
		return err
	}
	for _, m := range runs {
		if !m.Open() || !m.Published {
			continue
		}
		absent, err := s.absent(ctx, m)
		if err != nil {
			return err
		}
		for _, task := range absent {
			body, err := stream.Encode(task)
			if err != nil {
				return err
			}
			d := stream.Dead{
				Subject: task.Subject(stream.Generate), Stage: stream.Generate, Reason: stream.Terminated, Error: terminated(a),
				Deliveries: a.Deliveries, Body: body,
			}
			if err := s.bury(ctx, d); err != nil {
				return err
			}
		}
	}
	return nil
}

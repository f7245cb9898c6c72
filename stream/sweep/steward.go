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

// A Steward looks after units that no worker will get: those whose deliveries are used up,
// those that another program took off their queue, and those of runs that are cancelled or
// do not exist. It keeps the consumers as the manifests say, and logs which runs have lost
// units. One runs beside every combiner; several do no harm. Its fields below Every belong
// to the goroutine that calls Run or Round.
type Steward struct {
	Sweeper
	Log   *slog.Logger
	Every time.Duration // interval of its rounds; stewardEvery if 0

	rounds int
	lost   map[string]int    // by run: units found lost, as last logged
	unread map[string]string // by key: why the manifest cannot be read, as last logged
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
			s.last(ctx)
			return
		case err != nil && !failing:
			s.Log.Warn("units that no worker is handed were not looked after, trying again", "err", err)
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.last(ctx)
			return
		}
	}
}

// lastWait bounds the work at the end. The next steward does what is left.
const lastWait = 2 * time.Second

// last removes the consumers of the runs that have ended since the last round.
func (s *Steward) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWait)
	defer cancel()
	if err := s.Serve(ctx); err != nil {
		s.Log.Debug("consumers of ended runs are left behind, for the next combiner to remove", "err", err)
	}
}

// lostEvery is the number of rounds between two counts of the units of each run: about a
// minute. A lost unit stays lost, so there is no hurry.
const lostEvery = 12

// Round looks once at everything. It reads the manifests once.
func (s *Steward) Round(ctx context.Context) error {
	runs, unread, err := s.Store.Runs(ctx)
	if err != nil {
		return err
	}
	s.nameUnread(unread)
	open, keep := served(runs, unread)
	if err := s.Queue.Serve(ctx, open, keep...); err != nil {
		return err
	}
	known := make(map[string]*store.Manifest, len(runs))
	for _, m := range runs {
		known[m.ID] = m
	}
	for _, stage := range []stream.Stage{stream.Generate, stream.Evaluate} {
		err := s.Queue.Strays(ctx, stage, func(strays []queue.Stray) error {
			for _, stray := range strays {
				if err := s.stray(ctx, stage, stray, known); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := s.advisories(ctx, runs, known); err != nil {
		return err
	}
	s.rounds++
	if s.rounds%lostEvery != 1 {
		return nil
	}
	for _, m := range runs {
		if err := s.nameLost(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// nameUnread says which manifests cannot be read, once for each reason.
func (s *Steward) nameUnread(unread []store.Unread) {
	said := make(map[string]string, len(unread))
	for _, u := range unread {
		said[u.Key] = u.Err.Error()
		if s.unread[u.Key] != said[u.Key] {
			s.Log.Error("run is left alone: its manifest cannot be read; all others go on", "run", u.Key, "err", u.Err)
		}
	}
	s.unread = said
}

// nameLost says how many units of a run are in no queue, when that number changes.
func (s *Steward) nameLost(ctx context.Context, m *store.Manifest) error {
	n, err := s.Lost(ctx, m)
	if err != nil {
		return err
	}
	if s.lost == nil {
		s.lost = make(map[string]int)
	}
	if n > 0 && n != s.lost[m.ID] {
		s.Log.Error("units of a run are gone from every queue: without them it cannot end", "run", m.ID, "units", n,
			"remedy", "type the same 'lcbq submit' or 'lcbq run' again: it publishes them, and nothing twice")
	}
	s.lost[m.ID] = n
	return nil
}

// stray takes care of a message that no consumer serves.
func (s *Steward) stray(ctx context.Context, stage stream.Stage, stray queue.Stray, known map[string]*store.Manifest) error {
	_, u, err := stream.ParseSubject(stray.Subject)
	switch m := known[u.Run]; {
	case err != nil:
	case m == nil:
		if _, _, err = s.Store.Run(ctx, u.Run); errors.Is(err, store.ErrUnreadable) {
			return nil // its run cannot be read; other runs go on
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err // submitted since the round began, or not to be read now
		}
	case m.Open():
		return nil // its consumer is being created
	case m.Cancelled != 0: // a worker still held it
		return s.Queue.RemoveSubject(ctx, stage, stray.Subject)
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

// giveUp puts a message into DEAD.
func (s *Steward) giveUp(ctx context.Context, d stream.Dead) error {
	d.Worker, d.At = "steward", time.Now().UnixMilli()
	s.Log.Error("unit given up", "subject", d.Subject, "reason", d.Reason, "err", d.Error, "deliveries", d.Deliveries)
	return s.Queue.Bury(ctx, d)
}

// bury puts a message into DEAD and removes it from its work queue.
func (s *Steward) bury(ctx context.Context, d stream.Dead) error {
	if err := s.giveUp(ctx, d); err != nil {
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
			if there, err := s.Queue.Holds(ctx, st, u, m.Receipts); there || err != nil {
				return there, err
			}
		}
		later = later || st == stage
	}
	if _, task, ok := m.Task(u); ok {
		return s.Store.CellDone(ctx, u.Cell, task.First+task.N)
	}
	return false, nil
}

// advisories handles the units that the server no longer hands out.
func (s *Steward) advisories(ctx context.Context, runs []*store.Manifest, known map[string]*store.Manifest) error {
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
				if err := s.buryLost(ctx, a, runs); err != nil {
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

// advised gives up one unit that the server no longer delivers. It reports lost if the
// unit's message is gone and with it its content.
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

// buryLost finds the unit that another program took off its queue: the one that is missing.
// It puts the unit into DEAD to be generated again, because its message is gone.
func (s *Steward) buryLost(ctx context.Context, a *queue.Advisory, runs []*store.Manifest) error {
	for _, m := range runs {
		if !m.Open() || !m.Published {
			continue
		}
		issuer, err := s.Store.Issuer(ctx, m)
		if err != nil {
			return err
		}
		_, err = s.Audit(ctx, m, func(task stream.Task) error {
			task.Receipt = issuer.Receipt(task.Unit)
			body, err := stream.Encode(task)
			if err != nil {
				return err
			}
			// Nothing of it is in its queue, unless somebody has just put it back.
			return s.giveUp(ctx, stream.Dead{
				Subject: task.Subject(stream.Generate), Stage: stream.Generate, Reason: stream.Terminated, Error: terminated(a),
				Deliveries: a.Deliveries, Body: body,
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
)

// ErrOver says that a run has ended and cannot be paused or cancelled.
var ErrOver = errors.New("nothing of it is left to do")

// Pause stops the handing out of a run's units to workers on all hosts. Units in
// flight are finished, and cells whose units are all judged are written. A run
// that is paused stays so, also over restarts, until Resume.
func (s Sweeper) Pause(ctx context.Context, run string) (*store.Manifest, error) {
	return s.change(ctx, run, func(m *store.Manifest) bool {
		if m.Paused != 0 {
			return false
		}
		m.Paused = time.Now().UnixMilli()
		return true
	})
}

// Resume ends a pause. A run that is not paused is left alone.
func (s Sweeper) Resume(ctx context.Context, run string) (*store.Manifest, error) {
	return s.change(ctx, run, func(m *store.Manifest) bool {
		if m.Paused == 0 {
			return false
		}
		m.Paused = 0
		return true
	})
}

// Cancel ends a run: its units are purged from every stage and from the units
// given up, and those that workers still hold are dropped when they turn up. The
// cells that are finished stay, with their files. Submit brings the run back.
func (s Sweeper) Cancel(ctx context.Context, run string) (*store.Manifest, error) {
	m, err := s.change(ctx, run, func(m *store.Manifest) bool {
		m.Cancelled, m.Paused, m.Published = time.Now().UnixMilli(), 0, false
		return true
	})
	if err != nil {
		return nil, err
	}
	return m, s.Queue.PurgeRun(ctx, run)
}

// Regenerate puts a unit that was given up, at any stage, back to the start. It helps where
// the unit's message is at fault, which Requeue would only put back.
func (s Sweeper) Regenerate(ctx context.Context, d stream.Dead) error {
	stage, u, err := stream.ParseSubject(d.Subject)
	if err != nil {
		return fmt.Errorf("regenerate: %w", err)
	}
	m, _, err := s.Store.Run(ctx, u.Run)
	if err != nil {
		return err
	}
	_, task, ok := m.Task(u)
	if !ok {
		return fmt.Errorf("regenerate %s: run %s has no such unit: %w", d.Subject, u.Run, stream.ErrPoison)
	}
	issuer, err := s.Store.Issuer(ctx, m)
	if err != nil {
		return err
	}
	task.Receipt = issuer.Receipt(u)
	// DEAD holds the unit until GENERATE does. A generator that finds samples of
	// the unit would take them for its output.
	for _, st := range []stream.Stage{stream.Evaluate, stream.Combine} {
		if err := s.Queue.Remove(ctx, st, u); err != nil {
			return err
		}
	}
	if _, err := s.Queue.Publish(ctx, stream.Generate, u, task); err != nil {
		return err
	}
	return s.Queue.Forgive(ctx, stage, u)
}

// Restore puts a unit back to the start that is nowhere: a message of it that had no receipt was removed, and whoever put
// it there may have taken the true one away before. It reads the stages in the order in which units move.
func (s Sweeper) Restore(ctx context.Context, m *store.Manifest, task stream.Task) (lost bool, err error) {
	for _, stage := range stream.Stages {
		public := m.Receipts
		if stage == stream.Generate { // only who makes receipts publishes there
			public = ""
		}
		if there, err := s.Queue.Holds(ctx, stage, task.Unit, public); there || err != nil {
			return false, err
		}
	}
	dead, err := s.Queue.DeadOf(ctx, task.Cell)
	if err != nil || len(dead[task.Index]) > 0 {
		return false, err
	}
	if done, err := s.Store.CellDone(ctx, task.Cell, task.First+task.N); done || err != nil {
		return false, err
	}
	issuer, err := s.Store.Issuer(ctx, m)
	if err != nil {
		return false, err
	}
	task.Receipt = issuer.Receipt(task.Unit)
	return s.Queue.Publish(ctx, stream.Generate, task.Unit, task)
}

// change changes the manifest of a run that is not over, and then the consumers.
func (s Sweeper) change(ctx context.Context, run string, f func(*store.Manifest) bool) (*store.Manifest, error) {
	over := ""
	m, err := s.Store.UpdateRun(ctx, run, func(m *store.Manifest) bool {
		switch {
		case m.Finished != 0:
			over = "finished"
		case m.Cancelled != 0:
			over = "cancelled"
		default:
			over = ""
			return f(m)
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	if over != "" {
		return nil, fmt.Errorf("run %s is %s: %w", run, over, ErrOver)
	}
	return m, s.Serve(ctx)
}

// served returns the unfinished runs as the queues see them, the oldest first, and
// the keys of manifests that cannot be read, whose consumers are left alone.
func served(runs []*store.Manifest, unread []store.Unread) (open []queue.Run, keep []string) {
	for _, m := range runs {
		if m.Open() {
			open = append(open, queue.Run{ID: m.ID, Paused: m.Paused != 0})
		}
	}
	for _, u := range unread {
		keep = append(keep, u.Key)
	}
	return open, keep
}

// Serve gives every unfinished run its consumers, as the manifests say. A manifest
// that changes meanwhile is not lost: the consumers are set again.
func (s Sweeper) Serve(ctx context.Context) error {
	runs, unread, err := s.Store.Runs(ctx)
	for err == nil {
		open, keep := served(runs, unread)
		if err = s.Queue.Serve(ctx, open, keep...); err != nil {
			break
		}
		if runs, unread, err = s.Store.Runs(ctx); err != nil {
			break
		}
		if now, _ := served(runs, unread); slices.Equal(open, now) {
			return nil
		}
	}
	return err
}

// Restart hands out at once what was in flight when the server stopped. Only the owner of the
// server may call it; see queue.Restart.
func (s Sweeper) Restart(ctx context.Context) error {
	runs, unread, err := s.Store.Runs(ctx)
	if err != nil {
		return err
	}
	open, keep := served(runs, unread)
	return s.Queue.Restart(ctx, open, keep...)
}

// Migrate gives the runs their consumers where an older version has left one that
// runs shared.
func (s Sweeper) Migrate(ctx context.Context) error {
	old, err := s.Queue.Shared(ctx)
	if err != nil || !old {
		return err
	}
	return s.Serve(ctx)
}

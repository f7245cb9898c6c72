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

// ErrOver says that a run has ended, so that there is nothing to pause or cancel.
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

// Resume takes a pause back. A run that is not paused is left alone.
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

// Regenerate puts a unit that was given up, at whichever stage, back to the start:
// where its message is what is wrong with it, putting that back would not help.
func (s Sweeper) Regenerate(ctx context.Context, d stream.Dead) error {
	stage, u, err := stream.ParseSubject(d.Subject)
	if err != nil {
		return fmt.Errorf("regenerate: %w", err)
	}
	m, _, err := s.Store.Run(ctx, u.Run)
	if err != nil {
		return err
	}
	q, ok := m.Question(u.Question)
	tasks := m.Tasks(q, u.Temperature)
	if !ok || u.Index >= len(tasks) || !slices.Contains(m.Temperatures, u.Temperature) {
		return fmt.Errorf("regenerate %s: run %s has no such unit: %w", d.Subject, u.Run, stream.ErrPoison)
	}
	// DEAD holds the unit until GENERATE does. A generator that finds samples of
	// the unit would take them for its output.
	for _, st := range []stream.Stage{stream.Evaluate, stream.Combine} {
		if err := s.Queue.Remove(ctx, st, u); err != nil {
			return err
		}
	}
	if _, err := s.Queue.Publish(ctx, stream.Generate, u, tasks[u.Index]); err != nil {
		return err
	}
	return s.Queue.Forgive(ctx, stage, u)
}

// change changes the manifest of a run that is not over, and then the lanes.
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
	return m, s.Arrange(ctx)
}

// Lanes returns how the unfinished runs are to be served, the oldest first.
func (s Sweeper) Lanes(ctx context.Context) ([]queue.Lane, error) {
	runs, err := s.Store.Runs(ctx)
	if err != nil {
		return nil, err
	}
	var lanes []queue.Lane
	for _, m := range runs {
		if m.Open() {
			lanes = append(lanes, queue.Lane{Run: m.ID, Paused: m.Paused != 0})
		}
	}
	return lanes, nil
}

// Arrange gives every unfinished run its lane, as the manifests say. A manifest
// that changes meanwhile is not lost: the lanes are arranged again.
func (s Sweeper) Arrange(ctx context.Context) error {
	lanes, err := s.Lanes(ctx)
	for err == nil {
		if err = s.Queue.Arrange(ctx, lanes); err != nil {
			break
		}
		var now []queue.Lane
		if now, err = s.Lanes(ctx); err == nil && slices.Equal(lanes, now) {
			return nil
		}
		lanes = now
	}
	return err
}

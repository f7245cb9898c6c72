// Package sweep is a run as an object: it defines runs, publishes their units,
// adds to them, and says how far they are. It does not do the work of any stage.
package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
)

// ErrConflict says that the run id is taken by a run that measures something else.
var ErrConflict = errors.New("run id is taken by a different run")

// A Sweeper works on the runs of one server.
type Sweeper struct {
	Queue *queue.Queue
	Store *store.Store
}

// Rows returns the LiveCodeBench row of a question of the problem set.
type Rows func(question int) []byte

// A Submission says what Submit did.
type Submission struct {
	Manifest *store.Manifest
	New      bool // the run did not exist
	Grown    bool // it existed, and has more questions, temperatures or samples now
	Units    int  // units put into GENERATE by this call
}

// publishers is how many units are on their way to the server at once. Each waits
// for the disk; together they share its syncs.
const publishers = 32

// Submit makes sure that a run exists with at least want's questions, temperatures
// and samples, and that each of its units is in some stage or done. It may be
// called again at any time, after a crash or with more samples: units are named by
// what they are, so nothing is published twice, and a run that has everything is
// left alone. A run that was cancelled is brought back. It returns ErrConflict if the id belongs to a run with other
// problems, model or judge.
func (s Sweeper) Submit(ctx context.Context, want *store.Manifest, rows Rows) (Submission, error) {
	sub, err := s.Define(ctx, want, rows)
	if err != nil {
		return Submission{}, err
	}
	err = s.Publish(ctx, &sub)
	return sub, err
}

// Define is the part of Submit before the first unit is published: workers can
// serve the run from then on.
func (s Sweeper) Define(ctx context.Context, want *store.Manifest, rows Rows) (Submission, error) {
	var sub Submission
	for {
		m, rev, err := s.Store.Run(ctx, want.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			m, sub.New = want, true
			m.Created = time.Now().UnixMilli()
		case err != nil:
			return Submission{}, err
		default:
			if err := conflict(m, want); err != nil {
				return Submission{}, err
			}
			sub.Grown = grow(m, want)
		}
		sub.Manifest = m
		if !sub.New && !sub.Grown && m.Cancelled == 0 {
			break
		}
		m.Published, m.Finished, m.Cancelled = false, 0, 0
		_, err = s.Store.PutRun(ctx, m, rev)
		if errors.Is(err, store.ErrChanged) {
			sub.New = false
			continue
		}
		if err != nil {
			return Submission{}, err
		}
		break
	}
	if sub.Manifest.Published {
		return sub, nil
	}
	// The lanes before the units: a unit that comes early would be handed out in
	// another run's turn.
	if err := s.Arrange(ctx); err != nil {
		return Submission{}, err
	}
	for _, q := range sub.Manifest.Questions {
		if err := s.Store.PutProblem(ctx, sub.Manifest.Problems.Digest, q.Index, rows(q.Index)); err != nil {
			return Submission{}, err
		}
	}
	return sub, nil
}

// Publish is the other part of Submit: it publishes what is missing of a run that
// was defined, and may be called again after a crash.
func (s Sweeper) Publish(ctx context.Context, sub *Submission) error {
	if sub.Manifest.Published {
		return nil
	}
	var err error
	if sub.Units, err = s.publish(ctx, sub.Manifest, !sub.New); err != nil {
		return err
	}
	m, err := s.Store.UpdateRun(ctx, sub.Manifest.ID, func(m *store.Manifest) bool {
		if m.Cancelled != 0 {
			return false
		}
		m.Published = true
		return true
	})
	if err == nil {
		sub.Manifest = m
	}
	return err
}

// conflict compares what cannot change in the life of a run.
func conflict(have, want *store.Manifest) error {
	a, b := have.Judge, want.Judge
	a.Fingerprint, b.Fingerprint = "", ""
	for _, d := range []struct {
		differ bool
		what   string
	}{
		{have.Problems.Digest != want.Problems.Digest, "problem set"},
		{have.UnitSize != want.UnitSize, "unit size"},
		{text(have.Model) != text(want.Model), "model or sampling settings"},
		{a != b, "judge settings"},
	} {
		if d.differ {
			return fmt.Errorf("submit run %s: its %s differ: %w\nuse another --run id and --output-dir, or the settings the run was made with", want.ID, d.what, ErrConflict)
		}
	}
	return nil
}

// text returns m as the store holds it, so that pointers and absent lists compare by
// what they say.
func text(m store.Model) string {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // plain fields always encode
	}
	return string(b)
}

// grow adds want's questions, temperatures and samples to m and reports whether
// there were any. Samples are never taken away: a run asked for fewer has them.
func grow(m, want *store.Manifest) bool {
	grown := false
	for _, t := range want.Temperatures {
		if !slices.Contains(m.Temperatures, t) {
			m.Temperatures = append(m.Temperatures, t)
			grown = true
		}
	}
	slices.Sort(m.Temperatures)
	for _, w := range want.Questions {
		i := slices.IndexFunc(m.Questions, func(q store.Question) bool { return q.Index == w.Index })
		switch {
		case i < 0:
			m.Questions = append(m.Questions, w)
			grown = true
		case w.N() > m.Questions[i].N():
			m.Questions[i].Cuts = append(m.Questions[i].Cuts, w.N())
			grown = true
		}
	}
	slices.SortFunc(m.Questions, func(a, b store.Question) int { return a.Index - b.Index })
	return grown
}

// publish puts the run's units into GENERATE, question by question so that
// engines find prompts in their prefix cache. With look it leaves out the units
// that are somewhere already.
func (s Sweeper) publish(ctx context.Context, m *store.Manifest, look bool) (int, error) {
	tasks := allTasks(m)
	if look {
		var err error
		if tasks, err = s.absent(ctx, m); err != nil {
			return 0, err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(publishers)
	for _, task := range tasks {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			_, err := s.Queue.Publish(ctx, stream.Generate, task.Unit, task)
			return err
		})
	}
	return len(tasks), group.Wait()
}

// allTasks lists the units of a run, question by question.
func allTasks(m *store.Manifest) []stream.Task {
	var tasks []stream.Task
	for _, q := range m.Questions {
		for _, t := range m.Temperatures {
			tasks = append(tasks, m.Tasks(q, t)...)
		}
	}
	return tasks
}

// lookers is how many questions are looked at side by side.
const lookers = 4

// absent lists the units of a run that are in no stage, not given up and not in a
// finished cell. It asks the server a few times a question, never once a unit.
//
// It looks in the order in which units move, so that none slips through; the cells
// come last.
func (s Sweeper) absent(ctx context.Context, m *store.Manifest) ([]stream.Task, error) {
	there := make([]map[stream.Unit]bool, len(m.Questions))
	group, looking := errgroup.WithContext(ctx)
	group.SetLimit(lookers)
	for i, q := range m.Questions {
		group.Go(func() (err error) {
			there[i], err = s.present(looking, m.ID, q.Index)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	done, err := s.Store.Cells(ctx, m.ID, -1)
	if err != nil {
		return nil, err
	}
	var absent []stream.Task
	for i, q := range m.Questions {
		for _, t := range m.Temperatures {
			for _, task := range m.Tasks(q, t) {
				if !there[i][task.Unit] && task.First+task.N > done[task.Cell].N {
					absent = append(absent, task)
				}
			}
		}
	}
	return absent, nil
}

// present returns the units of a question that are in any stage or given up.
func (s Sweeper) present(ctx context.Context, run string, question int) (map[stream.Unit]bool, error) {
	there := make(map[stream.Unit]bool)
	for _, stage := range stream.Stages {
		units, err := s.Queue.QuestionUnits(ctx, stage, run, question)
		if err != nil {
			return nil, err
		}
		for _, u := range units {
			there[u] = true
		}
	}
	dead, err := s.Queue.DeadIn(ctx, run, question)
	for u := range dead {
		there[u] = true
	}
	return there, err
}

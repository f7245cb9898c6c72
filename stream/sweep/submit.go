// Package sweep defines runs, publishes their units, extends them and reports their
// progress. It does not do the work of any stage.
package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
)

// ErrConflict says that the run id belongs to a run with other settings.
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
	Lost     int  // of those, the ones that had been published before and were gone from every queue
	Adopted  int  // cells of a new run that the caller has marked done: Publish leaves their units out

	revision uint64 // of the manifest that Define wrote; 0 if it wrote none
}

// Submit makes sure that a run exists with at least want's questions, temperatures
// and samples, and that each of its units is in some stage or done. It may be called
// again at any time, after a crash or with more samples. Units are named by what they
// are, so nothing is published twice, and a run that has everything is left alone.
// Units that were published and are gone from every queue are published again. A run
// that was cancelled is brought back.
//
// It returns ErrConflict if the id belongs to a run with other problems, model or
// judge. A new run that fails before its first unit is published leaves nothing
// behind.
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
			if err := s.Store.GiveReceipts(ctx, m); err != nil {
				return Submission{}, err
			}
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
		sub.revision, err = s.Store.PutRun(ctx, m, rev)
		if errors.Is(err, store.ErrChanged) {
			sub.New = false
			continue
		}
		if err != nil {
			return Submission{}, err
		}
		break
	}
	if !sub.Manifest.Open() {
		return sub, nil
	}
	if err := s.ready(ctx, sub.Manifest, rows); err != nil {
		if sub.New {
			err = errors.Join(err, s.Withdraw(ctx, sub))
		}
		return Submission{}, err
	}
	return sub, nil
}

// ready stores what workers need to serve a run.
func (s Sweeper) ready(ctx context.Context, m *store.Manifest, rows Rows) error {
	// The consumers before the units: a pause holds from the first unit on.
	if err := s.Serve(ctx); err != nil {
		return err
	}
	if m.Published {
		return nil
	}
	for _, q := range m.Questions {
		if err := s.Store.PutProblem(ctx, m.Problems.Digest, q.Index, rows(q.Index)); err != nil {
			return err
		}
	}
	return nil
}

// withdrawWait bounds how long a submission that failed may take to clean up.
const withdrawWait = 10 * time.Second

// Withdraw removes a new run of which nothing was published, with its consumers. A run
// that somebody else has changed since stays.
func (s Sweeper) Withdraw(ctx context.Context, sub Submission) error {
	if !sub.New || sub.revision == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawWait)
	defer cancel()
	err := s.Store.RemoveRun(ctx, sub.Manifest.ID, sub.revision)
	if errors.Is(err, store.ErrChanged) {
		return nil
	}
	if err == nil {
		err = s.Serve(ctx)
	}
	if err != nil {
		return fmt.Errorf("withdraw run %s: %w\n'lcbq cancel --run %s' ends it", sub.Manifest.ID, err, sub.Manifest.ID)
	}
	return nil
}

// Publish is the other part of Submit: it publishes what is missing of a run that
// was defined, and may be called again after a crash.
func (s Sweeper) Publish(ctx context.Context, sub *Submission) error {
	m := sub.Manifest
	if m.Published {
		if m.Open() {
			return s.heal(ctx, sub)
		}
		return nil
	}
	var err error
	if sub.Units, err = s.publish(ctx, m, !sub.New || sub.Adopted > 0); err != nil {
		return err
	}
	m, err = s.Store.UpdateRun(ctx, m.ID, func(m *store.Manifest) bool {
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

// heal publishes what was published before and is gone from every queue.
func (s Sweeper) heal(ctx context.Context, sub *Submission) error {
	short, err := s.Short(ctx, sub.Manifest)
	if err != nil || short == 0 {
		return err
	}
	sub.Units, err = s.publish(ctx, sub.Manifest, true)
	sub.Lost = sub.Units
	return err
}

// conflict compares what cannot change in the life of a run.
func conflict(have, want *store.Manifest) error {
	a, b := have.Judge, want.Judge
	a.Fingerprint, b.Fingerprint = "", ""
	if a.TimeLimit != b.TimeLimit || a.AuditShare != b.AuditShare || a.Reference != b.Reference {
		return fmt.Errorf("submit run %s: its time limit is %s, and not %s: %w\na run cannot change it: use another --run id and --output-dir, or the --time-limit, --audit-share and --reference-speed that the run was made with", want.ID, a.Limit(), b.Limit(), ErrConflict)
	}
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
	grown := rule(m, want)
	for _, t := range want.Temperatures {
		if !slices.Contains(m.Temperatures, t) {
			m.Temperatures = append(m.Temperatures, t)
			grown = true
		}
	}
	slices.Sort(m.Temperatures)
	for _, w := range want.Questions {
		i := slices.IndexFunc(m.Questions, func(q store.Question) bool { return q.Index == w.Index })
		if i >= 0 && m.Questions[i].Prompt == 0 {
			m.Questions[i].Prompt = w.Prompt // the run is of an lcbq that did not say it
		}
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
	if grown {
		m.Windows = windows(m.Windows, want.Windows)
	}
	return grown
}

// rule takes over by what want chooses its number of samples, and reports whether that is
// something new. A number that is given ends the rule where a cell has fewer, and holds at
// every temperature.
func rule(m, want *store.Manifest) bool {
	switch {
	case want.Until != nil && (m.Until == nil || *m.Until != *want.Until):
		m.Until = want.Until
		return true
	case want.Until != nil || m.Until == nil:
		return false
	}
	for _, w := range want.Questions {
		q, ok := m.Question(w.Index)
		for _, t := range m.Temperatures {
			if ok && m.Wanted(q, t) < w.N() {
				m.Fewer, m.Until = nil, nil
				return true
			}
		}
	}
	return false
}

// windows returns by what the questions of both were chosen: of one that was not
// restricted, all are there.
func windows(have, want []store.Window) []store.Window {
	if len(have) == 0 || len(want) == 0 {
		return nil
	}
	for _, w := range want {
		if !slices.ContainsFunc(have, func(x store.Window) bool { return reflect.DeepEqual(x, w) }) {
			have = append(have, w)
		}
	}
	return have
}

// publish puts the run's units into GENERATE. With look it leaves out the units that
// are somewhere already.
func (s Sweeper) publish(ctx context.Context, m *store.Manifest, look bool) (int, error) {
	issuer, err := s.Store.Issuer(ctx, m)
	if err != nil {
		return 0, err
	}
	n := 0
	var batch []stream.Task
	flush := func() error {
		sign(issuer, batch)
		err := s.Queue.PublishTasks(ctx, batch)
		n, batch = n+len(batch), batch[:0]
		return err
	}
	put := func(task stream.Task) error {
		if batch = append(batch, task); len(batch) < queue.MaxBatch {
			return nil
		}
		return flush()
	}
	if look {
		if _, err := s.Audit(ctx, m, put); err != nil {
			return n, err
		}
		return n, flush()
	}
	for task := range m.AllTasks() {
		if err := put(task); err != nil {
			return n, err
		}
	}
	return n, flush()
}

// sign gives tasks their receipts. On one processor that takes as long as it takes the disk to store them.
func sign(issuer *stream.Issuer, tasks []stream.Task) {
	var group sync.WaitGroup
	each := max(1, (len(tasks)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	for part := range slices.Chunk(tasks, each) {
		group.Go(func() {
			for i := range part {
				part[i].Receipt = issuer.Receipt(part[i].Unit)
			}
		})
	}
	group.Wait()
}

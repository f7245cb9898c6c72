package combine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/sweep"
)

// Whoever may store verdicts at all may publish under the name of any unit. What comes without the unit's receipt is from
// somebody whom the unit was not handed: it is removed, so that the true verdicts find their place free, and it counts
// nowhere.

// errForged: a message in COMBINE is none of its unit's.
var errForged = errors.New("it has not the unit's receipt")

// A forgedError names such a message.
type forgedError struct {
	task     stream.Task
	sequence uint64
	judge    string // as whom it names its evaluator
}

func (e *forgedError) Error() string {
	return fmt.Sprintf("message %d of unit %s: %v", e.sequence, e.task.Subject(stream.Combine), errForged)
}

func (e *forgedError) Unwrap() error { return errForged }

// issued reports whether the message of a unit that has the sequence comes with the unit's receipt. It is looked at once: a
// check costs more than all else that is done with a small unit here.
func (w *Worker) issued(ctx context.Context, m *store.Manifest, u stream.Unit, sequence uint64, receipt string) (bool, error) {
	w.mu.Lock()
	known := w.good[u]
	w.mu.Unlock()
	if known != 0 && sequence == known {
		return true, nil
	}
	ok, err := w.Runs.Issued(ctx, m, u, receipt)
	if ok && err == nil && m.Receipts != "" {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.good == nil {
			w.good = make(map[stream.Unit]uint64)
		}
		w.good[u] = sequence
	}
	return ok, err
}

// refuse removes a message that is none of its unit's. Who put it there may have taken the true unit off its queue: a unit
// that is nowhere else is generated again.
func (w *Worker) refuse(ctx context.Context, m *store.Manifest, e *forgedError) error {
	subject := e.task.Subject(stream.Combine)
	if err := w.Queue.Delete(ctx, stream.Combine, e.sequence); err != nil {
		return err
	}
	w.mu.Lock()
	delete(w.ledger[e.task.Cell], e.task.Index)
	delete(w.good, e.task.Unit)
	w.mu.Unlock()
	w.Log.Error("verdicts without a receipt are removed: somebody who was not handed the unit put them there with the token of an evaluator",
		"unit", subject, "names_as_evaluator", e.judge, "remedy", "find whose token it is, by the addresses in the server's log, and end it: lcbq token --revoke")
	w.refused.add(m.ID, subject)
	again, err := sweep.Sweeper{Queue: w.Queue, Store: w.Store}.Restore(ctx, m, e.task)
	if err != nil {
		return err
	}
	if again {
		w.Log.Warn("the unit was in no queue: it is generated again", "unit", e.task.Subject(stream.Generate))
	}
	if w.refused.due() {
		return w.tellRefused(ctx)
	}
	return nil
}

// refused counts what was refused and is not in the manifests yet, by run.
type refused struct {
	mu   sync.Mutex
	runs map[string]*store.Refused
	told time.Time
}

func (r *refused) add(run, subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs == nil {
		r.runs = make(map[string]*store.Refused)
	}
	if r.runs[run] == nil {
		r.runs[run] = new(store.Refused)
	}
	x := r.runs[run]
	x.Messages++
	x.Last, x.At = subject, time.Now().UnixMilli()
}

// due reports whether manifests should be written: a flood of messages must not become one of manifests.
func (r *refused) due() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.told) >= sweepEvery
}

// take returns what is not told yet, and leaves nothing.
func (r *refused) take() map[string]*store.Refused {
	r.mu.Lock()
	defer r.mu.Unlock()
	runs := r.runs
	r.runs, r.told = nil, time.Now()
	return runs
}

// giveBack undoes take for one run.
func (r *refused) giveBack(run string, x *store.Refused) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs == nil {
		r.runs = make(map[string]*store.Refused)
	}
	if later := r.runs[run]; later != nil {
		later.Messages += x.Messages
		return
	}
	r.runs[run] = x
}

// tellRefused adds what was refused to the manifests, for status.
func (w *Worker) tellRefused(ctx context.Context) error {
	var errs []error
	for run, x := range w.refused.take() {
		_, err := w.Store.UpdateRun(ctx, run, func(m *store.Manifest) bool {
			sum := *x
			if m.Refused != nil {
				sum.Messages += m.Refused.Messages
			}
			m.Refused = &sum
			return true
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			w.refused.giveBack(run, x)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// lastTell bounds the note at the end.
const lastTell = 2 * time.Second

// tellLast is tellRefused for a combiner that ends.
func (w *Worker) tellLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTell)
	defer cancel()
	if err := w.tellRefused(ctx); err != nil {
		w.Log.Warn("messages without a receipt are not noted in their runs", "err", err)
	}
}

package combine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// A badUnitError names the unit of a cell that no file can hold. The unit is poison and is
// given up; the other units of the cell are not.
type badUnitError struct {
	unit stream.Unit
	err  error
}

func (e *badUnitError) Error() string {
	return fmt.Sprintf("unit %s: %v\nhave it made anew with 'lcbq dead requeue --regenerate'", e.unit.Subject(stream.Combine), e.err)
}

func (e *badUnitError) Unwrap() []error { return []error{stream.ErrPoison, e.err} }

// check refuses a judged unit that no file can hold: its samples are not the task's, or the
// results folder would refuse one; share is of the run's audited time limit. Any program that reaches the server can send messages.
func check(s *stream.Scored, task stream.Task, share float64) error {
	bad := func(format string, args ...any) error {
		return &badUnitError{task.Unit, fmt.Errorf(format, args...)}
	}
	if len(s.Samples) != task.N || len(s.Judgements) != task.N {
		return bad("it holds %d samples and %d judgements, want %d", len(s.Samples), len(s.Judgements), task.N)
	}
	for i := range s.Samples {
		if got := s.Samples[i].Index; got != task.First+i {
			return bad("sample %d says it is %d, want %d", i, got, task.First+i)
		}
		x := result.Of(s, i)
		if err := x.Validate(); err != nil {
			return bad("%w", err)
		}
		if x.Beyond() && x.Share != share {
			return bad("sample %d: audit_share = %v, want the run's %v", x.Index, x.Share, share)
		}
	}
	return nil
}

// admit refuses a unit that no file can hold. A unit that was refused before may have been
// generated again since. A message that is none of the unit's has errForged for its error.
func (w *Worker) admit(ctx context.Context, msg worker.Message, m *store.Manifest, task stream.Task) error {
	var s stream.Scored
	err := stream.Decode(msg.Body, &s)
	issued, failed := w.issued(ctx, m, msg.Unit, msg.Sequence, s.Receipt)
	switch {
	case failed != nil:
		return failed
	case !issued:
		return &forgedError{task, msg.Sequence, s.Evaluator}
	case err != nil:
		err = &badUnitError{msg.Unit, err}
	default:
		err = check(&s, task, m.Judge.AuditShare)
	}
	if err != nil {
		w.spoilt(msg.Unit)
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.bad, msg.Unit)
	return nil
}

// spoilt records that no file can hold a unit. Its cell then waits until the unit is
// generated again, also if the unit was noted before it was checked.
func (w *Worker) spoilt(u stream.Unit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bad[u] = true
	delete(w.ledger[u.Cell], u.Index)
}

// giveUpLast gives up the last unit of a cell whose present file cannot be added to,
// as the loop does with a unit that was handed out.
func (w *Worker) giveUpLast(ctx context.Context, m *store.Manifest, q store.Question, c stream.Cell, cause error) error {
	if !errors.Is(cause, stream.ErrPoison) {
		return nil
	}
	tasks := m.Tasks(q, c.Temperature)
	return w.bury(ctx, tasks[len(tasks)-1].Unit, cause)
}

// giveUp gives up a unit that no file can hold, whichever unit of its cell was handed out.
func (w *Worker) giveUp(ctx context.Context, u stream.Unit, cause error) error {
	w.spoilt(u)
	return w.bury(ctx, u, cause)
}

func (w *Worker) isBad(u stream.Unit) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bad[u]
}

// bury puts a unit into DEAD. It stays in COMBINE too.
func (w *Worker) bury(ctx context.Context, u stream.Unit, cause error) error {
	body, err := w.Queue.Body(ctx, stream.Combine, u)
	if err != nil {
		return err
	}
	return w.Queue.Bury(ctx, stream.Dead{
		Subject: u.Subject(stream.Combine), Reason: stream.Poison, Error: cause.Error(), Worker: w.Pulse.Name(), At: time.Now().UnixMilli(), Body: body,
	})
}

package evaluate

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A Worker judges the units of EVALUATE. Any number of them, on any hosts, share
// the backlog.
type Worker struct {
	Queue  *queue.Queue
	Store  *store.Store
	Runs   *worker.Runs
	Grader *Grader
	Pulse  *worker.Pulse
	Slots  int           // programs judged at once, the grader's
	Units  *worker.Gate  // for units in hand; nil for one more than Slots
	Grace  time.Duration // for units in flight when told to stop
	Log    *slog.Logger

	questions questions
}

// Run judges until ctx is done, then finishes the units in hand. It returns as
// worker.Loop.Run does.
func (w *Worker) Run(ctx context.Context) error {
	w.questions.store = w.Store
	loop := worker.Loop{
		Stage: stream.Evaluate, Queue: w.Queue, Handle: w.handle, Serves: w.serves,
		Slots: unitsFor(w.Slots), Gate: w.Units, Grace: w.Grace, Pulse: w.Pulse, Log: w.Log,
	}
	return loop.Run(ctx)
}

// unitsFor returns how many units keep the slots busy: while one waits for its last program, the next
// has begun.
func unitsFor(slots int) int { return slots + 1 }

// NewUnits returns the gate of a worker whose number of programs changes.
func NewUnits(slots int) *worker.Gate { return worker.NewGate(unitsFor(slots)) }

// Limit makes a worker that has Units judge at most n programs at once from now on, on the processors, nil
// for all, and take no more units than that needs: others may be free for them.
func (w *Worker) Limit(n int, cpus []int) {
	w.Grader.Limit(n, cpus)
	w.Units.Limit(unitsFor(n))
	w.Pulse.Tell()
}

// serves reports whether this host judges as the run wants to be judged.
func (w *Worker) serves(ctx context.Context, run string) (bool, error) {
	m, err := w.Runs.Run(ctx, run)
	if err != nil {
		return false, err
	}
	env := w.Grader.Host().Environment()
	return fits(m.Judge, env) && (m.Judge.Fingerprint == "" || m.Judge.Fingerprint == env.Digest()), nil
}

// fits reports whether an environment has the run's mode and limits. A limit that
// a run leaves open is 0.
func fits(j store.Judge, env sandbox.Environment) bool {
	return j.Mode == env.Mode &&
		(j.TimeLimit == 0 || j.TimeLimit == env.Limits.CPU.Seconds()) &&
		(j.MemoryLimit == 0 || j.MemoryLimit == env.Limits.Memory) &&
		(j.OutputLimit == 0 || j.OutputLimit == env.Limits.Output)
}

// handle judges one unit and publishes it to COMBINE.
func (w *Worker) handle(ctx context.Context, msg worker.Message) error {
	m, q, task, err := w.Runs.Unit(ctx, msg.Unit)
	if err != nil {
		return err
	}
	if done, err := w.alreadyJudged(ctx, task); done || err != nil {
		return err
	}
	if err := w.admit(ctx, m); err != nil {
		return err
	}
	var batch stream.Batch
	if err := stream.Decode(msg.Body, &batch); err != nil {
		return err
	}
	if batch.Unit != msg.Unit || len(batch.Samples) != task.N {
		return fmt.Errorf("batch holds %d samples of unit %d of %s, want %d: %w", len(batch.Samples), batch.Index, batch.Key(), task.N, stream.ErrPoison)
	}
	question, err := w.questions.get(ctx, m.Problems.Digest, q.Index)
	if err != nil {
		return err
	}
	scored := stream.Scored{
		Batch: batch, Judgements: make([]stream.Judgement, len(batch.Samples)),
		Evaluator: w.Pulse.Name(), Fingerprint: w.Grader.Host().Environment().Digest(),
		JudgeStarted: time.Now().UnixMilli(), JudgeAttempts: int(min(msg.Deliveries, math.MaxInt32)),
	}
	if err := w.judgeAll(ctx, question, &scored); err != nil {
		return err
	}
	scored.JudgeEnded = time.Now().UnixMilli()
	fresh, err := worker.Publish(ctx, w.Queue, w.Log, stream.Combine, msg.Unit, scored)
	if err == nil && !fresh {
		w.Log.Debug("duplicate refused, the first output stays", "subject", msg.Unit.Subject(stream.Combine))
	}
	return err
}

// alreadyJudged reports whether the unit's output exists, so that a unit handed
// out twice is not judged twice.
func (w *Worker) alreadyJudged(ctx context.Context, t stream.Task) (bool, error) {
	if there, err := w.Queue.Has(ctx, stream.Combine, t.Unit); there || err != nil {
		return there, err
	}
	// The cell last: a unit leaves COMBINE only after its cell is done.
	return w.Store.CellDone(ctx, t.Cell, t.First+t.N)
}

func (w *Worker) judgeAll(ctx context.Context, q *Question, s *stream.Scored) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(w.Slots)
	for i := range s.Samples {
		group.Go(func() error {
			j, known, err := w.Grader.Judge(ctx, q, s.Samples[i])
			if err != nil {
				return fmt.Errorf("judge sample %d: %w", s.Samples[i].Index, err)
			}
			s.Judgements[i] = j
			w.Pulse.Samples.Add(1)
			if known {
				w.Pulse.Cached.Add(1)
			}
			return nil
		})
	}
	return group.Wait()
}

// admit holds a run to one judging environment, because verdicts of two could
// differ: the first evaluator records its fingerprint, one with another is unfit.
func (w *Worker) admit(ctx context.Context, m *store.Manifest) error {
	env := w.Grader.Host().Environment()
	mine := env.Digest()
	if m.Judge.Fingerprint == mine {
		return nil
	}
	if !fits(m.Judge, env) {
		return fmt.Errorf("run %s is judged in mode %s with %v s, this host judges in mode %s with %v s: %w\nstart an evaluator for it with --run %s",
			m.ID, m.Judge.Mode, m.Judge.TimeLimit, env.Mode, env.Limits.CPU.Seconds(), worker.ErrUnfit, m.ID)
	}
	environment, err := json.Marshal(env)
	if err != nil {
		return fmt.Errorf("describe the judging environment: %w", err)
	}
	m, err = w.Store.UpdateRun(ctx, m.ID, func(m *store.Manifest) bool {
		if m.Judge.Fingerprint != "" {
			return false
		}
		m.Judge.Fingerprint = mine
		m.Provenance.SandboxLevel, m.Provenance.Environment = env.Level.String(), environment
		return true
	})
	if err != nil {
		return err
	}
	w.Runs.Learn(m)
	if m.Judge.Fingerprint != mine {
		return fmt.Errorf("run %s was judged under %.12s, this host is %.12s: %w\nuse the same interpreter, packages, limits and sandbox level (lcbq doctor shows them)", m.ID, m.Judge.Fingerprint, mine, worker.ErrUnfit)
	}
	return nil
}

package bench

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker"
)

const (
	// nullMode is what the benchmark's run is said to be judged by.
	nullMode = "none (benchmark)"
	// nullSlots is how many units the null judge holds at once.
	nullSlots = 4
	// sweepSlots is the same where texts are so short that the way to the server is what takes time.
	sweepSlots = 16
)

// A nullJudge does everything that an evaluator does with a unit but run the
// programs: every sample is no_code, with a detail that says why.
type nullJudge struct {
	*client

	first, last atomic.Int64 // Unix milliseconds: the first unit begun, the last one generated
}

func (j *nullJudge) handle(ctx context.Context, msg worker.Message) error {
	m, _, task, err := j.runs.Unit(ctx, msg.Unit)
	if err != nil {
		return err
	}
	if m.Judge.Mode != nullMode {
		return fmt.Errorf("run %s is judged by %s, not by nobody: %w", m.ID, m.Judge.Mode, worker.ErrUnfit)
	}
	if there, err := j.queue.Holds(ctx, stream.Combine, task.Unit, m.Receipts); there || err != nil {
		return err
	}
	if done, err := j.store.CellDone(ctx, task.Cell, task.First+task.N); done || err != nil {
		return err
	}
	var batch stream.Batch
	if err := stream.Decode(msg.Body, &batch); err != nil {
		return err
	}
	if !m.Issued(msg.Unit, batch.Receipt) {
		return fmt.Errorf("unit %d of %s comes without its receipt: %w", msg.Unit.Index, msg.Unit.Key(), stream.ErrPoison)
	}
	j.note(batch)
	scored := stream.Scored{Batch: batch, Judgements: make([]stream.Judgement, len(batch.Samples)), Evaluator: "null", Fingerprint: nullMode}
	for i := range scored.Judgements {
		scored.Judgements[i] = stream.Judgement{Verdict: stream.NoCode, Detail: "not judged: benchmark"}
	}
	_, err = j.queue.Publish(ctx, stream.Combine, msg.Unit, scored)
	return err
}

// note keeps when generating began and ended.
func (j *nullJudge) note(b stream.Batch) {
	for {
		was := j.first.Load()
		if was != 0 && was <= b.Started || j.first.CompareAndSwap(was, b.Started) {
			break
		}
	}
	for {
		was := j.last.Load()
		if was >= b.Ended || j.last.CompareAndSwap(was, b.Ended) {
			break
		}
	}
}

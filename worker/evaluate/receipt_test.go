package evaluate

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// said is a log that a test reads.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) has(words string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), words)
}

// TestForgedVerdictComesFirst: verdicts that have not the unit's receipt lie where an evaluator's are to go, before it begins.
// It must judge the unit all the same, keep it in hand while they lie there, and store its own when they are removed.
func TestForgedVerdictComesFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := b.m.Tasks(b.m.Questions[0], 700), b.m.Tasks(b.m.Questions[1], 700)
	log := new(said)
	for task, receipt := range map[stream.Task]string{one[0]: "", two[0]: b.issuer.Receipt(two[1].Unit)} {
		forged := stream.Scored{Batch: batchOf(task, task.N, solution), Evaluator: "forger"}
		forged.Receipt = receipt
		if _, err := b.Queue.Publish(t.Context(), stream.Combine, task.Unit, forged); err != nil {
			t.Fatal(err)
		}
		b.publish(t, task.Unit, batchOf(task, task.N, wrong))
	}
	w := b.worker(newGrader(t, 1))
	w.Log = slog.New(slog.NewTextHandler(log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	for _, task := range []stream.Task{one[0], two[0]} {
		streamtest.WaitFor(t, "the evaluator to wait for the place of a unit", func(context.Context) (bool, error) {
			return log.has("unit=" + task.Subject(stream.Combine)), nil
		})
		if there, err := b.Queue.Has(t.Context(), stream.Evaluate, task.Unit); !there || err != nil {
			t.Errorf("the unit is settled (%v, %v), though what lies in its place is no verdict", !there, err)
		}
		if err := b.Queue.Remove(t.Context(), stream.Combine, task.Unit); err != nil {
			t.Fatal(err)
		}
	}
	b.WaitEmpty(t, stream.Evaluate)
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil after cancellation", err)
	}
	for _, task := range []stream.Task{one[0], two[0]} {
		var s stream.Scored
		if err := b.Queue.Get(t.Context(), stream.Combine, task.Unit, &s); err != nil || s.Evaluator != w.Pulse.Name() || !b.m.Issued(task.Unit, s.Receipt) {
			t.Errorf("stored is what %q found, with the receipt %q, %v", s.Evaluator, s.Receipt, err)
		}
	}
	if !log.has("output published after waiting") || len(b.dead(t)) > 0 {
		t.Errorf("dead units: %v", b.dead(t))
	}
}

// TestForgedCompletions: completions that have not the unit's receipt are thrown away, no program of theirs is run, and the
// true ones that come then are judged.
func TestForgedCompletions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	g := newGrader(t, 1)
	tasks := b.m.Tasks(b.m.Questions[0], 700)
	for task, receipt := range map[stream.Task]string{tasks[0]: "", tasks[1]: b.issuer.Receipt(tasks[0].Unit)} {
		forged := batchOf(task, task.N, wrong)
		forged.Receipt = receipt
		if _, err := b.Queue.Publish(t.Context(), stream.Evaluate, task.Unit, forged); err != nil {
			t.Fatal(err)
		}
	}
	log := new(said)
	w := b.worker(g)
	w.Log = slog.New(slog.NewTextHandler(log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	b.WaitEmpty(t, stream.Evaluate)
	if n, _ := g.Counts(); n != 0 || len(b.dead(t)) > 0 || !log.has("completions without a receipt are thrown away") {
		t.Errorf("%d programs of forged units were run, dead units %v", n, b.dead(t))
	}
	if lag, err := b.Queue.Lag(t.Context(), stream.Combine); err != nil || lag.Stored != 0 {
		t.Errorf("COMBINE holds %d forged units, %v", lag.Stored, err)
	}
	for _, task := range tasks {
		b.publish(t, task.Unit, batchOf(task, task.N, wrong))
	}
	b.WaitEmpty(t, stream.Evaluate)
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil after cancellation", err)
	}
	if lag, err := b.Queue.Lag(t.Context(), stream.Combine); err != nil || int(lag.Stored) != len(tasks) {
		t.Errorf("COMBINE holds %d units, %v, want %d", lag.Stored, err, len(tasks))
	}
}

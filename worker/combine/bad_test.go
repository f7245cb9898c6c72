package combine

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// publishSpoilt publishes the units of a cell, the second of them spoilt.
func (b *bench) publishSpoilt(t *testing.T, tasks []stream.Task, spoil func(*stream.Scored)) {
	t.Helper()
	b.publish(t, tasks[0])
	s := scored(tasks[1])
	spoil(&s)
	if _, err := b.Queue.Publish(t.Context(), stream.Combine, tasks[1].Unit, s); err != nil {
		t.Fatal(err)
	}
	b.publish(t, tasks[2:]...)
}

// waitDead waits until a unit is given up by all that look at it: whoever was handed it says so once more.
func (b *bench) waitDead(t *testing.T) []stream.Dead {
	t.Helper()
	streamtest.WaitFor(t, "a unit to be given up", func(ctx context.Context) (bool, error) {
		dead, err := b.Queue.DeadUnits(ctx, "r1")
		return len(dead) > 0, err
	})
	b.WaitLag(t, stream.Combine, 0, 0)
	return b.dead(t)
}

// TestSampleThatNoFileTakes: a unit with a sample that the results folder refuses is
// given up by its own name, every other cell is written, and made anew the unit
// completes its cell.
func TestSampleThatNoFileTakes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(*stream.Scored)
		want  string
	}{
		{"an error code that there is not", func(s *stream.Scored) { s.Judgements[3].ErrorCode = new(0) }, "error_code = 0, want null or -5 to -2"},
		{"a test before the first", func(s *stream.Scored) { s.Judgements[3].Test = new(-7) }, "test = -7"},
		{"less than no time", func(s *stream.Scored) { s.Judgements[3].CPU = -math.MaxFloat64 }, "cpu_s"},
		{"less than no token", func(s *stream.Scored) { s.Samples[3].Tokens = -1 }, "tokens = -1"},
	}
	for _, when := range []string{"at work", "acknowledged by a former life"} {
		for _, tt := range tests {
			t.Run(tt.name+", "+when, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, 1, 30, 100, 200)
				tasks := b.tasks(0, 100)
				b.publishSpoilt(t, tasks, tt.spoil)
				if when != "at work" {
					b.acknowledge(t, 3)
				}
				w := b.worker()
				stop := b.start(t, w)
				b.publish(t, b.tasks(0, 200)...)
				b.waitCell(t, b.cell(0, 200), 30)
				dead := b.waitDead(t)
				if len(dead) != 1 || dead[0].Subject != tasks[1].Subject(stream.Combine) || dead[0].Reason != stream.Poison || !strings.Contains(dead[0].Error, tt.want) {
					t.Fatalf("dead units = %+v, want %s, poison, with %q", dead, tasks[1].Subject(stream.Combine), tt.want)
				}
				// What the sweep does when its time comes: it leaves the cell alone.
				if err := w.recount(t.Context(), b.cell(0, 100)); err != nil || len(b.dead(t)) != 1 {
					t.Errorf("recount = %v, %d dead", err, len(b.dead(t)))
				}
				if done, err := b.Store.CellDone(t.Context(), b.cell(0, 100), 1); done || err != nil || exists(t, result.CellPath(b.dir, 0, 0.1)) {
					t.Errorf("the cell was written without the unit: %v, %v", done, err)
				}
				if err := b.Queue.Remove(t.Context(), stream.Combine, tasks[1].Unit); err != nil {
					t.Fatal(err)
				}
				b.publish(t, tasks[1])
				b.waitFinished(t)
				stop()
				b.prove(t, 30)
				if left := b.dead(t); len(left) > 0 {
					t.Errorf("dead units of a cell that is done: %+v", left)
				}
			})
		}
	}
}

// TestSampleThatNobodyJudged: a sample that the evaluator gave up is in its cell's file and in
// no count, and its cell and its run are done like others.
func TestSampleThatNobodyJudged(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	b.publishSpoilt(t, b.tasks(0, 100), func(s *stream.Scored) {
		s.Judgements[3] = stream.Judgement{Verdict: stream.JudgeFault, Detail: "the machine gave it no time"}
	})
	stop := b.start(t, b.worker())
	b.waitFinished(t)
	stop()
	p, err := result.Verify(t.Context(), b.dir, result.Expectation{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Samples != 29 || p.Unscored != 1 || len(p.Findings) != 1 || !p.Findings[0].Harmless() || len(b.dead(t)) != 0 {
		t.Errorf("the folder proves %+v, %d dead, want 29 samples and one that nobody judged", p, len(b.dead(t)))
	}
}

// TestNameIsMadeDurableBeforeTheMark: a combiner died between the rename and the sync
// of the folder. The next one marks the cell only when the folder is synced.
func TestNameIsMadeDurableBeforeTheMark(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	b.publishAll(t)
	begin(t, b, b.m, true)
	c := b.worker().newCell(b.m, b.m.Questions[0], b.cell(0, 100))
	lost := errors.New("input/output error")
	var synced []string
	c.syncDir = func(string) error { return lost }
	if err := c.write(t.Context()); !errors.Is(err, lost) {
		t.Errorf("write with a folder that cannot be synced = %v, want that error", err)
	}
	if st, _, err := b.Store.Cell(t.Context(), b.cell(0, 100)); err != nil || st.N != 0 {
		t.Errorf("state = %+v, %v, want the cell not marked", st, err)
	}
	c.syncDir = func(path string) error {
		synced = append(synced, path)
		return nil
	}
	if err := c.write(t.Context()); err != nil || len(synced) != 1 || synced[0] != result.QuestionDir(b.dir, 0) {
		t.Errorf("write = %v, synced %v, want the question's folder", err, synced)
	}
	b.waitCell(t, b.cell(0, 100), 30)
}

// TestSumUpLooksAgain: the run is raised while its summaries are written. They are
// written again, as the raised manifest wants them.
func TestSumUpLooksAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	var wanted []int
	err := b.worker().sumUp(t.Context(), "r1", func(m *store.Manifest) error {
		wanted = append(wanted, m.Samples())
		if len(wanted) == 1 {
			b.submit(t, 1, 50, 100)
		}
		return nil
	})
	if err != nil || len(wanted) != 2 || wanted[0] != 30 || wanted[1] != 50 {
		t.Errorf("summaries written for %v samples, %v, want 30 and then 50", wanted, err)
	}
}

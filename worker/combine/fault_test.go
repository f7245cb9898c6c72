package combine

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// TestTwoCombiners share the units of every cell. Whoever has the last unit of a
// cell has not seen all of them; the count of the stream tells it.
func TestTwoCombiners(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 60, 100, 200)
	w, v := b.worker(), b.worker()
	stopW, stopV := b.start(t, w), b.start(t, v)
	b.publishAll(t)
	b.WaitLag(t, stream.Combine, 0, 0)
	// What the sweep does when its time comes.
	for q := range 2 {
		for _, c := range []stream.Cell{b.cell(q, 100), b.cell(q, 200)} {
			for _, x := range []*Worker{w, v} {
				if err := x.recount(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	b.waitFinished(t)
	stopW()
	stopV()
	b.prove(t, 60)
	for q := range 2 {
		for _, c := range []stream.Cell{b.cell(q, 100), b.cell(q, 200)} {
			for _, x := range []*Worker{w, v} {
				if err := x.recount(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if len(x.ledger[c]) != 0 {
					t.Errorf("ledger of a cell that is done = %v, want it forgotten", x.ledger[c])
				}
			}
		}
	}
	b.WaitEmpty(t, stream.Combine)
}

// TestAnotherCombinerWasFirst: the units are gone before this combiner reads
// them. It must leave the other's file and state alone.
func TestAnotherCombinerWasFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	st := finished(t, b)
	w := b.worker()
	if err := w.finish(t.Context(), b.m, b.m.Questions[0], b.cell(0, 100)); err != nil {
		t.Errorf("finish of a cell that is done = %v", err)
	}
	if again := b.waitCell(t, b.cell(0, 100), 30); again.DoneAt != st.DoneAt {
		t.Error("the cell was written again")
	}
}

// A signalHandler tells when a message was logged, and which were.
type signalHandler struct {
	slog.Handler
	message string
	logged  chan struct{}
	all     sync.Map // messages
}

func (h *signalHandler) has(message string) bool {
	_, ok := h.all.Load(message)
	return ok
}

// waiting is a handler that tells when the combiner waits.
func waiting() *signalHandler {
	return &signalHandler{Handler: slog.DiscardHandler, message: "results not written, waiting", logged: make(chan struct{}, 1)}
}

func (h *signalHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *signalHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h *signalHandler) Handle(_ context.Context, r slog.Record) error {
	h.all.Store(r.Message, true)
	if r.Message == h.message {
		select {
		case h.logged <- struct{}{}:
		default:
		}
	}
	return nil
}

// TestFolderThatTakesNothing: a file stands where the question's folder should
// be. The combiner says so, keeps the unit, and goes on when it is away.
func TestFolderThatTakesNothing(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"at work", "at start"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 1, 30, 100)
			inTheWay := filepath.Join(b.dir, "q0")
			write(t, inTheWay, nil)
			b.publish(t, b.tasks(0, 100)[1:]...)
			if when == "at start" {
				b.publish(t, b.tasks(0, 100)[0])
			}
			w := b.worker()
			said := waiting()
			w.Log = slog.New(said)
			stop := b.start(t, w)
			if when == "at work" {
				b.publish(t, b.tasks(0, 100)[0])
			}
			<-said.logged
			if done, err := b.Store.CellDone(t.Context(), b.cell(0, 100), 1); done || err != nil {
				t.Errorf("a cell without a file is marked: %v, %v", done, err)
			}
			if units, err := b.Queue.Units(t.Context(), stream.Combine, b.cell(0, 100)); err != nil || len(units) != 3 {
				t.Errorf("units while the folder takes nothing = %v, %v, want all 3", units, err)
			}
			if err := os.Remove(inTheWay); err != nil {
				t.Fatal(err)
			}
			b.waitFinished(t)
			stop()
			b.prove(t, 30)
			if !said.has("results are written again") {
				t.Error("the combiner did not say that it goes on")
			}
		})
	}
}

// TestFolderThatTakesNoSummary: the cell is done, its question's summary cannot
// be written when the next combiner starts.
func TestFolderThatTakesNoSummary(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	finished(t, b)
	reopen(t, b)
	path := result.SummaryPath(b.dir, 0)
	remove(t, path)
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	w := b.worker()
	said := waiting()
	w.Log = slog.New(said)
	stop := b.start(t, w)
	<-said.logged
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	b.waitFinished(t)
	stop()
	b.prove(t, 30)
}

// TestUnitThatIsNot: a unit whose body is not what its subject says is given up
// with a reason, and never gets into a file.
func TestUnitThatIsNot(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(*stream.Scored)
	}{
		{"too few samples", func(s *stream.Scored) { s.Samples, s.Judgements = s.Samples[1:], s.Judgements[1:] }},
		{"a judgement missing", func(s *stream.Scored) { s.Judgements = s.Judgements[1:] }},
		{"samples of another unit", func(s *stream.Scored) { *s = scored(stream.Task{Unit: s.Unit, First: 90, N: 10, Receipt: s.Receipt}) }},
		{"an index twice", func(s *stream.Scored) { s.Samples[5].Index = 4 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 1, 10, 100)
			b.start(t, b.worker())
			task := b.tasks(0, 100)[0]
			s := scored(task)
			tt.spoil(&s)
			if _, err := b.Queue.Publish(t.Context(), stream.Combine, task.Unit, s); err != nil {
				t.Fatal(err)
			}
			streamtest.WaitFor(t, "the unit to be given up", func(ctx context.Context) (bool, error) {
				dead, err := b.Queue.DeadUnits(ctx, "r1")
				return len(dead) == 1, err
			})
			if exists(t, result.CellPath(b.dir, 0, 0.1)) {
				t.Error("the cell was written")
			}
		})
	}
}

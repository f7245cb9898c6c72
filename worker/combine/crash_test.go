package combine

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// finished brings a run of one cell to its end and returns the cell's state.
func finished(t *testing.T, b *bench) store.CellState {
	t.Helper()
	b.publishAll(t)
	stop := b.start(t, b.worker())
	b.waitFinished(t)
	stop()
	st := b.waitCell(t, b.cell(0, 100), 30)
	return st
}

// reopen takes back that the run is finished, as a crash before that step does.
func reopen(t *testing.T, b *bench) {
	t.Helper()
	if _, err := b.Store.UpdateRun(t.Context(), "r1", func(m *store.Manifest) bool { m.Finished = 0; return true }); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCrash makes the state that a crash leaves behind between each two steps,
// every unit already acknowledged, and starts a new combiner on it.
func TestCrash(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		crash func(t *testing.T, b *bench)
	}{
		{"units noted, nothing written", func(t *testing.T, b *bench) {
			t.Helper()
			b.publishAll(t)
			b.acknowledge(t, 3)
		}},
		{"half a temporary file", func(t *testing.T, b *bench) {
			t.Helper()
			b.publishAll(t)
			b.acknowledge(t, 3)
			path := result.CellPath(b.dir, 0, 0.1)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path+".tmp", []byte(`{"n": 3`), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"a draft that nobody will claim", func(t *testing.T, b *bench) {
			t.Helper()
			b.publishAll(t)
			b.acknowledge(t, 3)
			path := result.CellPath(b.dir, 0, 0.1)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".x1.tmp"), []byte(`{"n": 3`), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"file written, cell not marked", func(t *testing.T, b *bench) {
			t.Helper()
			b.publishAll(t)
			b.acknowledge(t, 3)
			begin(t, b, b.m, true)
		}},
		{"file written, cell neither claimed nor marked", func(t *testing.T, b *bench) {
			t.Helper()
			b.publishAll(t)
			b.acknowledge(t, 3)
			if err := look(t, b, b.m).appear(); err != nil {
				t.Fatal(err)
			}
		}},
		{"cell claimed, file not renamed", func(t *testing.T, b *bench) {
			t.Helper()
			b.publishAll(t)
			b.acknowledge(t, 3)
			begin(t, b, b.m, false)
		}},
		{"cell claimed, temporary file swept away", func(t *testing.T, b *bench) {
			t.Helper()
			b.publishAll(t)
			b.acknowledge(t, 3)
			s := begin(t, b, b.m, false)
			remove(t, filepath.Join(result.QuestionDir(b.dir, 0), s.draft.file.Temp()))
		}},
		{"cell marked, units not purged", func(t *testing.T, b *bench) {
			t.Helper()
			finished(t, b)
			reopen(t, b)
			remove(t, result.SummaryPath(b.dir, 0), result.RunSummaryPath(b.dir))
			b.publishAll(t)
			b.acknowledge(t, 3)
		}},
		{"purged, no summary", func(t *testing.T, b *bench) {
			t.Helper()
			finished(t, b)
			reopen(t, b)
			remove(t, result.SummaryPath(b.dir, 0), result.RunSummaryPath(b.dir))
		}},
		{"question summed up, run not", func(t *testing.T, b *bench) {
			t.Helper()
			finished(t, b)
			reopen(t, b)
			remove(t, result.RunSummaryPath(b.dir))
		}},
		{"run summed up, not marked finished", func(t *testing.T, b *bench) {
			t.Helper()
			finished(t, b)
			reopen(t, b)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 1, 30, 100)
			tt.crash(t, b)
			before, _, beforeErr := b.Store.Cell(t.Context(), b.cell(0, 100))
			stop := b.start(t, b.worker())
			b.waitFinished(t)
			st := b.waitCell(t, b.cell(0, 100), 30)
			if beforeErr == nil && before.N > 0 && st.DoneAt != before.DoneAt {
				t.Errorf("a cell that was done was written again: %+v, before %+v", st, before)
			}
			if tt.name == "file written, cell not marked" && st.DoneAt != before.Claim.State.DoneAt {
				t.Errorf("a file that was there was written again: %+v, claimed %+v", st, before.Claim.State)
			}
			readCell(t, result.CellPath(b.dir, 0, 0.1), 30)
			stop()
			if !exists(t, result.SummaryPath(b.dir, 0)) || !exists(t, result.RunSummaryPath(b.dir)) {
				t.Error("a summary is missing")
			}
			b.prove(t, 30)
		})
	}
}

// TestCrashBeforeTheLastUnit: what the former life acknowledged counts in the
// next one, which is handed only the rest.
func TestCrashBeforeTheLastUnit(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	tasks := b.tasks(0, 100)
	b.publish(t, tasks[0], tasks[2])
	b.acknowledge(t, 2)
	stop := b.start(t, b.worker())
	b.publish(t, tasks[1])
	b.waitFinished(t)
	stop()
	b.prove(t, 30)
}

// TestRaisedAfterACrash: the cell was marked, its units not purged, and then the
// run was raised. The units in the file must not be taken for some of the new.
func TestRaisedAfterACrash(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	finished(t, b)
	b.publishAll(t)
	b.acknowledge(t, 3)
	b.submit(t, 1, 60, 100)
	tasks := b.tasks(0, 100)
	b.publish(t, tasks[3])
	b.acknowledge(t, 1)
	stop := b.start(t, b.worker())
	b.publish(t, tasks[4])
	b.publish(t, tasks[5])
	b.waitCell(t, b.cell(0, 100), 60)
	b.waitFinished(t)
	stop()
	readCell(t, result.CellPath(b.dir, 0, 0.1), 60)
	b.prove(t, 60)
}

// TestClosedWithEverySummary wants the summary of every question on the disk when the run is said to
// be finished: no later start looks at a finished run.
func TestClosedWithEverySummary(t *testing.T) {
	t.Parallel()
	all := func(b *bench) (there []bool) {
		for q := range b.m.Questions {
			there = append(there, exists(t, result.SummaryPath(b.dir, q)))
		}
		return there
	}
	t.Run("none was written before a crash", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, 3, 30, 100)
		finished(t, b)
		reopen(t, b)
		remove(t, result.SummaryPath(b.dir, 0), result.SummaryPath(b.dir, 1), result.SummaryPath(b.dir, 2), result.RunSummaryPath(b.dir))
		w := b.worker()
		var mu sync.Mutex
		var closed [][]bool
		w.Closed = func(context.Context, string) {
			mu.Lock()
			defer mu.Unlock()
			closed = append(closed, all(b))
		}
		stop := b.start(t, w)
		b.waitFinished(t)
		stop()
		if len(closed) != 1 || slices.Contains(closed[0], false) {
			t.Errorf("summaries when the run was closed: %v, want all, once", closed)
		}
		b.prove(t, 30)
	})
	t.Run("another combiner died before it wrote one", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, 2, 30, 100)
		stop := b.start(t, b.worker())
		b.publish(t, b.tasks(0, 100)...)
		streamtest.WaitFor(t, "the first question's summary", func(context.Context) (bool, error) { return exists(t, result.SummaryPath(b.dir, 0)), nil })
		remove(t, result.SummaryPath(b.dir, 0))
		b.publish(t, b.tasks(1, 100)...)
		b.waitFinished(t)
		stop()
		if there := all(b); slices.Contains(there, false) {
			t.Errorf("summaries: %v, want all", there)
		}
		b.prove(t, 30)
	})
}

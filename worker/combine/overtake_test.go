package combine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// steps is a combiner that stands still after each step of writing a cell, as one
// that is stopped, swapped out or starved does.
type steps struct {
	bench    *bench
	worker   *Worker
	manifest *store.Manifest
	before   store.CellState
	revision uint64
	draft    draft
}

// look reads the cell's state and stages its next file.
func look(t *testing.T, b *bench, m *store.Manifest) *steps {
	t.Helper()
	s := &steps{bench: b, worker: b.worker(), manifest: m}
	var err error
	s.before, s.revision, err = b.Store.Cell(t.Context(), b.cell(0, 100))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	if s.draft, err = s.worker.stage(t.Context(), m, m.Questions[0], b.cell(0, 100), s.before); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *steps) claim(t *testing.T) error {
	t.Helper()
	var err error
	s.revision, err = s.worker.claim(t.Context(), s.manifest, s.manifest.Questions[0], s.bench.cell(0, 100), s.before, s.revision, s.draft)
	return err
}

func (s *steps) appear(t *testing.T) {
	t.Helper()
	if err := appear(s.draft); err != nil {
		t.Fatal(err)
	}
}

// begin does everything up to the rename.
func begin(t *testing.T, b *bench, m *store.Manifest) *steps {
	t.Helper()
	s := look(t, b, m)
	if err := s.claim(t); err != nil {
		t.Fatal(err)
	}
	return s
}

// finishRaised lets another combiner write the raised cell to its end.
func finishRaised(t *testing.T, b *bench) {
	t.Helper()
	if err := b.worker().write(t.Context(), b.m, b.m.Questions[0], b.cell(0, 100)); err != nil {
		t.Fatal(err)
	}
	readCell(t, result.CellPath(b.dir, 0, 0.1), 50)
}

// TestRaisedUnderAnotherCombiner: two combiners write one cell, and the one that
// knows the former manifest stands still before each of its steps until the other
// has written the raised cell. The smaller file must not replace the larger one.
func TestRaisedUnderAnotherCombiner(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		slow func(t *testing.T, s *steps) error // what the slow one does once the other is done
		late bool                               // it has claimed before the other started
	}{
		{"before its claim", func(t *testing.T, s *steps) error {
			t.Helper()
			return errors.Join(s.claim(t), s.draft.file.Abort())
		}, false},
		{"before its rename", func(t *testing.T, s *steps) error {
			t.Helper()
			return appear(s.draft)
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 1, 30, 100)
			b.publishAll(t)
			slow := look(t, b, b.m)
			if tt.late {
				if err := slow.claim(t); err != nil {
					t.Fatal(err)
				}
			}
			b.submit(t, 1, 50, 100)
			b.publish(t, b.tasks(0, 100)[3:]...)
			finishRaised(t, b)
			if err := tt.slow(t, slow); !errors.Is(err, errOvertaken) {
				t.Errorf("the slow combiner's step = %v, want errOvertaken", err)
			}
			readCell(t, result.CellPath(b.dir, 0, 0.1), 50)
			if st, _, err := b.Store.Cell(t.Context(), b.cell(0, 100)); err != nil || st.N != 50 || st.Claim != nil {
				t.Errorf("state of the cell = %+v, %v, want 50 samples and no claim", st, err)
			}
			if temps, err := filepath.Glob(filepath.Join(b.dir, "q0", ".*")); err != nil || len(temps) > 0 {
				t.Errorf("temporary files left: %v, %v", temps, err)
			}
			// Asked again, it finds the cell done and leaves it alone.
			if err := slow.worker.write(t.Context(), slow.manifest, slow.manifest.Questions[0], b.cell(0, 100)); err != nil {
				t.Error(err)
			}
			readCell(t, result.CellPath(b.dir, 0, 0.1), 50)
		})
	}
}

// TestRaisedAfterTheRename: the slow combiner has renamed and not marked. The other
// one finds the file, marks it, and adds to it.
func TestRaisedAfterTheRename(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	b.publishAll(t)
	slow := begin(t, b, b.m)
	slow.appear(t)
	b.submit(t, 1, 50, 100)
	b.publish(t, b.tasks(0, 100)[3:]...)
	finishRaised(t, b)
	if err := slow.worker.mark(t.Context(), b.cell(0, 100), slow.draft.state, 0, slow.revision); !errors.Is(err, errOvertaken) {
		t.Errorf("mark after the cell was raised = %v, want errOvertaken", err)
	}
	readCell(t, result.CellPath(b.dir, 0, 0.1), 50)
}

// TestRaiseInterrupted: a raise died between the rename and the mark. The file is
// then not the one that the state records, and yet not spoilt.
func TestRaiseInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	finished(t, b)
	b.submit(t, 1, 50, 100)
	b.publish(t, b.tasks(0, 100)[3:]...)
	begin(t, b, b.m).appear(t)
	stop := b.start(t, b.worker())
	b.waitFinished(t)
	stop()
	if dead := b.dead(t); len(dead) > 0 {
		t.Errorf("units given up: %+v", dead)
	}
	b.prove(t, 50)
}

// TestLargerClaimIsLeftAlone: a combiner that knows the former manifest does not
// take over a claim for more samples than it knows of.
func TestLargerClaimIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	b.publishAll(t)
	former := b.m
	b.submit(t, 1, 50, 100)
	b.publish(t, b.tasks(0, 100)[3:]...)
	larger := begin(t, b, b.m)
	if err := b.worker().write(t.Context(), former, former.Questions[0], b.cell(0, 100)); !errors.Is(err, errIncomplete) {
		t.Errorf("write under a larger claim = %v, want errIncomplete", err)
	}
	larger.appear(t)
	readCell(t, result.CellPath(b.dir, 0, 0.1), 50)
}

// TestOvertakenWhileReading: the file that is added to is replaced by another
// combiner before it is read. That is no spoilt file.
func TestOvertakenWhileReading(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	finished(t, b)
	before, revision, err := b.Store.Cell(t.Context(), b.cell(0, 100))
	if err != nil {
		t.Fatal(err)
	}
	b.submit(t, 1, 50, 100)
	b.publish(t, b.tasks(0, 100)[3:]...)
	finishRaised(t, b)
	if err := b.worker().replace(t.Context(), b.m, b.m.Questions[0], b.cell(0, 100), before, revision); !errors.Is(err, errOvertaken) {
		t.Errorf("replace of a cell that changed = %v, want errOvertaken", err)
	}
	if _, err := os.Stat(result.CellPath(b.dir, 0, 0.1)); errors.Is(err, fs.ErrNotExist) {
		t.Error("the file is gone")
	}
	readCell(t, result.CellPath(b.dir, 0, 0.1), 50)
}

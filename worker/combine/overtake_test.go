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

// look has a combiner read the cell's state and stage its next file, and stand still
// there, as one that is stopped, swapped out or starved does.
func look(t *testing.T, b *bench, m *store.Manifest) *cell {
	t.Helper()
	c := b.worker().newCell(m, m.Questions[0], b.cell(0, 100))
	if err := c.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.stage(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// begin goes on to the claim, and to the file's name if named is true.
func begin(t *testing.T, b *bench, m *store.Manifest, named bool) *cell {
	t.Helper()
	c := look(t, b, m)
	if err := c.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if named {
		if err := c.appear(); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// finishRaised lets another combiner write the raised cell to its end.
func finishRaised(t *testing.T, b *bench) {
	t.Helper()
	if err := b.worker().newCell(b.m, b.m.Questions[0], b.cell(0, 100)).write(t.Context()); err != nil {
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
		slow func(t *testing.T, c *cell) error // what the slow one does once the other is done
		late bool                              // it has claimed before the other started
	}{
		{"before its claim", func(t *testing.T, c *cell) error {
			t.Helper()
			return errors.Join(c.claim(t.Context()), c.draft.file.Abort())
		}, false},
		{"before its rename", func(t *testing.T, c *cell) error {
			t.Helper()
			return c.appear()
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 1, 30, 100)
			b.publishAll(t)
			slow := look(t, b, b.m)
			if tt.late {
				if err := slow.claim(t.Context()); err != nil {
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
			if err := slow.write(t.Context()); err != nil {
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
	slow := begin(t, b, b.m, true)
	b.submit(t, 1, 50, 100)
	b.publish(t, b.tasks(0, 100)[3:]...)
	finishRaised(t, b)
	if err := slow.mark(t.Context(), slow.draft.state); !errors.Is(err, errOvertaken) {
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
	begin(t, b, b.m, true)
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
	larger := begin(t, b, b.m, false)
	if err := b.worker().newCell(former, former.Questions[0], b.cell(0, 100)).write(t.Context()); !errors.Is(err, errIncomplete) {
		t.Errorf("write under a larger claim = %v, want errIncomplete", err)
	}
	if err := larger.appear(); err != nil {
		t.Fatal(err)
	}
	readCell(t, result.CellPath(b.dir, 0, 0.1), 50)
}

// TestOvertakenWhileReading: the file that is added to is replaced by another
// combiner before it is read. That is no spoilt file.
func TestOvertakenWhileReading(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	finished(t, b)
	slow := b.worker().newCell(b.m, b.m.Questions[0], b.cell(0, 100))
	if err := slow.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.submit(t, 1, 50, 100)
	b.publish(t, b.tasks(0, 100)[3:]...)
	finishRaised(t, b)
	slow.m, slow.q = b.m, b.m.Questions[0]
	if err := slow.replace(t.Context()); !errors.Is(err, errOvertaken) {
		t.Errorf("replace of a cell that changed = %v, want errOvertaken", err)
	}
	if _, err := os.Stat(result.CellPath(b.dir, 0, 0.1)); errors.Is(err, fs.ErrNotExist) {
		t.Error("the file is gone")
	}
	readCell(t, result.CellPath(b.dir, 0, 0.1), 50)
}

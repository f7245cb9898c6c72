package combine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// TestRaise adds samples, and a temperature, to a run that was finished.
func TestRaise(t *testing.T) {
	t.Parallel()
	t.Run("read once", func(t *testing.T) { t.Parallel(); raise(t, 0) })
	t.Run("read twice", func(t *testing.T) { t.Parallel(); raise(t, 1) }) // a cell too large to be kept
}

func raise(t *testing.T, mostKept int64) {
	t.Helper()
	b := newBench(t, 1, 25, 100)
	b.publishAll(t)
	w := b.worker()
	w.mostKept = mostKept
	stop := b.start(t, w)
	b.waitFinished(t)
	b.submit(t, 1, 45, 100, 200)
	tasks := b.tasks(0, 100)
	if len(tasks) != 5 || tasks[3].First != 25 {
		t.Fatalf("tasks of the raised cell = %+v", tasks)
	}
	b.publish(t, tasks[3:]...)
	b.waitCell(t, b.cell(0, 100), 45)
	readCell(t, result.CellPath(b.dir, 0, 0.1), 45)
	b.publish(t, b.tasks(0, 200)...)
	b.waitFinished(t)
	stop()
	b.prove(t, 45)
}

// TestRaiseRefusesAnotherFile: a cell is added to only if its file is the one
// that was written. The new units are given up with a reason that says what to
// do, and when the file is back the cell is finished.
func TestRaiseRefusesAnotherFile(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(t *testing.T, path string, content []byte)
		want   string
	}{
		{"missing", func(t *testing.T, path string, _ []byte) {
			t.Helper()
			remove(t, path)
		}, "is gone"},
		{"changed", func(t *testing.T, path string, content []byte) {
			t.Helper()
			write(t, path, bytes.Replace(content, []byte(`"text 3"`), []byte(`"text!3"`), 1))
		}, "has changed since it was written"},
		{"cut off", func(t *testing.T, path string, content []byte) {
			t.Helper()
			write(t, path, content[:len(content)/2])
		}, "put the file back"},
		{"no cell at all", func(t *testing.T, path string, _ []byte) {
			t.Helper()
			write(t, path, []byte("hello"))
		}, "put the file back"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 1, 30, 100)
			finished(t, b)
			path := result.CellPath(b.dir, 0, 0.1)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(t, path, content)
			b.submit(t, 1, 50, 100)
			b.publish(t, b.tasks(0, 100)[3:]...)
			w := b.worker()
			stop := b.start(t, w)
			streamtest.WaitFor(t, "a unit to be given up", func(ctx context.Context) (bool, error) {
				dead, err := b.Queue.DeadUnits(ctx, "r1")
				return len(dead) > 0, err
			})
			if reason := b.dead(t)[0].Error; !strings.Contains(reason, tt.want) || !strings.Contains(reason, path) || !strings.Contains(reason, "q0.t0_1") {
				t.Errorf("reason = %q, want %q and the path", reason, tt.want)
			}
			if done, err := b.Store.CellDone(t.Context(), b.cell(0, 100), 31); done || err != nil {
				t.Errorf("the cell counts as raised: %v, %v", done, err)
			}
			stop()
			// The next life still serves, and finds the file put back.
			stop = b.start(t, b.worker())
			streamtest.WaitFor(t, "the combiner to pull", func(ctx context.Context) (bool, error) {
				c, err := b.JS.Consumer(ctx, "COMBINE", "combiner")
				return err == nil && c.CachedInfo().NumWaiting > 0, err
			})
			stop()
			write(t, path, content)
			stop = b.start(t, b.worker())
			b.waitFinished(t)
			stop()
			b.prove(t, 50)
		})
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRaisedWhileWriting: the cell is raised while the combiner, which remembers
// the former manifest, writes it. The purge must spare the new units.
func TestRaisedWhileWriting(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	b.publishAll(t)
	former := b.m
	b.submit(t, 1, 50, 100)
	b.publish(t, b.tasks(0, 100)[3:]...)
	w := b.worker()
	if err := w.newCell(former, former.Questions[0], b.cell(0, 100)).write(t.Context()); err != nil {
		t.Fatal(err)
	}
	units, err := b.Queue.Units(t.Context(), stream.Combine, b.cell(0, 100))
	if err != nil || len(units) != 2 || !units[3] || !units[4] {
		t.Errorf("units after the cell was written with 30 samples = %v, %v, want 3 and 4", units, err)
	}
	stop := b.start(t, b.worker())
	b.waitFinished(t)
	stop()
	b.prove(t, 50)
}

// TestRaiseCompressed: a cell that is raised by a combiner with another setting
// has one file afterwards, not two.
func TestRaiseCompressed(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	finished(t, b)
	b.submit(t, 1, 40, 100)
	b.publish(t, b.tasks(0, 100)[3:]...)
	w := b.worker()
	w.Compress = true
	stop := b.start(t, w)
	b.waitFinished(t)
	stop()
	files, err := filepath.Glob(filepath.Join(b.dir, "q0", "t0_1*"))
	if err != nil || len(files) != 1 {
		t.Errorf("files of the cell = %v, %v, want one", files, err)
	}
	readCell(t, result.CellPath(b.dir, 0, 0.1), 40)
	b.prove(t, 40)
}

func TestKeep(t *testing.T) {
	t.Parallel()
	k := keep{most: 1000}
	for i := range 2 {
		k.add(&result.Sample{Sample: stream.Sample{Index: i, Code: "1234", Completion: "12345678"}})
	}
	var got []int
	if err := k.visit(func(s *result.Sample) error { got = append(got, s.Index); return nil }); err != nil || !k.whole() || !slices.Equal(got, []int{0, 1}) {
		t.Errorf("kept %v, %v, %v, want both in order", got, k.whole(), err)
	}
	failed := errors.New("disk full")
	if err := k.visit(func(*result.Sample) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("visit = %v, want %v", err, failed)
	}
	k.add(&result.Sample{Sample: stream.Sample{Completion: strings.Repeat("x", 1000)}})
	k.add(new(result.Sample))
	if k.whole() || k.samples != nil {
		t.Errorf("kept %d samples of %d bytes, want none", len(k.samples), k.bytes)
	}
}

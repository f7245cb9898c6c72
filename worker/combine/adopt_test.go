package combine

import (
	"fmt"
	"os"
	"testing"

	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// TestAdopt takes over the cells of a folder for a run that its server does not know: all that are whole and the
// run's, each once, as the combiner has left them.
func TestAdopt(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 20, 200, 700)
	b.publishAll(t)
	stop := b.start(t, b.worker())
	b.waitFinished(t)
	stop()
	for i, tt := range []struct {
		name   string
		change func(m *store.Manifest)
		want   int
	}{
		{"the same run", func(*store.Manifest) {}, 4},
		{"another model", func(m *store.Manifest) { m.Model.Name = "other" }, 0},
		{"another engine", func(m *store.Manifest) { m.Model.Engine = "vllm" }, 0},
		{"another judge", func(m *store.Manifest) { m.Judge.Mode = "script" }, 0},
		{"another question", func(m *store.Manifest) { m.Questions[1].ID = "other" }, 2},
		{"more samples", func(m *store.Manifest) { m.Questions[0].Cuts = []int{30} }, 2},
		{"another temperature", func(m *store.Manifest) { m.Temperatures = m.Temperatures[1:] }, 2},
		{"samples until they are enough", func(m *store.Manifest) { m.Until = new(store.Until) }, 0},
		{"a torn file", func(*store.Manifest) {
			path := result.CellPath(b.dir, 1, 0.7)
			text, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, text[:len(text)-3], 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, 3},
		{"no folder of a question", func(*store.Manifest) {
			if err := os.RemoveAll(result.QuestionDir(b.dir, 0)); err != nil {
				t.Fatal(err)
			}
		}, 1},
	} {
		m := *b.m
		m.ID = fmt.Sprint("moved", i)
		m.Questions = append([]store.Question{}, b.m.Questions...)
		tt.change(&m)
		for _, want := range []int{tt.want, 0} { // the second time they are known
			if n, err := Adopt(t.Context(), b.Store, &m, b.dir); n != want || err != nil {
				t.Errorf("%s: Adopt = %d, %v, want %d", tt.name, n, err, want)
			}
		}
		if i > 0 {
			continue
		}
		for _, c := range b.m.Temperatures {
			id := b.cell(1, c)
			was, _, err := b.Store.Cell(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			id.Run = m.ID
			is, _, err := b.Store.Cell(t.Context(), id)
			if err != nil || is.N != was.N || is.Passed != was.Passed || is.Digest != was.Digest || is.Bytes != was.Bytes || is.File != was.File || is.Fingerprint != was.Fingerprint {
				t.Errorf("%s is taken over as %+v, %v, it was %+v", id.Key(), is, err, was)
			}
		}
	}
}

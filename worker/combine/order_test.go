package combine

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// TestStepsAreTheProtocols records what a combiner does with one cell, and looks at
// the folder before each step: the order for which the model shows that nothing is
// lost. That the file and its folder are synced within a step is package result's
// to show.
func TestStepsAreTheProtocols(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	b.publishAll(t)
	path := result.CellPath(b.dir, 0, 0.1)
	drafts := func() int {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"*"))
		if err != nil {
			t.Error(err)
		}
		return len(files)
	}
	var mu sync.Mutex
	var got []streamtest.Step
	record := b.Record(t, func(subject string) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case strings.HasPrefix(subject, "$KV.lcbq_cells.") && !slices.Contains(got, streamtest.Claim):
			if drafts() == 1 && !exists(t, path) {
				got = append(got, streamtest.Draft)
			}
			got = append(got, streamtest.Claim)
		case strings.HasPrefix(subject, "$KV.lcbq_cells."):
			if drafts() == 0 && exists(t, path) {
				got = append(got, streamtest.Rename)
			}
			got = append(got, streamtest.Mark)
		case strings.HasPrefix(subject, "$JS.API.STREAM.PURGE.COMBINE") && !slices.Contains(got, streamtest.Purge):
			got = append(got, streamtest.Purge)
		}
	})
	w := b.worker()
	w.Queue, w.Store, w.Runs.Store = record.Queue, record.Store, record.Store
	stop := b.start(t, w)
	b.waitFinished(t)
	stop()
	mu.Lock()
	defer mu.Unlock()
	inside := []streamtest.Step{streamtest.Read, streamtest.SyncDraft, streamtest.SyncFolder} // not to be seen from here
	want := slices.DeleteFunc(streamtest.TheProtocol().Cell, func(s streamtest.Step) bool { return slices.Contains(inside, s) })
	if !slices.Equal(got, want) {
		t.Errorf("a combiner's steps are %v, want %v", got, want)
	}
}

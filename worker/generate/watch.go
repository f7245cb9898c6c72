package generate

import (
	"sync"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/health"
)

// watches are the watches over the answers of each run.
type watches struct {
	mu   sync.Mutex
	runs map[string]*health.Watch
}

// watch looks at a unit's answers before they are published. Its error keeps them from
// being so: the unit is generated again when a person has mended the server.
func (w *Worker) watch(m *store.Manifest, b *stream.Batch) error {
	if w.Unhealthy == nil {
		return nil
	}
	w.watches.mu.Lock()
	if w.watches.runs == nil {
		w.watches.runs = make(map[string]*health.Watch)
	}
	run := w.watches.runs[m.ID]
	if run == nil {
		run = &health.Watch{Settings: health.Settings{MaxTokens: m.Model.MaxTokens, Engine: m.Model.Engine}}
		w.watches.runs[m.ID] = run
	}
	w.watches.mu.Unlock()
	f := run.See(b.Cell, b.Samples)
	if f == nil {
		return nil
	}
	return w.Unhealthy(*f)
}

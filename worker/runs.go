package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// Runs remembers manifests, so that a unit does not cost a look-up. What a
// manifest says of a unit never changes; a manifest that does not know a unit yet
// is read again. It is safe for concurrent use.
type Runs struct {
	Store *store.Store

	mu    sync.Mutex
	known map[string]*store.Manifest
}

// Unit returns the manifest of the unit's run, the unit's question, and which
// samples the unit is. Its error wraps stream.ErrPoison if the run does not exist
// or has no such unit.
func (r *Runs) Unit(ctx context.Context, u stream.Unit) (*store.Manifest, store.Question, stream.Task, error) {
	// A unit is published after its manifest is written: one that the remembered
	// manifest does not know asks for the present one.
	for _, fresh := range []bool{false, true} {
		m, err := r.run(ctx, u.Run, fresh)
		if err != nil {
			return nil, store.Question{}, stream.Task{}, err
		}
		q, ok := m.Question(u.Question)
		if tasks := m.Tasks(q, u.Temperature); ok && u.Index < len(tasks) && slices.Contains(m.Temperatures, u.Temperature) {
			return m, q, tasks[u.Index], nil
		}
	}
	return nil, store.Question{}, stream.Task{}, fmt.Errorf("run %s has no unit %d of %s: %w", u.Run, u.Index, u.Key(), stream.ErrPoison)
}

func (r *Runs) run(ctx context.Context, id string, fresh bool) (*store.Manifest, error) {
	r.mu.Lock()
	m := r.known[id]
	r.mu.Unlock()
	if m != nil && !fresh {
		return m, nil
	}
	m, _, err := r.Store.Run(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", stream.ErrPoison, err)
	}
	if err != nil {
		return nil, err
	}
	r.Learn(m)
	return m, nil
}

// Learn remembers a manifest that the caller has just read or written.
func (r *Runs) Learn(m *store.Manifest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = make(map[string]*store.Manifest)
	}
	r.known[m.ID] = m
}

package worker

import (
	"context"
	"errors"
	"fmt"
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

// Unit returns the manifest of the unit's run and the unit's question. Its error
// wraps stream.ErrPoison if the run or the question does not exist.
func (r *Runs) Unit(ctx context.Context, u stream.Unit) (*store.Manifest, store.Question, error) {
	for _, fresh := range []bool{false, true} {
		m, err := r.run(ctx, u.Run, fresh)
		if err != nil {
			return nil, store.Question{}, err
		}
		if q, ok := m.Question(u.Question); ok {
			return m, q, nil
		}
	}
	return nil, store.Question{}, fmt.Errorf("run %s has no question %d: %w", u.Run, u.Question, stream.ErrPoison)
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

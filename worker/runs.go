package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// ErrCancelled marks a unit of a cancelled run. It is dropped: its samples are not wanted,
// and nothing is wrong with it.
var ErrCancelled = errors.New("run is cancelled")

// remembered is how long a cached manifest is used. What it says of a unit never changes,
// but a cancellation is noticed only after this time.
const remembered = 2 * time.Second

// Runs caches manifests, so that not every unit costs a look-up. A manifest that does not
// have a unit is read again. Runs is safe for concurrent use.
type Runs struct {
	Store *store.Store

	mu    sync.Mutex
	known map[string]known
}

type known struct {
	manifest *store.Manifest
	at       time.Time
}

// Unit returns the manifest of the unit's run, the unit's question, and which
// samples the unit is. Its error wraps stream.ErrPoison if the run does not exist
// or has no such unit, and ErrCancelled if the run was cancelled.
func (r *Runs) Unit(ctx context.Context, u stream.Unit) (*store.Manifest, store.Question, stream.Task, error) {
	// A unit is published after its manifest is written. If the cached manifest does not
	// have the unit, the stored one is read.
	for _, fresh := range []bool{false, true} {
		m, err := r.run(ctx, u.Run, fresh)
		if err != nil {
			return nil, store.Question{}, stream.Task{}, err
		}
		if m.Cancelled != 0 {
			return nil, store.Question{}, stream.Task{}, fmt.Errorf("run %s: %w", m.ID, ErrCancelled)
		}
		if q, task, ok := m.Task(u); ok {
			return m, q, task, nil
		}
	}
	return nil, store.Question{}, stream.Task{}, fmt.Errorf("run %s has no unit %d of %s: %w", u.Run, u.Index, u.Key(), stream.ErrPoison)
}

// Run returns the manifest of a run, at most remembered old. Its error wraps
// stream.ErrPoison if there is none.
func (r *Runs) Run(ctx context.Context, id string) (*store.Manifest, error) {
	return r.run(ctx, id, false)
}

// Fresh returns the manifest of a run as it is now.
func (r *Runs) Fresh(ctx context.Context, id string) (*store.Manifest, error) {
	return r.run(ctx, id, true)
}

func (r *Runs) run(ctx context.Context, id string, fresh bool) (*store.Manifest, error) {
	r.mu.Lock()
	k, ok := r.known[id]
	r.mu.Unlock()
	if ok && !fresh && time.Since(k.at) < remembered {
		return k.manifest, nil
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

// Issued reports whether a receipt is that of a unit of a run, of which the caller knows the manifest m. A run that was
// withdrawn and made anew has other receipts: where m says no, the stored manifest decides.
func (r *Runs) Issued(ctx context.Context, m *store.Manifest, u stream.Unit, receipt string) (bool, error) {
	if m.Issued(u, receipt) {
		return true, nil
	}
	m, err := r.Fresh(ctx, u.Run)
	return err == nil && m.Issued(u, receipt), err
}

// Learn caches a manifest that the caller has just read or written.
func (r *Runs) Learn(m *store.Manifest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = make(map[string]known)
	}
	r.known[m.ID] = known{m, time.Now()}
}

// Samples returns how many samples a unit holds, 0 if its run is not cached. It makes no
// request.
func (r *Runs) Samples(u stream.Unit) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k, ok := r.known[u.Run]; ok {
		_, task, _ := k.manifest.Task(u)
		return task.N
	}
	return 0
}

package web

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
)

// Intervals of reading.
const (
	freshFor = 900 * time.Millisecond // a look this old is shown to who asks next
	calmly   = 5 * time.Second        // between looks while nobody asks: rates and estimates need some
	unusedOf = 10 * time.Minute       // a run that nobody asked for since then is forgotten
)

// Readers has one reader for each run that somebody looks at, and reads each at most once a second, however many
// look.
type Readers struct {
	New func(run string) *snapshot.Reader

	mu  sync.Mutex
	all map[string]*reader
}

type reader struct {
	*snapshot.Reader
	used time.Time // guarded by Readers

	mu   sync.Mutex // held while a look is made: who comes meanwhile shares it
	last *snapshot.Snapshot
	at   time.Time
	err  error
}

// Look returns how a run is now, "" for the one that is worked on. It returns nil without an error where the server
// has no such run.
func (r *Readers) Look(ctx context.Context, run string) (*snapshot.Snapshot, error) {
	return r.of(run).now(ctx, freshFor)
}

func (r *Readers) of(run string) *reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = make(map[string]*reader)
	}
	now := time.Now()
	for id, old := range r.all {
		if id != "" && id != run && now.Sub(old.used) > unusedOf {
			delete(r.all, id)
		}
	}
	one := r.all[run]
	if one == nil {
		one = &reader{Reader: r.New(run)}
		r.all[run] = one
	}
	one.used = now
	return one
}

// now returns what is at most old, or looks.
func (r *reader) now(ctx context.Context, old time.Duration) (*snapshot.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.at.IsZero() && time.Since(r.at) < old {
		return r.last, r.err
	}
	s, err := r.Look(ctx)
	if err != nil && ctx.Err() != nil { // who asked went away: that says nothing of the server
		return nil, err
	}
	if errors.Is(err, snapshot.ErrNoRun) {
		s, err = nil, nil
	}
	r.last, r.err, r.at = s, err, time.Now()
	return s, err
}

// Watch looks at the runs every few seconds until ctx is done, and calls seen with those that are not over and the
// one that was worked on last.
func (r *Readers) Watch(ctx context.Context, seen func(*snapshot.Snapshot)) {
	tick := time.NewTicker(calmly)
	defer tick.Stop()
	for {
		if runs, err := lookAll(ctx, r.Look, ""); err == nil {
			for _, s := range runs {
				seen(s)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

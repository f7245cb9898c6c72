package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// Run returns a run's manifest and its revision, or ErrNotFound. It says also what workers have noted.
func (s *Store) Run(ctx context.Context, id string) (*Manifest, uint64, error) {
	m, rev, _, err := s.run(ctx, id)
	return m, rev, err
}

func (s *Store) run(ctx context.Context, id string) (_ *Manifest, revision uint64, n notes, err error) {
	var m Manifest
	err = s.insist(ctx, func() error {
		revision, err = get(ctx, s.conn, s.runs, id, &m)
		return err
	})
	if err != nil {
		return nil, 0, n, err
	}
	if err := m.check(id); err != nil {
		return nil, 0, n, err
	}
	if n, err = s.readNotes(ctx, &m); err != nil {
		return nil, 0, n, err
	}
	n.addTo(&m)
	return &m, revision, n, nil
}

// PutRun writes a manifest by compare-and-set and returns its new revision;
// revision 0 means that the run is new.
func (s *Store) PutRun(ctx context.Context, m *Manifest, revision uint64) (uint64, error) {
	m.Format = FormatVersion
	return put(ctx, s.conn, s.runs, m.ID, m, revision)
}

// UpdateRun applies change to a run's manifest until no one else's write gets in
// between. change may be called several times; it returns false to leave the
// manifest as it is.
func (s *Store) UpdateRun(ctx context.Context, id string, change func(*Manifest) bool) (*Manifest, error) {
	for {
		m, rev, err := s.Run(ctx, id)
		if err != nil {
			return nil, err
		}
		if !change(m) {
			return m, nil
		}
		switch _, err := s.PutRun(ctx, m, rev); {
		case errors.Is(err, ErrChanged):
			continue
		case err != nil:
			return nil, err
		}
		return m, nil
	}
}

// RemoveRun removes a manifest that still has the given revision: a run of which
// nothing was published. It returns ErrChanged if somebody else wrote since.
func (s *Store) RemoveRun(ctx context.Context, id string, revision uint64) error {
	err := s.runs.Delete(ctx, id, jetstream.LastRevision(revision))
	if wrongRevision(err) {
		return fmt.Errorf("remove %s/%s: %w", runsBucket, id, ErrChanged)
	}
	if err != nil {
		return fmt.Errorf("remove %s/%s: %w", runsBucket, id, err)
	}
	return nil
}

// An Unread is a key of the run manifests that cannot be read, and why. Its error
// wraps ErrUnreadable.
type Unread struct {
	Key string
	Err error
}

// Runs returns the manifests of all runs, the oldest first, and the keys whose manifest cannot
// be read. An unreadable manifest does not affect the others.
func (s *Store) Runs(ctx context.Context) (runs []*Manifest, unread []Unread, err error) {
	return s.readRuns(ctx, func(v value) (*Manifest, error) { return readManifest(v.key, v.Data) })
}

// SharedRuns is Runs for who looks every second: callers share what manifests point to, and
// leave it as it is. What was not written since is not decoded again.
func (s *Store) SharedRuns(ctx context.Context) (runs []*Manifest, unread []Unread, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.decoded
	s.decoded = make(map[string]decoded, len(before))
	return s.readRuns(ctx, func(v value) (*Manifest, error) {
		d, ok := before[v.key]
		if !ok || d.revision != v.Sequence {
			d.revision = v.Sequence
			d.manifest, d.err = readManifest(v.key, v.Data)
		}
		s.decoded[v.key] = d
		if d.err != nil {
			return nil, d.err
		}
		m := *d.manifest // notes complete the copy
		return &m, nil
	})
}

// decoded is a manifest as it was read at a revision.
type decoded struct {
	revision uint64
	manifest *Manifest
	err      error
}

func (s *Store) readRuns(ctx context.Context, read func(value) (*Manifest, error)) (runs []*Manifest, unread []Unread, err error) {
	err = s.values(ctx, s.runs, ">", 1, func(v value) error {
		m, err := read(v)
		if err != nil {
			unread = append(unread, Unread{v.key, err})
		} else {
			runs = append(runs, m)
		}
		return nil // a bad key is listed in unread and does not end the walk
	})
	slices.SortFunc(runs, func(a, b *Manifest) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.ID, b.ID))
	})
	if err == nil && len(runs) > 0 {
		err = s.noteAll(ctx, runs)
	}
	return runs, unread, err
}

func readManifest(key string, value []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := json.Unmarshal(value, m); err != nil {
		return nil, fmt.Errorf("decode %s/%s: %w: %w", runsBucket, key, ErrUnreadable, err)
	}
	return m, m.check(key)
}

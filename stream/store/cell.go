package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/lcbq/lcbq/stream"
)

// knownCells are the cells of a run as of a revision of their bucket. Later looks need only what
// came since.
type knownCells struct {
	revision uint64
	cells    map[stream.Cell]CellState

	shared   map[stream.Cell]CellState // a copy that is never written to; nil before the first
	sharedAt uint64                    // its revision
}

// A CellState is what remains of a cell once its file is durable. Its N decides for
// ever that late units of the cell are dropped; it is 0 while no file is.
type CellState struct {
	stream.Counts
	Fingerprint string `json:"fingerprint"` // of the environment that judged
	File        string `json:"file"`        // name in the question's folder
	Digest      string `json:"digest"`      // SHA-256 of the file's JSON, uncompressed
	Bytes       int64  `json:"bytes"`       // length of that JSON
	DoneAt      int64  `json:"done_at_ms"`
	Generated   Work   `json:"generated"`
	Judged      Work   `json:"judged"`
	Judges      Judges `json:"judges,omitempty"` // by whom

	// Claim is set while a combiner gives the cell's next file its name. Fields
	// above are then those of the file before it, or zero.
	Claim *Claim `json:"claim,omitempty"`
}

// UnmarshalJSON reads a state, also one of a store in which two of its counts had
// names of their own and the pass rate was left out.
func (st *CellState) UnmarshalJSON(b []byte) error {
	type plain CellState
	former := struct {
		*plain
		Tokens int64 `json:"tokens"`
		Unique int   `json:"unique"`
	}{plain: (*plain)(st)}
	if err := json.Unmarshal(b, &former); err != nil {
		return err
	}
	st.Tokens = cmp.Or(st.Tokens, former.Tokens)
	st.UniquePrograms = cmp.Or(st.UniquePrograms, former.Unique)
	st.PassRate = st.Rate()
	return nil
}

// A Work is the time in which a stage worked on a cell. The zero value is no known time.
type Work struct {
	From    int64 `json:"from_ms"` // Unix milliseconds: the first unit's start
	To      int64 `json:"to_ms"`   // and the last one's end
	Retries int   `json:"retries"` // deliveries beyond the first of each unit
}

// Add extends w by a unit, or by another cell, that was worked on between from and to. Where
// these are unknown it only adds the retries.
func (w *Work) Add(from, to int64, retries int) {
	w.Retries += max(0, retries)
	if from <= 0 || to < from {
		return
	}
	if w.From == 0 || from < w.From {
		w.From = from
	}
	w.To = max(w.To, to)
}

// Seconds returns the time from the first start to the last end.
func (w *Work) Seconds() float64 { return float64(w.To-w.From) / 1000 }

// A Claim announces a cell's next file. It is written by compare-and-set, after
// the temporary file of the claim before it was removed: so of two combiners that
// write one cell, however long one of them stands still, only the one whose claim
// is recorded can still rename.
type Claim struct {
	State CellState `json:"state"` // what the cell will be
	Temp  string    `json:"temp"`  // name of the temporary file in the question's folder
}

// Cell returns the state of a cell and its revision, or ErrNotFound while nobody
// has written it.
func (s *Store) Cell(ctx context.Context, c stream.Cell) (CellState, uint64, error) {
	var st CellState
	rev, err := get(ctx, s.conn, s.cells, c.Key(), &st)
	return st, rev, err
}

// CellDone reports whether the cell already holds at least n samples.
func (s *Store) CellDone(ctx context.Context, c stream.Cell, n int) (bool, error) {
	st, _, err := s.Cell(ctx, c)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && st.Held() >= n, err
}

// Held returns how many samples a cell holds by the states that Cells returned.
func Held(cells map[stream.Cell]CellState, c stream.Cell) int {
	st := cells[c]
	return st.Held()
}

// PutCell marks a cell done by compare-and-set; revision 0 means that it had no
// state before.
func (s *Store) PutCell(ctx context.Context, c stream.Cell, st CellState, revision uint64) error {
	_, err := put(ctx, s.conn, s.cells, c.Key(), st, revision)
	return err
}

// ClaimCell adds a claim to a cell's state by compare-and-set and returns the new
// revision.
func (s *Store) ClaimCell(ctx context.Context, c stream.Cell, st CellState, claim Claim, revision uint64) (uint64, error) {
	st.Claim = &claim
	return put(ctx, s.conn, s.cells, c.Key(), st, revision)
}

// Cells returns the states of a run's finished cells; q limits them to one
// question unless it is negative. All cells of a run are read once; after that a
// look costs what was finished since.
func (s *Store) Cells(ctx context.Context, run string, q int) (map[stream.Cell]CellState, error) {
	if q >= 0 {
		k := knownCells{cells: make(map[stream.Cell]CellState)}
		err := k.read(ctx, s, fmt.Sprintf("%s.q%d.*", run, q))
		return k.cells, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.cellsOf(ctx, run)
	if err != nil {
		return nil, err
	}
	return maps.Clone(k.cells), nil
}

// SharedCells is Cells of all questions for who looks every second: callers share the map, and leave it as it is.
// Nothing is copied where nothing is new.
func (s *Store) SharedCells(ctx context.Context, run string) (map[stream.Cell]CellState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.cellsOf(ctx, run)
	if err != nil {
		return nil, err
	}
	if k.shared == nil || k.sharedAt != k.revision {
		k.shared, k.sharedAt = maps.Clone(k.cells), k.revision
	}
	return k.shared, nil
}

// cellsOf brings what is known of a run up to date; mu is held.
func (s *Store) cellsOf(ctx context.Context, run string) (*knownCells, error) {
	k := s.known[run]
	if k == nil {
		k = &knownCells{cells: make(map[stream.Cell]CellState)}
		if s.known == nil {
			s.known = make(map[string]*knownCells)
		}
		s.known[run] = k
	}
	return k, k.read(ctx, s, run+".>")
}

// read brings k up to what the bucket holds.
func (k *knownCells) read(ctx context.Context, s *Store, filter string) error {
	return s.values(ctx, s.cells, filter, k.revision+1, func(v value) error {
		c, err := stream.ParseCell(v.key)
		if err != nil {
			return err
		}
		var st CellState
		// Not by json.Unmarshal, which would read the text twice more: thousands of states are read at a start.
		if err := st.UnmarshalJSON(v.Data); err != nil {
			return fmt.Errorf("decode %s/%s: %w: %w", cellsBucket, v.key, ErrUnreadable, err)
		}
		if st.Held() > 0 {
			k.cells[c] = st
		} else { // it is claimed for the first time, or what it held was false
			delete(k.cells, c)
		}
		k.revision = max(k.revision, v.Sequence)
		return nil
	})
}

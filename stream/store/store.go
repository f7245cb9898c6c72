// Package store keeps what outlives a message: the manifest of each run, the
// state of each cell, the problems, and who is at work. It lies in JetStream's
// KV buckets and object store, so that a worker on another host needs one URL.
// It does not know how cells are filled or files written.
package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/link"
)

// Names of the buckets, as `nats kv ls` and `nats object ls` show them.
const (
	runsBucket     = "lcbq_runs"
	cellsBucket    = "lcbq_cells"
	workersBucket  = "lcbq_workers"
	verdictsBucket = "lcbq_verdicts"
	enginesBucket  = "lcbq_engines"
	problemsBucket = "lcbq_problems"
)

// writeWait bounds a write of a key on a cluster. Whoever wrote it reads it again, and decides again.
const writeWait = 5 * time.Second

// workerTTL is how long a worker counts as alive after its last heartbeat.
const workerTTL = 30 * time.Second

// Errors by which callers decide.
var (
	// ErrNotFound: the store has never held it. For a worker that makes the
	// message that names it a poison.
	ErrNotFound = errors.New("not in the store")
	// ErrChanged: somebody else wrote first; read again and decide again.
	ErrChanged = errors.New("changed since it was read")
	// ErrUnreadable: a key holds what this lcbq cannot read, because another program
	// wrote it or a newer lcbq. That costs the run it belongs to, and no other.
	ErrUnreadable = errors.New("not readable by this lcbq")
	// ErrFull: the bucket holds as much as it may. What was not kept is only not shared.
	ErrFull = errors.New("bucket is full")
	// ErrNewer: a newer lcbq wrote it. Such a key is unreadable too.
	ErrNewer = errors.New("made by a newer lcbq")
)

// A Store is the buckets on one server. It is safe for concurrent use.
type Store struct {
	runs, cells, workers jetstream.KeyValue
	verdicts             jetstream.KeyValue // nil on a server of an earlier version
	engines              jetstream.KeyValue // nil on a server of an earlier version, which has no stream of judges either
	problems             jetstream.ObjectStore
	js                   jetstream.JetStream
	conn                 *nats.Conn
	verdictsKept         bool   // as they are: see ReadVerdictsOnly
	verdictMost          uint64 // bytes that verdicts may take

	mu            sync.Mutex
	known         map[string]*knownCells // by run
	decoded       map[string]decoded     // by key, as SharedRuns last read them; guarded by mu
	verdictBytes  uint64                 // of the verdicts, as of verdictLooked
	verdictLooked time.Time
	banned        jetstream.KeyValue        // nil while nobody has lent units, or asked; guarded by mu
	issuers       map[string]*stream.Issuer // by what their receipts are checked by; guarded by mu
}

// knownCells are the cells of a run as of a revision of their bucket. Later looks need only what
// came since.
type knownCells struct {
	revision uint64
	cells    map[stream.Cell]CellState

	shared   map[stream.Cell]CellState // a copy that is never written to; nil before the first
	sharedAt uint64                    // its revision
}

// Declare creates the buckets, or opens them if they are there.
func Declare(ctx context.Context, js jetstream.JetStream, replicas int) (*Store, error) {
	s := Store{js: js, conn: js.Conn(), verdictMost: verdictsMost}
	for _, b := range []struct {
		kv  *jetstream.KeyValue
		cfg jetstream.KeyValueConfig
	}{
		{&s.runs, jetstream.KeyValueConfig{Bucket: runsBucket, Description: "run manifests"}},
		{&s.cells, jetstream.KeyValueConfig{Bucket: cellsBucket, Description: "finished cells"}},
		{&s.workers, jetstream.KeyValueConfig{Bucket: workersBucket, Description: "heartbeats", TTL: workerTTL}},
		{&s.verdicts, jetstream.KeyValueConfig{Bucket: verdictsBucket, Description: "verdicts that took long, for other evaluators", TTL: verdictTTL}},
		{&s.engines, jetstream.KeyValueConfig{Bucket: enginesBucket, Description: "what generated each run"}},
		{new(jetstream.KeyValue), jetstream.KeyValueConfig{Bucket: ordersBucket, Description: "what workers with a token are told to do", TTL: orderTTL}},
		{new(jetstream.KeyValue), jetstream.KeyValueConfig{Bucket: receiptsBucket, Description: "keys of the receipts of units; no worker may read them"}},
	} {
		b.cfg.Replicas = replicas
		kv, err := js.CreateOrUpdateKeyValue(ctx, b.cfg)
		if err != nil {
			return nil, fmt.Errorf("declare bucket %s: %w", b.cfg.Bucket, err)
		}
		*b.kv = kv
	}
	obj, err := js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: problemsBucket, Description: "problems with their tests", Replicas: replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("declare object store %s: %w", problemsBucket, err)
	}
	s.problems = obj
	return &s, declareJudges(ctx, js, replicas)
}

// CheckFormat returns ErrNewer if a newer lcbq has made the store: it holds runs of a newer
// format and none that can be read. Where some runs can be read, those of a newer format are
// only left alone. CheckFormat changes nothing.
func CheckFormat(ctx context.Context, js jetstream.JetStream) error {
	kv, err := open(ctx, js.Conn(), runsBucket, js.KeyValue)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", runsBucket, err)
	}
	runs, unread, err := (&Store{runs: kv, js: js, conn: js.Conn()}).Runs(ctx)
	if err != nil || len(runs) > 0 {
		return err
	}
	for _, u := range unread {
		if errors.Is(u.Err, ErrNewer) {
			return u.Err
		}
	}
	return nil
}

// Open opens the buckets of a server on which somebody else declared them.
func Open(ctx context.Context, js jetstream.JetStream) (*Store, error) {
	s := Store{js: js, conn: js.Conn(), verdictMost: verdictsMost}
	for name, kv := range map[string]*jetstream.KeyValue{runsBucket: &s.runs, cellsBucket: &s.cells, workersBucket: &s.workers} {
		b, err := open(ctx, js.Conn(), name, js.KeyValue)
		if err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", name, err)
		}
		*kv = b
	}
	obj, err := open(ctx, js.Conn(), problemsBucket, js.ObjectStore)
	if err != nil {
		return nil, fmt.Errorf("open object store %s: %w", problemsBucket, err)
	}
	s.problems = obj
	for name, kv := range map[string]*jetstream.KeyValue{verdictsBucket: &s.verdicts, enginesBucket: &s.engines} {
		b, err := open(ctx, js.Conn(), name, js.KeyValue)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			continue // the server is one of an earlier version
		}
		if err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", name, err)
		}
		*kv = b
	}
	return &s, nil
}

// open opens a bucket. It asks again if the server that was asked is gone before it answers.
func open[T any](ctx context.Context, nc *nats.Conn, name string, by func(ctx context.Context, name string) (T, error)) (T, error) {
	return link.Repeat(ctx, nc, func(ctx context.Context) (T, error) { return by(ctx, name) })
}

// get reads key of kv into v and returns the revision to update it by.
func get(ctx context.Context, nc *nats.Conn, kv jetstream.KeyValue, key string, v any) (revision uint64, err error) {
	e, err := link.Repeat(ctx, nc, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return kv.Get(ctx, key) })
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, fmt.Errorf("read %s/%s: %w", kv.Bucket(), key, ErrNotFound)
	}
	if err != nil {
		return 0, fmt.Errorf("read %s/%s: %w", kv.Bucket(), key, err)
	}
	if err := json.Unmarshal(e.Value(), v); err != nil {
		return e.Revision(), fmt.Errorf("decode %s/%s: %w: %w", kv.Bucket(), key, ErrUnreadable, err)
	}
	return e.Revision(), nil
}

// put writes key of kv if its revision is still the given one; 0 means that it
// must not exist. It returns ErrChanged if somebody else wrote first.
func put(ctx context.Context, nc *nats.Conn, kv jetstream.KeyValue, key string, v any, revision uint64) (uint64, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("encode %s/%s: %w", kv.Bucket(), key, err)
	}
	ctx, cancel := writing(ctx, nc)
	defer cancel()
	// Once: a repetition would find the key changed by the first try.
	rev, err := link.Once(ctx, nc, func(ctx context.Context) (uint64, error) {
		if revision == 0 {
			return kv.Create(ctx, key, b)
		}
		return kv.Update(ctx, key, b, revision)
	})
	if wrongRevision(err) || errors.Is(err, jetstream.ErrKeyExists) {
		return 0, fmt.Errorf("write %s/%s: %w", kv.Bucket(), key, ErrChanged)
	}
	if err != nil {
		return 0, fmt.Errorf("write %s/%s: %w", kv.Bucket(), key, err)
	}
	return rev, nil
}

// writing bounds a write on a cluster: where the leader ends before it answers, nobody else will.
func writing(ctx context.Context, nc *nats.Conn) (context.Context, context.CancelFunc) {
	if !link.Clustered(nc) {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, writeWait)
}

// wrongRevision reports whether err says that a key is not at the revision that was
// expected.
func wrongRevision(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
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

// Package store keeps what outlives a message: the manifest of each run, the
// state of each cell, the problems, and who is at work. It lies in JetStream's
// KV buckets and object store, so that a worker on another host needs one URL.
// It does not know how cells are filled or files written.
package store

import (
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
	problemsBucket = "lcbq_problems"
)

// workerTTL is how long a worker counts as alive after its last heartbeat.
const workerTTL = 30 * time.Second

// Errors by which callers decide.
var (
	// ErrNotFound: the store has never held it. For a worker that makes the
	// message that names it a poison.
	ErrNotFound = errors.New("not in the store")
	// ErrChanged: somebody else wrote first; read again and decide again.
	ErrChanged = errors.New("changed since it was read")
	// ErrNewer: a newer lcbq made the store. Nothing in it may be touched.
	ErrNewer = errors.New("store was made by a newer lcbq")
)

// A Store is the buckets on one server. It is safe for concurrent use.
type Store struct {
	runs, cells, workers jetstream.KeyValue
	problems             jetstream.ObjectStore
	conn                 *nats.Conn

	mu    sync.Mutex
	known map[string]*knownCells // by run
}

// knownCells are the cells of a run as of a revision of their bucket. Cells are
// marked and never unmarked, so that later looks need only what came since.
type knownCells struct {
	revision uint64
	cells    map[stream.Cell]CellState
}

// Declare creates the buckets, or opens them if they are there.
func Declare(ctx context.Context, js jetstream.JetStream, replicas int) (*Store, error) {
	s := Store{conn: js.Conn()}
	for _, b := range []struct {
		kv  *jetstream.KeyValue
		cfg jetstream.KeyValueConfig
	}{
		{&s.runs, jetstream.KeyValueConfig{Bucket: runsBucket, Description: "run manifests"}},
		{&s.cells, jetstream.KeyValueConfig{Bucket: cellsBucket, Description: "finished cells"}},
		{&s.workers, jetstream.KeyValueConfig{Bucket: workersBucket, Description: "heartbeats", TTL: workerTTL}},
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
	return &s, nil
}

// CheckFormat returns ErrNewer if a newer lcbq has stored runs on the server. It
// changes nothing, and a server without runs passes.
func CheckFormat(ctx context.Context, js jetstream.JetStream) error {
	kv, err := js.KeyValue(ctx, runsBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", runsBucket, err)
	}
	_, err = (&Store{runs: kv, conn: js.Conn()}).Runs(ctx)
	return err
}

// Open opens the buckets of a server on which somebody else declared them.
func Open(ctx context.Context, js jetstream.JetStream) (*Store, error) {
	s := Store{conn: js.Conn()}
	for name, kv := range map[string]*jetstream.KeyValue{runsBucket: &s.runs, cellsBucket: &s.cells, workersBucket: &s.workers} {
		b, err := js.KeyValue(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", name, err)
		}
		*kv = b
	}
	obj, err := js.ObjectStore(ctx, problemsBucket)
	if err != nil {
		return nil, fmt.Errorf("open object store %s: %w", problemsBucket, err)
	}
	s.problems = obj
	return &s, nil
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
		return 0, fmt.Errorf("decode %s/%s: %w", kv.Bucket(), key, err)
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
	// Once: a repetition would find the key changed by the first try.
	rev, err := link.Once(ctx, nc, func(ctx context.Context) (uint64, error) {
		if revision == 0 {
			return kv.Create(ctx, key, b)
		}
		return kv.Update(ctx, key, b, revision)
	})
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) ||
		errors.Is(err, jetstream.ErrKeyExists) {
		return 0, fmt.Errorf("write %s/%s: %w", kv.Bucket(), key, ErrChanged)
	}
	if err != nil {
		return 0, fmt.Errorf("write %s/%s: %w", kv.Bucket(), key, err)
	}
	return rev, nil
}

// values calls f with every key and value of kv that match filter, in one pass
// over the bucket.
func values(ctx context.Context, kv jetstream.KeyValue, filter string, f func(e jetstream.KeyValueEntry) error, opts ...jetstream.WatchOpt) error {
	w, err := kv.Watch(ctx, filter, append(opts, jetstream.IgnoreDeletes())...)
	if err != nil {
		return fmt.Errorf("read %s/%s: %w", kv.Bucket(), filter, err)
	}
	defer func() { _ = w.Stop() }() // its subscription ends with the connection anyway
	for {
		select {
		case e := <-w.Updates():
			if e == nil {
				return nil // the end of what is there now
			}
			if err := f(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("read %s/%s: %w", kv.Bucket(), filter, ctx.Err())
		}
	}
}

// A CellState is what remains of a cell once its file is durable. Its N decides for
// ever that late units of the cell are dropped; it is 0 while no file is.
type CellState struct {
	N            int            `json:"n"` // samples in the file
	Passed       int            `json:"passed"`
	Verdicts     map[string]int `json:"verdicts"` // samples by verdict name
	Tokens       int64          `json:"tokens"`   // completion tokens
	GenTPS       float64        `json:"gen_tps"`  // completion tokens per second and GPU; 0 if unknown
	Unique       int            `json:"unique"`   // distinct programs
	UniquePassed int            `json:"unique_passed"`
	JudgeCPU     float64        `json:"judge_cpu_s"` // CPU seconds of judging
	Fingerprint  string         `json:"fingerprint"` // of the environment that judged
	File         string         `json:"file"`        // name in the question's folder
	Digest       string         `json:"digest"`      // SHA-256 of the file's JSON, uncompressed
	Bytes        int64          `json:"bytes"`       // length of that JSON
	DoneAt       int64          `json:"done_at_ms"`
	Generated    Work           `json:"generated"`
	Judged       Work           `json:"judged"`

	// Claim is set while a combiner gives the cell's next file its name. Fields
	// above are then those of the file before it, or zero.
	Claim *Claim `json:"claim,omitempty"`
}

// A Work is when a stage worked on a cell. The zero value knows nothing.
type Work struct {
	From    int64 `json:"from_ms"` // Unix milliseconds: the first unit's start
	To      int64 `json:"to_ms"`   // and the last one's end
	Retries int   `json:"retries"` // deliveries beyond the first of each unit
}

// Add widens w by a unit, or another cell, that took from and to, after so many
// deliveries. One that does not know its time only adds its retries.
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
	return err == nil && st.N >= n, err
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
		err := k.read(ctx, s.cells, fmt.Sprintf("%s.q%d.*", run, q))
		return k.cells, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.known[run]
	if k == nil {
		k = &knownCells{cells: make(map[stream.Cell]CellState)}
		if s.known == nil {
			s.known = make(map[string]*knownCells)
		}
		s.known[run] = k
	}
	if err := k.read(ctx, s.cells, run+".>"); err != nil {
		return nil, err
	}
	return maps.Clone(k.cells), nil
}

// read brings k up to what the bucket holds.
func (k *knownCells) read(ctx context.Context, kv jetstream.KeyValue, filter string) error {
	var since []jetstream.WatchOpt
	if k.revision > 0 {
		since = append(since, jetstream.ResumeFromRevision(k.revision+1))
	}
	return values(ctx, kv, filter, func(e jetstream.KeyValueEntry) error {
		c, err := stream.ParseCell(e.Key())
		if err != nil {
			return err
		}
		var st CellState
		if err := json.Unmarshal(e.Value(), &st); err != nil {
			return fmt.Errorf("decode %s/%s: %w", cellsBucket, e.Key(), err)
		}
		if st.N > 0 {
			k.cells[c] = st
		}
		k.revision = max(k.revision, e.Revision())
		return nil
	}, since...)
}

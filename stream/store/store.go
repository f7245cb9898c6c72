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
		kv, err := link.Repeat(ctx, s.conn, func(ctx context.Context) (jetstream.KeyValue, error) { return js.CreateOrUpdateKeyValue(ctx, b.cfg) })
		if err != nil {
			return nil, fmt.Errorf("declare bucket %s: %w", b.cfg.Bucket, err)
		}
		*b.kv = kv
	}
	obj, err := link.Repeat(ctx, s.conn, func(ctx context.Context) (jetstream.ObjectStore, error) {
		return js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: problemsBucket, Description: "problems with their tests", Replicas: replicas,
		})
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

// Package queue is the typed face of lcbq's four JetStream streams: it declares
// them, publishes units so that each is stored at most once, and reads them back.
// It does not know what a unit's work is; package worker pulls and settles.
package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/link"
)

const (
	// AckWait is how long the server waits for an ack or a progress signal before
	// it hands a unit to another worker, unless Queue.AckWait says otherwise: three
	// lost signals in a row cost one repeated unit.
	AckWait = 60 * time.Second
	// beats is how many progress signals a worker sends within an ack wait.
	beats = 4

	// MaxDeliver is how often a unit is tried before it is given up. Deliveries
	// lost to a killed worker or server count too, so it is generous.
	MaxDeliver = 12

	// maxAckPending bounds units in flight over all workers of a stage: 128 hosts
	// of 64 slots.
	maxAckPending = 8192

	// duplicates is the window of the message-id table, which lcbq does not use:
	// the subject is the identity. A long window slows recovery.
	duplicates = time.Second
)

// Errors by which a worker decides what to do with its unit.
var (
	// ErrTooLarge: the encoded unit exceeds the server's message limit. No retry
	// helps; a smaller --unit-size does.
	ErrTooLarge = errors.New("message exceeds the server's limit")
	// ErrEncode: the value cannot be written as a message. No waiting helps.
	ErrEncode = errors.New("cannot be encoded")
	// ErrFull: the server has no room for the message now. Nothing is stored, and
	// nothing was dropped for it; the worker waits and publishes again.
	ErrFull = errors.New("the server's store is full")
	// ErrNotFound: no message is stored under the subject.
	ErrNotFound = errors.New("unit not found")
	// ErrCopies: fewer servers are there than copies are wanted.
	ErrCopies = errors.New("not enough servers")
	// ErrNotDeclared: the server holds no lcbq streams.
	ErrNotDeclared = errors.New("no lcbq streams on this server")
)

// descriptions say in `nats stream ls` what waits in each stream.
var descriptions = map[stream.Stage]string{
	stream.Generate: "units to generate",
	stream.Evaluate: "completions to judge",
	stream.Combine:  "judged units of cells not written yet",
	stream.Lent:     "units lent to evaluators that are not trusted",
}

// A Queue is the set of streams on one server. It is safe for concurrent use.
type Queue struct {
	AckWait  time.Duration // of the consumers, for Declare: every client goes by it; the constant AckWait if 0
	StoreMax int64         // bytes of disk that the server may use, for Declare; 0 if unknown

	js jetstream.JetStream

	mu      sync.Mutex
	streams map[string]jetstream.Stream // a handle costs a request, and a unit needs several
	sizes   map[string]*size            // of the streams that may not take the whole store
}

// New returns the queue on js. It makes no request. The owner of the server calls Declare,
// and everybody else calls Check.
func New(js jetstream.JetStream) *Queue { return &Queue{js: js} }

// Declare creates the streams and what is shared between runs, or updates them to
// this version's settings. replicas is 1, or 3 on a cluster; its error wraps ErrCopies where the
// server cannot keep so many. Streams that are there must have as many, see Copies: one that grows
// holds what it held before on one disk only, until long after the server says otherwise. Serve gives
// the runs their consumers.
func (q *Queue) Declare(ctx context.Context, replicas int) error {
	for _, stage := range stream.Stages {
		retention := jetstream.WorkQueuePolicy // its messages are the backlog
		if stage == stream.Combine {
			retention = jetstream.LimitsPolicy // its subjects are the ledger
		}
		cfg := streamConfig(stage.Stream(), everything(stage), retention, replicas)
		cfg.Description = descriptions[stage]
		cfg.Metadata = q.metadata(stage)
		cfg.AllowAtomicPublish = stage == stream.Generate // see PublishTasks
		if err := q.declare(ctx, cfg); err != nil {
			return err
		}
	}
	if err := q.declareCombiner(ctx); err != nil {
		return err
	}
	dead := streamConfig(stream.DeadStream, "dead.>", jetstream.LimitsPolicy, replicas)
	dead.Description = "units given up, with the reason"
	if err := q.declare(ctx, dead); err != nil {
		return err
	}
	return q.declareAdvisories(ctx, replicas)
}

// declare creates a stream, or updates it. Somebody else may create it with other settings between
// the two requests of that: then it is updated.
func (q *Queue) declare(ctx context.Context, cfg jetstream.StreamConfig) error {
	_, err := link.Repeat(ctx, q.js.Conn(), func(ctx context.Context) (jetstream.Stream, error) {
		s, err := q.js.CreateOrUpdateStream(ctx, cfg)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			s, err = q.js.UpdateStream(ctx, cfg)
		}
		return s, err
	})
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == codeNoPeers || api.ErrorCode == codeNoCluster) {
		return fmt.Errorf("declare stream %s: %w: %d copies (%w)", cfg.Name, ErrCopies, cfg.Replicas, err)
	}
	if err != nil {
		return fmt.Errorf("declare stream %s: %w", cfg.Name, err)
	}
	return nil
}

// The server's codes where it cannot keep as many copies of a stream: too few servers of its cluster are
// there, or it is alone.
const (
	codeNoPeers   jetstream.ErrorCode = 10005
	codeNoCluster jetstream.ErrorCode = 10074
)

func streamConfig(name, subjects string, retention jetstream.RetentionPolicy, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:      name,
		Subjects:  []string{subjects},
		Retention: retention,
		Storage:   jetstream.FileStorage,
		Replicas:  replicas,
		// One message a subject, and the first one stays: two attempts at a unit cannot
		// be mixed, whoever publishes them.
		MaxMsgsPerSubject:    1,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		AllowDirect:          true,
		Duplicates:           duplicates,
	}
}

// declareCombiner creates COMBINE's consumer, or updates it.
func (q *Queue) declareCombiner(ctx context.Context) error {
	cfg := q.consumerConfig(stream.Combine, q.AckWait)
	cfg.Durable, cfg.FilterSubject = consumers[stream.Combine], everything(stream.Combine)
	return q.makeConsumer(ctx, stream.Combine.Stream(), cfg)
}

// metadata returns what a stage's stream tells every client.
func (q *Queue) metadata(stage stream.Stage) map[string]string {
	m := make(map[string]string)
	if share := shares[stage]; share > 0 && q.StoreMax > 0 {
		m[allotted] = strconv.FormatInt(q.StoreMax/100*share, 10)
	}
	if q.AckWait > 0 {
		m[ackWaitKey] = q.AckWait.String()
	}
	return m
}

func (q *Queue) consumerConfig(stage stream.Stage, ackWait time.Duration) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Description:   descriptions[stage],
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       cmp.Or(ackWait, AckWait),
		MaxDeliver:    MaxDeliver,
		MaxAckPending: maxAckPending,
	}
}

// Check returns ErrNotDeclared if the server does not hold all of lcbq's streams.
func (q *Queue) Check(ctx context.Context) error {
	missing, err := q.Missing(ctx)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("stream %s: %w", missing[0], ErrNotDeclared)
	}
	return err
}

// Missing returns which of the stages' streams the server does not hold. Some of them
// means that somebody removed them, with the units that they held.
func (q *Queue) Missing(ctx context.Context) ([]string, error) {
	var missing []string
	for _, stage := range stream.Stages {
		switch _, err := q.stream(ctx, stage.Stream()); {
		case errors.Is(err, ErrNotDeclared):
			missing = append(missing, stage.Stream())
		case err != nil:
			return nil, err
		}
	}
	return missing, nil
}

// Copies returns how many servers of a cluster keep each unit, 1 on a server alone. Where streams
// differ it is that of the least, and streams that were removed do not count. Its error wraps ErrNotDeclared
// where there are none.
func (q *Queue) Copies(ctx context.Context) (int, error) {
	least := 0
	for _, stage := range stream.Stages {
		s, err := q.stream(ctx, stage.Stream())
		switch {
		case errors.Is(err, ErrNotDeclared):
			continue
		case err != nil:
			return 0, err
		}
		if n := max(1, s.CachedInfo().Config.Replicas); least == 0 || n < least {
			least = n
		}
	}
	if least == 0 {
		return 0, fmt.Errorf("streams %s and others: %w", stream.Stages[0].Stream(), ErrNotDeclared)
	}
	return least, nil
}

// Restart forgets which units were handed out, so that they are handed out again at
// once instead of after AckWait, and gives the unfinished runs their consumers. Only
// the owner of the server may call it, at start, when the workers of its former life
// are gone. A worker that lives on merely repeats a unit, which cannot be stored
// twice. keep is as for Serve.
func (q *Queue) Restart(ctx context.Context, runs []Run, keep ...string) error {
	for _, stage := range stream.Stages {
		infos, _, err := q.consumersOf(ctx, stage)
		if err != nil {
			return err
		}
		for name := range infos {
			if slices.ContainsFunc(keep, func(id string) bool { return name == ConsumerName(stage, id) }) && stage != stream.Combine {
				continue
			}
			if err := q.deleteConsumer(ctx, stage, name); err != nil {
				return err
			}
		}
	}
	if err := q.declareCombiner(ctx); err != nil {
		return err
	}
	return q.Serve(ctx, runs, keep...)
}

// Has reports whether the unit is stored at stage.
func (q *Queue) Has(ctx context.Context, stage stream.Stage, u stream.Unit) (bool, error) {
	_, err := q.last(ctx, stage.Stream(), u.Subject(stage))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Holds reports whether a message of the unit is stored at stage that has the unit's receipt. public is what the receipts
// of its run are checked by; "" if it has none. Any other message is none of the unit's, see stream.Issued.
//
// It reads the whole message, whatever its size: a direct get can leave the headers out, but not the body. Only a
// consumer gives headers alone, and to make one for each question costs the server more than the body does.
func (q *Queue) Holds(ctx context.Context, stage stream.Stage, u stream.Unit, public string) (bool, error) {
	if public == "" {
		return q.Has(ctx, stage, u)
	}
	var m struct {
		Receipt string `json:"receipt"`
	}
	switch err := q.Get(ctx, stage, u, &m); {
	case errors.Is(err, ErrNotFound), errors.Is(err, stream.ErrPoison):
		return false, nil
	case err != nil:
		return false, err
	}
	return stream.Issued(public, u, m.Receipt), nil
}

// Get reads the unit's message at stage into v, or returns ErrNotFound.
func (q *Queue) Get(ctx context.Context, stage stream.Stage, u stream.Unit, v any) error {
	_, err := q.Read(ctx, stage, u, v)
	return err
}

// Read is Get, and returns the sequence of the message too, also of one that does not decode.
func (q *Queue) Read(ctx context.Context, stage stream.Stage, u stream.Unit, v any) (sequence uint64, err error) {
	msg, err := q.last(ctx, stage.Stream(), u.Subject(stage))
	if err != nil {
		return 0, err
	}
	return msg.Sequence, stream.Decode(msg.Data, v)
}

// Body returns the unit's message at stage as it is stored, or ErrNotFound.
func (q *Queue) Body(ctx context.Context, stage stream.Stage, u stream.Unit) ([]byte, error) {
	msg, err := q.last(ctx, stage.Stream(), u.Subject(stage))
	if err != nil {
		return nil, err
	}
	return msg.Data, nil
}

// stream returns the handle of a stream.
func (q *Queue) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	q.mu.Lock()
	s, ok := q.streams[name]
	q.mu.Unlock()
	if ok {
		return s, nil
	}
	s, err := link.Repeat(ctx, q.js.Conn(), func(ctx context.Context) (jetstream.Stream, error) { return q.js.Stream(ctx, name) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("stream %s: %w", name, ErrNotDeclared)
	}
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", name, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.streams == nil {
		q.streams = make(map[string]jetstream.Stream)
	}
	q.streams[name] = s
	return s, nil
}

func (q *Queue) last(ctx context.Context, name, subject string) (*jetstream.RawStreamMsg, error) {
	s, err := q.stream(ctx, name)
	if err != nil {
		return nil, err
	}
	msg, err := link.Repeat(ctx, q.js.Conn(), func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.GetLastMsgForSubject(ctx, subject)
	})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, fmt.Errorf("read %s: %w", subject, ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", subject, err)
	}
	return msg, nil
}

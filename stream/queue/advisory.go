package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/link"
)

// AdvisoryStream keeps the server's advisories about units that it no longer hands out.
const AdvisoryStream = "ADVISORY"

// steward is the durable consumer of the advisories.
const steward = "steward"

// advisoriesKept bounds the advisories that are kept while no combiner reads them.
const advisoriesKept = 1_000_000

// An Exit says why an advisory was sent.
type Exit string

// The exits, as the server's subjects name them.
const (
	MaxDeliveries Exit = "MAX_DELIVERIES" // handed out as often as allowed, and never settled
	Terminated    Exit = "MSG_TERMINATED" // a client said that it must not be handed out again
)

// An Advisory says that the server no longer hands a unit out. It is said once;
// Settle it when the unit is taken care of.
type Advisory struct {
	Exit       Exit
	Stage      stream.Stage
	Sequence   uint64 // of the message in the stage's stream
	Deliveries uint64
	Reason     string // of a termination

	msg jetstream.Msg
}

// Settle says that the advisory need not come again.
func (a *Advisory) Settle() error { return a.msg.Ack() }

// declareAdvisories creates the stream of advisories.
func (q *Queue) declareAdvisories(ctx context.Context, replicas int) error {
	cfg := jetstream.StreamConfig{
		Name: AdvisoryStream, Description: "what the server says of units that it hands out no more",
		Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Replicas: replicas,
		MaxMsgs: advisoriesKept, Discard: jetstream.DiscardOld, Duplicates: duplicates,
	}
	for _, exit := range []Exit{MaxDeliveries, Terminated} {
		for _, stage := range stream.Stages {
			cfg.Subjects = append(cfg.Subjects, fmt.Sprintf("$JS.EVENT.ADVISORY.CONSUMER.%s.%s.*", exit, stage.Stream()))
		}
	}
	if err := q.declare(ctx, cfg); err != nil {
		return err
	}
	return q.makeConsumer(ctx, AdvisoryStream, jetstream.ConsumerConfig{
		Durable: steward, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second,
	})
}

// Advisories returns up to most advisories that are there now.
func (q *Queue) Advisories(ctx context.Context, most int) ([]*Advisory, error) {
	c, err := q.consumer(ctx, AdvisoryStream, steward)
	if err != nil {
		return nil, fmt.Errorf("look up consumer %s: %w", steward, err)
	}
	batch, err := c.FetchNoWait(most)
	if err != nil {
		return nil, fmt.Errorf("pull from %s: %w", AdvisoryStream, err)
	}
	var all []*Advisory
	for msg := range batch.Messages() {
		a, err := readAdvisory(msg)
		if err != nil { // not from the server: no later try would help
			if err := msg.Term(); err != nil {
				return all, fmt.Errorf("settle a message of %s: %w", AdvisoryStream, err)
			}
			continue
		}
		all = append(all, a)
	}
	return all, batch.Error()
}

func readAdvisory(msg jetstream.Msg) (*Advisory, error) {
	var said struct {
		Type       string `json:"type"`
		Stream     string `json:"stream"`
		Sequence   uint64 `json:"stream_seq"`
		Deliveries uint64 `json:"deliveries"`
		Reason     string `json:"reason"`
	}
	if err := json.Unmarshal(msg.Data(), &said); err != nil {
		return nil, err
	}
	a := &Advisory{Sequence: said.Sequence, Deliveries: said.Deliveries, Reason: said.Reason, msg: msg}
	switch said.Type {
	case "io.nats.jetstream.advisory.v1.max_deliver":
		a.Exit = MaxDeliveries
	case "io.nats.jetstream.advisory.v1.terminated":
		a.Exit = Terminated
	default:
		return nil, fmt.Errorf("advisory %q: unknown type", said.Type)
	}
	for _, stage := range stream.Stages {
		if said.Stream == stage.Stream() {
			a.Stage = stage
		}
	}
	if a.Stage == "" {
		return nil, fmt.Errorf("advisory about stream %q: none of lcbq's", said.Stream)
	}
	return a, nil
}

// At returns the message of a stage that has the sequence, or ErrNotFound.
func (q *Queue) At(ctx context.Context, stage stream.Stage, sequence uint64) (subject string, body []byte, err error) {
	s, err := q.stream(ctx, stage.Stream())
	if err != nil {
		return "", nil, err
	}
	msg, err := link.Repeat(ctx, q.js.Conn(), func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return s.GetMsg(ctx, sequence) })
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return "", nil, fmt.Errorf("read message %d of %s: %w", sequence, stage.Stream(), ErrNotFound)
	case err != nil:
		return "", nil, fmt.Errorf("read message %d of %s: %w", sequence, stage.Stream(), err)
	}
	return msg.Subject, msg.Data, nil
}

// RemoveSubject removes what lies under a subject of a stage, be it a unit's or
// not.
func (q *Queue) RemoveSubject(ctx context.Context, stage stream.Stage, subject string) error {
	return q.purge(ctx, stage.Stream(), subject)
}

// A Stray is a message in a work queue that no consumer serves.
type Stray struct {
	Subject string
	Body    []byte
}

// straysAtOnce bounds how many strays are held in memory.
const straysAtOnce = 100

// Strays calls f with the messages of a stage that no consumer serves, those of runs
// that have ended or never were, a bounded number at a time. It lists the stream's
// subjects only if the server's counts prove that there are some: on a busy server
// some may be overlooked, until a call in which fewer units come and go.
func (q *Queue) Strays(ctx context.Context, stage stream.Stage, f func([]Stray) error) error {
	s, err := q.stream(ctx, stage.Stream())
	if err != nil {
		return err
	}
	before, err := q.info(ctx, s, stage.Stream())
	if err != nil {
		return err
	}
	served := make(map[string]bool)
	var known uint64 // messages that a consumer serves, or that came after before was read
	all, err := q.Consumers(ctx, stage, nil)
	if err != nil {
		return err
	}
	for _, c := range all {
		served[c.Run] = true
		known += c.Waiting + uint64(max(c.InFlight, 0))
	}
	after, err := q.info(ctx, s, stage.Stream())
	if err != nil {
		return err
	}
	known += after.State.LastSeq - min(before.State.LastSeq, after.State.LastSeq)
	if after.State.Msgs <= known {
		return nil
	}
	var strays []Stray
	err = q.eachPage(ctx, stage.Stream(), everything(stage), func(subject string) error {
		if served[runOf(subject)] {
			return nil
		}
		msg, err := q.last(ctx, stage.Stream(), subject)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if strays = append(strays, Stray{subject, msg.Data}); len(strays) < straysAtOnce {
			return nil
		}
		err = f(strays)
		strays = nil
		return err
	})
	if err != nil || len(strays) == 0 {
		return err
	}
	return f(strays)
}

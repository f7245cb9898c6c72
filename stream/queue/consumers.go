package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/link"
)

// A Run is an unfinished run as its queues see it.
type Run struct {
	ID     string
	Paused bool // the server hands out none of its units, to whichever worker
}

// workStages lists the stages in which every run has a durable consumer of its own,
// "generators-<run>" and "evaluators-<run>". One consumer for all runs would hand
// out in stream order: the second run would wait for the first one's last unit, and
// could not be paused apart. A work queue refuses consumers that overlap, so a unit
// is served by one consumer at any time.
//
// COMBINE is a ledger with one consumer for all runs: what was judged is written,
// paused or not.
var workStages = []stream.Stage{stream.Generate, stream.Evaluate}

// ofRuns reports whether each run has a consumer of its own at a stage. Units that are lent have such consumers
// too, but not all runs lend.
func ofRuns(stage stream.Stage) bool {
	return stage == stream.Lent || slices.Contains(workStages, stage)
}

// consumers names each stage's durable consumer. In the work stages it is a prefix;
// the bare name is the consumer that older versions shared between runs.
var consumers = map[stream.Stage]string{
	stream.Generate: "generators",
	stream.Evaluate: "evaluators",
	stream.Combine:  "combiner",
	stream.Lent:     "borrowers",
}

// ConsumerName returns the name of the durable consumer that serves a run's units at
// stage.
func ConsumerName(stage stream.Stage, run string) string {
	if ofRuns(stage) {
		return consumers[stage] + "-" + run
	}
	return consumers[stage]
}

// ackWaitKey is the key of a work stream's metadata that says how long its consumers
// wait for an ack. The owner of a server writes it. On any other server an operator
// may, with `nats stream edit`; where it is absent the consumers get AckWait.
const ackWaitKey = "lcbq_ack_wait"

// pausedFor is how long the server holds a pause: in practice until the run is resumed.
const pausedFor = 100 * 365 * 24 * time.Hour

// serveTries bounds how often Serve starts again because another process changed the
// same consumers at the same time.
const (
	serveTries = 20
	servePause = 20 * time.Millisecond // at most, times the number of tries
)

// Serve gives each unfinished run its consumers and removes those of all other runs,
// and the shared ones of older versions. Runs named in keep are left as they are:
// their manifests cannot be read. A consumer whose settings are not this version's
// is changed in place. Serve may be called at any time, by any process. Units in
// flight stay with the worker that holds them, unless their consumer is removed.
func (q *Queue) Serve(ctx context.Context, runs []Run, keep ...string) error {
	for _, stage := range workStages {
		for try := 1; ; try++ {
			err := q.serve(ctx, stage, runs, keep)
			if err == nil {
				break
			}
			if try == serveTries || !changedByAnother(err) {
				return fmt.Errorf("set the consumers of %s: %w", stage.Stream(), err)
			}
			select {
			case <-time.After(rand.N(time.Duration(try) * servePause)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// changedByAnother reports whether err says that the consumers are not those that
// were read a moment ago.
func changedByAnother(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case jetstream.JSErrCodeConsumerNotFound, jetstream.JSErrCodeConsumerDoesNotExist, jetstream.JSErrCodeConsumerExists,
		codeNotUnique, codeNotFiltered, codeCreateFailed, codeMakingFailed:
		return true
	default:
		return false
	}
}

// The server's codes for consumers of a work queue that would overlap.
const (
	codeNotFiltered jetstream.ErrorCode = 10099
	codeNotUnique   jetstream.ErrorCode = 10100
	// The server's codes for a consumer that is deleted while it is being created. A
	// full disk has the same codes: it is tried as often, and then reported.
	codeCreateFailed jetstream.ErrorCode = 10012
	codeMakingFailed jetstream.ErrorCode = 10104
)

func (q *Queue) serve(ctx context.Context, stage stream.Stage, runs []Run, keep []string) error {
	have, ackWait, err := q.consumersOf(ctx, stage)
	if err != nil {
		return err
	}
	wanted := make(map[string]bool, len(runs)+len(keep))
	for _, r := range runs {
		wanted[ConsumerName(stage, r.ID)] = true
	}
	for _, id := range keep {
		wanted[ConsumerName(stage, id)] = true
	}
	// The removals first: the shared consumer of an older version overlaps with all.
	for name := range have {
		if wanted[name] {
			continue
		}
		if err := q.deleteConsumer(ctx, stage, name); err != nil {
			return err
		}
	}
	for _, r := range runs {
		cfg := q.consumerConfig(stage, ackWait)
		cfg.Durable, cfg.FilterSubject = ConsumerName(stage, r.ID), runFilter(stage, r.ID)
		if err := q.serveRun(ctx, stage, have[cfg.Durable], cfg, r.Paused); err != nil {
			return err
		}
	}
	return nil
}

// serveRun makes one consumer what cfg says. info is what the server holds now, nil
// for nothing.
func (q *Queue) serveRun(ctx context.Context, stage stream.Stage, info *jetstream.ConsumerInfo, cfg jetstream.ConsumerConfig, paused bool) error {
	if info == nil {
		if paused {
			cfg.PauseUntil = new(time.Now().Add(pausedFor))
		}
		return q.change(ctx, func(ctx context.Context) error {
			_, err := q.js.CreateConsumer(ctx, stage.Stream(), cfg)
			return err
		})
	}
	if differs(info.Config, cfg) {
		cfg.PauseUntil = info.Config.PauseUntil
		err := q.change(ctx, func(ctx context.Context) error {
			_, err := q.js.UpdateConsumer(ctx, stage.Stream(), cfg)
			return err
		})
		if err != nil {
			return q.removeBroken(ctx, stage, info.Name, err)
		}
	}
	if info.Paused == paused {
		return nil
	}
	err := q.change(ctx, func(ctx context.Context) (err error) {
		if paused {
			_, err = q.js.PauseConsumer(ctx, stage.Stream(), info.Name, time.Now().Add(pausedFor))
		} else {
			_, err = q.js.ResumeConsumer(ctx, stage.Stream(), info.Name)
		}
		return err
	})
	return q.removeBroken(ctx, stage, info.Name, err)
}

// change makes a request that changes a consumer. A cluster whose leader ends loses it: it is made again. Of a server alone it
// is made once, because nats-server 2.15 breaks a consumer that it is asked to make twice at the same time, see removeBroken.
func (q *Queue) change(ctx context.Context, request func(ctx context.Context) error) error {
	if !link.Clustered(q.js.Conn()) {
		return request(ctx)
	}
	_, err := link.Repeat(ctx, q.js.Conn(), func(ctx context.Context) (struct{}, error) { return struct{}{}, request(ctx) })
	return err
}

// consumer looks a consumer of a stream up.
func (q *Queue) consumer(ctx context.Context, name, consumer string) (jetstream.Consumer, error) {
	return link.Repeat(ctx, q.js.Conn(), func(ctx context.Context) (jetstream.Consumer, error) { return q.js.Consumer(ctx, name, consumer) })
}

// makeConsumer makes a consumer of a stream, or gives the one that is there these settings.
func (q *Queue) makeConsumer(ctx context.Context, name string, cfg jetstream.ConsumerConfig) error {
	err := q.change(ctx, func(ctx context.Context) error {
		_, err := q.js.CreateOrUpdateConsumer(ctx, name, cfg)
		return err
	})
	if err != nil {
		return fmt.Errorf("declare consumer %s: %w", cfg.Durable, err)
	}
	return nil
}

// deleteConsumer deletes a consumer if it is there.
func (q *Queue) deleteConsumer(ctx context.Context, stage stream.Stage, name string) error {
	err := q.change(ctx, func(ctx context.Context) error { return q.js.DeleteConsumer(ctx, stage.Stream(), name) })
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("delete consumer %s: %w", name, err)
	}
	return nil
}

// differs reports whether a consumer's settings are not the wanted ones.
func differs(have, want jetstream.ConsumerConfig) bool {
	return have.FilterSubject != want.FilterSubject || have.AckWait != want.AckWait ||
		have.MaxDeliver != want.MaxDeliver || have.MaxAckPending != want.MaxAckPending
}

// removeBroken returns err, and removes the consumer if the server cannot change it
// any more. Where two processes make a consumer at the same time, nats-server 2.15
// lets the second remove the files of the first, and the consumer that is left
// refuses every change. The next try makes it again; units in flight are handed out
// again.
func (q *Queue) removeBroken(ctx context.Context, stage stream.Stage, name string, err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != codeMakingFailed {
		return err
	}
	return errors.Join(err, q.deleteConsumer(ctx, stage, name))
}

// Shared reports whether the server still holds a consumer that an older version
// shared between runs. Serve replaces it.
func (q *Queue) Shared(ctx context.Context) (bool, error) {
	for _, stage := range workStages {
		_, err := q.consumer(ctx, stage.Stream(), consumers[stage])
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return false, fmt.Errorf("look up consumer %s: %w", consumers[stage], err)
		}
	}
	return false, nil
}

// runFilter matches the units of a run at a stage.
func runFilter(stage stream.Stage, run string) string { return string(stage) + "." + run + ".>" }

// runOf returns the token of a subject that names a run.
func runOf(subject string) string {
	_, rest, _ := strings.Cut(subject, ".")
	run, _, _ := strings.Cut(rest, ".")
	return run
}

// everything matches all units of a stage.
func everything(stage stream.Stage) string { return string(stage) + ".>" }

// consumersOf reads lcbq's consumers of a stage, by name, and how long they are to
// wait for an ack.
func (q *Queue) consumersOf(ctx context.Context, stage stream.Stage) (map[string]*jetstream.ConsumerInfo, time.Duration, error) {
	s, err := q.stream(ctx, stage.Stream())
	if err != nil {
		return nil, 0, err
	}
	si, err := q.info(ctx, s, stage.Stream())
	if err != nil {
		return nil, 0, err
	}
	ackWait := AckWait
	// Ignore a value that is no duration: units must be served, whoever wrote it.
	if said, err := time.ParseDuration(si.Config.Metadata[ackWaitKey]); err == nil && said > 0 {
		ackWait = said
	}
	infos := make(map[string]*jetstream.ConsumerInfo)
	all, err := q.list(ctx, s, stage.Stream())
	if err != nil {
		return nil, 0, err
	}
	for _, info := range all {
		if name := consumers[stage]; info.Name == name || ofRuns(stage) && strings.HasPrefix(info.Name, name+"-") {
			infos[info.Name] = info
		}
	}
	return infos, ackWait, nil
}

// A Consumer hands out a run's units at a stage, or the units of all runs in COMBINE.
type Consumer struct {
	Run        string // "" for all
	Paused     bool
	Waiting    uint64        // units stored and not handed out
	InFlight   int           // units handed out and not settled
	Again      int           // units in flight that were handed out before
	AckWait    time.Duration // after which a unit without a sign from its worker is handed out again
	MaxDeliver int           // how often a unit is handed out at most

	jetstream.Consumer

	conn *nats.Conn // to pull by
}

// Beat returns the interval at which a worker tells the server that it still works.
func (c Consumer) Beat() time.Duration { return cmp.Or(c.AckWait, AckWait) / beats }

// Consumers returns the stage's consumers in the order of their names. known are those
// of an earlier call, whose handles are used again. A consumer that an older version
// shared between runs is not among them: Serve replaces it.
func (q *Queue) Consumers(ctx context.Context, stage stream.Stage, known []Consumer) ([]Consumer, error) {
	infos, _, err := q.consumersOf(ctx, stage)
	if err != nil {
		return nil, err
	}
	handles := make(map[string]jetstream.Consumer, len(known))
	for _, c := range known {
		handles[c.CachedInfo().Name] = c.Consumer
	}
	all := make([]Consumer, 0, len(infos))
	for name, info := range infos {
		c := Consumer{
			Paused: info.Paused, Waiting: info.NumPending, InFlight: info.NumAckPending, Again: info.NumRedelivered,
			AckWait: info.Config.AckWait, MaxDeliver: info.Config.MaxDeliver, Consumer: handles[name], conn: q.js.Conn(),
		}
		if ofRuns(stage) {
			if name == consumers[stage] {
				continue
			}
			c.Run = strings.TrimPrefix(name, consumers[stage]+"-")
		}
		if c.Consumer == nil {
			c.Consumer, err = q.consumer(ctx, stage.Stream(), name)
			if errors.Is(err, jetstream.ErrConsumerNotFound) {
				continue // its run has ended since the list was made
			}
			if err != nil {
				return nil, fmt.Errorf("look up consumer %s: %w", name, err)
			}
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Consumer) int { return strings.Compare(a.CachedInfo().Name, b.CachedInfo().Name) })
	return all, nil
}

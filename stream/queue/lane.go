package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
)

// A Lane is a run's way out of the work queues. The stage's durable consumer
// serves a run that is alone on its server, and whatever else lies in the stream.
// As soon as there are two unfinished runs each has a consumer of its own,
// "generators" for the first and "generators-<run>" for the others: one consumer
// would hand out in stream order, and the second run would wait for the first
// one's last unit. A work queue refuses consumers that overlap, so a unit has one
// way out at any time.
type Lane struct {
	Run    string
	Paused bool // the server hands out none of the run's units, to whichever worker
}

// laned lists the stages whose streams are work queues. COMBINE is a ledger with
// one consumer: what was judged is written, paused or not.
var laned = []stream.Stage{stream.Generate, stream.Evaluate}

// pausedFor is how long the server holds a pause: until somebody resumes the run.
const pausedFor = 100 * 365 * 24 * time.Hour

// arrangeTries bounds how often Arrange starts anew because another process
// arranged at the same time.
const (
	arrangeTries = 20
	arrangePause = 20 * time.Millisecond // at most, times the number of tries
)

// Arrange gives each of the unfinished runs its lane and takes the lanes of all
// others away. The runs come oldest first. It may be called at any time, by any
// process; only what differs is changed, and units in flight stay with the worker
// that holds them.
func (q *Queue) Arrange(ctx context.Context, runs []Lane) error {
	for _, stage := range laned {
		for try := 1; ; try++ {
			err := q.arrange(ctx, stage, runs)
			if err == nil {
				break
			}
			if try == arrangeTries || !arrangedByAnother(err) {
				return fmt.Errorf("arrange the runs of %s: %w", stage.Stream(), err)
			}
			select {
			case <-time.After(rand.N(time.Duration(try) * arrangePause)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// arrangedByAnother reports whether err says that the consumers are not those that
// were read a moment ago.
func arrangedByAnother(err error) bool {
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
	// What the server says of a consumer that somebody deletes while it is being
	// made, by how far it got. A full disk has the same codes: it is tried as often,
	// and then reported.
	codeCreateFailed jetstream.ErrorCode = 10012
	codeMakingFailed jetstream.ErrorCode = 10104
)

func (q *Queue) arrange(ctx context.Context, stage stream.Stage, runs []Lane) error {
	have, err := q.consumersOf(ctx, stage)
	if err != nil {
		return err
	}
	want := make(map[string]Lane, len(runs))
	for _, r := range runs {
		want[r.Run] = r
	}
	main := have[consumers[stage]]
	lanes := make(map[string]*jetstream.ConsumerInfo) // by run, without the main one
	for name, info := range have {
		run := laneRun(stage, info)
		if name == consumers[stage] {
			continue
		}
		if _, ok := want[run]; ok {
			lanes[run] = info
			continue
		}
		if err := q.js.DeleteConsumer(ctx, stage.Stream(), name); err != nil {
			return err
		}
	}
	if main == nil { // who took it away to make it anew died in between
		c, err := q.js.CreateConsumer(ctx, stage.Stream(), q.firstConfig(stage, runs))
		if err != nil {
			return err
		}
		main = c.CachedInfo()
	}
	owner, err := q.arrangeMain(ctx, stage, main, lanes, runs)
	if err != nil {
		return err
	}
	for _, r := range runs {
		info := lanes[r.Run]
		switch {
		case r.Run == owner:
			info = main
		case info == nil:
			cfg := q.consumerConfig(stage)
			cfg.Durable += "-" + r.Run
			cfg.AckWait = main.Config.AckWait
			cfg.FilterSubject = runFilter(stage, r.Run)
			if r.Paused {
				cfg.PauseUntil = new(time.Now().Add(pausedFor))
			}
			if _, err := q.js.CreateConsumer(ctx, stage.Stream(), cfg); err != nil {
				return err
			}
			continue
		}
		if err := q.setPaused(ctx, stage, info, r.Paused); err != nil {
			return err
		}
	}
	if owner == "" {
		return q.setPaused(ctx, stage, main, false)
	}
	return nil
}

// arrangeMain points the stage's own consumer at one run, or at all that comes,
// and returns the run that it serves. main is replaced by what it has become.
func (q *Queue) arrangeMain(ctx context.Context, stage stream.Stage, main *jetstream.ConsumerInfo, lanes map[string]*jetstream.ConsumerInfo, runs []Lane) (owner string, err error) {
	var without []string // runs that have no lane of their own
	for _, r := range runs {
		if lanes[r.Run] == nil {
			without = append(without, r.Run)
		}
	}
	present := laneRun(stage, main)
	switch {
	case slices.Contains(without, present):
		return present, nil
	case len(runs) == 0 || len(without) > 0:
		// It serves everything, or a run that has ended: the oldest run without a
		// lane takes it over.
		if len(without) > 0 {
			owner = without[0]
		}
	default:
		return "", nil // every run has a lane of its own
	}
	cfg := q.consumerConfig(stage)
	cfg.AckWait = main.Config.AckWait // its owner's setting, not this process's
	if len(runs) > 1 {
		cfg.FilterSubject = runFilter(stage, owner)
	}
	if cfg.FilterSubject == main.Config.FilterSubject {
		return owner, nil
	}
	// Changed in place: the server does not bear one process making a consumer that
	// another is deleting, and units in flight stay where they are.
	cfg.PauseUntil = main.Config.PauseUntil
	c, err := q.js.UpdateConsumer(ctx, stage.Stream(), cfg)
	if err != nil {
		return "", q.giveWay(ctx, stage, cfg.Durable, err)
	}
	widened := present != ""
	*main = *c.CachedInfo()
	if widened {
		// A consumer never goes back by itself: what lies before the last unit of
		// the run that has ended would not be handed out.
		_, err = q.js.ResetConsumerToSequence(ctx, stage.Stream(), cfg.Durable, 1)
	}
	return owner, err
}

// setPaused pauses or resumes a consumer unless it is so already.
func (q *Queue) setPaused(ctx context.Context, stage stream.Stage, info *jetstream.ConsumerInfo, paused bool) error {
	if info.Paused == paused {
		return nil
	}
	var err error
	if paused {
		_, err = q.js.PauseConsumer(ctx, stage.Stream(), info.Name, time.Now().Add(pausedFor))
	} else {
		_, err = q.js.ResumeConsumer(ctx, stage.Stream(), info.Name)
	}
	return q.giveWay(ctx, stage, info.Name, err)
}

// giveWay returns err, having deleted the consumer if it cannot be changed any more:
// where two processes made it at the same time, nats-server 2.15 lets the one that came
// second remove the files of the first, and the consumer that is left refuses every
// change. The next try makes it anew; units in flight are handed out again.
func (q *Queue) giveWay(ctx context.Context, stage stream.Stage, name string, err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != codeMakingFailed {
		return err
	}
	if gone := q.js.DeleteConsumer(ctx, stage.Stream(), name); gone != nil && !errors.Is(gone, jetstream.ErrConsumerNotFound) {
		return errors.Join(err, gone)
	}
	return err
}

// runFilter matches the units of a run at a stage.
func runFilter(stage stream.Stage, run string) string { return string(stage) + "." + run + ".>" }

// runOf returns the token of a subject that names a run.
func runOf(subject string) string {
	_, rest, _ := strings.Cut(subject, ".")
	run, _, _ := strings.Cut(rest, ".")
	return run
}

// everything matches all units of a stage. It is said as a filter: a server that
// is told to drop a consumer's filter no longer wakes it for new messages.
func everything(stage stream.Stage) string { return string(stage) + ".>" }

// laneRun returns the run that a consumer serves, or "" if it serves all.
func laneRun(stage stream.Stage, info *jetstream.ConsumerInfo) string {
	if filter := info.Config.FilterSubject; filter != everything(stage) {
		return strings.TrimSuffix(strings.TrimPrefix(filter, string(stage)+"."), ".>")
	}
	return ""
}

// firstConfig is that of a stage's own consumer before Arrange has told the runs
// apart: if one of them is paused, all are.
func (q *Queue) firstConfig(stage stream.Stage, runs []Lane) jetstream.ConsumerConfig {
	cfg := q.consumerConfig(stage)
	if slices.Contains(laned, stage) && slices.ContainsFunc(runs, func(r Lane) bool { return r.Paused }) {
		cfg.PauseUntil = new(time.Now().Add(pausedFor))
	}
	return cfg
}

// laneInfos reads the stage's consumers, by name. The stage's own is among them.
func (q *Queue) laneInfos(ctx context.Context, stage stream.Stage) (map[string]*jetstream.ConsumerInfo, error) {
	infos, err := q.consumersOf(ctx, stage)
	if err == nil && infos[consumers[stage]] == nil {
		err = fmt.Errorf("look up consumer %s: %w", consumers[stage], jetstream.ErrConsumerNotFound)
	}
	return infos, err
}

func (q *Queue) consumersOf(ctx context.Context, stage stream.Stage) (map[string]*jetstream.ConsumerInfo, error) {
	s, err := q.stream(ctx, stage.Stream())
	if err != nil {
		return nil, err
	}
	main := consumers[stage]
	infos := make(map[string]*jetstream.ConsumerInfo)
	l := s.ListConsumers(ctx)
	for info := range l.Info() {
		if info.Name == main || strings.HasPrefix(info.Name, main+"-") {
			infos[info.Name] = info
		}
	}
	if err := l.Err(); err != nil {
		return nil, fmt.Errorf("list consumers of %s: %w", stage.Stream(), err)
	}
	return infos, nil
}

// An Outlet is a lane as a worker sees it.
type Outlet struct {
	Run      string // "" for all that comes
	Paused   bool
	Consumer jetstream.Consumer
}

// Outlets returns the stage's lanes in the order of their consumers' names. known
// are those of an earlier call, whose handles are used again.
func (q *Queue) Outlets(ctx context.Context, stage stream.Stage, known []Outlet) ([]Outlet, error) {
	infos, err := q.laneInfos(ctx, stage)
	if err != nil {
		return nil, err
	}
	handles := make(map[string]jetstream.Consumer, len(known))
	for _, o := range known {
		handles[o.Consumer.CachedInfo().Name] = o.Consumer
	}
	outlets := make([]Outlet, 0, len(infos))
	for name, info := range infos {
		c := handles[name]
		if c == nil {
			if c, err = q.js.Consumer(ctx, stage.Stream(), name); err != nil {
				return nil, fmt.Errorf("look up consumer %s: %w", name, err)
			}
		}
		outlets = append(outlets, Outlet{Run: laneRun(stage, info), Paused: info.Paused, Consumer: c})
	}
	slices.SortFunc(outlets, func(a, b Outlet) int {
		return strings.Compare(a.Consumer.CachedInfo().Name, b.Consumer.CachedInfo().Name)
	})
	return outlets, nil
}

// PurgeRun removes all units of a run from all stages and from the units given up.
// Only a run that is cancelled may be purged: the subjects are its ledger.
func (q *Queue) PurgeRun(ctx context.Context, run string) error {
	filters := map[string]string{stream.DeadStream: "dead.*." + run + ".>"}
	for _, stage := range stream.Stages {
		filters[stage.Stream()] = runFilter(stage, run)
	}
	for name, filter := range filters {
		s, err := q.stream(ctx, name)
		if err != nil {
			return err
		}
		if err := s.Purge(ctx, jetstream.WithPurgeSubject(filter)); err != nil {
			return fmt.Errorf("purge %s: %w", filter, err)
		}
	}
	return nil
}

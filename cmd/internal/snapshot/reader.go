package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/sweep"
)

// A Reader makes the snapshots of one run. What it costs the server does not grow with the number of viewers, of
// units or of finished cells: after the first look it reads only what was finished since. Its exported fields do not
// change after the first look.
type Reader struct {
	Queue *queue.Queue
	Store *store.Store
	Only  string // id of the run; "" for the first that is not over, or else the newest
	// Server is the address to show, and Reach what a command needs to find the server, such as "--nats URL" or
	// "-o DIR"; both may be "".
	Server, Reach string
	Idle          bool          // no server runs: the store is served for the length of this look
	Every         time.Duration // interval of Run; a second if 0
	Log           *slog.Logger  // nil logs nothing

	look sync.Mutex // held while a look is made; guards memory
	memory

	mu     sync.Mutex // guards what follows
	latest *Snapshot
	err    error // of the last look
	subs   map[chan *Snapshot]struct{}
}

// ErrNoRun says that the server has no run that can be read.
var ErrNoRun = errors.New("no run on this server")

// memory is what a reader knows from earlier looks.
type memory struct {
	run      string
	derived  derived
	lost     int
	lostAt   time.Time
	judged   int                     // units
	moved    time.Time               // when judged last changed, by the server's clock
	known    map[string]store.Worker // heartbeats by stage and name, those that faded lately among them
	lastDead uint64
	dead     int
	bans     []store.Ban
	bansAt   time.Time
}

// bansEvery is the interval at which a reader asks who was banned: that costs a request, and hardly ever is anybody.
const bansEvery = 15 * time.Second

// lostEvery is the interval at which a reader counts the run's units: the server walks all of them for that.
const lostEvery = time.Minute

// lookWait bounds one look at a server that may be gone.
const lookWait = 10 * time.Second

// Run makes a snapshot every second until ctx is done, for those who subscribed and for Latest. A server that does
// not answer is asked again.
func (r *Reader) Run(ctx context.Context) {
	tick := time.NewTicker(cmp.Or(r.Every, time.Second))
	defer tick.Stop()
	for failed := false; ; {
		s, err := r.Look(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failed && r.Log != nil {
			r.Log.Warn("state of the run not read, trying again", "err", err)
		}
		failed = err != nil
		r.publish(s, err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// publish hands a snapshot to all who subscribed. After a failed look they get the last one, which says so.
func (r *Reader) publish(s *Snapshot, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	switch {
	case err == nil:
		r.latest = s
	case r.latest == nil:
		return
	default:
		r.latest = stale(r.latest, err)
	}
	for c := range r.subs {
		select {
		case <-c: // a slow viewer skips the one that it has not taken
		default:
		}
		c <- r.latest
	}
}

// stale returns a copy of s that says that its numbers are old.
func stale(s *Snapshot, err error) *Snapshot {
	old := *s
	old.Run.State = Unknown
	f := Finding{Code: StaleReading, Grave: true, Text: "the server does not answer, these are the numbers of before: " + err.Error(), Remedy: "it is asked again each second; workers wait for it and lose nothing"}
	old.Findings = append([]Finding{f}, slices.DeleteFunc(slices.Clone(s.Findings), func(f Finding) bool { return f.Code == StaleReading })...)
	return &old
}

// Latest returns the newest snapshot of Run, nil before the first, and the error of the last look.
func (r *Reader) Latest() (*Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest, r.err
}

// Subscribe returns a channel of Run's snapshots. It holds the newest one that was not taken: a viewer that never
// reads costs nobody anything. leave ends the subscription.
func (r *Reader) Subscribe() (snapshots <-chan *Snapshot, leave func()) {
	c := make(chan *Snapshot, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subs == nil {
		r.subs = make(map[chan *Snapshot]struct{})
	}
	r.subs[c] = struct{}{}
	if r.latest != nil {
		c <- r.latest
	}
	return c, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.subs, c)
	}
}

// Look makes one snapshot now. It returns ErrNoRun if there is no run, and otherwise an error if the server does not
// answer.
func (r *Reader) Look(ctx context.Context) (*Snapshot, error) {
	r.look.Lock()
	defer r.look.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	raw, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	return r.make(raw), nil
}

// raw is what one look reads.
type raw struct {
	run     *store.Manifest
	runs    []*store.Manifest // all that can be read
	cells   map[stream.Cell]store.CellState
	looks   map[stream.Stage]queue.Look
	workers []store.Worker
	dead    int
	now     time.Time // by the server's clock
}

// read asks the server. It reads stages in the order in which units move, and the cells last.
func (r *Reader) read(ctx context.Context) (*raw, error) {
	runs, unread, err := r.Store.SharedRuns(ctx)
	if err != nil {
		return nil, err
	}
	in := &raw{runs: runs, run: pick(runs, r.Only), looks: make(map[stream.Stage]queue.Look)}
	switch {
	case in.run == nil && len(unread) > 0:
		return nil, fmt.Errorf("%w that can be read: %w", ErrNoRun, unread[0].Err)
	case in.run == nil && r.Only != "":
		return nil, fmt.Errorf("run %s: %w", r.Only, ErrNoRun)
	case in.run == nil:
		return nil, ErrNoRun
	}
	if r.run != in.run.ID {
		r.memory = memory{run: in.run.ID}
	}
	for _, stage := range stream.Stages {
		if in.looks[stage], err = r.Queue.Look(ctx, stage); err != nil {
			return nil, err
		}
		in.now = in.looks[stage].At
	}
	if err := r.readDead(ctx); err != nil {
		return nil, err
	}
	in.dead = r.dead
	if in.now.Sub(r.bansAt) >= bansEvery {
		if r.bans, err = r.Store.Bans(ctx); err != nil {
			return nil, err
		}
		r.bansAt = in.now
	}
	if in.workers, err = r.Store.Workers(ctx); err != nil {
		return nil, err
	}
	if in.cells, err = r.Store.SharedCells(ctx, in.run.ID); err != nil {
		return nil, err
	}
	if in.now.Sub(r.lostAt) >= lostEvery {
		r.lostAt = in.now
		if r.lost = 0; in.allThere() {
			return in, nil
		}
		r.lost, err = sweep.Sweeper{Queue: r.Queue, Store: r.Store}.Short(ctx, in.run)
	}
	return in, err
}

// allThere reports whether what was read proves that each unit of the run is in a queue, in a finished cell or given
// up. That is so in nearly every look: then nothing need be counted. A unit that moves meanwhile is counted twice, as
// by the sweep.
func (in *raw) allThere() bool {
	if len(in.runs) > 1 { // what COMBINE holds is of all of them
		return false
	}
	there := in.dead + int(in.looks[stream.Combine].Messages) //nolint:gosec // a count of messages fits
	for _, stage := range []stream.Stage{stream.Generate, stream.Evaluate} {
		l := in.looks[stage].Runs[in.run.ID]
		there += int(l.Waiting) + l.InFlight //nolint:gosec // a count of messages fits
	}
	wanted := 0
	for _, q := range in.run.Questions {
		for _, t := range in.run.Temperatures {
			wanted += in.run.UnitsAfter(q, t, in.cells[stream.Cell{Run: in.run.ID, Question: q.Index, Temperature: t}].N)
		}
	}
	return there >= wanted
}

// readDead counts the run's units that were given up, unless none has come or gone in any run.
func (r *Reader) readDead(ctx context.Context) error {
	all, err := r.Queue.DeadMessages(ctx)
	switch {
	case err != nil:
		return err
	case all == 0:
		r.dead = 0
	case all != r.lastDead:
		if r.dead, err = r.Queue.DeadCount(ctx, r.run); err != nil {
			return err
		}
	}
	r.lastDead = all
	return nil
}

// pick returns the run with the id. Without an id it returns the first that is not over, those that are not paused
// before the others, or else the newest.
func pick(runs []*store.Manifest, id string) *store.Manifest {
	var best *store.Manifest
	rank := func(m *store.Manifest) int {
		switch {
		case !m.Open():
			return 0
		case m.Paused != 0:
			return 1
		default:
			return 2
		}
	}
	for _, m := range runs {
		switch {
		case id != "":
			if m.ID == id {
				return m
			}
		case best == nil, rank(m) > rank(best), rank(m) == 0 && rank(best) == 0:
			best = m
		}
	}
	return best
}

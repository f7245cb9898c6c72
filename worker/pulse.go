package worker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/process"
)

// pulseEvery is the interval of heartbeats: three of them fit into the time after
// which a worker counts as gone.
const pulseEvery = 10 * time.Second

// A Pulse counts what a worker has done and tells the store that it is alive. Its
// counters may be used by any goroutine.
type Pulse struct {
	worker  store.Worker
	units   atomic.Int64
	faults  atomic.Int64
	Samples atomic.Int64
	Cached  atomic.Int64 // samples that the verdict cache answered

	// Of a generator: units that wait for their turn, bytes on their way to the queue, and the
	// nanoseconds that generating waited for it, summed over the units.
	Ready, Publishing, Blocked atomic.Int64
	// Look, unless nil, adds to a heartbeat what else is known. It is set before Beat.
	Look func(ctx context.Context, w *store.Worker)

	news chan struct{}
}

// Tell writes the next heartbeat at once: there is news.
func (p *Pulse) Tell() {
	select {
	case p.news <- struct{}{}:
	default: // one is due already
	}
}

// NewPulse names a worker of a stage: "<label>_<host>-<pid>", unique as long as it
// lives. The label must be usable as a subject token.
func NewPulse(stage stream.Stage, label string, slots int) *Pulse {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // a name is a help for people, not an identity
	}
	host = strings.Map(func(r rune) rune {
		if r == '.' || r == '*' || r == '>' || r <= ' ' {
			return '_'
		}
		return r
	}, host)
	id := ""
	if self, err := process.Self(); err == nil {
		id = self.String()
	}
	return &Pulse{news: make(chan struct{}, 1), worker: store.Worker{
		Process: id,
		Stage:   stage, Name: fmt.Sprintf("%s_%s-%d", label, host, os.Getpid()), Host: host, PID: os.Getpid(), Slots: slots, Started: time.Now().UnixMilli(),
	}}
}

// Name returns the worker's name.
func (p *Pulse) Name() string { return p.worker.Name }

// Units returns the number of units the worker has settled.
func (p *Pulse) Units() int64 { return p.units.Load() }

// Announce writes one heartbeat now. Beat must not run yet.
func (p *Pulse) Announce(ctx context.Context, s *store.Store) error {
	return s.PutWorker(ctx, p.snapshot(ctx))
}

// Beat writes heartbeats until ctx is done, then takes the last one away. It
// never fails: a worker whose heartbeat is lost still works.
func (p *Pulse) Beat(ctx context.Context, s *store.Store, log *slog.Logger) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		if err := s.PutWorker(ctx, p.snapshot(ctx)); err != nil && ctx.Err() == nil {
			log.Debug("heartbeat lost", "err", err)
		}
		select {
		case <-tick.C:
		case <-p.news:
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := s.RemoveWorker(ctx, p.worker); err != nil {
				log.Debug("heartbeat left behind, it fades", "err", err)
			}
			return
		}
	}
}

func (p *Pulse) snapshot(ctx context.Context) store.Worker {
	w := p.worker
	w.Units, w.Faults = p.units.Load(), p.faults.Load()
	w.Samples, w.Cached = p.Samples.Load(), p.Cached.Load()
	w.Ready, w.Publishing, w.Blocked = p.Ready.Load(), p.Publishing.Load(), time.Duration(p.Blocked.Load()).Seconds()
	if p.Look != nil {
		p.Look(ctx, &w)
	}
	return w
}

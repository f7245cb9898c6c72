package worker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/process"
)

// pulseEvery is the interval of heartbeats: three of them fit into the time after
// which a worker counts as gone.
const pulseEvery = 10 * time.Second

// firstPulse is when the second heartbeat is written.
const firstPulse = 3 * time.Second

// A Pulse counts what a worker has done and writes its heartbeats into the store. Any
// goroutine may use its counters.
type Pulse struct {
	worker  store.Worker
	units   atomic.Int64
	faults  atomic.Int64
	Samples atomic.Int64
	Cached  atomic.Int64 // samples that the verdict cache answered

	// Of a generator: units that wait for their turn, bytes being published, and for how many
	// nanoseconds publishing held generation up, summed over the units.
	Ready, Publishing, Blocked atomic.Int64
	// Look, unless nil, adds to each heartbeat. It is set before Beat is called.
	Look func(ctx context.Context, w *store.Worker)

	news   chan struct{}
	tempo  tempo
	lately lately // of an evaluator

	fingerprint atomic.Pointer[string] // of the environment that an evaluator judges in
	speed       atomic.Pointer[hostSpeed]
	troubles    troubles
	ordersAt    atomic.Pointer[string]
	obeyed      atomic.Pointer[store.Obeyed]

	hand atomic.Int64 // units in hand
	rest atomic.Int64 // Unix nanoseconds: when the last unit was settled, or when the pulse was made
}

// took records that the worker holds one more unit, and gave that it holds one less.
func (p *Pulse) took() { p.hand.Add(1) }

func (p *Pulse) gave() {
	p.rest.Store(time.Now().UnixNano())
	p.hand.Add(-1)
}

// Idle returns for how long the worker has had no unit in hand.
func (p *Pulse) Idle() time.Duration {
	if p.hand.Load() > 0 {
		return 0
	}
	return max(0, time.Since(time.Unix(0, p.rest.Load())))
}

// settled counts a unit of a run as done.
func (p *Pulse) settled(run string) {
	p.units.Add(1)
	p.tempo.count(run, time.Now())
}

// Judged counts a sample, whose program took so many seconds of a processor. cached says that the verdict
// cache answered.
func (p *Pulse) Judged(cpu float64, cached bool) {
	p.Samples.Add(1)
	if cached {
		p.Cached.Add(1)
	}
	p.lately.judged(cpu, time.Now())
}

// Judges says in heartbeats which environment the worker judges in.
func (p *Pulse) Judges(fingerprint string) { p.fingerprint.Store(&fingerprint) }

// Orders says in heartbeats where the worker looks for orders, and returns who it is, as Store.Order asks for it.
func (p *Pulse) Orders(at string) store.Worker {
	p.ordersAt.Store(&at)
	w := p.worker
	w.OrdersAt = at
	return w
}

// Obeyed says at once what came of one.
func (p *Pulse) Obeyed(o store.Obeyed) {
	p.obeyed.Store(&o)
	p.Tell()
}

// A hostSpeed is what an evaluator knows of how fast its host is.
type hostSpeed struct {
	speed   float64
	settled bool
}

// Speed says in heartbeats how fast the worker's host is, and whether that is more than a first look.
func (p *Pulse) Speed(speed float64, settled bool) { p.speed.Store(&hostSpeed{speed, settled}) }

// Waits says in heartbeats what the worker waits for, until over is called. Of several things that it waits for at once,
// the one that it has waited for longest is said. p may be nil.
func (p *Pulse) Waits(code, text, remedy string) (over func()) {
	if p == nil {
		return func() {}
	}
	t := &store.Trouble{Code: code, Text: text, Remedy: remedy, Since: time.Now().UnixMilli()}
	p.troubles.add(t)
	p.Tell()
	return func() {
		p.troubles.remove(t)
		p.Tell()
	}
}

// troubles are what a worker waits for, the oldest first.
type troubles struct {
	mu  sync.Mutex
	all []*store.Trouble // under mu
}

func (t *troubles) add(one *store.Trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, one)
}

func (t *troubles) remove(one *store.Trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = slices.DeleteFunc(t.all, func(o *store.Trouble) bool { return o == one })
}

func (t *troubles) oldest() *store.Trouble {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) == 0 {
		return nil
	}
	return t.all[0]
}

// Tell has the next heartbeat written at once.
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
		host = "unknown" // the name is for people; nothing depends on it
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
	p := &Pulse{news: make(chan struct{}, 1), worker: store.Worker{
		Process: id,
		Stage:   stage, Name: fmt.Sprintf("%s_%s-%d", label, host, os.Getpid()), Host: host, PID: os.Getpid(), Slots: slots, Started: time.Now().UnixMilli(),
	}}
	p.rest.Store(time.Now().UnixNano())
	return p
}

// arrival is the label of what a process says before its workers are there.
const arrival = "starting"

// NewArrival returns the heartbeat of a process whose workers of a stage are not there yet.
func NewArrival(stage stream.Stage) *Pulse { return NewPulse(stage, arrival, 0) }

// IsArrival reports whether a heartbeat of that name is one of NewArrival.
func IsArrival(name string) bool { return strings.HasPrefix(name, arrival+"_") }

// Name returns the worker's name.
func (p *Pulse) Name() string { return p.worker.Name }

// Stage returns the worker's stage.
func (p *Pulse) Stage() stream.Stage { return p.worker.Stage }

// Units returns the number of units the worker has settled.
func (p *Pulse) Units() int64 { return p.units.Load() }

// Announce writes one heartbeat now. Beat must not run yet.
func (p *Pulse) Announce(ctx context.Context, s *store.Store) error {
	return s.PutWorker(ctx, p.snapshot(ctx))
}

// Beat writes heartbeats until ctx is done, then removes the last one. It never fails: a
// worker whose heartbeats are lost still works.
func (p *Pulse) Beat(ctx context.Context, s *store.Store, log *slog.Logger) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	early := time.NewTimer(firstPulse) // who looks at a run that begins need not wait for its numbers
	defer early.Stop()
	for {
		if err := s.PutWorker(ctx, p.snapshot(ctx)); err != nil && ctx.Err() == nil {
			log.Debug("heartbeat lost", "err", err)
		}
		select {
		case <-tick.C:
		case <-early.C:
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
	w.Rates, w.Trouble = p.tempo.rates(time.Now()), p.troubles.oldest()
	w.Obeyed = p.obeyed.Load()
	if at := p.ordersAt.Load(); at != nil {
		w.OrdersAt = *at
	}
	if f := p.fingerprint.Load(); f != nil {
		w.Fingerprint = *f
	}
	if s := p.speed.Load(); s != nil {
		w.Speed, w.SpeedSettled = s.speed, s.settled
	}
	if p.Look != nil {
		p.Look(ctx, &w)
	}
	if w.Fingerprint != "" { // it judges itself
		now := time.Now()
		w.Lately = p.lately.windows(now)
		p.lately.has(w.Slots, now)
	}
	w.Clock = time.Now().UnixMilli()
	return w
}

// HostOf returns the host in a worker's name, as NewPulse made it.
func HostOf(name string) string {
	_, host, _ := strings.Cut(name, "_")
	if i := strings.LastIndexByte(host, '-'); i >= 0 {
		host = host[:i]
	}
	return host[:min(len(host), longestHost)]
}

// longestHost is that of Linux.
const longestHost = 64

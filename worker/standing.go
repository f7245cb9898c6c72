package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/stream/store"
)

// A Standing is a worker process that outlives runs. It waits for a run and works with the
// settings of that run as long as runs have the same settings. Then it turns to the other
// runs. The caller owns what it works with: an engine, or a judge with its limits.
//
// The caller alternates Next and Done. Its exported fields are set before and do not change.
type Standing struct {
	Store *store.Store
	Run   string        // end when this run is over; "" to outlive every run
	Idle  time.Duration // end after this time without a unit in hand; 0 for never
	// Refuses says why this process can never work for a run; nil if it can.
	Refuses func(m *store.Manifest) error
	// Same reports whether what works for a works for b too.
	Same func(a, b *store.Manifest) bool
	// Always makes Next return at once, also while there is no run or only paused ones. The
	// combiner needs it: it has more to do than units.
	Always bool
	Log    *slog.Logger
	// Every is the interval at which the runs are read; standingEvery if 0.
	Every time.Duration

	unfit   map[string]error // by run: why it is left to other workers; written between Done and Next
	since   time.Time        // when waiting began, or the last work ended
	rested  time.Duration    // without work before the last Next returned; Next writes it, watch and Done read it
	looked  bool             // the runs have been read once
	waiting bool             // waiting has been logged
	blind   bool             // the runs could not be read when last tried
	stop    context.CancelFunc
	watched sync.WaitGroup
	over    bool // the idle time is over; watch writes it, Next reads it after Done has waited for watch

	mu     sync.Mutex
	pulses []*Pulse // of the workers now at work; under mu: Watch and Done write, watch reads
}

// standingEvery is the interval at which a process reads the runs. It is long because each
// look reads every manifest, and hundreds of processes may look.
const standingEvery = 5 * time.Second

// waitingEvery is the same while there is nothing to do. A new run waits that long.
const waitingEvery = time.Second

// Next waits for a run to work for. It returns the run and a context that ends when the
// process is to drain. That is when ctx ends, when the run named by Run is over, after Idle
// without work, or when only runs with other settings are left. Next returns no run when
// the process is to end. Call Done before the next Next.
func (s *Standing) Next(ctx context.Context) (*store.Manifest, context.Context, error) {
	if s.over {
		return nil, nil, nil
	}
	if s.since.IsZero() {
		s.since = time.Now()
	}
	for {
		m, over, err := s.choose(ctx)
		blind := s.blind
		s.blind = err != nil
		switch {
		case ctx.Err() != nil || over:
			return nil, nil, nil //nolint:nilerr // interrupted, as asked
		case err != nil && !s.mayPass(err):
			return nil, nil, err
		case err != nil:
			if !blind {
				s.Log.Warn("runs not read, trying again", "err", err)
			}
		case m != nil:
			s.waiting, s.rested = false, time.Since(s.since)
			work, stop := context.WithCancel(ctx)
			s.stop = stop
			s.watched.Go(func() { s.watch(work, m) })
			return m, work, nil
		case s.Idle > 0 && time.Since(s.since) >= s.Idle:
			s.Log.Info("ending: there was nothing to do", "idle", s.Idle)
			return nil, nil, nil
		case !s.waiting:
			s.waiting = true
			s.Log.Info("waiting for a run to work on: none is there that is neither paused nor over and fits this process")
		}
		if wait(ctx, cmp.Or(s.Every, waitingEvery)) != nil {
			return nil, nil, nil //nolint:nilerr // interrupted, as asked
		}
	}
}

// mayPass reports whether err comes from the server or the connection and may pass by itself.
func (s *Standing) mayPass(err error) bool {
	return !errors.Is(err, errRefused) && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrUnreadable) && !errors.Is(err, nats.ErrConnectionClosed)
}

// errRefused tells an error of Refuses from others.
var errRefused = errors.New("this process cannot work for the run")

// refusal is an error of Refuses. Its text is that error's alone.
type refusal struct{ error }

func (r refusal) Unwrap() []error { return []error{r.error, errRefused} }

// Watch sets the workers whose units in hand decide whether the process is idle.
func (s *Standing) Watch(pulses ...*Pulse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulses = append(s.pulses, pulses...)
}

// Done says that the work for the run of the last Next has ended.
func (s *Standing) Done() {
	s.stop()
	s.watched.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since, s.pulses = time.Now().Add(-s.idle()), nil
}

// Unfit records that the work for m ended because this environment is not the run's. It
// returns err if the process was started for that run alone. Otherwise the run is left to
// other workers, and Next looks for another.
func (s *Standing) Unfit(ctx context.Context, m *store.Manifest, err error) error {
	if s.Run != "" || s.Always {
		return err
	}
	if s.unfit == nil {
		s.unfit = make(map[string]error)
	}
	s.unfit[m.ID] = err
	runs, _, rerr := s.Store.Runs(ctx)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	for _, r := range runs {
		if r.Open() && s.refuses(r) == nil {
			s.Log.Warn("run is left to other workers", "run", m.ID, "err", err)
			return nil
		}
	}
	return err
}

// idle returns for how long no worker has had a unit in hand. A process that starts is not idle: an engine
// takes minutes. The lock is held.
func (s *Standing) idle() time.Duration {
	if len(s.pulses) == 0 {
		return s.rested
	}
	least := time.Since(s.since)
	for _, p := range s.pulses {
		least = min(least, p.Idle())
	}
	return least
}

// choose returns a run to work for, nil if there is none now. over reports that the run
// named by Run has ended.
func (s *Standing) choose(ctx context.Context) (m *store.Manifest, over bool, err error) {
	if s.Run != "" {
		m, _, err := s.Store.Run(ctx, s.Run)
		switch {
		case err != nil:
			return nil, false, err
		case !m.Open():
			s.Log.Info("ending: the run is over", "run", m.ID, "state", m.State())
			return nil, true, nil
		}
		return m, false, s.refuses(m)
	}
	if s.Always {
		return new(store.Manifest), false, nil
	}
	runs, _, err := s.Store.Runs(ctx)
	if err != nil {
		return nil, false, err
	}
	var refused error
	may := false // there is a run that this process can work for, now or once it is resumed
	for _, r := range runs {
		if !r.Open() {
			continue
		}
		if err := s.refuses(r); err != nil {
			refused = err
			continue
		}
		may = true
		if m == nil && r.Paused == 0 {
			m = r
		}
	}
	first := !s.looked
	s.looked = true
	if first && !may && refused != nil {
		return nil, false, refused // the worker was just started: its user must see why it cannot work
	}
	return m, false, nil
}

func (s *Standing) refuses(m *store.Manifest) error {
	if err := s.unfit[m.ID]; err != nil {
		return refusal{err}
	}
	if s.Refuses == nil {
		return nil
	}
	if err := s.Refuses(m); err != nil {
		return refusal{err}
	}
	return nil
}

// watch drains the work for m when there is a reason to.
func (s *Standing) watch(ctx context.Context, m *store.Manifest) {
	tick := time.NewTicker(cmp.Or(s.Every, standingEvery))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		why, err := s.enough(ctx, m)
		s.mu.Lock()
		begun, idle := len(s.pulses) > 0, s.idle()
		s.mu.Unlock()
		if s.Idle > 0 && begun && idle >= s.Idle { // who starts has work, however long it had none before
			why, s.over = fmt.Sprintf("there was nothing to do for %v", s.Idle), true
		} else if err != nil || why == "" {
			continue // the server cannot be read now; try again
		}
		s.Log.Info("finishing what is in hand", "why", why)
		s.stop()
		return
	}
}

// enough returns why the work for m is to end, "" if it is not to end.
func (s *Standing) enough(ctx context.Context, m *store.Manifest) (string, error) {
	runs, _, err := s.Store.Runs(ctx)
	if err != nil {
		return "", err
	}
	same, others := false, false
	for _, r := range runs {
		switch {
		case r.ID == s.Run && !r.Open():
			return fmt.Sprintf("run %s is %s", r.ID, r.State()), nil
		case !r.Open() || r.Paused != 0:
		case s.Same == nil || s.Same(m, r):
			same = true
		case s.refuses(r) == nil:
			others = true
		}
	}
	if s.Run == "" && !same && others {
		return "the runs that are left ask for other settings", nil
	}
	return "", nil
}

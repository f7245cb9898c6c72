package cli

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/fleet"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/gpu"
)

// stateOf returns how an engine and its cards are doing, for a heartbeat.
func stateOf(ctx context.Context, m *fleet.Member) *store.EngineState {
	s := &store.EngineState{Phase: m.Phase().String(), Version: m.Info().Version, Restarts: m.Restarts(), InFlight: m.InFlight()}
	if load, err := m.Load(ctx); err == nil { // there is none while it does not serve
		s.Running, s.Waiting = load.Running, load.Waiting
	}
	for _, c := range m.Measured() {
		card := store.CardState{
			Index: c.Now.Index, UUID: c.Now.UUID, Name: c.Now.Name, Utilization: c.Now.Utilization, MemoryUsed: c.Now.Used, MemoryTotal: c.Now.Total,
			Power: c.Now.Power, Temperature: c.Now.Temperature, IdleShare: c.Usage.Idle,
		}
		for _, h := range (gpu.Kernel{}).Holders([]gpu.Reading{c.Now}, nil, m.OwnsOnCard) {
			if h.PID != 0 {
				card.Processes = append(card.Processes, store.CardProcess{PID: h.PID, Memory: h.Memory, State: h.State.String()})
			}
		}
		s.Cards = append(s.Cards, card)
	}
	if d, ok := m.Density(); ok {
		s.PerCard = new(cardEngines(d))
	}
	return s
}

// cardEngines returns what is recorded of how many engines a card has.
func cardEngines(d fleet.Density) store.CardEngines {
	c := store.CardEngines{GPU: d.GPU, UUID: d.UUID, Engines: d.Engines, Share: d.Share, Settled: d.Settled, Why: d.Why}
	for _, s := range d.Steps {
		c.Steps = append(c.Steps, store.EngineStep{Engines: s.Engines, TokensPer: s.TokensPer, Before: s.Before, Utilization: s.Load, Loop: s.Loop, Waiting: s.Waiting})
	}
	return c
}

// density returns what a run's provenance says of the engines of each card.
func (l *ledger) density(run string) []store.CardEngines {
	var all []store.CardEngines
	for _, m := range l.fleet.Members() {
		d, ok := m.Density()
		if !ok {
			continue
		}
		if m.Slot == 0 {
			all = append(all, cardEngines(d))
		}
		if made := m.MadeFor(run); made.Samples > 0 {
			c := &all[len(all)-1]
			c.Made = append(c.Made, store.EngineMade{Engine: m.Slot + 1, Samples: made.Samples, Tokens: made.Tokens, Restarts: m.Restarts()})
		}
	}
	return all
}

// engineBeat is the interval of an engine's heartbeats: a person watches the cards.
const engineBeat = 3 * time.Second

// tell writes heartbeats with every change of the engine's phase, and every engineBeat, until
// ctx is done.
func tell(ctx context.Context, m *fleet.Member, pulse *worker.Pulse) {
	tick := time.NewTicker(engineBeat)
	defer tick.Stop()
	for {
		_, changed := m.Changes()
		pulse.Tell()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-changed:
		}
	}
}

// A ledger writes what is known of a fleet's engines and cards into the provenance of each run that
// they generate for.
type ledger struct {
	store    *store.Store
	fleet    *fleet.Fleet
	accounts map[string]*account // by run: that which the engines were started for, and those that came
}

// An account is what a ledger has written of one run.
type account struct {
	before   []store.GPU // what earlier engines wrote of the cards
	written  []store.GPU // nil before the first time
	restarts int         // of the engines, so far

	enginesBefore, engines []store.CardEngines // the same of how many engines each card has
}

// recordEvery is the interval at which a ledger writes what has changed.
const recordEvery = 2 * time.Second

// keep writes what changes until ctx is done, and then once more.
func (l *ledger) keep(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(recordEvery)
	defer tick.Stop()
	last := context.WithoutCancel(ctx)
	for {
		if err := l.record(last); err != nil {
			log.Warn("run's provenance not written", "err", err)
		}
		select {
		case <-ctx.Done():
			if err := l.record(last); err != nil {
				log.Warn("run's provenance not written", "err", err)
			}
			return
		case <-tick.C:
		}
	}
}

// record writes what has changed.
func (l *ledger) record(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	restarts := 0
	cards := map[string][]store.GPU{}
	for _, m := range l.fleet.Members() {
		restarts += m.Restarts()
		if m.Slot > 0 {
			continue // the card is its first engine's
		}
		byRun := m.MeasuredByRun()
		for run := range l.accounts {
			if byRun[run] != nil {
				continue
			}
			for _, c := range m.Measured() { // before its first unit: the card is known, and nothing of it
				byRun[run] = append(byRun[run], fleet.Metered{Now: c.Now})
			}
		}
		for run, all := range byRun {
			for _, c := range all {
				cards[run] = append(cards[run], l.card(c))
			}
		}
	}
	for run := range cards {
		if l.accounts[run] == nil {
			l.accounts[run] = &account{restarts: restarts} // those before were not its own
		}
	}
	var errs []error
	for run, a := range l.accounts {
		errs = append(errs, l.write(ctx, run, a, cards[run], restarts))
	}
	return errors.Join(errs...)
}

// card returns what a run's provenance says of a card.
func (l *ledger) card(c fleet.Metered) store.GPU {
	return store.GPU{
		Name: c.Now.Name, UUID: c.Now.UUID, MemoryBytes: int64(min(c.Now.Total, 1<<62)), Driver: l.fleet.Driver(), //nolint:gosec // bounded
		Seconds: c.Usage.Seconds, Utilization: c.Usage.Utilization, IdleShare: c.Usage.Idle, Power: c.Usage.Power, PeakMemory: c.Usage.PeakMemory,
	}
}

// write writes cards and restarts into a run's provenance where they differ from what stands there.
func (l *ledger) write(ctx context.Context, run string, a *account, cards []store.GPU, restarts int) error {
	engines := l.density(run)
	same := slices.Equal(cards, a.written) && reflect.DeepEqual(engines, a.engines)
	if a.written != nil && same && restarts == a.restarts {
		return nil
	}
	_, err := l.store.Note(ctx, stream.Generate, run, func(m *store.Manifest) bool {
		if a.written == nil {
			a.before, a.enginesBefore = slices.Clone(m.Provenance.GPUs), slices.Clone(m.Provenance.CardEngines)
		} else if !m.Open() && same {
			return false // the engines were started again for others
		}
		m.Provenance.EngineArgs = l.fleet.Members()[0].Arguments()
		m.Provenance.EngineRestarts += restarts - a.restarts
		for _, card := range cards {
			same := func(g store.GPU) bool { return g.UUID == card.UUID }
			if i := slices.IndexFunc(a.before, same); i >= 0 {
				card.Merge(a.before[i])
			}
			m.Provenance.GPUs = put(m.Provenance.GPUs, card, same)
		}
		for _, card := range engines {
			card.Made = slices.Clone(card.Made)
			same := func(c store.CardEngines) bool { return c.UUID == card.UUID }
			if i := slices.IndexFunc(a.enginesBefore, same); i >= 0 {
				card.Merge(a.enginesBefore[i])
			}
			m.Provenance.CardEngines = put(m.Provenance.CardEngines, card, same)
		}
		m.Provenance.SetIdle()
		return true
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil // the run was removed
	}
	if err == nil {
		a.written, a.restarts, a.engines = append([]store.GPU{}, cards...), restarts, engines
	}
	return err
}

// put returns all with v in place of the element that is the same, or at the end.
func put[T any](all []T, v T, same func(T) bool) []T {
	if i := slices.IndexFunc(all, same); i >= 0 {
		all[i] = v
		return all
	}
	return append(all, v)
}

package cli

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/fleet"
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
		for _, h := range (gpu.Kernel{}).Holders([]gpu.Reading{c.Now}, nil, m.Owns) {
			if h.PID != 0 {
				card.Processes = append(card.Processes, store.CardProcess{PID: h.PID, Memory: h.Memory, State: h.State.String()})
			}
		}
		s.Cards = append(s.Cards, card)
	}
	return s
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
	if a.written != nil && slices.Equal(cards, a.written) && restarts == a.restarts {
		return nil
	}
	_, err := l.store.UpdateRun(ctx, run, func(m *store.Manifest) bool {
		if a.written == nil {
			a.before = slices.Clone(m.Provenance.GPUs)
		} else if !m.Open() && slices.Equal(cards, a.written) {
			return false // the engines were started again for others
		}
		m.Provenance.EngineArgs = l.fleet.Members()[0].Arguments()
		m.Provenance.EngineRestarts += restarts - a.restarts
		for _, card := range cards {
			same := func(g store.GPU) bool { return g.UUID == card.UUID }
			if i := slices.IndexFunc(a.before, same); i >= 0 {
				card.Merge(a.before[i])
			}
			if i := slices.IndexFunc(m.Provenance.GPUs, same); i >= 0 {
				m.Provenance.GPUs[i] = card
			} else {
				m.Provenance.GPUs = append(m.Provenance.GPUs, card)
			}
		}
		m.Provenance.SetIdle()
		return true
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil // the run was removed
	}
	if err == nil {
		a.written, a.restarts = append([]store.GPU{}, cards...), restarts
	}
	return err
}

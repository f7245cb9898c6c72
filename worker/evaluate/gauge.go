package evaluate

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/lcbq/lcbq/stream/store"
)

// A speed is measured by speedBursts bursts, and anew every speedEvery. A processor of a shared machine can be
// slower by half for two seconds and more, so the bursts are spread over a longer time. A worker whose limits
// do not depend on the speed measures between its programs, so that the first seconds of a run hardly notice.
const (
	speedBursts = 12
	speedPause  = 500 * time.Millisecond // between bursts that are waited for
	speedRest   = 2 * time.Second        // between those that are not
	speedEvery  = 10 * time.Minute
	persists    = 3 // measurements in a row must say that the speed is another
)

// A gauge knows how fast this host is. A host has one speed: a measurement that differs counts when
// the next ones agree with it. It is safe for concurrent use.
type gauge struct {
	first []time.Duration // what begin saw; of the goroutine that follows
	lies  bool            // the clock does

	mu      sync.Mutex
	taken   float64   // 0 until it is known
	settled bool      // taken is of a whole measurement
	others  []float64 // measurements in a row that differ from taken, all on one side
}

// speed returns what is known of the host's speed, 0 for nothing, and whether that is more than a first look.
func (g *gauge) speed() (speed float64, settled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.taken, g.settled
}

// look takes note of a first look, until there is a whole measurement.
func (g *gauge) look(speed float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.settled {
		g.taken = speed
	}
}

// measured takes note of a whole measurement. It reports true if the host's speed is another from now on.
func (g *gauge) measured(speed float64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.settled:
		g.taken, g.settled = speed, true
		return false
	case store.SameSpeed(g.taken, speed):
		g.others = nil
		return false
	case len(g.others) > 0 && (g.others[0] < g.taken) != (speed < g.taken):
		g.others = nil
	}
	if g.others = append(g.others, speed); len(g.others) < persists {
		return false
	}
	// The nearest of them is what all of them agree on.
	next := g.others[0]
	for _, s := range g.others {
		if (s < g.taken) == (s > next) {
			next = s
		}
	}
	g.taken, g.others = next, nil
	return true
}

// begin takes a first look, so that the speed is known before the first unit is judged. It returns
// false if ctx ends before.
func (g *gauge) begin(ctx context.Context, burst func(context.Context) ([]time.Duration, error), log *slog.Logger) bool {
	rounds, err := burst(ctx)
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil:
		log.Warn("how fast this host is cannot be measured, and is not recorded", "err", err)
		g.lies = errors.Is(err, errClock)
	default:
		g.look(speedOf(rounds))
		g.first = rounds
	}
	return true
}

// follow measures the speed until ctx is done: by burst, the first time in addition to what begin saw, and
// anew every so often. tell is called when something new is known.
func (g *gauge) follow(ctx context.Context, burst func(context.Context) ([]time.Duration, error), tell func(), log *slog.Logger) {
	if g.lies {
		return
	}
	for rounds := g.first; ; rounds = nil {
		for range speedBursts {
			if !wait(ctx, speedRest) {
				return
			}
			more, err := burst(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				log.Debug("this host's speed is not measured now", "err", err)
				continue
			}
			rounds = append(rounds, more...)
			g.look(speedOf(rounds))
		}
		if len(rounds) > 0 {
			before, _ := g.speed()
			if speed := speedOf(rounds); g.measured(speed) {
				log.Info("this host is another speed than before", "before", before, "now", speed)
			}
			tell()
		}
		if !wait(ctx, speedEvery) {
			return
		}
	}
}

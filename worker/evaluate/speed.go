package evaluate

import (
	"context"
	_ "embed" // for yardstick.py
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lcbq/lcbq/worker/sandbox"
)

// yardstick is interpreter work whose rounds are timed: integers, a list, a dictionary, a branch.
//
//go:embed yardstick.py
var yardstick string

// A burst of the yardstick is burstRounds rounds of burstTurns turns of its loop, half a millisecond
// each. Rounds are short so that some fall between what neighbours do, and a speed is that of the
// fastest ones: on a shared machine these agree within a few percent from burst to burst, while the
// fastest tenth has moved by 13 %.
const (
	burstRounds = 24
	burstTurns  = 5000
	fastest     = 50 // one in so many rounds is faster than the one that counts
)

// errClock says that a host's processor clock cannot be believed.
var errClock = errors.New("the processor clock cannot be believed")

// burst returns the times of the rounds of one burst, run in a slot like any program.
func burst(ctx context.Context, slot *pooled) ([]time.Duration, error) {
	slot.Scale(mostPace) // whatever the limit is
	defer slot.Scale(1)
	text := ""
	began := time.Now()
	q := sandbox.Question{ID: "yardstick", Inputs: []string{fmt.Sprintf("%d %d\n", burstRounds, burstTurns)}}
	r, err := slot.Run(ctx, &q, yardstick, func(_ int, o sandbox.Output) bool {
		text = string(o.Text)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("measure this host's speed: %w", err)
	}
	if r.Outcome != sandbox.Accepted {
		return nil, fmt.Errorf("measure this host's speed: %s: %w", r.Detail, errClock)
	}
	return readBurst(text, r.CPU, time.Since(began))
}

// clockSlack is how far two clocks that were read one after the other may be apart.
const clockSlack = 20 * time.Millisecond

// readBurst reads what the yardstick printed. cpu and wall are what the whole program took by the
// clocks on this side: a round cannot take longer than both, nor no time at all.
func readBurst(text string, cpu, wall time.Duration) ([]time.Duration, error) {
	fields := strings.Fields(text)
	rounds := make([]time.Duration, 0, len(fields))
	var sum time.Duration
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("measure this host's speed: a round of the yardstick took %q ns: %w", f, errClock)
		}
		rounds = append(rounds, time.Duration(n))
		sum += time.Duration(n)
	}
	switch {
	case len(rounds) != burstRounds:
		return nil, fmt.Errorf("measure this host's speed: the yardstick made %d rounds, not %d: %w", len(rounds), burstRounds, errClock)
	case sum > cpu+clockSlack:
		return nil, fmt.Errorf("measure this host's speed: rounds took %v of processor time in a program that used %v: %w", sum, cpu, errClock)
	case cpu > wall+clockSlack:
		return nil, fmt.Errorf("measure this host's speed: a program of one thread used %v of processor time in %v: %w", cpu, wall, errClock)
	}
	return rounds, nil
}

// speedOf returns the speed by the times of rounds: million turns of the yardstick's loop in a second of
// processor time.
func speedOf(rounds []time.Duration) float64 {
	sorted := slices.Clone(rounds)
	slices.Sort(sorted)
	return burstTurns / sorted[len(sorted)/fastest].Seconds() / 1e6
}

// Speed measures how fast the interpreter of this host is, on a quiet core if one is free. It takes
// six seconds, and a quarter of one of processor time.
func (g *Grader) Speed(ctx context.Context) (float64, error) { return g.speed(ctx, speedPause) }

func (g *Grader) speed(ctx context.Context, pause time.Duration) (speed float64, err error) {
	one := g.burst
	slot, err := g.quiet.enter(ctx)
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, g.quiet.leave(slot)) }()
		one = func(ctx context.Context) ([]time.Duration, error) {
			g.others.RLock()
			defer g.others.RUnlock()
			return burst(ctx, slot)
		}
	case !errors.Is(err, errBusy):
		return 0, err
	}
	return measure(ctx, one, pause)
}

// lookPause is between the bursts of a person who waits.
const lookPause = 50 * time.Millisecond

// SpeedOf measures in a second how fast the interpreter of a host is on which nothing is judged.
func SpeedOf(ctx context.Context, host *sandbox.Host) (speed float64, err error) {
	slot, err := host.NewSlot(0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, slot.Close()) }()
	s := &pooled{Slot: slot}
	return measure(ctx, func(ctx context.Context) ([]time.Duration, error) { return burst(ctx, s) }, lookPause)
}

// measure returns the speed by a whole measurement.
func measure(ctx context.Context, one func(context.Context) ([]time.Duration, error), pause time.Duration) (float64, error) {
	var rounds []time.Duration
	for i := range speedBursts {
		if i > 0 && !wait(ctx, pause) {
			return 0, ctx.Err()
		}
		more, err := one(ctx)
		if err != nil {
			return 0, err
		}
		rounds = append(rounds, more...)
	}
	return speedOf(rounds), nil
}

// burst runs one burst beside programs.
func (g *Grader) burst(ctx context.Context) ([]time.Duration, error) {
	slot, err := g.pool.acquire(ctx, "", 0) // before all programs: it is short, and they are judged by it
	if err != nil {
		return nil, err
	}
	defer g.pool.release(slot)
	g.others.RLock()
	defer g.others.RUnlock()
	return burst(ctx, slot)
}

// wait returns false if ctx ends before d is over.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

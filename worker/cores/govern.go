package cores

import (
	"context"
	"log/slog"
	"time"

	"github.com/lcbq/lcbq/worker/gpu"
)

// PerCard is how many processors are left for each GPU that generates. vLLM's loop keeps one
// busy, its API server and lcbq's client most of another. The others are left because a core slows
// down while its hyperthread or its neighbours run programs: README.md has the measurements.
const PerCard = 8

// A Division is what programs get of this machine at the start, and the governor that changes it
// later. The governor is nil where the share stays as it is.
type Division struct {
	Share
	Governor *Governor
}

// Govern returns the division in which programs have the whole machine while no card works, and
// at most s while one does.
func (m Machine) Govern(s Share) Division {
	g := NewGovernor(m.All(), s)
	return Division{Share: g.Now(), Governor: g}
}

// Reserved returns how many processors no program has while a card generates.
func (d Division) Reserved() int {
	if d.Governor != nil {
		return d.Governor.Beside.Left
	}
	return d.Left
}

// A Limiter runs programs on processors: n at once, on the given ones or, if cpus is nil, on all.
type Limiter interface{ Limit(n int, cpus []int) }

// lookEvery is the interval of readings, and slowLookEvery that of readings that start a program
// each time.
const (
	lookEvery     = time.Second
	slowLookEvery = 3 * time.Second
)

// unread stands for the readings of cards that cannot be read.
var unread = []gpu.Reading{{Utilization: gpu.Unknown}}

// Run reads this machine's cards and limits programs to what g says of them, until ctx is done.
// Without a driver the engine computes on processors: programs then get what they have beside a
// working card.
func (g *Governor) Run(ctx context.Context, programs Limiter, log *slog.Logger) error {
	cards, err := gpu.Open(ctx, gpu.Config{})
	if err != nil {
		now := g.Look(unread, time.Now())
		programs.Limit(now.Slots, now.CPUs)
		<-ctx.Done()
		return nil //nolint:nilerr // no driver is one of the cases that this is for
	}
	every := lookEvery
	if cards.Slow() {
		every = slowLookEvery
	}
	g.follow(ctx, cards, every, programs, log)
	return cards.Close()
}

// follow is Run with cards that can be read.
func (g *Governor) follow(ctx context.Context, cards gpu.Source, every time.Duration, programs Limiter, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	blind := false
	for now := g.Now(); ; {
		all, err := cards.Read(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !blind {
			log.Warn("GPUs cannot be read: they are taken to be working", "err", err)
		}
		blind = err != nil
		if blind {
			all = unread
		}
		then := now
		if now = g.Look(all, time.Now()); now.Slots != then.Slots {
			programs.Limit(now.Slots, now.CPUs)
			level := slog.LevelDebug
			if now.Left != then.Left {
				level = slog.LevelInfo
			}
			log.Log(ctx, level, "programs judged at once", "programs", now.Slots, "cores_left_to_engines", now.Left)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/fleet"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/gpu"
)

// cpusPerCard is how many processors are left for each GPU that generates. vLLM's loop keeps one
// busy, its API server and lcbq's client most of another; the others are there because a core slows
// down while its hyperthread or its neighbours run programs. By the measurements in the README.
const cpusPerCard = 8

// A share is what programs get of this machine, and who decides on it.
type share struct {
	cores.Share                 // at the start
	governor    *cores.Governor // nil where it stays so
}

// reserved returns how many processors no program has while a card generates.
func (s share) reserved() int {
	if s.governor != nil {
		return s.governor.Beside.Left
	}
	return s.Left
}

// shareOf divides the processors of this machine between the cards that generate on it and programs.
// Where the user has said nothing of either, programs have all of them while no card works.
func shareOf(cfg config.Workers, cards int) (share, error) {
	if err := cfg.Check(); err != nil {
		return share{}, usageError{err}
	}
	m, err := cores.Here()
	if err != nil {
		return share{}, err
	}
	n, said, err := cfg.Reserve(cpusPerCard * cards)
	if err != nil {
		return share{}, usageError{err}
	}
	most := m.Quota / 2
	if said {
		if most = len(m.CPUs) - 1; n > most {
			return share{}, usageError{fmt.Errorf("--reserve-cpus = %d: want at most %d: lcbq may use %d processors here, and programs need one", n, most, len(m.CPUs))}
		}
	}
	s := m.Leave(n, most)
	if !said && cfg.Auto() && s.Left > 0 {
		g := cores.NewGovernor(m.All(), s)
		return share{Share: g.Now(), governor: g}, nil
	}
	s.Slots, err = cfg.Slots(s.Slots)
	return share{Share: s}, err
}

// A limiter is what a governor governs: an evaluate.Worker.
type limiter interface{ Limit(n int, cpus []int) }

// governEvery is the interval of readings, and slowGovernEvery that of readings that start a program
// each time.
const (
	governEvery     = time.Second
	slowGovernEvery = 3 * time.Second
)

// unread stands for the readings of cards that cannot be read.
var unread = []gpu.Reading{{Utilization: gpu.Unknown}}

// govern limits the programs to what the governor says of the readings until ctx is done.
func govern(ctx context.Context, g *cores.Governor, cards gpu.Source, every time.Duration, programs limiter, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	blind := false
	for now := g.Now(); ; {
		all, err := cards.Read(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !blind {
			log.Warn("GPUs not read, programs judged as if they worked", "err", err)
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
			log.Log(ctx, level, "programs judged at once", "slots", now.Slots, "cpus_left_to_engines", now.Left)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// cardsHere returns how many GPUs this machine has: where it is not known what generates beside a judge,
// each may.
func cardsHere(ctx context.Context) int {
	s, err := gpu.Open(ctx, gpu.Config{})
	if err != nil {
		return 0 // no driver, no cards
	}
	defer func() { _ = s.Close() }()
	all, err := s.Read(ctx)
	if err != nil {
		return 0
	}
	return len(all)
}

// cardsOf returns how many cards a fleet's engines have; an engine without one counts as one.
func cardsOf(f *fleet.Fleet) int {
	n := 0
	for _, m := range f.Members() {
		n += max(len(m.Cards), 1)
	}
	return n
}

// anyLocal reports whether one of the endpoints is this machine's, by its address.
func anyLocal(endpoints []string) bool {
	for _, e := range endpoints {
		u, err := url.Parse(e)
		if err != nil {
			continue
		}
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
			return true
		}
	}
	return false
}

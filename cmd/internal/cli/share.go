package cli

import (
	"context"
	"fmt"
	"net"
	"net/url"

	"github.com/lcbq/lcbq/cmd/internal/fleet"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/gpu"
)

// cpusPerCard is how many processors are left for each GPU that generates: two whole cores with
// hyperthreads for vLLM's two busy threads, its helpers and lcbq's own client.
const cpusPerCard = 4

// shareOf divides the processors of this machine between the cards that generate on it and programs.
func shareOf(cfg config.Workers, cards int) (cores.Share, error) {
	if err := cfg.Check(); err != nil {
		return cores.Share{}, usageError{err}
	}
	m, err := cores.Here()
	if err != nil {
		return cores.Share{}, err
	}
	n, said, err := cfg.Reserve(cpusPerCard * cards)
	if err != nil {
		return cores.Share{}, usageError{err}
	}
	most := m.Quota / 2
	if said {
		if most = len(m.CPUs) - 1; n > most {
			return cores.Share{}, usageError{fmt.Errorf("--reserve-cpus = %d: want at most %d: lcbq may use %d processors here, and programs need one", n, most, len(m.CPUs))}
		}
	}
	s := m.Leave(n, most)
	s.Slots, err = cfg.Slots(s.Slots)
	return s, err
}

// cardsBeside returns how many GPUs generate on this machine beside a judge, as far as a run of that
// engine lets know: all that the driver shows, where the samples come from servers that may be here.
func cardsBeside(ctx context.Context, engine string) int {
	if engine != "vllm" && engine != "openai" {
		return 0
	}
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

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest"
)

// A faultKind is what is done to a process, its connection or its disk.
type faultKind string

const (
	faultKill    faultKind = "kill -9"
	faultRestart faultKind = "restart"      // SIGTERM; the fleet starts it again
	faultStop    faultKind = "stop"         // SIGSTOP for longer than the ack wait
	faultCut     faultKind = "cut"          // all connections of the process end at once
	faultHold    faultKind = "hold"         // nothing goes through for longer than the ack wait
	faultSlow    faultKind = "slow"         // every few kilobytes take their time
	faultClock   faultKind = "clock"        // the time of day jumps
	faultStore   faultKind = "full store"   // the server's disk takes nothing more for a while
	faultResults faultKind = "full results" // nor that of the results
)

// faultShares says how often each kind is drawn, in percent.
var faultShares = []struct {
	kind  faultKind
	share int
}{
	{faultKill, 38},
	{faultRestart, 8},
	{faultStop, 12},
	{faultCut, 12},
	{faultHold, 8},
	{faultSlow, 8},
	{faultClock, 6},
	{faultStore, 4},
	{faultResults, 4},
}

// A fault is one entry of a schedule.
type fault struct {
	at     int // units judged when it is due
	kind   faultKind
	member int           // of fleet.members
	length time.Duration // of what lasts
	amount time.Duration // of a delay or a jump
}

// schedule draws faults, evenly spread over the units, each possible kind at least
// once if there are so many. It is a function of its arguments: the same seed is
// the same schedule. The first members are servers. They have no proxy and, as
// the owners of the time that matters, no clock to jump.
func schedule(seed uint64, faults, units, servers, members int, ackWait time.Duration, possible map[faultKind]bool) []fault {
	rng := rand.New(rand.NewPCG(seed, 5))
	var each []faultKind
	for _, s := range faultShares {
		if possible[s.kind] {
			each = append(each, s.kind)
		}
	}
	places := rng.Perm(faults) // of each, and then of those drawn
	out := make([]fault, faults)
	for n, i := range places {
		f := fault{at: units * (i + 1) / (faults + 1), member: rng.IntN(members)}
		if n < len(each) {
			f.kind = each[n]
		}
		for f.kind == "" || !possible[f.kind] {
			r := rng.IntN(100)
			for _, s := range faultShares {
				if r -= s.share; r < 0 {
					f.kind = s.kind
					break
				}
			}
		}
		if f.member < servers && (f.kind == faultCut || f.kind == faultHold || f.kind == faultSlow || f.kind == faultClock) {
			f.member = servers + rng.IntN(members-servers)
		}
		f.length = ackWait + ackWait/4 + time.Duration(rng.Int64N(int64(ackWait)))
		switch f.kind {
		case faultSlow:
			f.amount = time.Duration(1+rng.IntN(30)) * time.Millisecond
		case faultClock:
			f.amount = time.Duration(rng.Int64N(int64(60*24*time.Hour))) - 30*24*time.Hour
		default:
		}
		out[i] = f
	}
	return out
}

// A chaos inflicts faults on a fleet.
type chaos struct {
	*fleet
	store, results *smallDisk // nil if they could not be mounted

	lasting sync.WaitGroup // faults with a length that have not ended
	places  chan struct{}  // bounds them

	mu   sync.Mutex
	done map[string]map[faultKind]int // by member
}

// lastingFaults is how many faults may last at once: with more, no process would be
// left to make progress, and no unit to disturb.
const lastingFaults = 3

func newChaos(f *fleet, store, results *smallDisk) *chaos {
	return &chaos{fleet: f, store: store, results: results, places: make(chan struct{}, lastingFaults), done: make(map[string]map[faultKind]int)}
}

// inflict does what f says. What lasts goes on behind its back; only its place
// among the lasting ones is waited for.
func (c *chaos) inflict(ctx context.Context, f fault) error {
	m := c.members()[f.member]
	switch f.kind {
	case faultKill, faultRestart:
		s := syscall.SIGKILL
		if f.kind == faultRestart {
			s = syscall.SIGTERM
		}
		if err := c.reach(ctx, m, func() bool { return m.signal(s) != nil }); err != nil {
			return err
		}
	case faultStop:
		return c.last(ctx, f, m, func() error {
			return c.reach(ctx, m, func() bool { return m.signal(syscall.SIGSTOP) != nil })
		}, func() error { m.signal(syscall.SIGCONT); return nil })
	case faultCut:
		m.proxy.each((*streamtest.Proxy).Cut)
	case faultHold:
		return c.last(ctx, f, m, func() error { m.proxy.each(func(p *streamtest.Proxy) { p.Hold(true) }); return nil },
			func() error { m.proxy.each(func(p *streamtest.Proxy) { p.Hold(false) }); return nil })
	case faultSlow:
		return c.last(ctx, f, m, func() error { m.proxy.each(func(p *streamtest.Proxy) { p.Slow(f.amount) }); return nil },
			func() error { m.proxy.each(func(p *streamtest.Proxy) { p.Slow(0) }); return nil })
	case faultClock:
		if err := c.jump(ctx, m, f.amount); err != nil {
			return err
		}
	case faultStore:
		return c.last(ctx, f, c.servers[0], c.store.fill, c.store.empty) // the first one's
	case faultResults:
		return c.last(ctx, f, c.servers[0], c.results.fill, c.results.empty)
	}
	c.count(m, f.kind)
	return nil
}

// reach calls f until it reports that the member was there to be reached.
func (c *chaos) reach(ctx context.Context, m *member, f func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not live: %w", m.name, ctx.Err())
		}
	}
	return nil
}

func (c *chaos) jump(ctx context.Context, m *member, by time.Duration) error {
	return c.reach(ctx, m, func() bool {
		p := m.signal(0)
		if p == nil {
			return false
		}
		err := shiftClock(p, by)
		if err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
			c.t.Logf("clock of %s not shifted: %v", m.name, err) // it is young, or was killed meanwhile: the next look finds it
		}
		return err == nil
	})
}

// last begins a fault and ends it after its length.
func (c *chaos) last(ctx context.Context, f fault, m *member, begin, end func() error) error {
	select {
	case c.places <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := begin(); err != nil {
		return errors.Join(err, end())
	}
	c.count(m, f.kind)
	c.lasting.Go(func() {
		select {
		case <-time.After(f.length):
		case <-ctx.Done():
		}
		if err := end(); err != nil {
			c.t.Errorf("end %s of %s: %v", f.kind, m.name, err)
		}
		<-c.places
	})
	return nil
}

func (c *chaos) count(m *member, k faultKind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done[m.name] == nil {
		c.done[m.name] = make(map[faultKind]int)
	}
	c.done[m.name][k]++
}

// table is how many faults of each kind each member suffered.
func (c *chaos) table() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%-14s", "")
	for _, s := range faultShares {
		fmt.Fprintf(&b, "%13s", s.kind)
	}
	for _, name := range slices.Sorted(maps.Keys(c.done)) {
		fmt.Fprintf(&b, "\n%-14s", name)
		for _, s := range faultShares {
			fmt.Fprintf(&b, "%13d", c.done[name][s.kind])
		}
	}
	return b.String()
}

// possibleFaults prepares what some kinds need, and says which of them this machine
// does not allow, and why.
func possibleFaults(t *testing.T, dir string, storeSize, resultsSize int) (store, results *smallDisk, possible map[faultKind]bool) {
	t.Helper()
	possible = make(map[faultKind]bool)
	for _, s := range faultShares {
		possible[s.kind] = *chaosKinds == "" || slices.Contains(strings.Split(*chaosKinds, ","), string(s.kind))
	}
	var err error
	if store, err = mountDisk(t, filepath.Join(dir, "store"), storeSize); err != nil {
		possible[faultStore] = false
		t.Logf("no fault %q: %v", faultStore, err)
	}
	if results, err = mountDisk(t, filepath.Join(dir, "results"), resultsSize); err != nil {
		possible[faultResults] = false
		t.Logf("no fault %q: %v", faultResults, err)
	}
	probe := reexec(t, "wallclock")
	in, err := probe.StdinPipe()
	if err == nil {
		err = probe.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	err = shiftClock(probe.Process, time.Hour)
	if closed := errors.Join(in.Close(), probe.Wait()); closed != nil {
		t.Fatal(closed)
	}
	if err != nil {
		possible[faultClock] = false
		t.Logf("no fault %q: %v", faultClock, err)
	}
	return store, results, possible
}

// TestScheduleReplays: a seed that was printed makes the same faults again, and
// every kind meets every process that can suffer it.
func TestScheduleReplays(t *testing.T) {
	t.Parallel()
	possible := make(map[faultKind]bool)
	for _, s := range faultShares {
		possible[s.kind] = true
	}
	a, b := schedule(7, 1000, 20_000, 1, 6, time.Second, possible), schedule(7, 1000, 20_000, 1, 6, time.Second, possible)
	if !slices.Equal(a, b) {
		t.Error("the same seed gave two schedules")
	}
	if slices.Equal(a, schedule(8, 1000, 20_000, 1, 6, time.Second, possible)) {
		t.Error("two seeds gave one schedule")
	}
	met := make(map[faultKind]map[int]bool)
	for i, f := range a {
		if i > 0 && f.at < a[i-1].at || f.at < 1 || f.at >= 20_000 || f.length <= time.Second {
			t.Errorf("fault %d = %+v after %+v", i, f, a[max(i-1, 0)])
		}
		if met[f.kind] == nil {
			met[f.kind] = make(map[int]bool)
		}
		met[f.kind][f.member] = true
	}
	for _, s := range faultShares {
		want := 6
		if s.kind == faultCut || s.kind == faultHold || s.kind == faultSlow || s.kind == faultClock {
			want = 5
		}
		if len(met[s.kind]) != want {
			t.Errorf("%s meets %d processes, want %d", s.kind, len(met[s.kind]), want)
		}
	}
	delete(possible, faultClock)
	for _, f := range schedule(7, 1000, 20_000, 1, 6, time.Second, possible) {
		if f.kind == faultClock {
			t.Fatal("a fault that is not possible was drawn")
		}
	}
}

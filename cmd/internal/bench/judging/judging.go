// Package judging measures what judging costs on this machine, by kind of program, and
// works out what judging a sweep costs. The programs are its own; it measures no model.
package judging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// Config says what to measure.
type Config struct {
	Sandbox sandbox.Config
	Kinds   []string      // some of Kinds
	Slots   []int         // programs judged at once, each number in turn
	Length  time.Duration // of one measurement, about
	Log     *slog.Logger
}

// A Case is one measurement's load.
type Case struct {
	Kind       string `json:"kind"`
	Tests      int    `json:"tests"`
	SuiteBytes int    `json:"suite_bytes"` // inputs of all tests
	Slots      int    `json:"slots"`
}

// A Cost is what the programs of a case cost, one program on average. The milliseconds are
// processor time.
type Cost struct {
	Case
	Programs  int     `json:"programs"`
	PerSecond float64 `json:"programs_per_s"`
	CPU       float64 `json:"cpu_ms"`         // in all processes
	Program   float64 `json:"program_cpu_ms"` // in the program's own, its start included
	Server    float64 `json:"server_cpu_ms"`  // in the fork server
	Judge     float64 `json:"judge_cpu_ms"`   // in lcbq
}

// The load that all kinds are measured under, and the others that a passing program is
// measured under too.
const (
	baseTests = 10
	baseSuite = 4 << 10
)

// Cases returns what Measure measures: every kind at every number of slots, and the
// passing program with fewer and more tests and with large ones on the first number of
// slots. Kinds that compute for long are measured on no more slots than there are
// processors: more would only share them.
func (c Config) Cases() []Case {
	var all []Case
	for i, slots := range c.Slots {
		for _, name := range c.Kinds {
			if kinds[name].costly && slots > runtime.GOMAXPROCS(0) {
				continue
			}
			all = append(all, Case{name, baseTests, baseSuite, slots})
			if name == "passing" && i == 0 {
				all = append(all, Case{name, 1, baseSuite, slots}, Case{name, 40, baseSuite, slots}, Case{name, baseTests, 4 << 20, slots})
			}
		}
	}
	return all
}

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	var errs []error
	for _, name := range c.Kinds {
		if _, ok := kinds[name]; !ok {
			errs = append(errs, fmt.Errorf("--kinds = %s: want some of %q", name, Kinds))
		}
	}
	for _, n := range c.Slots {
		if n < 1 || n > 256 {
			errs = append(errs, fmt.Errorf("--slots = %d: want 1 to 256", n))
		}
	}
	if len(c.Kinds) == 0 || len(c.Slots) == 0 {
		errs = append(errs, errors.New("--kinds, --slots: want at least one of each"))
	}
	if c.Length < shortest || c.Length > time.Hour {
		errs = append(errs, fmt.Errorf("--length = %v: want %v to 1h", c.Length, shortest))
	}
	return errors.Join(errs...)
}

// Environment returns what programs are judged under.
func Environment(ctx context.Context, c Config) (sandbox.Environment, error) {
	host, err := sandbox.Probe(ctx, c.Sandbox)
	if err != nil {
		return sandbox.Environment{}, err
	}
	return host.Environment(), nil
}

// Measure measures every case once. It returns an error if a program is not judged as its
// kind must be: such numbers would say nothing.
func Measure(ctx context.Context, c Config) ([]Cost, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var costs []Cost
	for _, slots := range c.Slots {
		g, err := evaluate.NewGrader(ctx, evaluate.Config{Sandbox: c.Sandbox, Slots: slots, Log: c.Log})
		if err != nil {
			return nil, err
		}
		for _, one := range c.Cases() {
			if one.Slots != slots || err != nil {
				continue
			}
			if c.Log != nil && kinds[one.Kind].costly { // each takes up to a time limit: silence would look like a hang
				c.Log.Info("measuring programs that take long", "kind", one.Kind, "slots", slots, "case", len(costs)+1, "of", len(c.Cases()))
			}
			var cost Cost
			if cost, err = measure(ctx, g, one, c.Length); err == nil {
				costs = append(costs, cost)
			}
		}
		if err = errors.Join(err, g.Close()); err != nil {
			return nil, err
		}
	}
	return costs, nil
}

// measure judges programs of a case for about length, after one on each slot that has the
// inputs loaded.
func measure(ctx context.Context, g *evaluate.Grader, c Case, length time.Duration) (Cost, error) {
	q, err := question(c)
	if err != nil {
		return Cost{}, err
	}
	k := kinds[c.Kind]
	m := meter{grader: g, question: q, kind: k, slots: c.Slots}
	if !k.costly {
		if err := m.judge(ctx, func(n int) bool { return n < c.Slots }); err != nil {
			return Cost{}, fmt.Errorf("measure %s: %w", c.Kind, err)
		}
	}
	before, err := m.read()
	if err != nil {
		return Cost{}, err
	}
	first, until := m.next.Load(), time.Now().Add(length)
	err = m.judge(ctx, func(n int) bool {
		return n < int(first)+c.Slots || !k.costly && time.Now().Before(until)
	})
	if err != nil {
		return Cost{}, fmt.Errorf("measure %s: %w", c.Kind, err)
	}
	after, err := m.read()
	if err != nil {
		return Cost{}, err
	}
	programs := int(m.next.Load() - first)
	each := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(programs) }
	cost := Cost{
		Case: c, Programs: programs, PerSecond: float64(programs) / after.at.Sub(before.at).Seconds(),
		Program: each(after.programs - before.programs), Server: each(after.servers - before.servers), Judge: each(after.own - before.own),
	}
	cost.CPU = cost.Program + cost.Server + cost.Judge
	return cost, nil
}

// A meter judges programs and counts what they use.
type meter struct {
	grader   *evaluate.Grader
	question *evaluate.Question
	kind     kind
	slots    int
	next     atomic.Int64 // number of the next program

	mu   sync.Mutex
	used time.Duration // by programs
}

// judge judges one program after the other on every slot for as long as more says so of
// the next one's number.
func (m *meter) judge(ctx context.Context, more func(n int) bool) error {
	group, judging := errgroup.WithContext(ctx)
	for range m.slots {
		group.Go(func() error {
			for {
				n := m.next.Load()
				if !more(int(n)) {
					return nil
				}
				if !m.next.CompareAndSwap(n, n+1) {
					continue
				}
				j, _, err := m.grader.Judge(judging, m.question, stream.Sample{Code: m.kind.text(int(n))})
				if err != nil {
					return err
				}
				if j.Verdict != m.kind.verdict {
					return fmt.Errorf("judged %s, want %s: %s", j.Verdict, m.kind.verdict, j.Detail)
				}
				m.mu.Lock()
				m.used += time.Duration(j.CPU * float64(time.Second))
				m.mu.Unlock()
			}
		})
	}
	return group.Wait()
}

// A reading is the time and what was used by then.
type reading struct {
	at                     time.Time
	programs, servers, own time.Duration
}

func (m *meter) read() (r reading, err error) {
	r.at, r.programs = time.Now(), m.used
	if r.servers, err = m.grader.ServerCPU(); err != nil {
		return r, err
	}
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return r, fmt.Errorf("read the processor time of this process: %w", err)
	}
	r.own = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	return r, nil
}

// Median returns of each case in the first round the cost whose processor time is the
// median of all rounds; the lower of the two in the middle. Every round holds every case.
func Median(rounds [][]Cost) []Cost {
	if len(rounds) == 0 {
		return nil
	}
	var out []Cost
	for i := range rounds[0] {
		var same []Cost
		for _, r := range rounds {
			same = append(same, r[i])
		}
		slices.SortFunc(same, func(a, b Cost) int {
			switch {
			case a.CPU < b.CPU:
				return -1
			case a.CPU > b.CPU:
				return 1
			}
			return 0
		})
		out = append(out, same[(len(same)-1)/2])
	}
	return out
}

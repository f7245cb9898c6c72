package cli

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/bench/judging"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/store"
)

// A benchJudge measures judging.
type benchJudge struct {
	Judge              bool     `group:"judging" help:"measure judging instead of the queue: programs a second and processor time a program, by kind"`
	Kinds              []string `placeholder:"KIND,..." group:"judging" help:"of programs: passing, wrong, crashing, not parsing, printing, waiting, computing, slow, endless; by default all"`
	Slots              []int    `placeholder:"N,..." group:"judging" help:"programs judged at once, 1,2,16,64 by default; of --plan one number, 64 by default"`
	Save               string   `type:"path" placeholder:"FILE" group:"judging" help:"write what was measured, as a baseline for later"`
	Baseline           string   `type:"existingfile" placeholder:"FILE" group:"judging" help:"compare with what --save wrote; --plan takes its costs"`
	config.Interpreter `embed:"" group:"judging"`
}

// A judgeReport is what --json prints.
type judgeReport struct {
	judging.Report
	Changes []judging.Change `json:"changes,omitempty"`
}

// benchLimit is the time limit of a program that is judged for the benchmark, in seconds:
// the official one.
const benchLimit = 6

func (c *benchJudge) run(a *app, rounds int, length time.Duration) error {
	var baseline judging.Report
	if c.Baseline != "" {
		var err error
		if baseline, err = judging.Load(c.Baseline); err != nil {
			return usageError{err}
		}
	}
	sc, err := sandboxConfig(c.Interpreter, store.Judge{Mode: "lcb", TimeLimit: benchLimit, MemoryLimit: 4 << 30, OutputLimit: 16 << 20}, a.log)
	if err != nil {
		return err
	}
	cfg := judging.Config{Sandbox: sc, Kinds: c.Kinds, Slots: c.Slots, Length: length, Log: a.log}
	if len(cfg.Kinds) == 0 {
		cfg.Kinds = judging.Kinds
	}
	if len(cfg.Slots) == 0 {
		cfg.Slots = []int{1, 2, 16, 64}
	}
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	env, err := judging.Environment(a.ctx, cfg)
	if err != nil {
		return err
	}
	var all [][]judging.Cost
	for i := range rounds {
		costs, err := judging.Measure(a.ctx, cfg)
		if err != nil {
			return unmeasured(a, fmt.Errorf("benchmark judging: %w", err))
		}
		all = append(all, costs)
		a.log.Info("round measured", "round", i+1, "of", rounds)
	}
	r := judgeReport{Report: judging.NewReport(Version(), runtime.GOMAXPROCS(0), env, all)}
	if c.Baseline != "" {
		if r.Changes, err = r.Compare(baseline); err != nil {
			return err
		}
	}
	if c.Save != "" {
		if err := r.Save(c.Save); err != nil {
			return err
		}
	}
	if a.json {
		return a.printJSON(r)
	}
	r.Write(a.out, r.Changes)
	return nil
}

// A benchPlan works out what judging a sweep costs.
type benchPlan struct {
	Plan         bool          `group:"plan" help:"measure nothing: say what judging a sweep costs, and what would halve that"`
	Questions    int           `default:"175" group:"plan" help:"questions of the sweep, also of --sweep"`
	Temperatures int           `default:"16" group:"plan" help:"temperatures of the sweep, also of --sweep"`
	N            int           `default:"10000" group:"plan" help:"samples a question and temperature, also of --sweep"`
	Distinct     float64       `default:"0.7" group:"plan" help:"share of the samples that are run, more than 0 and at most 1; equal ones of a question are judged once"`
	Timeouts     float64       `default:"0.025" group:"plan" help:"share of those that run into the time limit, 0 to 1"`
	FastCPU      time.Duration `name:"fast-cpu" default:"8ms" group:"plan" help:"processor time of a program that ends by itself; the default is the mean of 7,100 real ones"`
	Generated    float64       `default:"1900" group:"plan" help:"samples that the cards make a second, 0 to leave the backlog out; the default is eight at 95,000 tokens a second and 400 tokens a sample"`
	LimitCPU     time.Duration `name:"limit-cpu" default:"${endless_cpu}" group:"plan" help:"processor time of one that does not, at the time limit of 6 s; the default is that of a host on which nothing else runs, where one whose hyperthreads are busy takes more (lcbq help judging)"`
}

func (c *benchPlan) run(a *app, slots []int, baseline string) error {
	s := judging.Sweep{
		Questions: c.Questions, Temperatures: c.Temperatures, N: c.N, Distinct: c.Distinct, Timeouts: c.Timeouts,
		Fast: c.FastCPU.Seconds(), Endless: c.LimitCPU.Seconds(), Limit: benchLimit, Slots: 64, Generated: c.Generated,
	}
	switch len(slots) {
	case 0:
	case 1:
		s.Slots = slots[0]
	default:
		return usageError{fmt.Errorf("--slots = %d: want one number for --plan", slots)}
	}
	if baseline != "" {
		if err := baselineCosts(&s, baseline); err != nil {
			return err
		}
	}
	if err := s.Validate(); err != nil {
		return usageError{err}
	}
	p := judging.Of(s)
	simulated := []int{16, 32, 64, s.Slots, p.SlotsToKeepUp}
	slices.Sort(simulated)
	for _, n := range slices.Compact(simulated) {
		if one, ok := judging.Simulate(s, n); ok {
			p.Simulated = append(p.Simulated, one)
		}
	}
	if a.json {
		return a.printJSON(p)
	}
	p.Write(a.out)
	return nil
}

// baselineCosts takes the costs of a program from what 'bench --judge --save' wrote.
func baselineCosts(s *judging.Sweep, path string) error {
	r, err := judging.Load(path)
	if err != nil {
		return usageError{err}
	}
	for name, to := range map[string]*float64{"passing": &s.Fast, "endless": &s.Endless} {
		cost, err := r.Find(name)
		if err != nil {
			return usageError{err}
		}
		*to = cost.CPU / 1000
	}
	return nil
}

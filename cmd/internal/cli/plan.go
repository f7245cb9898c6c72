package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/bench/judging"
	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// planCmd says how many samples and questions a wanted width needs, and what they cost.
type planCmd struct {
	Pilot string  `arg:"" optional:"" type:"existingdir" help:"results folder of a pilot, with 2k samples a cell at least; without one, assumptions are made"`
	Width float64 `default:"0.5" help:"wanted half of the 95 % interval on these questions, in points"`
	K     []int   `default:"1,10" placeholder:"K" help:"which pass@k"`
	Group int     `default:"0" help:"which of several results that lie in the folder, from 1 on"`

	World  string  `default:"lcb" group:"assumptions" help:"pass rates of the questions, without a pilot: lcb (many hopeless, a quarter solved), uniform or saturated"`
	Mean   float64 `default:"0" group:"assumptions" help:"instead of --world: mean pass rate, above 0 and below 1"`
	Spread float64 `default:"0.35" group:"assumptions" help:"with --mean: standard deviation of the pass rates over questions"`

	Questions    int     `default:"0" group:"cost" help:"questions of the sweep; those of the pilot, or 175"`
	Temperatures int     `default:"0" group:"cost" help:"temperatures of the sweep; those of the pilot, or 16"`
	Tokens       float64 `default:"0" group:"cost" help:"tokens a sample; those of the pilot"`
	TPS          float64 `name:"tps" default:"0" group:"cost" help:"tokens a second of one card; those of the pilot"`
	GPUs         int     `name:"gpus" default:"1" group:"cost" help:"cards"`
	Slots        int     `default:"64" group:"cost" help:"programs judged at once, each on a processor of its own"`
	Baseline     string  `type:"existingfile" placeholder:"FILE" group:"cost" help:"costs of judging that 'lcbq bench --judge --save FILE' measured"`

	config.Window `embed:"" group:"what"`
}

// A planned is what plan prints.
type planned struct {
	From string `json:"from"` // the pilot, or what was assumed
	*curve.Plan
	N          int           `json:"n,omitempty"` // the most samples of a question that some k needs; 0 if no number is enough
	Judging    *judging.Plan `json:"judging,omitempty"`
	Tokens     float64       `json:"tokens,omitempty"`     // in all; 0 if not known
	CardHours  float64       `json:"card_hours,omitempty"` // of one card; 0 if its speed is not known
	Cards      int           `json:"cards"`
	CardsHours float64       `json:"cards_hours,omitempty"` // of all cards at once
}

// Processor time of a program, where nothing better is known: the defaults of 'bench --plan'.
const usualFast = 8 * time.Millisecond

var usualEndless = evaluate.Endless(benchLimit * time.Second)

// A cost is what is known of the price of a sample.
type cost struct {
	questions, temperatures    int
	tokens, tps                float64
	distinct, timeouts, judged float64 // judged is processor time of a program in seconds, 0 if not known
}

// Run reads a pilot, or makes assumptions, and prints.
func (c *planCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return usageError{err}
	}
	out := planned{Cards: c.GPUs}
	x := cost{questions: c.Questions, temperatures: cmp.Or(c.Temperatures, 16), distinct: 0.7, timeouts: 0.025}
	var err error
	if c.Pilot != "" {
		out.From, out.Plan, x, err = c.pilot()
	} else {
		x.questions = cmp.Or(c.Questions, 175)
		out.From, out.Plan, err = c.assumed(x.questions)
	}
	if err != nil {
		return err
	}
	x.tokens, x.tps = cmp.Or(c.Tokens, x.tokens), cmp.Or(c.TPS, x.tps)
	for _, r := range out.Rows {
		if r.N == nil {
			out.N = 0
			break
		}
		out.N = max(out.N, *r.N)
	}
	if out.N > 0 {
		if err := c.price(&out, x); err != nil {
			return err
		}
	}
	if a.json {
		return a.printJSON(out)
	}
	out.write(a.out)
	return nil
}

func (c *planCmd) check() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Width > 0 && c.Width <= 50, "--width = %v: want more than 0 and at most 50 points", c.Width)
	check(len(c.K) > 0, "--k: want one at least")
	for _, k := range c.K {
		check(k >= 1 && k <= 10_000, "--k = %d: want 1 to 10000", k)
	}
	check(c.Questions == 0 || c.Questions >= 2 && c.Questions <= 1_000_000, "--questions = %d: want 2 to 1000000", c.Questions)
	check(c.Temperatures >= 0 && c.Temperatures <= 10_000, "--temperatures = %d: want 1 to 10000", c.Temperatures)
	check(c.GPUs >= 1 && c.GPUs <= 1_000_000, "--gpus = %d: want 1 to 1000000", c.GPUs)
	check(c.Tokens >= 0 && c.Tokens <= 1e7, "--tokens = %v: want 0 to 10000000", c.Tokens)
	check(c.TPS >= 0 && c.TPS <= 1e9, "--tps = %v: want 0 to 1000000000", c.TPS)
	check(c.Mean >= 0 && c.Mean < 1, "--mean = %v: want above 0 and below 1", c.Mean)
	slices.Sort(c.K)
	c.K = slices.Compact(c.K)
	return errors.Join(errs...)
}

// pilot plans from a results folder and takes the costs that it knows.
func (c *planCmd) pilot() (string, *curve.Plan, cost, error) {
	w, err := windowOf(c.Window)
	if err != nil {
		return "", nil, cost{}, err
	}
	r, err := openWithin(c.Pilot, c.Group, w)
	if err != nil {
		return "", nil, cost{}, reportError(err)
	}
	x := costOf(r)
	x.questions, x.temperatures = cmp.Or(c.Questions, x.questions), cmp.Or(c.Temperatures, x.temperatures)
	p, err := curve.PlanFrom(r.Sweep(), c.K, c.Questions, c.Width/100, 0.95)
	if errors.Is(err, score.ErrUndefined) {
		return "", nil, cost{}, usageError{fmt.Errorf("%w\nask for a smaller --k, or give a pilot with more samples; without a pilot, --world makes assumptions", err)}
	}
	return c.Pilot, p, x, err
}

// assumed plans from assumptions.
func (c *planCmd) assumed(questions int) (string, *curve.Plan, error) {
	from := "assumed: the pass rates of --world " + c.World
	rates, err := score.World(c.World)
	if c.Mean > 0 {
		from = fmt.Sprintf("assumed: pass rates with a mean of %v and a spread of %v", c.Mean, c.Spread)
		if rates, err = score.BetaWorld(c.Mean, c.Spread); err != nil {
			err = fmt.Errorf("--mean = %v, --spread = %v: %w", c.Mean, c.Spread, err)
		}
	}
	if err != nil {
		return "", nil, usageError{err}
	}
	p, err := curve.PlanOf(rates, c.K, questions, c.Width/100, 0.95)
	return from, p, err
}

// costOf is what a folder knows of the price of its samples.
func costOf(r *folder.Results) cost {
	x := cost{questions: len(r.Questions), temperatures: len(r.Temperatures), distinct: 0.7, timeouts: 0.025}
	var sum stream.Counts
	speed, cells := 0.0, 0
	for q := range r.Questions {
		for t := range r.Temperatures {
			c := r.Cell(q, t)
			if c == nil {
				continue
			}
			sum.Add(&c.Counts)
			if c.GenTPS > 0 {
				speed += c.GenTPS
				cells++
			}
		}
	}
	all := sum.N + sum.Unscored
	if all == 0 {
		return x
	}
	x.tokens = float64(sum.Tokens) / float64(all)
	if cells > 0 && !r.Group.Simulated {
		x.tps = speed / float64(cells)
	}
	if sum.UniquePrograms > 0 {
		x.distinct = float64(sum.UniquePrograms) / float64(all)
		x.timeouts = min(1, float64(sum.Verdicts[stream.TimeLimit])/float64(sum.UniquePrograms))
		x.judged = sum.JudgeCPU / float64(sum.UniquePrograms)
	}
	return x
}

// price fills in what the samples cost.
func (c *planCmd) price(out *planned, x cost) error {
	s := judging.Sweep{
		Questions: x.questions, Temperatures: x.temperatures, N: out.N, Distinct: x.distinct, Timeouts: x.timeouts,
		Fast: usualFast.Seconds(), Endless: usualEndless.Seconds(), Limit: benchLimit, Slots: c.Slots,
	}
	if c.Baseline != "" {
		if err := baselineCosts(&s, c.Baseline); err != nil {
			return err
		}
	} else if x.judged > 0 { // the pilot's own mean, time-outs included
		s.Fast, s.Timeouts = x.judged, 0
	}
	if err := s.Validate(); err != nil {
		return usageError{err}
	}
	p := judging.Of(s)
	out.Judging = &p
	out.Tokens = p.Samples * x.tokens
	if x.tps > 0 {
		out.CardHours = out.Tokens / x.tps / 3600
		out.CardsHours = out.CardHours / float64(c.GPUs)
	}
	return nil
}

func (p *planned) write(w io.Writer) {
	fmt.Fprintf(w, "%s\nwanted: +-%.2f points on %d questions (95 %%)\n", p.From, 100*p.Half, p.Rows[0].Questions)
	fmt.Fprintf(w, "%7s %8s %9s %12s %9s %11s %10s %16s\n", "k", "pass@k", "n", "n, looked at", "+-samples", "+-questions", "with any n", "questions needed")
	for _, r := range p.Rows {
		n, until, these, like, questions := "-", "-", "-", "-", "-"
		if r.N != nil {
			n, these, like = strconv.Itoa(*r.N), fmt.Sprintf("%.2f", 100*r.These), fmt.Sprintf("%.2f", 100*r.Like)
		}
		if r.Until != nil {
			until = strconv.Itoa(*r.Until)
		}
		if r.Needed != nil {
			questions = strconv.Itoa(*r.Needed)
		}
		fmt.Fprintf(w, "%7d %7.2f%% %9s %12s %9s %11s %10.2f %16s\n", r.K, 100*r.Value, n, until, these, like, 100*r.Floor, questions)
	}
	for _, r := range p.Rows {
		if r.N == nil {
			fmt.Fprintf(w, "pass@%d: no number of samples is enough\n", r.K)
			continue
		}
		at := ""
		if r.Temperature != nil {
			at = ", at the temperature that needs most (" + decimal(*r.Temperature) + ")"
		}
		fmt.Fprintf(w, "pass@%d%s: with n = %d, %.2g %% of the variance over questions is chance of the\nsamples. More samples can remove that and no more; the rest needs more questions.\n", r.K, at, *r.N, 100*r.Share)
	}
	fmt.Fprintln(w, "n, looked at: with 'lcbq run --until-width', which looks while samples are drawn")
	if p.Judging == nil {
		return
	}
	j := p.Judging
	fmt.Fprintf(w, "n = %d: %d questions x %d temperatures = %.0f samples\n", p.N, j.Questions, j.Temperatures, j.Samples)
	fmt.Fprintf(w, "judging: %.1f CPU hours, %.1f hours on %d processors; %.0f programs are run (%.0f %% distinct)\n", j.CPUHours, j.WallHours, j.Slots, j.Programs, 100*j.Distinct)
	switch {
	case p.Tokens == 0:
		fmt.Fprintln(w, "cards: not known; give --tokens (a sample) and --tps (of one card)")
	case p.CardHours == 0:
		fmt.Fprintf(w, "cards: %.3g tokens; the speed of a card is not known: give --tps\n", p.Tokens)
	default:
		fmt.Fprintf(w, "cards: %.3g tokens, %.1f card hours, %.1f hours on %s\n", p.Tokens, p.CardHours, p.CardsHours, figure.Several(p.Cards, "card"))
	}
}

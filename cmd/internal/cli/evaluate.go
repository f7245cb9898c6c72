package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/background"
	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/gpu"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// evaluateCmd is an evaluator process.
type evaluateCmd struct {
	target             `embed:""`
	standing           `embed:""`
	config.Interpreter `embed:"" group:"machine"`
	config.Programs    `embed:"" group:"machine"`
	config.Verdicts    `embed:"" group:"machine"`
	config.Lending     `embed:"" group:"machine"`
}

// Run judges until interrupted. Mode and limits are the run's.
func (c *evaluateCmd) Run(a *app) error {
	if err := errors.Join(c.Check(), c.check(a.args)); err != nil {
		return usageError{err}
	}
	return attach(a, c.server, c.OutputDir, "evaluate", works, func(s *session) error {
		keys, err := c.lender(s)
		if err != nil {
			return err
		}
		w := &worker.Standing{Run: c.RunID, Same: sameJudge}
		return c.work(a, s, stream.Evaluate, w, func(ctx context.Context, m *store.Manifest, here *arrival, watch func(...*worker.Pulse)) error {
			share, err := shareOf(c.Programs, gpu.Count(ctx))
			if err != nil {
				return err
			}
			g, err := newGrader(ctx, c.Interpreter, m.Judge, share, a.log)
			if err != nil {
				return whileStarting(a, err)
			}
			a.log.Info("judging", "run", m.ID, "judge", m.Judge.Mode, "programs_at_once", share.Slots, "cores_left_to_engines", share.Reserved(), "sandbox_level", g.Host().Level().String(), "server", s.url)
			pulse := newPulses(stream.Evaluate, "eval", 1, share.Slots)[0]
			watch(pulse)
			here.works(pulse)
			workers := newWorkers(a, s, here.helm)
			workers.lends = keys
			err = workers.evaluate(ctx, g, share, c.Verdicts, pulse, a.log)
			return errors.Join(err, g.Close())
		})
	})
}

// lender returns the keys by which this evaluator lends units to others that are not trusted, nil if it does not.
func (c *evaluateCmd) lender(s *session) (*access.Keys, error) {
	switch {
	case !c.Lend:
		return nil, nil
	case s.token.Contained():
		return nil, usageError{fmt.Errorf("--lend: role %s may not lend units: it needs the keys of the server\nlend on the server's machine, with --store-dir, and no --creds", s.token.Role)}
	case s.dir == "":
		return nil, usageError{errors.New("--lend: the keys of the server are not known, by which false judges are banned\nlend on the server's machine, and name its --store-dir")}
	}
	keys, err := access.Load(s.dir)
	if errors.Is(err, access.ErrNoKeys) {
		return nil, usageError{fmt.Errorf("--lend: %w\nits server knows no tokens, so there is nobody to lend to; stop it and make keys: lcbq server init --store-dir %s", err, s.dir)}
	}
	return keys, err
}

// strayShare returns an error if a command line names a share that nothing audits. Settings of a file or the
// environment are for other runs too.
func strayShare(r config.Rules, args []string) error {
	if named(args, "audit-share") && !r.TimeLimit.Audited {
		return fmt.Errorf("--audit-share = %g: only for --time-limit audited, and this is --time-limit %v", r.AuditShare, r.TimeLimit)
	}
	return nil
}

// judgeOf returns the judge that the rules describe.
func judgeOf(r config.Rules) store.Judge {
	j := store.Judge{Mode: r.Judge, TimeLimit: r.TimeLimit.Seconds, MemoryLimit: int64(r.MemoryLimit), OutputLimit: int64(r.OutputLimit)}
	if r.TimeLimit.Audited {
		j.AuditShare = r.AuditShare
	}
	if r.Reference != (config.Speed{}) {
		j.Reference = r.Reference.String()
	}
	return j
}

// sameJudge reports whether an evaluator of one run can judge for another.
func sameJudge(a, b *store.Manifest) bool {
	x, y := a.Judge, b.Judge
	x.Fingerprint, y.Fingerprint = "", ""
	x.AuditShare, y.AuditShare = 0, 0 // a grader takes it from each run
	return x == y
}

// sandboxConfig returns the judge's settings: the run's limits and this machine's interpreter.
func sandboxConfig(cfg config.Interpreter, j store.Judge, log *slog.Logger) (sandbox.Config, error) {
	level, err := sandbox.ParseLevel(cfg.SandboxMinLevel)
	if err != nil {
		return sandbox.Config{}, usageError{err}
	}
	limit := time.Duration(j.TimeLimit * float64(time.Second))
	c := sandbox.Config{
		Python: cfg.Python, MinLevel: level, NoNormalForm: cfg.NoNormalForm, Reference: j.Reference, Log: log,
		Limits: sandbox.Limits{CPU: limit, Slack: evaluate.Slack(limit), Wall: limit, Hard: max(10*limit, time.Minute), Memory: j.MemoryLimit, Output: j.OutputLimit},
	}
	if j.Mode == "script" {
		c.Mode = sandbox.Script
	}
	return c, nil
}

// newGrader starts the sandbox slots of this machine.
func newGrader(ctx context.Context, cfg config.Interpreter, j store.Judge, sh cores.Division, log *slog.Logger) (*evaluate.Grader, error) {
	sc, err := sandboxConfig(cfg, j, log)
	if err != nil {
		return nil, err
	}
	sc.CPUs = sh.CPUs
	g, err := evaluate.NewGrader(ctx, evaluate.Config{Sandbox: sc, Slots: sh.Slots, Log: log})
	if err != nil {
		return nil, err
	}
	if err := g.Calm(); err != nil {
		log.Warn("what neighbours take of this host's speed is not known yet", "err", err)
	}
	if env := g.Host().Environment(); env.Packages["numpy"] == "" {
		log.Warn("numpy is not importable: programs that import it fail here, and pass with the official judge; install it, or choose another --python", "python", env.Interpreter)
	}
	return g, nil
}

// shareOf divides the processors of this machine between the cards that generate on it and programs.
// Where the user has set neither, programs have all of them while no card works.
func shareOf(cfg config.Programs, cards int) (cores.Division, error) {
	if err := cfg.Check(); err != nil {
		return cores.Division{}, usageError{err}
	}
	m, err := cores.Here()
	if err != nil {
		return cores.Division{}, err
	}
	n, said, err := cfg.Reserve(cores.PerCard * cards)
	if err != nil {
		return cores.Division{}, usageError{err}
	}
	most := m.Quota / 2
	if said {
		if most = len(m.CPUs) - 1; n > most {
			return cores.Division{}, usageError{fmt.Errorf("--reserve-cpus = %d: want at most %d: lcbq may use %d processors here, and programs need one", n, most, len(m.CPUs))}
		}
	}
	s := m.Leave(n, most)
	if !said && cfg.Auto() && s.Left > 0 {
		return m.Govern(s), nil
	}
	s.Slots, err = cfg.Slots(s.Slots)
	return cores.Division{Share: s}, err
}

// evaluate runs an evaluator until ctx is done.
func (w *workers) evaluate(ctx context.Context, g *evaluate.Grader, sh cores.Division, v config.Verdicts, pulse *worker.Pulse, log *slog.Logger) error {
	guest := w.token.Role == access.Guest
	if !v.NoSharedVerdicts && !guest {
		g.Share(w.store, log)
	}
	e := &evaluate.Worker{
		Queue: w.queue, Store: w.store, Runs: w.runs, Grader: g, Pulse: pulse, Slots: sh.Slots, Units: evaluate.NewUnits(sh.Slots),
		Grace: evaluateGrace, Hurry: w.hurry, Log: log,
	}
	if guest {
		e.Guest = new(w.token.Guest())
	}
	judge := e.Run
	if w.lends != nil {
		judge = func(ctx context.Context) error { return w.lend(ctx, e) }
	}
	pulse.Look = func(_ context.Context, w *store.Worker) { w.Slots = g.AtOnce() }
	defer w.helm.steers(e.Set, log)()
	if sh.Governor == nil {
		return w.withPulse(ctx, pulse, log, judge)
	}
	var governed error
	// The limits hold during the drain too.
	stop := background.Start(context.WithoutCancel(ctx), func(ctx context.Context) { governed = sh.Governor.Run(ctx, e, log) })
	err := w.withPulse(ctx, pulse, log, judge)
	stop()
	return errors.Join(err, governed)
}

// lend runs an evaluator that also lends units to evaluators that are not trusted, until ctx is done or one of the two
// cannot go on.
func (w *workers) lend(ctx context.Context, e *evaluate.Worker) error {
	l := &evaluate.Lender{Worker: e, Ban: func(ctx context.Context, b store.Ban) error {
		if err := w.lends.Revoke(b.ID); err != nil {
			return err
		}
		if err := w.store.PutBan(ctx, b); !errors.Is(err, store.ErrChanged) { // it was banned before
			return err
		}
		return nil
	}}
	ready := make(chan struct{})
	e.Ready = func() { close(ready) } // the first who judges for a run notes how fast its host is
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return e.Run(ctx) })
	both.Go(func() error {
		select {
		case <-ready:
			return l.Run(ctx)
		case <-ctx.Done():
			return nil
		}
	})
	return both.Wait()
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
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
}

// Run judges until interrupted. Mode and limits are the run's.
func (c *evaluateCmd) Run(a *app) error {
	if err := c.Check(); err != nil {
		return usageError{err}
	}
	return attach(a, c.server, c.OutputDir, "evaluate", works, func(s *session) error {
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
			err = newWorkers(a, s, here.helm).evaluate(ctx, g, share, c.Verdicts, pulse, a.log)
			return errors.Join(err, g.Close())
		})
	})
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
	if !v.NoSharedVerdicts {
		g.Share(w.store, log)
	}
	e := &evaluate.Worker{
		Queue: w.queue, Store: w.store, Runs: w.runs, Grader: g, Pulse: pulse, Slots: sh.Slots, Units: evaluate.NewUnits(sh.Slots),
		Grace: evaluateGrace, Hurry: w.hurry, Log: log,
	}
	pulse.Look = func(_ context.Context, w *store.Worker) { w.Slots = g.AtOnce() }
	defer w.helm.steers(e.Set, log)()
	if sh.Governor == nil {
		return w.withPulse(ctx, pulse, log, e.Run)
	}
	var governed error
	// The limits hold during the drain too.
	stop := background.Start(context.WithoutCancel(ctx), func(ctx context.Context) { governed = sh.Governor.Run(ctx, e, log) })
	err := w.withPulse(ctx, pulse, log, e.Run)
	stop()
	return errors.Join(err, governed)
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/fleet"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/gpu"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// runCmd is the whole pipeline in one process.
type runCmd struct {
	config.Definition  `embed:""`
	config.Until       `embed:"" group:"what"`
	config.Files       `embed:"" group:"what"`
	config.Pace        `embed:"" group:"engine"`
	config.VLLM        `embed:"" group:"engine"`
	config.Llama       `embed:"" group:"engine"`
	config.Interpreter `embed:"" group:"machine"`
	config.Generators  `embed:"" group:"machine"`
	config.Programs    `embed:"" group:"machine"`
	config.Verdicts    `embed:"" group:"machine"`
	config.Store       `embed:"" group:"server"`
	config.Host        `embed:"" group:"server"`
	config.Web         `embed:"" group:"server"`
	DryRun             bool `group:"what" env:"-" help:"say what would run and what it needs; make and start nothing"`
	Detach             bool `group:"machine" env:"-" help:"start the run and return: it goes on when the terminal is closed; says how to watch and stop it"`
}

func (c *runCmd) config() config.Config {
	return config.Config{
		Definition: c.Definition, Until: c.Until, Files: c.Files, Pace: c.Pace, VLLM: c.VLLM, Llama: c.Llama, Interpreter: c.Interpreter, Generators: c.Generators,
		Programs: c.Programs, Verdicts: c.Verdicts, Store: c.Store, Host: c.Host, Web: c.Web,
	}
}

// A pipeline is a run with all its workers in this process.
type pipeline struct {
	app    *app
	cfg    config.Config
	def    *definition
	fleet  *fleet.Fleet // with engine vllm
	grader *evaluate.Grader
	share  cores.Division // of this machine, for programs
	host   *host
	shown  *showing // to browsers
	work   *workers
	began  bool // the workers have
	logs   *logFolder
	log    *slog.Logger // benchmark.log and the user
	bar    *bar
	pulses struct {
		generate []*worker.Pulse
		evaluate *worker.Pulse
		combine  *worker.Pulse
	}
}

// Run checks everything, starts the server, publishes the units and works until
// the run is finished or interrupted.
func (c *runCmd) Run(a *app) error {
	p := &pipeline{app: a, cfg: c.config(), bar: newBar(a.err)}
	a.log = slog.New(handler(p.bar.writer(), a.color, a.verbose))
	p.bar.log = a.log
	err := p.inspect(a.ctx)
	switch {
	case err != nil:
	case c.DryRun:
		err = p.foretell()
	case c.Detach:
		// What was opened to be looked at is closed before the run opens it.
		if err = p.close(); err != nil {
			return err
		}
		return detach(a, p.cfg)
	default:
		if err = p.prepare(a.ctx); err == nil {
			err = p.operate(a.ctx)
		}
	}
	if !p.began {
		err = whileStarting(a, err)
	}
	p.shown.close(a, err)
	return errors.Join(err, p.close())
}

// inspect checks all that can be wrong, and makes nothing that stays.
func (p *pipeline) inspect(ctx context.Context) error {
	err := p.cfg.Check()
	if err != nil {
		return usageError{err}
	}
	if p.def, err = define(ctx, &p.cfg.Definition, p.cfg.Pace, p.cfg.VLLM.VLLM, p.app.args, p.app.log); err != nil {
		return err
	}
	if err := checkFolder(p.cfg.OutputDir, p.def.manifest.ID, &p.cfg.Definition); err != nil {
		return err
	}
	if err := p.def.stepwise(p.cfg.Until, p.cfg.N); err != nil {
		return err
	}
	if err := errors.Join(checkListen(p.cfg.Host), checkWeb(p.cfg.Web)); err != nil {
		return err
	}
	if m := p.def.manifest.Model; m.Engine.Supervised() {
		if p.fleet, err = openFleet(ctx, p.cfg.VLLM, p.cfg.Llama, p.cfg.Model.Model, p.cfg.Hub, p.cfg.Generators.Generators, m, p.def.asks(p.cfg.N), p.app.log); err != nil {
			return err
		}
	}
	if p.share, err = shareOf(p.cfg.Programs, p.cards(ctx)); err != nil {
		return err
	}
	p.grader, err = newGrader(ctx, p.cfg.Interpreter, p.def.manifest.Judge, p.share, p.app.log)
	return err
}

// prepare starts the server and makes the folder.
func (p *pipeline) prepare(ctx context.Context) error {
	var err error
	// The server first: where it is refused, no folder is made.
	if p.host, err = serve(ctx, p.cfg.Host, storeDir(p.cfg.Store, p.cfg.OutputDir), p.app.log); err != nil {
		return err
	}
	if err := os.MkdirAll(p.cfg.OutputDir, 0o755); err != nil {
		return fmt.Errorf("make results folder: %w\nchoose an --output-dir that you may write to", err)
	}
	// This process holds the store's lock, so nobody writes: temporary files of killed writers
	// can be removed.
	if _, err := result.Sweep(p.cfg.OutputDir, time.Now()); err != nil {
		return err
	}
	p.logs = &logFolder{dir: filepath.Join(p.cfg.OutputDir, result.LogsName), user: p.app.log.Handler(), hide: p.app.hide}
	if p.log, err = p.logs.open("benchmark"); err != nil {
		return err
	}
	if p.fleet != nil {
		if err := p.fleet.Prepare(p.log, p.logs.dir, p.app.hurry); err != nil {
			return err
		}
	}
	if err := writeConfig(p.cfg, p.def.manifest); err != nil {
		return err
	}
	store := storeDir(p.cfg.Store, p.cfg.OutputDir)
	at := shownPlace{store: store, run: p.def.manifest.ID, reach: "-o " + p.cfg.OutputDir, terminal: p.bar.writer()}
	p.shown, err = openShowing(p.app, p.cfg.Web, p.host, at) //nolint:contextcheck // close ends it: the drain is shown too
	return err
}

// cards returns how many GPUs of this machine generate for the run.
func (p *pipeline) cards(ctx context.Context) int {
	switch {
	case p.fleet != nil:
		return cardsOf(p.fleet)
	case p.def.manifest.Model.Engine.Attached() && anyLocal(p.cfg.Endpoint):
		return gpu.Count(ctx)
	default:
		return 0
	}
}

// operate submits the run and works on it. The parts stop in the order of the
// stages, so that what one has finished the next still takes.
func (p *pipeline) operate(ctx context.Context) error {
	p.def.begin()
	sub, err := p.host.sweeper().Define(ctx, p.def.manifest, p.def.row)
	if err != nil {
		return err
	}
	m := sub.Manifest
	p.log.Info("run submitted", "run", m.ID, "new", sub.New, "units", m.Units(), "samples", m.Samples(), "url", p.host.url,
		"sandbox_level", p.grader.Host().Level().String(), "judge", m.Judge.Mode, "programs_at_once", p.share.Slots, "cores_left_to_engines", p.share.Reserved())
	if asked := p.def.manifest.Samples(); asked < m.Samples() && p.def.manifest.Until == nil {
		p.log.Warn("the folder's run has more than this command asks for; nothing is taken away, and all of it is shown", "samples_asked", asked, "samples_of_run", m.Samples())
	}
	if m.Open() {
		p.shown.begins(m.ID)
	}
	if m.Paused != 0 {
		p.log.Warn("the run is paused: nothing is handed out until 'lcbq resume'", "run", m.ID, "nats", p.host.url)
	}
	// Units that an earlier combiner gave up are tried again. This comes before the first
	// look at whether the run can go on.
	if err := p.host.queue.ForgiveCombine(ctx, m.ID); err != nil {
		return err
	}
	p.work = newWorkers(p.app, p.host.session, new(helm))
	p.work.logs = p.logs.open
	p.pulses.evaluate = newPulses(stream.Evaluate, "eval", 1, p.share.Slots)[0]
	p.pulses.combine = newPulses(stream.Combine, "combine", 1, 1)[0]
	evalLog, err := p.logs.open("eval0")
	if err != nil {
		return err
	}
	defer p.app.announce(p.log)() //nolint:contextcheck // it looks at the command's own context
	failed := make(chan error, 1)
	p.began = true
	defer p.app.supervise(p.host.alive).stopping() //nolint:contextcheck // stopping ends it: the drain is watched too
	parts := []*part{
		// Beside the others: the last of a large run's units is published minutes
		// after the first could be generated.
		launch(ctx, failed, func(ctx context.Context) error {
			err := p.host.sweeper().Publish(ctx, &sub)
			if ctx.Err() != nil {
				return nil //nolint:nilerr // interrupted, as asked; the next start publishes the rest
			}
			if err == nil {
				p.log.Info("units published", "units", sub.Units)
			}
			return err
		}),
		launch(ctx, failed, p.generators(m.UnitSize)),
		launch(ctx, failed, func(ctx context.Context) error {
			return p.work.evaluate(ctx, p.grader, p.share, p.cfg.Verdicts, p.pulses.evaluate, evalLog)
		}),
		launch(ctx, failed, func(ctx context.Context) error {
			return p.work.combine(ctx, folderOf{m.ID, p.cfg.OutputDir}, p.cfg.Compress == "zstd", p.pulses.combine, p.log)
		}),
	}
	err = p.watch(ctx, m.ID, failed)
	for _, c := range parts {
		if stopped := c.stop(); stopped != nil && !errors.Is(err, stopped) {
			err = errors.Join(err, stopped)
		}
	}
	p.bar.finish()
	return p.report(context.WithoutCancel(ctx), m.ID, err)
}

// generators returns what runs the generators: one on each engine of the fleet, or as many as
// asked.
func (p *pipeline) generators(unitSize int) func(context.Context) error {
	if p.fleet != nil {
		g := &generators{workers: p.work, run: p.def.manifest, log: p.log, slots: fleetSlots(p.cfg.Requests, sequences(p.def.manifest.Model.Engine, p.cfg.VLLM, p.cfg.Llama), unitSize), unhealthy: onUnhealthy(p.cfg.Generators)}
		p.pulses.generate = fleetPulses(p.fleet, g.slots)
		return func(ctx context.Context) error { return g.work(ctx, p.fleet, p.pulses.generate) }
	}
	p.pulses.generate = newPulses(stream.Generate, "gen", p.cfg.Generators.Generators, 1)
	inFlight := p.def.source.inFlight(p.cfg.Requests, unitSize)
	return func(ctx context.Context) error {
		return p.work.generate(ctx, p.def.source, p.cfg.Generators, inFlight, p.pulses.generate)
	}
}

// lookEvery is the interval at which the run's progress is read and shown.
const lookEvery = 500 * time.Millisecond

// watch returns nil when the run is finished, errUnscored when it can get no
// further, errInterrupted when ctx is done, and the error of a worker that failed.
func (p *pipeline) watch(ctx context.Context, run string, failed <-chan error) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	blind := false
	for {
		prog, err := p.host.sweeper().Progress(ctx, run)
		switch {
		case ctx.Err() != nil:
			return errInterrupted
		case err != nil && !blind:
			p.log.Warn("progress not read, trying again", "err", err)
		case err != nil:
		case prog.Finished():
			return nil
		case prog.Manifest.Cancelled != 0:
			return fmt.Errorf("run %s was cancelled\nthe same command brings it back; finished cells are kept", run)
		default:
			programs, _ := p.grader.Counts()
			p.bar.show(prog, p.samplesGenerated(), p.samplesJudged(), programs)
			if prog.Dead > 0 {
				if stuck, err := p.host.sweeper().Stuck(ctx, run); err == nil && stuck {
					return errUnscored
				}
			}
		}
		blind = err != nil
		select {
		case <-tick.C:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return errInterrupted
		}
	}
}

func (p *pipeline) samplesGenerated() int64 {
	n := int64(0)
	for _, pulse := range p.pulses.generate {
		n += pulse.Samples.Load()
	}
	return n
}

func (p *pipeline) samplesJudged() int64 { return p.pulses.evaluate.Samples.Load() }

// close ends what prepare started, the server last.
func (p *pipeline) close() error {
	var errs []error
	if p.fleet != nil {
		errs = append(errs, p.fleet.Close())
	}
	if p.grader != nil {
		errs = append(errs, p.grader.Close())
	}
	if p.host != nil {
		errs = append(errs, p.host.close())
	}
	if p.def != nil {
		errs = append(errs, p.def.source.close())
	}
	if p.logs != nil {
		errs = append(errs, p.logs.close())
	}
	return errors.Join(errs...)
}

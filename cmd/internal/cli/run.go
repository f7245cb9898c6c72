package cli

import (
	"context"
	"encoding/json"
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
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// runCmd is the whole pipeline in one process.
type runCmd struct {
	config.Sweep   `embed:""`
	config.Model   `embed:""`
	config.VLLM    `embed:""`
	config.Judge   `embed:""`
	config.Workers `embed:""`
	config.Server  `embed:""`
	config.Hub     `embed:""`
}

func (c *runCmd) config() config.Config {
	return config.Config{Sweep: c.Sweep, Model: c.Model, VLLM: c.VLLM, Judge: c.Judge, Workers: c.Workers, Server: c.Server, Hub: c.Hub}
}

// A pipeline is a run with all its workers in this process.
type pipeline struct {
	app    *app
	cfg    config.Config
	def    *definition
	fleet  *fleet.Fleet // with engine vllm
	grader *evaluate.Grader
	share  share // of this machine, for programs
	host   *host
	runs   *worker.Runs
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
	p := &pipeline{app: a, cfg: c.config(), bar: newBar(a.err, a.color)}
	a.log = slog.New(handler(p.bar.writer(), a.color, a.verbose))
	err := p.prepare(a.ctx)
	if err == nil {
		err = p.operate(a.ctx)
	}
	return errors.Join(err, p.close())
}

// prepare checks all that can be wrong, and only then makes the folder and starts
// the server.
func (p *pipeline) prepare(ctx context.Context) error {
	var err error
	if p.def, err = define(ctx, p.cfg, p.app.log); err != nil {
		return err
	}
	if err := p.cfg.Workers.Check(); err != nil {
		return usageError{err}
	}
	if err := checkFolder(p.cfg.OutputDir, p.def.manifest.ID); err != nil {
		return err
	}
	if err := checkListen(p.cfg.Server); err != nil {
		return err
	}
	if m := p.def.manifest.Model; m.Engine == "vllm" {
		if p.fleet, err = openFleet(ctx, p.cfg.VLLM, p.cfg.Hub, p.cfg.Generators, m, p.app.log); err != nil {
			return err
		}
	}
	if p.share, err = shareOf(p.cfg.Workers, p.cards(ctx)); err != nil {
		return err
	}
	if p.grader, err = newGrader(ctx, p.cfg.Judge, p.def.manifest.Judge, p.share, p.app.log); err != nil {
		return err
	}
	// The server first: where it is refused, no folder is made.
	if p.host, err = serve(ctx, p.cfg.Server, storeDir(p.cfg.Server, p.cfg.OutputDir), p.app.log); err != nil {
		return err
	}
	if err := os.MkdirAll(p.cfg.OutputDir, 0o755); err != nil {
		return fmt.Errorf("make results folder: %w\nchoose an --output-dir that you may write to", err)
	}
	// The store's lock is ours, so nobody is writing: what a killed writer left can go.
	if _, err := result.Sweep(p.cfg.OutputDir, time.Now()); err != nil {
		return err
	}
	p.logs = &logFolder{dir: filepath.Join(p.cfg.OutputDir, result.LogsName), user: p.app.log.Handler()}
	if p.log, err = p.logs.open("benchmark"); err != nil {
		return err
	}
	if p.fleet != nil {
		if err := p.fleet.Prepare(ctx, p.log, p.logs.dir); err != nil {
			return err
		}
	}
	return writeConfig(p.cfg, p.def.manifest.ID)
}

// cards returns how many GPUs of this machine generate for the run.
func (p *pipeline) cards(ctx context.Context) int {
	switch {
	case p.fleet != nil:
		return cardsOf(p.fleet)
	case p.def.manifest.Model.Engine == "openai" && anyLocal(p.cfg.Endpoint):
		return cardsHere(ctx)
	default:
		return 0
	}
}

// operate submits the run and works on it. The crews stop in the order of the
// stages, so that what one has finished the next still takes.
func (p *pipeline) operate(ctx context.Context) error {
	sub, err := p.host.sweeper().Define(ctx, p.def.manifest, p.def.row)
	if err != nil {
		return err
	}
	m := sub.Manifest
	p.log.Info("run submitted", "run", m.ID, "new", sub.New, "units", m.Units(), "samples", m.Samples(), "url", p.host.url,
		"sandbox_level", p.grader.Host().Level().String(), "judge", m.Judge.Mode, "slots", p.share.Slots, "cpus_left_to_engines", p.share.reserved())
	if m.Paused != 0 {
		p.log.Warn("the run is paused: nothing is handed out until 'lcbq resume'", "run", m.ID, "nats", p.host.url)
	}
	// What the combiner gave up in a former life it looks at anew, before anybody
	// asks whether the run can go on.
	if err := p.host.queue.ForgiveCombine(ctx, m.ID); err != nil {
		return err
	}
	p.runs = &worker.Runs{Store: p.host.store}
	p.pulses.evaluate = newPulses(stream.Evaluate, "eval", 1, p.share.Slots)[0]
	p.pulses.combine = newPulses(stream.Combine, "combine", 1, 1)[0]
	evalLog, err := p.logs.open("eval0")
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	crews := []*crew{
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
			return runEvaluator(ctx, p.host.session, p.runs, p.grader, p.share, p.pulses.evaluate, evalLog)
		}),
		launch(ctx, failed, func(ctx context.Context) error {
			return runCombiner(ctx, p.host.session, p.runs, folderOf{m.ID, p.cfg.OutputDir}, p.cfg.Compress == "zstd", p.pulses.combine, p.log)
		}),
	}
	err = p.watch(ctx, m.ID, failed)
	if errors.Is(err, errInterrupted) {
		p.log.Info("interrupted, finishing what is in hand; interrupt again to hurry")
	}
	for _, c := range crews {
		if stopped := c.stop(); stopped != nil && !errors.Is(err, stopped) {
			err = errors.Join(err, stopped)
		}
	}
	p.bar.finish()
	return errors.Join(err, p.report(context.WithoutCancel(ctx), m.ID, err))
}

// generators returns what runs the generators: one on each engine of the fleet, or as many as
// asked.
func (p *pipeline) generators(unitSize int) func(context.Context) error {
	if p.fleet != nil {
		g := &garage{session: p.host.session, run: p.def.manifest, runs: p.runs, logs: p.logs.open, log: p.log, slots: fleetSlots(p.cfg.Requests, p.cfg.MaxNumSeqs, unitSize)}
		p.pulses.generate = fleetPulses(p.fleet, g.slots)
		return func(ctx context.Context) error { return g.work(ctx, p.fleet, p.pulses.generate) }
	}
	p.pulses.generate = newPulses(stream.Generate, "gpu", p.cfg.Generators, 1)
	inFlight := p.def.source.inFlight(p.cfg.Requests, unitSize)
	return func(ctx context.Context) error {
		return runGenerators(ctx, p.host.session, p.runs, p.def.source, p.cfg.Generators, inFlight, p.logs.open, p.pulses.generate)
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
			p.bar.show(prog, p.samplesJudged())
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

func (p *pipeline) samplesJudged() int64 { return p.pulses.evaluate.Samples.Load() }

// report shows the table of results, or what to do about a run that has none yet.
func (p *pipeline) report(ctx context.Context, run string, how error) error {
	cells, err := p.host.store.Cells(ctx, run, -1)
	if err != nil {
		return err
	}
	m, _, err := p.host.store.Run(ctx, run)
	if err != nil {
		return err
	}
	amounts, err := summary.Of(m, cells)
	if err != nil {
		return err
	}
	ran, cached := p.grader.Counts()
	p.log.Info("judged", "programs_run", ran, "samples_from_cache", cached, "rejudged_near_the_limit", p.grader.Rejudged())
	if how == nil {
		if p.fleet != nil { // the combiner wrote it while the last readings of the GPUs were on their way
			if err := result.WriteJSONAtomic(result.RunSummaryPath(p.cfg.OutputDir), amounts); err != nil {
				return err
			}
		}
		return showSummary(p.app, amounts, p.cfg.OutputDir)
	}
	if errors.Is(how, errUnscored) {
		return p.explainDead(ctx, amounts)
	}
	if errors.Is(how, errInterrupted) {
		fmt.Fprintf(p.app.err, "%d of %d samples are in %s; the same command resumes\n", amounts.Samples, m.Samples(), p.cfg.OutputDir)
	}
	return nil // how is the caller's to return
}

// explainDead says what could not be scored and what to do, and leaves the run's
// summary with its gaps named.
func (p *pipeline) explainDead(ctx context.Context, s *summary.Run) error {
	dead, err := p.host.queue.DeadUnits(ctx, s.Run)
	if err != nil {
		return err
	}
	s.Provenance.DeadUnits = len(dead)
	if err := result.WriteJSONAtomic(result.RunSummaryPath(p.cfg.OutputDir), s); err != nil {
		return err
	}
	leaveReport(ctx, p.cfg.OutputDir, p.log) // the combiner leaves none of a run that has gaps
	if len(dead) > 0 {
		fmt.Fprintf(p.app.err, "%d units were given up, the first (%s) because: %s\n", len(dead), dead[0].Reason, dead[0].Error)
	}
	store := storeDir(p.cfg.Server, p.cfg.OutputDir)
	fmt.Fprintf(p.app.err, "look at them with 'lcbq dead list --store-dir %s', put them back with 'lcbq dead requeue --store-dir %s', and run the same command again\n", store, store)
	return showSummary(p.app, s, p.cfg.OutputDir)
}

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

// showSummary prints a run's pass rates: a table for people, the summary itself
// for programs.
func showSummary(a *app, s *summary.Run, dir string) error {
	if a.json {
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	}
	writeTable(a.out, s)
	fmt.Fprintf(a.out, "\n%d samples in %.1f s (%.0f/s); results in %s\n", s.Samples, s.DurationSeconds, s.Throughput.SamplesPerSecond, dir)
	return nil
}

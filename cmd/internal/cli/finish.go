package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// report shows the table of results, or what to do about a run that has none yet. how is the
// error with which the run ended, nil if it finished.
func (p *pipeline) report(ctx context.Context, run string, how error) error {
	cells, err := p.host.store.Cells(ctx, run, -1)
	if err != nil {
		return errors.Join(how, err)
	}
	m, _, err := p.host.store.Run(ctx, run)
	if err != nil {
		return errors.Join(how, err)
	}
	amounts, err := summary.Of(m, cells)
	if err != nil {
		return errors.Join(how, err)
	}
	ran, cached := p.grader.Counts()
	p.log.Info("judged", "programs_run", ran, "samples_from_cache", cached, "run_again_near_the_limit", p.grader.Rejudged())
	for _, f := range amounts.Health {
		p.log.Warn("health of the answers", "finding", f.Text, "share", f.Share, "grave", f.Grave)
	}
	if how == nil {
		if p.fleet != nil { // the combiner wrote it while the last readings of the GPUs were on their way
			if err := result.WriteJSONAtomic(result.RunSummaryPath(p.cfg.OutputDir), amounts); err != nil {
				return err
			}
		}
		return errors.Join(showSummary(p.app, amounts, p.cfg.OutputDir), meaningless(amounts, p.cfg.Generators), unjudged(amounts))
	}
	if errors.Is(how, errUnscored) {
		return errors.Join(how, p.explainDead(ctx, amounts))
	}
	if errors.Is(how, errUnhealthy) || errors.Is(how, worker.ErrHalt) {
		fmt.Fprintf(p.app.err, "the units that are left stay queued: %d of %d samples are in %s; mend the server, and the same command goes on\n", amounts.Samples, m.Samples(), p.cfg.OutputDir)
	}
	if how == errInterrupted { //nolint:errorlint // alone: a worker that failed as well is to be said
		queued := ""
		if far, err := (sweep.Sweeper{Queue: p.host.queue, Store: p.host.store}).Progress(ctx, run); err == nil { // a server that ends says less
			queued = kept(far)
		}
		how = stopped{fmt.Sprintf("%d of %d samples are in %s%s; the same command resumes", amounts.Samples, m.Samples(), p.cfg.OutputDir, queued)}
		p.log.Info("stopped", "samples", amounts.Samples, "of", m.Samples())
	}
	return how
}

// kept says which samples the queue keeps that are in no finished cell, as the end of a sentence: a run that is
// stopped early may have none of those, and much is done.
func kept(p *sweep.Progress) string {
	judged := beyond(p, stream.Generate, stream.Evaluate) - int64(p.Samples)
	generated := beyond(p, stream.Generate) - max(judged, 0) - int64(p.Samples)
	switch {
	case judged > 0 && generated > 0:
		return fmt.Sprintf(", and the queue keeps %d more that are judged and %d that are generated", judged, generated)
	case judged > 0:
		return fmt.Sprintf(", and the queue keeps %d more that are judged", judged)
	case generated > 0:
		return fmt.Sprintf(", and the queue keeps %d more that are generated", generated)
	}
	return ""
}

// unjudged returns an error if a finished run has samples in no count.
func unjudged(s *summary.Run) error {
	if s.Unscored == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d of %d samples could not be judged and are in no count; 'lcbq verify' names their cells, and each sample's detail says why\na larger --n draws others in addition", errUnscored, s.Unscored, s.Samples+s.Unscored)
}

// explainDead prints what could not be scored and what to do. It writes the run's summary with
// the gaps named.
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
	store := storeDir(p.cfg.Store, p.cfg.OutputDir)
	fmt.Fprintf(p.app.err, "look at them with 'lcbq dead list --store-dir %s', put them back with 'lcbq dead requeue --store-dir %s', and run the same command again\n", store, store)
	return showSummary(p.app, s, p.cfg.OutputDir)
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
	fmt.Fprintf(a.out, "\n%d samples in %.1f s (%s)\nresults in %s\n", s.Samples, s.DurationSeconds, perSecond(s.Throughput.SamplesPerSecond), dir)
	if report := filepath.Join(dir, result.ReportName); exists(report) {
		fmt.Fprintf(a.out, "report:  %s\n", report)
	} else {
		fmt.Fprintf(a.out, "report:  none yet; 'lcbq report %s' makes it\n", dir)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

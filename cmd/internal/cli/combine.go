package cli

import (
	"context"
	"errors"
	"log/slog"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/background"
	"github.com/lcbq/lcbq/worker/combine"
)

// combineCmd is the combiner process.
type combineCmd struct {
	server       `embed:""`
	standing     `embed:""`
	RunID        string `name:"run" placeholder:"ID" help:"run to work on; by default the unfinished one"`
	config.Files `embed:"" group:"what"`
	OutputDir    string `short:"o" type:"path" help:"results folder of the run, instead of the one that it was submitted with; other runs' go where theirs were"`
}

// Run writes result files until interrupted.
func (c *combineCmd) Run(a *app) error {
	if err := c.check(a.args); err != nil {
		return usageError{err}
	}
	return attach(a, c.server, withServer(c.OutputDir), "combine", works, func(s *session) error {
		w := &worker.Standing{Run: c.RunID, Always: true}
		var dir folderOf
		into := func(m *store.Manifest) error {
			dir = folderOf{m.ID, c.OutputDir}
			return checkFolder(c.OutputDir, m.ID, nil)
		}
		if c.OutputDir != "" {
			switch m, err := pickRun(a.ctx, s, c.RunID); {
			case errors.Is(err, errNoRun):
				w.Always = false // the folder is for the first run that comes
			case err != nil:
				return err
			default:
				if err := into(m); err != nil {
					return err
				}
			}
		}
		return c.work(a, s, stream.Combine, w, func(ctx context.Context, m *store.Manifest, here *arrival, watch func(...*worker.Pulse)) error {
			if c.OutputDir != "" && dir.run == "" {
				if err := into(m); err != nil {
					return err
				}
			}
			a.log.Info("combining", "server", s.url)
			pulse := newPulses(stream.Combine, "combine", 1, 1)[0]
			watch(pulse)
			here.works(pulse)
			return newWorkers(a, s, here.helm).combine(ctx, dir, c.Compress == "zstd", pulse, a.log)
		})
	})
}

// A folderOf is where a run's results go, if not where its manifest says. Another
// run's cells never go there.
type folderOf struct{ run, path string }

// combine runs a combiner and, beside it, the steward of the server's runs, until ctx is done.
func (w *workers) combine(ctx context.Context, dir folderOf, compress bool, pulse *worker.Pulse, log *slog.Logger) error {
	c := &combine.Worker{
		Queue: w.queue, Store: w.store, Runs: w.runs, Dir: dir.path, Only: dir.run, Compress: compress, Pulse: pulse, Grace: combineGrace, Hurry: w.hurry, Log: log,
		Closed: func(ctx context.Context, dir string) { leaveReport(ctx, dir, log) },
	}
	steward := sweep.Steward{Sweeper: w.sweeper(), Log: log}
	return w.withPulse(ctx, pulse, log, func(ctx context.Context) error {
		defer background.Start(ctx, steward.Run)()
		return c.Run(ctx)
	})
}

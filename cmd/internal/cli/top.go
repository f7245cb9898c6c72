package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/locate"
	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/cmd/internal/top"
	"github.com/lcbq/lcbq/stream/steer"
	"github.com/lcbq/lcbq/worker/background"
)

// topCmd shows a run live.
type topCmd struct {
	target `embed:""`
	Folder string `arg:"" optional:"" type:"path" help:"results folder of the run, as -o"`
}

// topEvery is how often the numbers are read. At each look the server answers a dozen requests.
const topEvery = 2 * time.Second

// Run shows the run until the user ends it.
func (c *topCmd) Run(a *app) error {
	if a.json || !isTerminal(a.out) {
		return usageError{errors.New("top needs a terminal to draw on\nelsewhere use 'lcbq status', 'lcbq status --watch' or 'lcbq --json status'")}
	}
	if err := c.checkRun(); err != nil {
		return err
	}
	if _, err := c.findIn(c.Folder); err != nil && !errors.Is(err, locate.ErrNone) {
		return err
	}
	return attach(a, c.server, c.OutputDir, "top", watches, func(s *session) error {
		r, err := c.reader(a, s)
		if err != nil {
			return err
		}
		r.Every = topEvery
		defer background.Start(a.ctx, r.Run)()
		snapshots, leave := r.Subscribe()
		defer leave()
		sweeper := s.sweeper()
		err = top.Run(a.ctx, top.Config{
			Snapshots: snapshots, Color: a.color, Out: os.Stdout,
			Pause: func(ctx context.Context, run string) (string, error) {
				_, err := sweeper.Pause(ctx, run)
				return "paused: units in flight are finished", err
			},
			Resume: func(ctx context.Context, run string) (string, error) {
				_, err := sweeper.Resume(ctx, run)
				return "resumed", err
			},
			Requeue: func(ctx context.Context, run string) (string, error) {
				dead, err := s.queue.DeadUnits(ctx, run)
				if err != nil {
					return "", err
				}
				back, err := putBack(ctx, dead, s.queue.Requeue)
				return fmt.Sprintf("%d units put back", back), err
			},
			Set: func(ctx context.Context, w snapshot.Worker, programs int) (string, error) {
				did, err := give(ctx, s, &w, steer.Order{Slots: programs}, setWait)
				return w.Name + ": " + changed(did), err
			},
			Drain: func(ctx context.Context, w snapshot.Worker) (string, error) {
				_, err := give(ctx, s, &w, steer.Order{Drain: true}, setWait)
				return w.Name + " finishes what it has and ends", err
			},
		})
		if a.ctx.Err() != nil {
			return errInterrupted
		}
		return err
	})
}

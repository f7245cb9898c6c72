package cli

import (
	"cmp"
	"context"
	"errors"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/background"
)

// serverCmd runs the embedded server alone.
type serverCmd struct {
	config.Store   `embed:"" group:"server"`
	config.Host    `embed:"" group:"server"`
	config.Cluster `embed:"" group:"server"`
	config.Web     `embed:"" group:"server"`
	Action         string `arg:"" optional:"" enum:"init," default:"" placeholder:"init" help:"init makes the keys of the store, for tokens, and ends; without it the server serves"`
	Dir            string `group:"server" default:".lcbq" type:"path" help:"where the server keeps its streams, unless --store-dir says so"`
}

// Run serves until interrupted.
func (c *serverCmd) Run(a *app) error {
	dir := cmp.Or(c.StoreDir, c.Dir)
	if c.Action == "init" {
		return makeKeys(a, dir)
	}
	if err := checkWeb(c.Web); err != nil {
		return err
	}
	h, err := serveIn(a.ctx, c.Host, c.Cluster, dir, a.log)
	if errors.Is(err, context.Canceled) && a.ctx.Err() != nil { // while it waited for the others of its cluster
		return interrupted(a, nil)
	}
	if err != nil {
		return err
	}
	a.log.Info("serving", "url", h.url, "store", dir)
	shown, err := openShowing(a, c.Web, h, shownPlace{store: dir, reach: "--store-dir " + dir, terminal: a.err})
	if err != nil {
		return errors.Join(err, h.close())
	}
	defer background.Start(a.ctx, func(ctx context.Context) { refuseBanned(ctx, h.store, dir, a.log) })()
	supervised := a.supervise(h.alive)
	<-a.ctx.Done()
	supervised.stopping()
	a.log.Info("stopping the server")
	shown.close(a, nil)
	return interrupted(a, h.close())
}

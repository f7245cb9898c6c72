package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/store"
)

// A target is a run on a server, as flags name it.
type target struct {
	config.Server `embed:""`
	RunID         string `name:"run" placeholder:"ID" help:"run to work on; by default the unfinished one"`
}

// attach connects to the server, looks the run up and calls f with both.
func (t *target) attach(a *app, name string, f func(s *session, m *store.Manifest) error) error {
	return attach(a, t.Server, name, func(s *session) error {
		m, err := pickRun(a.ctx, s, t.RunID)
		if err != nil {
			return err
		}
		return f(s, m)
	})
}

// attach connects to a server and calls f with the session. Where a store is named
// and no server, nobody serves it, and it is served as long as f takes: what a
// finished or interrupted `lcbq run` left can be looked at and mended.
func attach(a *app, cfg config.Server, name string, f func(s *session) error) error {
	if cfg.NATS == "" && cfg.StoreDir != "" {
		err := serveFor(a, cfg, f)
		if !errors.Is(err, embed.ErrStoreInUse) {
			return err
		}
		a.log.Info("the store is being served, looking for its server", "store", cfg.StoreDir)
	}
	s, err := join(a.ctx, cfg, name, a.log)
	if err != nil {
		return err
	}
	defer s.close()
	return f(s)
}

// serveFor serves a store that exists while f works on it.
func serveFor(a *app, cfg config.Server, f func(s *session) error) error {
	if _, err := os.Stat(filepath.Join(cfg.StoreDir, "jetstream")); err != nil {
		return fmt.Errorf("open store: %w\nname the folder that lcbq keeps its streams in, RESULTS/.lcbq by default, with --store-dir, or a server with --nats", err)
	}
	cfg.Listen = "127.0.0.1:0"
	h, err := serve(a.ctx, cfg, cfg.StoreDir, a.log)
	if err != nil {
		return err
	}
	return errors.Join(f(h.session), h.close())
}

// pickRun returns the manifest of the named run, or of the only unfinished one.
func pickRun(ctx context.Context, s *session, id string) (*store.Manifest, error) {
	if id != "" {
		if err := stream.CheckRunID(id); err != nil {
			return nil, usageError{fmt.Errorf("--run: %w", err)}
		}
		m, _, err := s.store.Run(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("there is no run %s on this server: %w\n'lcbq runs' lists them", id, err)
		}
		return m, err
	}
	runs, err := s.store.Runs(ctx)
	if err != nil {
		return nil, err
	}
	var open []*store.Manifest
	var last *store.Manifest
	for _, m := range runs {
		if m.Open() {
			open = append(open, m)
		}
		last = m
	}
	switch {
	case len(open) == 1:
		return open[0], nil
	case len(open) > 1:
		return nil, fmt.Errorf("%d runs are unfinished on this server: name one with --run\n'lcbq runs' lists them", len(open))
	case last != nil:
		return last, nil
	}
	return nil, fmt.Errorf("%w\npublish one with 'lcbq submit'", errNoRun)
}

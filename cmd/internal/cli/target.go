package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/cmd/internal/locate"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/link"
	"github.com/lcbq/lcbq/stream/store"
)

// A server is the one that a verb works on: one that runs, or a store that nobody serves.
type server struct {
	config.Client `embed:"" group:"server"`
	config.Copies `embed:"" group:"server"`
	config.Store  `embed:"" group:"server"`
}

// A located is a server that a results folder may name too.
type located struct {
	server    `embed:""`
	OutputDir string `short:"o" type:"path" group:"server" placeholder:"DIR" help:"results folder of the run, by which its server is found; by default results, or .lcbq, here"`
}

// A target is a run on a server, as flags name it.
type target struct {
	located `embed:""`
	RunID   string `name:"run" placeholder:"ID" help:"run to work on; by default that of the results folder, or the unfinished one"`
}

// attach connects to the server, looks the run up and calls f with both.
func (t *target) attach(a *app, name string, f func(s *session, m *store.Manifest) error) error {
	return t.attachTo(a, name, looks, f)
}

func (t *target) attachTo(a *app, name string, why purpose, f func(s *session, m *store.Manifest) error) error {
	return attach(a, t.server, t.OutputDir, name, why, func(s *session) error {
		m, err := pickRun(a.ctx, s, cmp.Or(t.RunID, s.run))
		if err != nil {
			return err
		}
		return f(s, m)
	})
}

// findIn finds the server for a verb that takes the results folder as an argument too.
func (l *located) findIn(folder string) (locate.Place, error) {
	if folder != "" && l.OutputDir != "" && folder != l.OutputDir {
		return locate.Place{}, usageError{fmt.Errorf("two results folders are named: %s and %s", folder, l.OutputDir)}
	}
	l.OutputDir = cmp.Or(folder, l.OutputDir)
	return l.find(l.OutputDir)
}

// What a verb does on a server says whether a store that nobody serves will do: one that looks at it or
// mends it serves it itself, one that works there wants a server that stays.
type purpose int

const (
	looks   purpose = iota // once: a server that goes away meanwhile is not waited for
	watches                // until it is told to end, through restarts of the server
	works
)

// find returns the place of the server that the flags mean, or the results folder.
func (c server) find(folder string) (locate.Place, error) {
	cfg, err := c.Resolved()
	switch {
	case err != nil:
		return locate.Place{}, usageError{err}
	case cfg.NATS != "":
		return locate.ByAddress(cfg.NATS, c.StoreDir), nil
	case c.StoreDir != "":
		return locate.Place{Store: c.StoreDir}, nil
	case folder == "":
		return locate.Here()
	}
	p, err := locate.ByFolder(folder)
	if err != nil {
		return p, err
	}
	cfg, err = config.Client{NATS: p.Address}.Resolved()
	p.Address = cfg.NATS
	return p, err
}

// attach connects to a server and calls f with the session. Where a store is meant that nobody serves, a
// verb that only looks serves it as long as f takes: what a finished or interrupted `lcbq run` left can be
// looked at and mended. So does every verb where --store-dir names it. A server of this machine that ends
// just now is waited for until it has ended.
func attach(a *app, cfg server, folder, name string, why purpose, f func(s *session) error) error {
	for attempt := 1; ; attempt++ {
		ending, err := attachOnce(a, cfg, folder, name, why, f)
		if !ending || cfg.Wait || why == works || attempt == mostEndings {
			return err
		}
		select {
		case <-time.After(firstDelay):
		case <-a.ctx.Done():
			return err
		}
	}
}

// mostEndings is how often a command tries to attach to a server that is ending: for five seconds.
const mostEndings = 20

// attachOnce attaches as attach does. ending reports whether f was not called because a server of this
// machine is neither there nor gone.
func attachOnce(a *app, cfg server, folder, name string, why purpose, f func(s *session) error) (ending bool, err error) {
	p, err := cfg.find(folder)
	var inUse error // a server has the store that cannot be reached yet, or any more
	idle := p.Address == "" && p.Store != "" && !p.Served()
	if idle && (why != works || cfg.StoreDir != "") && !cfg.Wait {
		err := serveFor(a, p.Store, func(s *session) error {
			s.run, s.dir, s.idle = p.Run, p.Store, true
			return f(s)
		})
		if !errors.Is(err, embed.ErrStoreInUse) {
			return false, err
		}
		inUse = err
	}
	for said := false; cfg.Wait && errors.Is(err, locate.ErrNone); said = true {
		if !said {
			a.log.Warn("no server is here yet, waiting for one")
		}
		select {
		case <-time.After(firstDelay):
		case <-a.ctx.Done():
			return false, waitOver(a, why)
		}
		p, err = cfg.find(folder)
	}
	if err != nil {
		return false, err
	}
	var opts []nats.Option
	if why == looks && !cfg.Wait {
		opts = append(opts, nats.MaxReconnects(lookReconnects))
	}
	s, err := join(a.ctx, p, cfg, name, a.log, opts...)
	if a.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return false, waitOver(a, why)
	}
	if err != nil {
		gone := errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, link.ErrLost) || unreachable(err)
		return inUse != nil || p.Store != "" && gone, errors.Join(inUse, err)
	}
	defer s.close()
	return false, f(s)
}

// waitOver returns how a command ends that a signal ends while it waits for a server.
func waitOver(a *app, why purpose) error {
	if why == works {
		return interrupted(a, nil)
	}
	return a.ctx.Err()
}

// withServer returns dir if its server is known, "" otherwise: where a verb's -o is the folder to write to, it
// need not say where the server is.
func withServer(dir string) string {
	if dir == "" {
		return ""
	}
	if p, err := locate.ByFolder(dir); err != nil || p.Address == "" && !p.Served() {
		return ""
	}
	return dir
}

// hostFor is how a store is served for the length of one command: on a port that nobody is
// told, with the defaults of 'lcbq server'.
var hostFor = config.Host{Listen: "127.0.0.1:0", StoreMax: 64 << 30, AckWait: 60}

// serveFor serves a store that exists while f works on it.
func serveFor(a *app, dir string, f func(s *session) error) error {
	if _, err := os.Stat(filepath.Join(dir, "jetstream")); err != nil {
		return fmt.Errorf("open store: %w\nname the folder that lcbq keeps its streams in, RESULTS/.lcbq by default, with --store-dir, or a server with --nats", err)
	}
	h, err := serve(a.ctx, hostFor, dir, a.log)
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
	runs, unread, err := s.store.Runs(ctx)
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
	if len(unread) > 0 {
		return nil, fmt.Errorf("%w that can be read: %w", errNoRun, unread[0].Err)
	}
	return nil, fmt.Errorf("%w\npublish one with 'lcbq submit'", errNoRun)
}

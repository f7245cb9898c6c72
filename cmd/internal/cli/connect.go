package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker/process"
)

// A session is a connection to a server that holds lcbq's streams.
type session struct {
	conn  *nats.Conn
	queue *queue.Queue
	store *store.Store
	url   string
}

func (s *session) sweeper() sweep.Sweeper { return sweep.Sweeper{Queue: s.queue, Store: s.store} }

func (s *session) close() { s.conn.Close() }

// connectWait bounds how long a first connection may take. Later ones are retried
// for ever.
const connectWait = 5 * time.Second

// apiWait bounds one JetStream request: a busy disk makes the server slow long
// before it makes it dead.
const apiWait = 30 * time.Second

// options are those of every connection.
func options(name string, log *slog.Logger) []nats.Option {
	return []nats.Option{
		nats.Name("lcbq " + name),
		nats.Timeout(connectWait),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(reconnectDelay),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil: closed by us
				log.Warn("connection to the server lost, reconnecting", "err", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { log.Debug("the server cannot be reached yet", "err", err) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Info("connected to the server again", "url", nc.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("server reports an error", "err", err) }),
	}
}

// Delays between attempts to reach a server: soon at first, for a restart, then
// seldom, for a night. Hundreds of workers must not come back in step.
const (
	firstDelay = 250 * time.Millisecond
	mostDelay  = 15 * time.Second
)

// reconnectDelay returns the pause before the given attempt, from 1: doubled each
// time up to mostDelay, of which a random half is left out.
func reconnectDelay(attempt int) time.Duration {
	d := mostDelay
	if attempt < 8 {
		d = min(firstDelay<<max(attempt-1, 0), mostDelay)
	}
	return d - rand.N(d/2)
}

// connect dials a server, once or until it is there.
func connect(ctx context.Context, url string, wait bool, opts []nats.Option, log *slog.Logger) (*nats.Conn, error) {
	for attempt := 1; ; attempt++ {
		conn, err := nats.Connect(url, opts...)
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
			return nil, fmt.Errorf("connect to %s: %w\nname your credentials with --creds, or a user in --nats nats://USER:PASSWORD@HOST:PORT", url, err)
		case !unreachable(err):
			return nil, fmt.Errorf("connect to %s: %w\nname a NATS server with --nats, or start one with 'lcbq server'", url, err)
		case !wait:
			return nil, fmt.Errorf("connect to %s: %w\nstart one with 'lcbq server', name another with --nats, or wait for it with --wait", url, err)
		case attempt == 1:
			log.Warn("the server cannot be reached, waiting for it", "url", url, "err", err)
		}
		select {
		case <-time.After(reconnectDelay(attempt)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// unreachable reports whether err says that nobody answers there now, rather than
// that somebody else does.
func unreachable(err error) bool {
	var net net.Error
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.As(err, &net) ||
		errors.Is(err, io.EOF) // whoever forwards to the server has lost it, or it stops just now
}

// join connects to a server that somebody else runs.
func join(ctx context.Context, cfg config.Server, name string, log *slog.Logger) (*session, error) {
	url := cfg.NATS
	if url == "" {
		url = nats.DefaultURL
	}
	opts := options(name, log)
	if cfg.Creds != "" {
		opts = append(opts, nats.UserCredentials(cfg.Creds))
	}
	conn, err := connect(ctx, url, cfg.Wait, opts, log)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(apiWait))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open JetStream on %s: %w", url, err)
	}
	s := &session{conn: conn, queue: queue.New(js), url: conn.ConnectedUrlRedacted()}
	for {
		s.store, err = open(ctx, s.queue, js)
		switch {
		case err == nil:
			return s, nil
		case cfg.Wait && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded): // it was killed, or its disk is full
			log.Warn("the server does not answer, waiting for it", "url", url, "err", err)
		default:
			conn.Close()
			return nil, fmt.Errorf("%s: %w", url, err)
		}
	}
}

// open opens the streams and buckets of a server, and makes them on a NATS server
// of the user's own that has none yet.
func open(ctx context.Context, q *queue.Queue, js jetstream.JetStream) (*store.Store, error) {
	err := q.Check(ctx)
	switch {
	case err == nil:
		return store.Open(ctx, js)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("the server has no JetStream: %w\nstart it with JetStream enabled, or use 'lcbq server'", err)
	case !errors.Is(err, queue.ErrNotDeclared):
		return nil, err
	}
	if err := q.Declare(ctx, 1); err != nil {
		return nil, err
	}
	return store.Declare(ctx, js, 1)
}

// A host is a server of our own and the session on it.
type host struct {
	server *embed.Server
	*session
}

func (h *host) close() error {
	h.session.close()
	return h.server.Close()
}

// defaultPort is where `nats` and workers look for a server.
const defaultPort = 4222

// serve starts the embedded server on dir and declares the streams.
func serve(ctx context.Context, cfg config.Server, dir string, log *slog.Logger) (*host, error) {
	if err := cfg.Check(); err != nil {
		return nil, usageError{err}
	}
	srv, err := startServer(cfg, dir, log) //nolint:contextcheck // the server lives until it is closed, not as long as ctx
	if err != nil {
		return nil, err
	}
	h, err := declare(ctx, srv, cfg, log)
	if err != nil {
		return nil, errors.Join(err, srv.Close())
	}
	return h, nil
}

// listenAddress reads --listen. auto is true where the server may take another
// port than the usual one.
func listenAddress(cfg config.Server) (addr string, port int, auto bool, err error) {
	if cfg.Listen == "auto" {
		return "127.0.0.1", defaultPort, true, nil
	}
	addr, p, err := net.SplitHostPort(cfg.Listen)
	n, perr := strconv.ParseUint(p, 10, 16)
	if err != nil || perr != nil {
		return "", 0, false, usageError{fmt.Errorf("--listen = %q: want HOST:PORT", cfg.Listen)}
	}
	return addr, int(n), false, nil
}

// checkListen refuses an address that is taken, before a folder is made.
func checkListen(cfg config.Server) error {
	addr, port, auto, err := listenAddress(cfg)
	if err != nil || auto {
		return err
	}
	return withServerRemedy(embed.CheckPort(addr, port))
}

func startServer(cfg config.Server, dir string, log *slog.Logger) (*embed.Server, error) {
	addr, port, auto, err := listenAddress(cfg)
	if err != nil {
		return nil, err
	}
	owner := ""
	if self, err := process.Self(); err == nil {
		owner = self.String() // for lcbq stop
	}
	ec := embed.Config{Owner: owner, Dir: dir, Host: addr, Port: port, MaxStore: int64(cfg.StoreMax), Log: log, Hung: func() { beginAnew(log) }}
	srv, err := embed.Start(ec)
	if auto && errors.Is(err, embed.ErrPortInUse) {
		log.Info("port 4222 is taken, using a free one")
		ec.Port = 0
		srv, err = embed.Start(ec)
	}
	return srv, withServerRemedy(err)
}

// beginAnew replaces this process by a new one with the same command line, which
// resumes as after a kill -9. It returns only if that is not possible.
func beginAnew(log *slog.Logger) {
	log.Error("starting this process anew")
	if err := unix.Exec("/proc/self/exe", os.Args, os.Environ()); err != nil {
		log.Error("process not started anew; kill it and start it again", "err", err)
	}
}

// withServerRemedy adds what to do to the errors of a server's start.
func withServerRemedy(err error) error {
	switch {
	case errors.Is(err, embed.ErrPortInUse):
		return fmt.Errorf("start server: %w\nchoose another --listen address, or join the server that is there with --nats", err)
	case errors.Is(err, embed.ErrStoreInUse):
		return fmt.Errorf("start server: %w\nanother lcbq runs on this folder: look at it with 'lcbq status', or choose another --output-dir or --store-dir", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("start server: %w\nchoose an --output-dir or a --store-dir that you may write to", err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("start server: %w\nmake room there, or move the folder to a disk that has some and name it with --output-dir or --store-dir; what it holds is kept", err)
	default:
		return err
	}
}

func declare(ctx context.Context, srv *embed.Server, cfg config.Server, log *slog.Logger) (*host, error) {
	conn, err := srv.Connect(options("host", log)...)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(apiWait))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	s := &session{conn: conn, queue: queue.New(js), url: srv.URL()}
	s.queue.StoreMax = int64(cfg.StoreMax)
	s.queue.AckWait = time.Duration(cfg.AckWait * float64(time.Second))
	if err := s.claim(ctx, js); err != nil {
		conn.Close()
		return nil, err
	}
	return &host{server: srv, session: s}, nil
}

// claim declares everything on a server of our own. A store that a newer lcbq made
// is refused before anything in it is changed.
func (s *session) claim(ctx context.Context, js jetstream.JetStream) error {
	if err := store.CheckFormat(ctx, js); err != nil {
		return err
	}
	if err := s.queue.Declare(ctx, 1); err != nil {
		return err
	}
	var err error
	if s.store, err = store.Declare(ctx, js, 1); err != nil {
		return err
	}
	lanes, err := s.sweeper().Lanes(ctx)
	if err != nil {
		return err
	}
	// The workers of the server's former life are gone, or will find their work
	// stored: hand everything out again at once.
	return s.queue.Restart(ctx, lanes...)
}

// storeDir returns where the embedded server keeps its streams.
func storeDir(cfg config.Server, outputDir string) string {
	if cfg.StoreDir != "" {
		return cfg.StoreDir
	}
	return filepath.Join(outputDir, ".lcbq")
}

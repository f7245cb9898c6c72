package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/cmd/internal/locate"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/access"
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
	dir   string       // where the server keeps its streams, if that is on this machine and known
	run   string       // that of the results folder by which the server was found, "" otherwise
	token access.Token // by which we are known; its role is "" where it is not one of lcbq's
	idle  bool         // no server runs: the store is served for this command alone
}

func (s *session) sweeper() sweep.Sweeper { return sweep.Sweeper{Queue: s.queue, Store: s.store} }

func (s *session) close() { s.conn.Close() }

// apiWait bounds one JetStream request: a busy disk makes the server slow long
// before it makes it dead.
const apiWait = 30 * time.Second

// join connects to a server that somebody else runs.
func join(ctx context.Context, p locate.Place, cfg server, name string, log *slog.Logger, more ...nats.Option) (*session, error) {
	conn, token, err := dial(ctx, p, cfg.Client, name, log, more...)
	if err != nil {
		return nil, err
	}
	shown := config.Redact(conn.ConnectedUrl())
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(apiWait))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open JetStream on %s: %w", shown, err)
	}
	s := &session{conn: conn, queue: queue.New(js), url: shown, dir: p.Store, run: p.Run, token: token}
	for said := false; ; {
		s.store, err = s.open(ctx, js, cfg.Replicas, log)
		switch {
		case err == nil:
			return s, nil
		case cfg.Wait && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded): // it was killed, or its disk is full
			log.Warn("the server does not answer, waiting for it", "url", shown, "err", err)
		case cfg.Wait && ctx.Err() == nil && unwell(err):
			if !said {
				log.Warn("the server cannot do what it is asked now, waiting for it", "url", shown, "err", err)
			}
			said = true
			select {
			case <-time.After(firstDelay):
			case <-ctx.Done():
			}
		default:
			conn.Close()
			return nil, fmt.Errorf("%s: %w", shown, err)
		}
	}
}

// unwell reports whether a server failed by no fault of ours: its disk is full, or it is starting.
func unwell(err error) bool {
	failed, ok := errors.AsType[*jetstream.APIError](err)
	return ok && failed.Code >= http.StatusInternalServerError &&
		!errors.Is(err, jetstream.ErrJetStreamNotEnabled) && !errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}

// open opens the streams and buckets of a server, and makes them on a NATS server
// of the user's own that has none yet.
func (s *session) open(ctx context.Context, js jetstream.JetStream, replicas int, log *slog.Logger) (*store.Store, error) {
	q, token := s.queue, s.token
	if token.Role == access.Guest { // it sees what it is lent, and no other stream
		return store.Open(ctx, js)
	}
	missing, err := missingFrom(ctx, q)
	copies := 0
	if err == nil {
		copies, err = copiesOf(ctx, s.conn, q, missing, replicas)
	}
	switch {
	case token.Contained() && err == nil: // the server's owner has made them all
		if len(missing) > 0 {
			return nil, fmt.Errorf("the server lacks streams: %v\nhave its operator look at it: lcbq status", missing)
		}
		s, err := store.Open(ctx, js)
		if err == nil && token.Role == access.Evaluator {
			s.ReadVerdictsOnly()
		}
		return s, err
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("the server has no JetStream: %w\nstart it with JetStream enabled, or use 'lcbq server'", err)
	case err != nil:
		return nil, err
	case len(missing) == 0:
		s, err := store.Open(ctx, js)
		if errors.Is(err, jetstream.ErrBucketNotFound) { // its owner is just making them, or was stopped before
			s, err = store.Declare(ctx, js, copies)
		}
		if err != nil {
			return nil, err
		}
		return s, sweep.Sweeper{Queue: q, Store: s}.Migrate(ctx)
	case len(missing) < len(stream.Stages):
		log.Error("streams were gone from the server, with the units that they held; they are made anew, empty", "streams", missing,
			"remedy", "type the same 'lcbq submit' or 'lcbq run' again: it publishes what is missing; 'lcbq verify --queues' shows it")
	}
	made, err := declareAll(ctx, q, js, copies)
	if err != nil {
		return nil, err
	}
	return made, sweep.Sweeper{Queue: q, Store: made}.Serve(ctx)
}

// missingFrom returns which streams the server lacks. Some of them are taken for gone only if they are
// still missing after a while: a server that is just starting makes one after the other.
func missingFrom(ctx context.Context, q *queue.Queue) ([]string, error) {
	deadline := time.Now().Add(startsWithin)
	for {
		missing, err := q.Missing(ctx)
		if err != nil || len(missing) == 0 || len(missing) == len(stream.Stages) || time.Now().After(deadline) {
			return missing, err
		}
		select {
		case <-time.After(startsWithin / 20):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// startsWithin is how long a server may take between its first stream and its last.
const startsWithin = 5 * time.Second

// A host is a server of our own and the session on it.
type host struct {
	server *embed.Server
	*session
	forget func() // that the server is here
}

func (h *host) close() error {
	h.session.close()
	h.forget()
	return h.server.Close()
}

// defaultPort is where `nats` and workers look for a server.
const defaultPort = 4222

// serve starts the embedded server on dir, alone, and declares the streams.
func serve(ctx context.Context, cfg config.Host, dir string, log *slog.Logger) (*host, error) {
	return serveIn(ctx, cfg, config.Cluster{}, dir, log)
}

// serveIn starts the embedded server on dir, as one of a cluster if one is named, and declares the streams.
func serveIn(ctx context.Context, cfg config.Host, in config.Cluster, dir string, log *slog.Logger) (*host, error) {
	if err := cfg.Check(); err != nil {
		return nil, usageError{err}
	}
	srv, err := startServer(cfg, in, dir, log) //nolint:contextcheck // the server lives until it is closed, not as long as ctx
	if err != nil {
		return nil, err
	}
	if err := srv.AwaitQuorum(ctx); err != nil {
		return nil, errors.Join(withServerRemedy(err), srv.Close())
	}
	h, err := declare(ctx, srv, cfg, in, log)
	if err != nil {
		return nil, errors.Join(err, srv.Close())
	}
	h.forget = locate.Remember(srv.URL(), dir)
	return h, nil
}

// listenAddress reads --listen. auto is true where the server may take another
// port than the usual one.
func listenAddress(cfg config.Host) (addr string, port int, auto bool, err error) {
	if cfg.Listen == "auto" {
		return loopback(), defaultPort, true, nil
	}
	addr, p, err := net.SplitHostPort(cfg.Listen)
	n, perr := strconv.ParseUint(p, 10, 16)
	if err != nil || perr != nil {
		return "", 0, false, usageError{fmt.Errorf("--listen = %q: want HOST:PORT", cfg.Listen)}
	}
	return addr, int(n), false, nil
}

// loopback returns the address of this host that no other reaches: the new one where a host
// has none of the old kind.
func loopback() string {
	const usual = "127.0.0.1"
	l, err := net.Listen("tcp", net.JoinHostPort(usual, "0")) //nolint:noctx // it binds, and waits for nothing
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return "::1"
	case err == nil:
		_ = l.Close()
	}
	return usual
}

// checkListen refuses an address that is taken, before a folder is made.
func checkListen(cfg config.Host) error {
	addr, port, auto, err := listenAddress(cfg)
	if err != nil || auto {
		return err
	}
	return withServerRemedy(embed.CheckPort(addr, port))
}

func startServer(cfg config.Host, in config.Cluster, dir string, log *slog.Logger) (*embed.Server, error) {
	addr, port, auto, err := listenAddress(cfg)
	if err != nil {
		return nil, err
	}
	members, err := membersOf(in)
	if err != nil {
		return nil, usageError{err}
	}
	owner := ""
	if self, err := process.Self(); err == nil {
		owner = self.String() // for lcbq stop
	}
	ip := net.ParseIP(addr)
	beyond := addr != "localhost" && (ip == nil || !ip.IsLoopback())
	var cluster *embed.Cluster
	if in.Member != "" {
		if cluster, err = clusterOf(cfg, in, members, dir); err != nil {
			return nil, err
		}
	}
	trust, open, err := guard(cfg, dir, beyond, log)
	if err != nil {
		return nil, withServerRemedy(err)
	}
	ec := embed.Config{Owner: owner, Dir: dir, Host: addr, Port: port, Open: open, Trust: trust, Cluster: cluster, MaxStore: int64(cfg.StoreMax), Log: log, Hung: func() { beginAnew(log) }}
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
	case errors.Is(err, embed.ErrMember):
		return fmt.Errorf("start server: %w\nstart it as that one, with --cluster and --member; another server needs another --store-dir, and commands reach a cluster by --nats", err)
	case errors.Is(err, embed.ErrAlone):
		return fmt.Errorf("start server: %w, and no cluster can take it over\nname a new --store-dir, and finish the runs of this one where they are: 'lcbq help cluster'", err)
	case errors.Is(err, embed.ErrUnlike):
		return fmt.Errorf("start server: %w\ngive each server the same --cluster and a --member of its own, and the same keys: copy %s of one store directory to the others", err, access.KeysName)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("start server: %w\nchoose an --output-dir or a --store-dir that you may write to", err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("start server: %w\nmake room there, or move the folder to a disk that has some and name it with --output-dir or --store-dir; what it holds is kept", err)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("start server: %w\na link that leads nowhere is in the way: remove it, or choose another --output-dir or --store-dir", err)
	case errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("start server: %w\nthis session's files may not be large enough: raise that limit (ulimit -f)", err)
	default:
		return err
	}
}

func declare(ctx context.Context, srv *embed.Server, cfg config.Host, in config.Cluster, log *slog.Logger) (*host, error) {
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
	claim := func(ctx context.Context, js jetstream.JetStream) error {
		return patiently(ctx, log, func() error { return s.claim(ctx, js) })
	}
	if in.Member != "" {
		claim = func(ctx context.Context, js jetstream.JetStream) error { return s.share(ctx, srv, js, log) }
	}
	if err := claim(ctx, js); err != nil {
		conn.Close()
		return nil, err
	}
	return &host{server: srv, session: s}, nil
}

// patiently calls f, which may be called again, until it ends by something else than a lack of
// answers: a server of our own that is slow to answer has a slow disk. One that hangs
// has the process begin anew.
func patiently(ctx context.Context, log *slog.Logger, f func() error) error {
	for {
		err := f()
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		log.Warn("the server is slow to start, waiting for it: its disk is busy", "err", err)
	}
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
	// The workers of the server's former life are gone, or will find their work
	// stored: hand everything out again at once.
	return s.sweeper().Restart(ctx)
}

// storeDir returns where the embedded server keeps its streams.
func storeDir(cfg config.Store, outputDir string) string {
	if cfg.StoreDir != "" {
		return cfg.StoreDir
	}
	return filepath.Join(outputDir, locate.StoreName)
}

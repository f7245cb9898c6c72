// Package embed runs a NATS server with JetStream inside the lcbq process. It
// knows nothing of runs, units or streams: queue and store declare those.
package embed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"
)

// readyWait bounds how long Start waits for the listener. It comes after
// JetStream's recovery, which takes minutes for tens of GiB after a kill.
const readyWait = 30 * time.Minute

// MaxPayload is the largest message the server takes: a unit of a hundred
// thinking completions stays under it when compressed. The server warns above
// 8 MiB.
const MaxPayload = 8 << 20

// DefaultMaxStore is JetStream's disk budget unless Config says otherwise. The
// server's own default is three quarters of the free disk at start, so the same
// store could be refused after a restart on a fuller disk.
const DefaultMaxStore = 64 << 30

// Errors by which the command chooses its remedy.
var (
	// ErrPortInUse: another process listens on the port. A second server needs
	// another port; the first may be the one the user wants to join.
	ErrPortInUse = errors.New("port in use")
	// ErrStoreInUse: another process holds the store directory's lock.
	ErrStoreInUse = errors.New("store directory in use")
	// ErrNotReady: the server did not listen in time.
	ErrNotReady = errors.New("server not ready")
)

// Config says where the server listens and stores. Dir is required.
type Config struct {
	Host     string   // to bind; 127.0.0.1 by default
	Port     int      // 0 picks a free port
	Dir      string   // JetStream store directory; made if missing
	MaxStore int64    // bytes of disk; DefaultMaxStore if 0
	Owner    string   // who runs the server, for OwnerOf
	Open     bool     // nobody is asked for a key: on a network that the user trusts
	Trust    *Trust   // clients are known by credentials; nil: by the key in the server's file
	Cluster  *Cluster // the server is one of several, with a Trust; nil: it is alone
	Log      *slog.Logger
	// Hung, if not nil, is called when the server hangs although the disk has room. Only a
	// new process can then go on.
	Hung func()

	unsynced bool // by tests alone
}

// A Server is a running embedded NATS server. Close it.
type Server struct {
	cfg  Config // with the port that was taken
	key  string // that clients must present; "" if the server is open
	lock *os.File
	quit context.CancelFunc
	gone chan struct{} // closed when nothing watches the server any more

	accounts  map[string]string // that the server goes by; of watch alone
	complaint string            // about accounts that cannot be read

	mu       sync.Mutex
	ns       *server.Server  // replaced by heal; never nil
	doubtful map[string]bool // streams that its store held when it started, until it was well once; guarded by mu
}

// leastFiles is how many files a process must be able to open that runs a server: some 40 are open where nobody
// works, and without room for more its streams cannot be made, or answer nothing.
const leastFiles = 64

// enoughFiles returns an error if a session's limit on open files is too low for a server.
func enoughFiles(limit uint64) error {
	if limit < leastFiles {
		return fmt.Errorf("start server: this session may open %d files (ulimit -n), and a server needs %d\nraise the limit", limit, leastFiles)
	}
	return nil
}

// Start runs a server and returns when it accepts connections, which is after
// JetStream has recovered its files. Its error wraps ErrPortInUse,
// ErrStoreInUse, or the system's where Dir takes no few MiB, when that is the
// cause; nothing is left running then, and what Dir held is as it was.
func Start(cfg Config) (*Server, error) {
	if cfg.Dir == "" {
		return nil, errors.New("start server: no store directory given")
	}
	if cfg.Host == "" {
		cfg.Host = "127.0.0.1"
	}
	if cfg.MaxStore == 0 {
		cfg.MaxStore = DefaultMaxStore
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		if err := enoughFiles(files.Cur); err != nil {
			return nil, err
		}
	}
	if err := CheckPort(cfg.Host, cfg.Port); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if cfg.Cluster != nil {
		if _, err := cfg.Cluster.neighbours(context.Background()); err != nil {
			return nil, errors.Join(err, unlock(lock))
		}
	}
	if err := cfg.Cluster.mark(cfg.Dir); err != nil {
		return nil, errors.Join(err, unlock(lock))
	}
	// On a full disk nats-server's recovery ends in a panic, or in streams that take nothing.
	if err := probe(cfg.Dir); err != nil {
		return nil, errors.Join(fmt.Errorf("write in store directory: %w", err), unlock(lock))
	}
	key := ""
	if !cfg.Open && cfg.Trust == nil {
		key = rand.Text()
	}
	if err := cfg.Trust.settle(cfg.Dir); err != nil {
		return nil, errors.Join(err, unlock(lock))
	}
	found := streamsIn(cfg.Dir)
	ns, accounts, err := start(cfg, key)
	if err != nil {
		return nil, errors.Join(err, unlock(lock))
	}
	if addr, ok := ns.Addr().(*net.TCPAddr); ok { // a restart keeps the port that clients know
		cfg.Port = addr.Port
	}
	ctx, quit := context.WithCancel(context.Background())
	s := &Server{cfg: cfg, key: key, lock: lock, quit: quit, gone: make(chan struct{}), ns: ns, accounts: accounts, doubtful: found}
	go s.watch(ctx)
	err = writeAccess(cfg.Dir, s.URL(), key, cfg.Trust)
	if err == nil {
		err = writeOwner(lock, Owner{cfg.Owner, s.URL()})
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// start runs nats-server. It returns the accounts that the server goes by, too.
func start(cfg Config, key string) (*server.Server, map[string]string, error) {
	port := cfg.Port
	if port == 0 {
		port = server.RANDOM_PORT
	}
	opts := &server.Options{
		ServerName: "lcbq", Host: cfg.Host, Port: port,
		JetStream: true, StoreDir: cfg.Dir, JetStreamMaxStore: cfg.MaxStore,
		SyncAlways: !cfg.unsynced, // an acknowledged unit survives a power loss
		MaxPayload: MaxPayload,
		NoSigs:     true, // the process owns its signals, not the library

		Authorization: key,

		DisableJetStreamBanner: true,
	}
	var accounts map[string]string
	if cfg.Trust != nil {
		var err error
		if accounts, err = cfg.Trust.Accounts(); err == nil {
			err = cfg.Trust.apply(opts, accounts)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("start server in %s: %w", cfg.Dir, err)
		}
	}
	if cfg.Cluster != nil {
		if err := cfg.Cluster.apply(opts); err != nil {
			return nil, nil, fmt.Errorf("start server in %s: %w", cfg.Dir, err)
		}
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, nil, fmt.Errorf("start server in %s: %w", cfg.Dir, err)
	}
	fatal := make(chan string, 1)
	ns.SetLoggerV2(natsLog{cfg.Log, fatal, new(atomic.Int64)}, false, false, false)
	ns.Start()
	if err := awaitReady(ns, fatal); err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, nil, fmt.Errorf("start server in %s: %w", cfg.Dir, err)
	}
	return ns, accounts, nil
}

// readyLook is the interval at which Start looks whether the server has given up. The server
// says so only in its log.
const readyLook = 100 * time.Millisecond

// awaitReady waits until the server accepts connections, and returns the reason if it cannot.
func awaitReady(ns *server.Server, fatal <-chan string) error {
	for end := time.Now().Add(readyWait); time.Now().Before(end); {
		select {
		case line := <-fatal:
			if strings.Contains(line, syscall.EADDRINUSE.Error()) { // taken since CheckPort looked
				return fmt.Errorf("%w: %s", ErrPortInUse, line)
			}
			return fmt.Errorf("%w: %s", ErrNotReady, line)
		default:
		}
		if ns.ReadyForConnections(readyLook) {
			if !ns.JetStreamEnabled() {
				return ErrNotReady
			}
			return nil
		}
	}
	return ErrNotReady
}

// CheckPort returns ErrPortInUse if nothing can listen there now. Start calls it,
// because nats-server reports a taken port only through its logger and after
// JetStream's recovery; the command calls it before it makes a folder. Port 0 is
// always free.
func CheckPort(host string, port int) error {
	if port == 0 {
		return nil
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))) //nolint:noctx // binds and closes; nothing to cancel
	if err != nil {
		return fmt.Errorf("listen on %s:%d: %w: %w", host, port, ErrPortInUse, err)
	}
	return ln.Close()
}

// LockName is the file in the store directory that its server locks.
const LockName = "lcbq.lock"

// OwnerOf holds the lock for the moment in which it looks whether somebody has it.
const (
	lockTries = 10
	lockPause = 20 * time.Millisecond
)

// lockDir makes dir and takes its lock. The kernel drops the lock with the
// process, so a kill -9 leaves no stale one.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make store directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, LockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock store directory: %w", err)
	}
	err = flock(f)
	for range lockTries { // somebody may just be asking who has it
		if !errors.Is(err, ErrStoreInUse) {
			break
		}
		<-time.After(lockPause)
		err = flock(f)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock store directory %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// Connect dials the server without going through the network stack.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	opts = append(opts, nats.InProcessServer(s))
	if t := s.cfg.Trust; t != nil {
		opts = append(opts, nats.UserCredentialBytes(t.Creds))
	} else {
		opts = append(opts, nats.Token(s.key))
	}
	nc, err := nats.Connect("", opts...)
	if err != nil {
		return nil, fmt.Errorf("connect in process: %w", err)
	}
	return nc, nil
}

// URL returns the address other processes connect to, "nats://127.0.0.1:4222".
func (s *Server) URL() string { return s.present().ClientURL() }

// InProcessConn is what Connect's connections are made of, also when they are made
// again after a restart.
func (s *Server) InProcessConn() (net.Conn, error) { return s.present().InProcessConn() }

func (s *Server) present() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ns
}

// Close stops the server and waits until its files are closed.
func (s *Server) Close() error {
	s.quit()
	<-s.gone
	return errors.Join(s.shutdown(), os.RemoveAll(filepath.Join(s.cfg.Dir, AccessName)), os.RemoveAll(filepath.Join(s.cfg.Dir, CAName)), unlock(s.lock))
}

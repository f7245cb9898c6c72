// Package supervise runs one server of a model and keeps it running: it starts the program
// behind a guardian, waits until it serves, looks after its health, starts it anew after a failure,
// and ends it with everything that it forked. It also asks it for samples. It knows no particular
// server and no driver: a [Server] says what is started, and who holds a card's memory is told to it.
//
// A program that uses it calls [Guardian] first thing in main.
package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lcbq/lcbq/worker/background"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
)

// Engine is one supervised server.
type Engine struct {
	server   Server
	cfg      Life
	client   *openai.Client
	inFlight int // most samples asked for at once, before Adapt

	mu       sync.Mutex
	phase    Phase
	changed  chan struct{} // closed and replaced with every change of phase
	socket   string        // where the server listens; "" while there is none
	network  string
	running  *process // nil while there is none
	final    error    // why Run returned, once it has
	restarts int
	ended    chan struct{} // closed when Run has returned
}

// A Phase is what an engine is doing.
type Phase uint8

// The phases, in the order of a life without accidents.
const (
	Waiting  Phase = iota // Run was not called, or waits for its turn or for memory
	Loading               // the server starts
	Serving               // it answers
	Stopping              // it is being ended, or restarted after a failure
	Ended                 // Run has returned
)

var phaseNames = [...]string{"waiting", "loading", "serving", "stopping", "ended"}

// String returns the phase's name.
func (p Phase) String() string {
	if int(p) >= len(phaseNames) {
		return "unknown"
	}
	return phaseNames[p]
}

var _ engine.Engine = (*Engine)(nil)

// New makes the engine of a server. It starts nothing: Run does. The caller closes the
// engine after Run returned.
func New(server Server, life Life) (*Engine, error) {
	if err := server.check(); err != nil {
		return nil, err
	}
	life = life.Filled()
	e := &Engine{server: server, cfg: life, changed: make(chan struct{}), ended: make(chan struct{})}
	c := server.Client
	c.Endpoints, c.Dial, c.Log = []string{"http://engine/v1"}, e.dial, life.Log
	c.Patience = life.Ready + life.FreeFor + life.Grace // a restart loads the model anew; requests wait for it
	e.inFlight = c.InFlight
	var err error
	if e.client, err = openai.New(c); err != nil {
		return nil, err
	}
	return e, nil
}

// Close drops the client's connections.
func (e *Engine) Close() { e.client.Close() }

// Info implements engine.Engine. The version is known once the engine served.
func (e *Engine) Info() engine.Info { return e.client.Info() }

// Load returns what the server says of itself; an error while there is none.
func (e *Engine) Load(ctx context.Context) (openai.Load, error) { return e.client.Load(ctx) }

// Adapt keeps the server's batch full without drowning it, until ctx is done: 1.5
// to 2 times as many sequences are with it as it computes at once. For that, up to
// twice the client's InFlight are asked for.
func (e *Engine) Adapt(ctx context.Context) { e.client.Adapt(ctx, time.Second, 2*e.inFlight) }

// Changes returns what the engine is doing, and what is closed when that changes.
func (e *Engine) Changes() (Phase, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.phase, e.changed
}

// InFlight returns the most samples that are asked for at once.
func (e *Engine) InFlight() int { return e.client.InFlight() }

// Restarts returns how often the server was started anew after a failure.
func (e *Engine) Restarts() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.restarts
}

// Phase returns what the engine is doing at this moment.
func (e *Engine) Phase() Phase {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.phase
}

// Owns reports whether a process of this machine belongs to the running engine.
func (e *Engine) Owns(pid int) bool {
	e.mu.Lock()
	p := e.running
	e.mu.Unlock()
	if p == nil {
		return false
	}
	one, err := readProc(pid)
	return err == nil && (one.session == p.session() || carries(pid, p.mark))
}

// Used returns the processor time that each process of the running engine has used since its
// start, by its number; nothing while none runs.
func (e *Engine) Used() map[int]time.Duration {
	e.mu.Lock()
	p := e.running
	e.mu.Unlock()
	if p == nil {
		return nil
	}
	all, err := processes()
	if err != nil {
		return nil // what cannot be read is not known
	}
	used := map[int]time.Duration{}
	for _, one := range all {
		if one.session == p.session() {
			used[one.pid] = one.used
		}
	}
	return used
}

// Generate implements engine.Engine. It waits for the engine to serve, through
// restarts too, and returns an error once Run has given up.
func (e *Engine) Generate(ctx context.Context, r engine.Request) ([]engine.Completion, error) {
	if err := e.Await(ctx); err != nil {
		return nil, err
	}
	// When Run ends, nobody will answer any more: the client must not wait out
	// its patience.
	ctx, enough := background.Until(ctx, e.ended, e.end)
	defer enough()
	return e.client.Generate(ctx, r)
}

// Done is closed when Run has returned: no more samples will come.
func (e *Engine) Done() <-chan struct{} { return e.ended }

// Arguments returns what the server is started with, the place where it listens aside.
func (e *Engine) Arguments() []string { return slices.Concat(e.server.Args, e.server.Extra) }

// end says why no more samples will come.
func (e *Engine) end() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.final != nil {
		return fmt.Errorf("engine has ended: %w", e.final)
	}
	return errors.New("engine has ended")
}

// Await blocks until the engine serves. It returns an error when ctx is done or
// Run has returned.
func (e *Engine) Await(ctx context.Context) error {
	for {
		e.mu.Lock()
		phase, changed := e.phase, e.changed
		e.mu.Unlock()
		switch phase {
		case Serving:
			return nil
		case Ended:
			return e.end()
		default:
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// enter changes the phase and tells those who wait for it.
func (e *Engine) enter(p Phase) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.phase == p {
		return
	}
	e.phase = p
	close(e.changed)
	e.changed = make(chan struct{})
}

// dial connects to wherever the server listens at this moment.
func (e *Engine) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	e.mu.Lock()
	network, socket := e.network, e.socket
	e.mu.Unlock()
	if socket == "" {
		return nil, &net.OpError{Op: "dial", Err: errors.New("the engine is not running")}
	}
	var d net.Dialer
	return d.DialContext(ctx, network, socket)
}

// place chooses where the next server listens and returns the arguments for it:
// a socket in dir where the server can, for nothing can take that
// away and nobody else can open it, else a free port of this machine's own address.
func (e *Engine) place(ctx context.Context, dir string) ([]string, error) {
	network, at := "unix", filepath.Join(dir, cmp.Or(e.server.SocketName, "s"))
	var args []string
	if e.server.Socket != nil {
		args = e.server.Socket(at)
		if err := os.Remove(at); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	} else {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		network, at = "tcp", l.Addr().String()
		if err := l.Close(); err != nil {
			return nil, err
		}
		_, port, err := net.SplitHostPort(at)
		if err != nil {
			return nil, err
		}
		args = e.server.Port(port)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.network, e.socket = network, at
	return args, nil
}

// healthFor bounds one look at the server's health. A busy event loop answers
// late; one that takes this long serves nobody.
const healthFor = 20 * time.Second

// healthy asks the server whether its engine lives.
func (e *Engine) healthy(ctx context.Context, client *http.Client) error {
	ctx, cancel := context.WithTimeout(ctx, healthFor)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/health", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10))
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/lcbq/lcbq/worker/background"
	"github.com/lcbq/lcbq/worker/engine/openai"
	hostproc "github.com/lcbq/lcbq/worker/process"
)

// A loading server is asked whether it answers after firstPoll, and then less
// and less often up to mostPoll.
const (
	firstPoll = 10 * time.Millisecond
	mostPoll  = 250 * time.Millisecond
)

// sick is how many looks in a row must find a server unhealthy before it is
// taken for dead.
const sick = 3

// dirPrefix begins the names of the folders for sockets. Their paths must be
// short, for a socket's name holds 107 bytes, and free of our name: they stand in
// the server's command line, and a pkill by our name must not hit it.
const dirPrefix = "engine-"

// errAgain marks the second failure from one cause of a server that has never served: a third
// start would end in the same way.
var errAgain = errors.New("failed twice in the same way before it served once")

// errFinal marks a failure that a restart would only repeat.
var errFinal = errors.New("no restart helps")

// Run starts the server and keeps it running until ctx is done, then stops it:
// SIGTERM to its leader, once, then the grace, then SIGKILL for all that is left,
// then the wait for the card's memory. It returns nil after such a stop; an error
// if the server failed more often in a row than Life allows, if it failed twice from one cause before
// it served once, if a restart cannot help, or if processes or memory stay. In every case but processes that
// survive SIGKILL, none of the engine is left when it returns. It is called once.
func (e *Engine) Run(ctx context.Context) error {
	err := e.supervise(ctx)
	if err != nil {
		err = fmt.Errorf("%s: %w", e.cfg.Title, err)
	}
	e.mu.Lock()
	e.final = err
	e.mu.Unlock()
	e.enter(Ended)
	close(e.ended)
	return err
}

// supervise is Run without the last words.
func (e *Engine) supervise(ctx context.Context) error {
	// The numbers in /proc must be those that signals take, or strangers would be killed.
	if err := hostproc.CheckProc(); err != nil {
		return fmt.Errorf("%w: %w", errFinal, err)
	}
	dir, err := socketFolder()
	if err != nil {
		return fmt.Errorf("make folder for the socket: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := reclaim(ctx, e.cfg.State); err != nil {
		return fmt.Errorf("end the engine of an earlier run: %w", err)
	}
	if !pause(ctx, e.cfg.Delay) {
		return nil
	}
	fails, wait := 0, e.cfg.Pause
	ever, cause := false, "" // whether it has served, and why it did not the last time
	for ctx.Err() == nil {
		served, end := e.once(ctx, dir)
		err := end.why
		ever = ever || served > 0
		switch {
		case ctx.Err() != nil:
			return errors.Join(err, e.free(context.WithoutCancel(ctx)))
		case errors.Is(err, errStuck):
			return err
		case end.final || errors.Is(err, errFinal):
			return fmt.Errorf("%w: %w", errFinal, err)
		case !ever && end.cause != "" && end.cause == cause:
			return fmt.Errorf("%w: %w", errAgain, err)
		}
		cause = end.cause
		if served >= e.cfg.Uptime {
			fails, wait = 0, e.cfg.Pause
		}
		if fails++; fails > max(e.cfg.Restarts, 0) {
			return fmt.Errorf("failed %d times in a row: %w", fails, err)
		}
		e.cfg.Log.Warn("engine failed", "served", served.Round(time.Second), "restart", fails, "of", e.cfg.Restarts, "restart_in", wait, "err", err)
		if pause(ctx, wait) {
			e.mu.Lock()
			e.restarts++
			e.mu.Unlock()
		}
		wait *= 2
	}
	return nil
}

// socketFolder makes a folder whose path leaves room for a socket's name.
func socketFolder() (string, error) {
	const longest = 107
	parent := ""
	if len(os.TempDir())+len("/"+dirPrefix+"1234567890/s") > longest {
		parent = "/tmp"
	}
	return os.MkdirTemp(parent, dirPrefix)
}

// pause waits, and reports whether ctx is still not done.
func pause(ctx context.Context, long time.Duration) bool {
	t := time.NewTimer(long)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	return ctx.Err() == nil
}

// free waits for the card's memory.
func (e *Engine) free(ctx context.Context) error {
	if e.cfg.Free == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.FreeFor)
	defer cancel()
	return e.cfg.Free(ctx)
}

// turn waits for the server's turn to load. What it returns ends the turn, once.
func (e *Engine) turn(ctx context.Context) (release func(), err error) {
	if e.cfg.Turn == nil {
		return func() {}, nil
	}
	if release, err = e.cfg.Turn(ctx); err != nil {
		return nil, fmt.Errorf("wait for the turn to load: %w", err)
	}
	return sync.OnceFunc(release), nil
}

// once runs one server from start to end, and returns how long it served and why
// it ended; nil if that is because ctx is done and all is gone.
func (e *Engine) once(ctx context.Context, dir string) (served time.Duration, end failed) {
	release, err := e.turn(ctx)
	if ctx.Err() != nil && err != nil {
		return 0, failed{}
	}
	if err != nil {
		return 0, failed{why: err}
	}
	defer release()
	if err := e.free(ctx); err != nil && ctx.Err() == nil {
		return 0, failed{why: err}
	}
	if ctx.Err() != nil {
		return 0, failed{}
	}
	log, err := openLog(e.cfg.LogFile)
	if err != nil {
		return 0, failed{why: fmt.Errorf("open log: %w", err), final: true}
	}
	defer func() { _ = log.file.Close() }() // it is the engine's to write
	place, err := e.place(ctx, dir)
	if err != nil {
		return 0, failed{why: err}
	}
	argv := slices.Concat(e.server.Program, e.server.Args, place, e.server.Extra)
	began := time.Now()
	p, err := spawn(order{argv, dir}, e.server.Environ, log.file)
	if err != nil {
		return 0, failed{why: fmt.Errorf("start %s: %w", argv[0], err), cause: err.Error()}
	}
	e.mu.Lock()
	e.running = p
	e.mu.Unlock()
	e.enter(Loading)
	e.cfg.Log.Info("engine starts", "guardian", p.session(), "log", e.cfg.LogFile)
	why := p.remember(e.cfg.State, dir, e.server.Titles)
	var ready time.Time
	if why == nil {
		ready, why = e.attend(ctx, p, began, log, release)
	}
	if !ready.IsZero() {
		served = time.Since(ready)
	}
	e.enter(Stopping)
	killed := p.killed()
	stopped := p.stop(e.cfg.Grace, e.cfg.Hurry)
	e.mu.Lock()
	e.running, e.socket = nil, ""
	e.mu.Unlock()
	if stopped != nil {
		return served, failed{why: stopped}
	}
	forget(e.cfg.State)
	e.cfg.Log.Info("engine stopped", "served", served.Round(time.Second))
	e.enter(Waiting)
	if ctx.Err() != nil {
		return served, failed{}
	}
	end = log.explain(why, served > 0, e.server.Failures)
	if end.cause == "" && served == 0 && !killed { // who was killed may not be killed again
		end.cause = why.Error()
	}
	return served, end
}

// dying is how long a server that listens no longer may take to end.
const dying = 5 * time.Second

// attend waits until the server answers, tells loaded, and then waits until it does not answer any
// more. It returns when it answered first, and why it ends.
func (e *Engine) attend(ctx context.Context, p *process, began time.Time, log *logTail, loaded func()) (ready time.Time, why error) {
	transport := &http.Transport{DialContext: e.dial}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	if err := e.load(ctx, p, client, began, log); err != nil {
		return ready, err
	}
	if err := e.check(ctx, p); err != nil {
		return ready, err
	}
	ready = time.Now()
	e.client.Wake()
	loaded()
	e.enter(Serving)
	e.cfg.Log.Info("engine serves", "after", ready.Sub(began).Round(100*time.Millisecond), "version", e.Info().Version)
	tick := time.NewTicker(e.cfg.Health)
	defer tick.Stop()
	for bad := 0; ; {
		select {
		case <-ctx.Done():
			return ready, context.Cause(ctx)
		case <-p.exited:
			return ready, fmt.Errorf("ended by itself: %s", p.why)
		case <-tick.C:
		}
		err := e.healthy(ctx, client)
		if err == nil {
			bad = 0
			continue
		}
		if bad++; bad < sick {
			continue
		}
		if errors.Is(err, syscall.ECONNREFUSED) { // nobody listens: it is most likely ending, and how it ends says more
			select {
			case <-ctx.Done():
				return ready, context.Cause(ctx)
			case <-p.exited:
				return ready, fmt.Errorf("ended by itself: %s", p.why)
			case <-time.After(dying):
			}
		}
		return ready, fmt.Errorf("does not answer: %w", err)
	}
}

// load waits until the server says that it is healthy. Meanwhile it says again and again what the
// server is doing.
func (e *Engine) load(ctx context.Context, p *process, client *http.Client, began time.Time, log *logTail) error {
	late := time.NewTimer(e.cfg.Ready)
	defer late.Stop()
	tell := time.NewTicker(e.cfg.Tell)
	defer tell.Stop()
	poll := firstPoll
	tick := time.NewTimer(poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.exited:
			return fmt.Errorf("ended while loading: %s", p.why)
		case <-late.C:
			return fmt.Errorf("not ready within %v", e.cfg.Ready)
		case <-tell.C:
			e.cfg.Log.Info("engine is loading", "doing", cmp.Or(log.doing(e.server.Steps), "nothing that it says"), "for", time.Since(began).Round(time.Second), "most", e.cfg.Ready)
			continue
		case <-tick.C:
		}
		if e.healthy(ctx, client) == nil {
			return nil
		}
		poll = min(2*poll, mostPoll)
		tick.Reset(poll)
	}
}

// check has the server make one token: health alone does not say that the card
// computes.
func (e *Engine) check(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, e.cfg.Ready, errors.New("the first token does not come"))
	defer cancel()
	ctx, enough := background.Until(ctx, p.exited, func() error { return errors.New("the server ended") })
	defer enough()
	err := e.client.Check(ctx)
	if errors.Is(err, openai.ErrUnfit) {
		err = fmt.Errorf("%w: %w", errFinal, err)
	}
	select {
	case <-p.exited:
		return fmt.Errorf("ended at its first token: %s", p.why)
	default:
		return err
	}
}

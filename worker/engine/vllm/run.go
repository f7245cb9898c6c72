package vllm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

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

// errFinal marks a failure that a restart would only repeat.
var errFinal = errors.New("no restart helps")

// Run starts the server and keeps it running until ctx is done, then stops it:
// SIGTERM to its leader, once, then the grace, then SIGKILL for all that is left,
// then the wait for the card's memory. It returns nil after such a stop; an error
// if the server failed more often in a row than Config allows, if a restart
// cannot help, or if processes or memory stay. In every case but processes that
// survive SIGKILL, none of the engine is left when it returns. It is called once.
func (e *Engine) Run(ctx context.Context) error {
	err := e.supervise(ctx)
	if err != nil {
		err = fmt.Errorf("engine of GPU %d: %w", e.cfg.GPU, err)
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
	for ctx.Err() == nil {
		served, err := e.once(ctx, dir)
		switch {
		case ctx.Err() != nil:
			return errors.Join(err, e.free(context.WithoutCancel(ctx)))
		case errors.Is(err, errStuck) || errors.Is(err, errFinal):
			return err
		}
		if served >= e.cfg.Uptime {
			fails, wait = 0, e.cfg.Pause
		}
		if fails++; fails > max(e.cfg.Restarts, 0) {
			return fmt.Errorf("failed %d times in a row: %w", fails, err)
		}
		e.cfg.Log.Warn("engine failed", "gpu", e.cfg.GPU, "served", served.Round(time.Second), "restart", fails, "of", e.cfg.Restarts, "restart_in", wait, "err", err)
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

// once runs one server from start to end, and returns how long it served and why
// it ended; nil if that is because ctx is done and all is gone.
func (e *Engine) once(ctx context.Context, dir string) (served time.Duration, err error) {
	if err := e.free(ctx); err != nil {
		if ctx.Err() != nil {
			return 0, nil
		}
		return 0, err
	}
	if ctx.Err() != nil {
		return 0, nil
	}
	log, err := openLog(e.cfg.LogFile)
	if err != nil {
		return 0, fmt.Errorf("%w: open log: %w", errFinal, err)
	}
	defer func() { _ = log.file.Close() }() // it is the engine's to write
	place, err := e.place(ctx, dir)
	if err != nil {
		return 0, err
	}
	argv := append(append([]string(nil), e.cfg.Install.Program...), "serve")
	argv = append(append(append(argv, e.args...), place...), e.cfg.Extra...)
	began := time.Now()
	p, err := spawn(order{argv, dir}, e.cfg.environ(), log.file)
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", argv[0], err)
	}
	e.mu.Lock()
	e.running = p
	e.mu.Unlock()
	e.enter(Loading)
	e.cfg.Log.Info("engine starts", "gpu", e.cfg.GPU, "guardian", p.session(), "log", e.cfg.LogFile)
	why := p.remember(e.cfg.State, dir)
	var ready time.Time
	if why == nil {
		ready, why = e.attend(ctx, p, began)
	}
	if !ready.IsZero() {
		served = time.Since(ready)
	}
	e.enter(Stopping)
	stopped := p.stop(e.cfg.Grace, e.cfg.Hurry)
	e.mu.Lock()
	e.running, e.socket = nil, ""
	e.mu.Unlock()
	if stopped != nil {
		return served, stopped
	}
	forget(e.cfg.State)
	e.cfg.Log.Info("engine stopped", "gpu", e.cfg.GPU, "served", served.Round(time.Second))
	e.enter(Waiting)
	if ctx.Err() != nil {
		return served, nil
	}
	return served, log.explain(why)
}

// attend waits until the server answers and then until it does not any more. It
// returns when it answered first, and why it ends.
func (e *Engine) attend(ctx context.Context, p *process, began time.Time) (ready time.Time, why error) {
	transport := &http.Transport{DialContext: e.dial}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	if err := e.load(ctx, p, client); err != nil {
		return ready, err
	}
	if err := e.check(ctx, p); err != nil {
		return ready, err
	}
	ready = time.Now()
	e.client.Wake()
	e.enter(Serving)
	e.cfg.Log.Info("engine serves", "gpu", e.cfg.GPU, "after", ready.Sub(began).Round(100*time.Millisecond), "version", e.Info().Version)
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
		if bad++; bad == sick {
			return ready, fmt.Errorf("does not answer: %w", err)
		}
	}
}

// load waits until the server says that it is healthy.
func (e *Engine) load(ctx context.Context, p *process, client *http.Client) error {
	late := time.NewTimer(e.cfg.Ready)
	defer late.Stop()
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
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-p.exited:
			cancel()
		case <-over:
		}
	}()
	err := e.client.Check(ctx)
	select {
	case <-p.exited:
		return fmt.Errorf("ended at its first token: %s", p.why)
	default:
		return err
	}
}

// A logTail is the engine's log and where this start's part of it begins.
type logTail struct {
	file *os.File
	from int64
}

// openLog opens the log for appending.
func openLog(path string) (*logTail, error) {
	if path == "" {
		f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		return &logTail{file: f}, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644) //nolint:gosec // a log is there to be read
	if err != nil {
		return nil, err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	_, err = fmt.Fprintf(f, "--- engine started %s ---\n", time.Now().Format(time.RFC3339))
	return &logTail{file: f, from: end}, err
}

// knownFailures are the words of vLLM's log that say what a person must do.
var knownFailures = []struct {
	words  *regexp.Regexp
	remedy string
	final  bool
}{
	{
		regexp.MustCompile(`is not a local folder and is not a valid model identifier|Repository Not Found|RepositoryNotFoundError|Can't load the configuration of|LocalEntryNotFoundError|OfflineModeIsEnabled|couldn't connect to '?https?://|Invalid repository ID`),
		"the model is not there: check its name, download it, or give the path of its folder with --model", true,
	},
	{
		regexp.MustCompile(`GatedRepoError|Access to model .* is restricted`),
		"the model is gated: accept its licence on its page and set HF_TOKEN", true,
	},
	{
		regexp.MustCompile(`Free memory on device.*less than desired|CUDA out of memory|OutOfMemoryError|No available memory for the cache blocks`),
		"the GPU's memory does not suffice: see who holds it (lcbq doctor), or lower --gpu-memory-utilization or --max-model-len", false,
	},
	{
		regexp.MustCompile(`unrecognized arguments:|invalid choice:|error: argument`),
		"the installed vllm does not take these arguments: mend the extra ones", true,
	},
	{
		regexp.MustCompile(`No CUDA GPUs are available|CUDA driver initialization failed|CUDA driver version is insufficient`),
		"vllm finds no usable GPU: compare its CUDA version with the driver's (nvidia-smi)", true,
	},
}

// explain adds to why what the log of this start says.
func (l *logTail) explain(why error) error {
	const most = 256 << 10
	info, err := l.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return why
	}
	from := max(l.from, info.Size()-most)
	text := make([]byte, max(info.Size()-from, 0))
	n, _ := l.file.ReadAt(text, from) // what can be read is enough
	text = text[:n]
	for _, k := range knownFailures {
		if at := k.words.FindIndex(text); at != nil {
			why = fmt.Errorf("%w\n  %s\n%s", why, lineAround(text, at[0]), k.remedy)
			if k.final {
				why = fmt.Errorf("%w: %w", errFinal, why)
			}
			return why
		}
	}
	if last := lastLines(text, 5); last != "" {
		why = fmt.Errorf("%w; the last lines of its log:%s", why, last)
	}
	return why
}

// lineAround returns the line of text that holds the byte at i.
func lineAround(text []byte, i int) string {
	line := text[bytes.LastIndexByte(text[:i], '\n')+1:]
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	s := strings.TrimSpace(strings.ToValidUTF8(string(line), "?"))
	const most = 300
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

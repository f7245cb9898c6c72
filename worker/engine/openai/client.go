package openai

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/lcbq/lcbq/worker/engine"
)

// Client is an engine that asks one or more servers of the same model.
type Client struct {
	cfg  Config
	pool pool

	mu       sync.Mutex // guards what Check finds out
	model    string
	version  string
	uncounts sync.Once // says once that nobody counts tokens
}

var _ engine.Engine = (*Client)(nil)

// New returns a client. It asks nothing yet: Check does. The caller closes it.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.filled()
	c := &Client{cfg: cfg, model: cfg.Model}
	c.pool.changed = make(chan struct{})
	c.pool.most = cfg.InFlight
	for _, text := range cfg.Endpoints {
		a, err := parseEndpoint(text)
		if err != nil {
			return nil, err
		}
		c.pool.ends = append(c.pool.ends, &endpoint{
			address: a,
			http:    &http.Client{Transport: transport(a, cfg)},
			traits:  traits{n: cfg.MaxN},
		})
	}
	return c, nil
}

// transport returns one endpoint's own connections, as many kept as requests
// may be in flight: a connection made anew for each would run out of ports.
func transport(a address, cfg Config) *http.Transport {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment, // as every HTTP client of the field does
		DialContext:           d.DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          cfg.InFlight,
		MaxIdleConnsPerHost:   cfg.InFlight,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	if a.socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", a.socket)
		}
	}
	if cfg.Dial != nil {
		t.Proxy, t.DialContext = nil, cfg.Dial
	}
	return t
}

// Close drops the idle connections. No other method may run then or later.
func (c *Client) Close() {
	for _, e := range c.pool.ends {
		e.http.CloseIdleConnections()
	}
}

// Wake ends the rest of every endpoint: the caller knows that they work again.
func (c *Client) Wake() { c.pool.wake() }

// Info implements engine.Engine. Model and version are known once Check returned.
func (c *Client) Info() engine.Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	return engine.Info{Name: c.cfg.Name, Model: c.model, Version: c.version}
}

// Generate implements engine.Engine. It asks in as many requests as the
// endpoints' limits on choices make necessary, side by side, and repeats those
// that fail; the choices of a failed one are never used. No seed is sent: it
// would cost vLLM's sampler one kernel a sequence and step, and the samples
// would not be reproducible even so.
func (c *Client) Generate(ctx context.Context, r engine.Request) ([]engine.Completion, error) {
	if r.N < 1 {
		return nil, fmt.Errorf("generate %d samples of question %q: %w", r.N, r.QuestionID, engine.ErrRejected)
	}
	all := make([]engine.Completion, r.N)
	if err := c.fill(ctx, r, all); err != nil {
		return nil, fmt.Errorf("generate question %q, samples %d to %d: %w", r.QuestionID, r.First, r.First+r.N-1, err)
	}
	return all, nil
}

// fill puts a sample in every place of dst. When it returns, no request runs.
func (c *Client) fill(ctx context.Context, r engine.Request, dst []engine.Completion) error {
	n := c.pool.widest(greedy(r))
	if len(dst) <= n {
		got, err := c.ask(ctx, r, len(dst))
		if err != nil {
			return err
		}
		if rest := dst[copy(dst, got):]; len(rest) > 0 {
			return c.fill(ctx, r, rest)
		}
		return nil
	}
	// One request's failure ends the others: without all samples there are none.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg    sync.WaitGroup
		first sync.Once
		fail  error
	)
	for len(dst) > 0 {
		part := dst[:min(n, len(dst))]
		dst = dst[len(part):]
		wg.Go(func() {
			if err := c.fill(ctx, r, part); err != nil {
				first.Do(func() { fail = err; cancel(err) })
			}
		})
	}
	wg.Wait()
	return fail
}

// greedy reports whether all samples of r are the same text.
func greedy(r engine.Request) bool { return r.Sampling.Temperature < 1e-5 }

// ask returns between 1 and want samples of one request that succeeded.
func (c *Client) ask(ctx context.Context, r engine.Request, want int) ([]engine.Completion, error) {
	pat := patience{long: c.cfg.Patience}
	for breaks := 1; ; {
		e, n, t, err := c.pool.take(ctx, want, greedy(r), &pat)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		got, err := c.converse(ctx, e, r, n, t)
		if ctx.Err() != nil {
			c.pool.back(e, n)
			return nil, context.Cause(ctx)
		}
		c.settle(e, n, began, err)
		if err == nil {
			return got, nil
		}
		f := faultOf(err)
		err = fmt.Errorf("%s: %w", e.shown, err)
		switch f.kind {
		case rejected, unclear:
			return nil, fmt.Errorf("%w: %w", engine.ErrRejected, err)
		case busy, refused: // take says so when no other endpoint is left
		case broken:
			if breaks == c.cfg.Attempts {
				return nil, fmt.Errorf("%d attempts: %w", breaks, err)
			}
			breaks++
		}
	}
}

// settle judges an endpoint by an attempt, and gives it back.
func (c *Client) settle(e *endpoint, n int, began time.Time, err error) {
	if rest := c.pool.judge(e, began, err); rest > 0 {
		c.cfg.Log.Warn("endpoint rests", "endpoint", e.shown, "rest", rest.Round(time.Millisecond), "err", err)
	}
	c.pool.back(e, n)
}

// converse asks one endpoint for n samples and gives in to what it does not
// like about the request, as long as that leaves what is asked for. What it
// gave in to is remembered when it helped.
func (c *Client) converse(ctx context.Context, e *endpoint, r engine.Request, n int, t traits) ([]engine.Completion, error) {
	asked := n
	for before := t; ; {
		got, counts, err := c.attempt(ctx, e, r, n, t)
		if err == nil {
			c.remember(e, before, t, asked, n, len(got), counts)
			return got, nil
		}
		f := faultOf(err)
		if f.kind != unclear {
			return nil, err
		}
		next, k, ok := relent(r, c.cfg.Stream, n, t, f.Error())
		if !ok {
			return nil, err
		}
		t, n = next, k
	}
}

// remember keeps what a successful exchange taught about an endpoint: it was to
// give asked choices, gave got of the n that it accepted to be asked for, with
// the traits it needed for that.
func (c *Client) remember(e *endpoint, before, t traits, asked, n, got int, counts counting) {
	fewerFields := len(t.without) > len(before.without) || t.newMax != before.newMax
	if fewerFields {
		c.cfg.Log.Info("endpoint lacks request fields", "endpoint", e.shown, "fields", t.missing())
	}
	c.pool.learn(e, func(now *traits) {
		if fewerFields {
			now.without, now.newMax = t.without, t.newMax
		}
		if n < asked {
			now.n = min(now.n, n)
		}
		if now.short++; got == n {
			now.short = 0
		}
		if now.short > 1 {
			now.n, now.short = min(now.n, got), 0
		}
		now.counts = counts
	})
}

// attempt sends one request for n choices and reads its answer.
func (c *Client) attempt(ctx context.Context, e *endpoint, r engine.Request, n int, t traits) ([]engine.Completion, counting, error) {
	text, err := body(r, c.modelName(), n, c.cfg.Stream, t)
	if err != nil {
		return nil, unknown, err
	}
	ctx, done := context.WithTimeoutCause(ctx, c.cfg.Timeout, fmt.Errorf("no complete answer within %v", c.cfg.Timeout))
	defer done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alive := func() {}
	if c.cfg.Stream {
		silence := time.AfterFunc(c.cfg.Idle, func() { cancel(errIdle) })
		defer silence.Stop()
		alive = func() { silence.Reset(c.cfg.Idle) }
	}
	path := "/chat/completions"
	if r.Raw != "" {
		path = "/completions"
	}
	resp, err := c.send(ctx, e, http.MethodPost, e.api+path, bytes.NewReader(text))
	if err != nil {
		return nil, unknown, err
	}
	defer closeBody(resp)
	read := readWhole
	if isStream(resp) { // some servers ignore the wish for one
		read = func(r io.Reader) ([]*draft, *usage, error) { return readStream(r, n, alive) }
	}
	drafts, use, err := read(resp.Body)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = &fault{kind: broken, err: cause}
		}
		return nil, unknown, err
	}
	got, counts, err := samples(drafts, use, n)
	if err == nil && counts == byAnswer && n == 1 && use == nil {
		c.uncounts.Do(func() { c.cfg.Log.Warn("endpoint counts no tokens", "endpoint", e.shown) })
	}
	return got, counts, err
}

// send makes one HTTP exchange. The caller closes the body; a status other than
// 200 is a fault already.
func (c *Client) send(ctx context.Context, e *endpoint, method, to string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, body)
	if err != nil {
		return nil, &fault{kind: rejected, err: fmt.Errorf("make request: %w", err)}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.cfg.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Key)
	}
	resp, err := e.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, ofTransport(cause)
		}
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the address is said by the caller, without its password
		}
		return nil, ofTransport(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer closeBody(resp)
	said, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, ofTransport(fmt.Errorf("status %d, read answer: %w", resp.StatusCode, err))
	}
	return nil, ofStatus(resp.StatusCode, resp.Header, said)
}

// isStream reports whether an answer is one of server-sent events.
func isStream(resp *http.Response) bool {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && kind == "text/event-stream"
}

// closeBody reads what little is left of an answer, so that its connection can
// be used again, and closes it.
func closeBody(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = resp.Body.Close()
}

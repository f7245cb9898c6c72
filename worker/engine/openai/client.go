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
	kept shelf
	told sync.Once // says once that texts are refused

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

			learning: make(chan struct{}, 1),
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

		MaxResponseHeaderBytes: 1 << 20, // no server has more to say there
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
			err = &fault{kind: broken, cause: timedOut, err: cause}
		}
		return nil, unknown, err
	}
	got, counts, err := samples(drafts, use, n)
	for i := range got {
		if sameModel(got[i].AnsweredAs, c.modelName()) {
			got[i].AnsweredAs = ""
		}
	}
	if without := leftOut(r, c.cfg.Stream, t); without != "" {
		for i := range got {
			got[i].LeftOut = without
		}
	}
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
			f := ofTransport(cause)
			f.cause = timedOut
			return nil, f
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

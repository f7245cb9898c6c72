package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lcbq/lcbq/worker/engine"
)

// checkFor bounds one question that Check asks. A server that takes longer for
// its list of models is as good as dead.
const checkFor = 15 * time.Second

// loadingPoll is how often Check looks whether a server has loaded its model.
const loadingPoll = time.Second

// Check finds out before any work starts whether every endpoint is there, takes
// the key and serves the model, by its list of models and one token from it. A
// server that is still loading is waited for, as long as the patience lasts. It
// reports the faults of all endpoints, each with its remedy. Generate may be
// called without it, but then the model must be in Config.
func (c *Client) Check(ctx context.Context) error {
	var errs []error
	for _, e := range c.pool.ends {
		if err := c.checkOne(ctx, e); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			errs = append(errs, fmt.Errorf("check endpoint %s: %w", e.shown, err))
		}
	}
	return errors.Join(errs...)
}

// checkOne checks one endpoint.
func (c *Client) checkOne(ctx context.Context, e *endpoint) error {
	served, contexts, err := c.models(ctx, e)
	if err != nil {
		return err
	}
	if err := c.settleModel(served); err != nil {
		return err
	}
	if v := c.serverVersion(ctx, e); v != "" {
		c.mu.Lock()
		c.version = v
		c.mu.Unlock()
	}
	if err := c.oneToken(ctx, e); err != nil {
		return err
	}
	room := contexts[c.modelName()]
	if len(served) == 1 {
		room = contexts[served[0]]
	}
	if err := c.fits(ctx, e, room); err != nil {
		return unfit{err}
	}
	return c.choices(ctx, e)
}

// models returns the names that an endpoint serves; nil means that it does not
// say. Contexts are the tokens that each holds, where it says that.
func (c *Client) models(ctx context.Context, e *endpoint) (names []string, contexts map[string]int, err error) {
	var list struct {
		Data []struct {
			ID      string `json:"id"`
			Context amount `json:"max_model_len"` // vLLM and SGLang say it
		} `json:"data"`
	}
	for began := time.Now(); ; {
		raw, err := c.get(ctx, e, e.api+"/models")
		if err == nil {
			_ = json.Unmarshal(raw, &list) // what is no list of models names none
			break
		}
		f := faultOf(err)
		switch {
		case f.kind == refused && (f.code == http.StatusNotFound || f.code == http.StatusMethodNotAllowed):
			return nil, nil, nil // no list there is no fault; the one token tells more
		case f.kind == refused:
			return nil, nil, err
		case f.kind != busy || f.code == 0:
			return nil, nil, fmt.Errorf("%w\nstart the server, or correct the address", err)
		case time.Since(began) > c.cfg.Patience:
			return nil, nil, fmt.Errorf("not ready after %v: %w", c.cfg.Patience, err)
		}
		c.cfg.Log.Info("endpoint is not ready yet", "endpoint", e.shown, "err", err)
		if err := wait(ctx, nil, min(max(loadingPoll, f.after), c.cfg.Patience)); err != nil {
			return nil, nil, err
		}
	}
	names, contexts = make([]string, 0, len(list.Data)), make(map[string]int)
	for _, m := range list.Data {
		names, contexts[m.ID] = append(names, m.ID), int(m.Context)
	}
	return names, contexts, nil
}

// settleModel finds the wanted model among those that are served.
func (c *Client) settleModel(served []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	shown := strings.Join(served[:min(len(served), 20)], ", ")
	if len(served) > 20 {
		shown += fmt.Sprintf(" and %d more", len(served)-20)
	}
	switch {
	case c.model == "" && len(served) == 1:
		c.model = served[0]
	case c.model == "":
		if shown == "" {
			shown = "it does not list"
		}
		return fmt.Errorf("no model is chosen\nname one with --model; served are: %s", shown)
	case len(served) == 0 || slices.Contains(served, c.model):
	case slices.Contains(served, c.model+":latest"): // Ollama's tags
	default:
		return fmt.Errorf("model %q is not served\nserved are: %s", c.model, shown)
	}
	return nil
}

// modelName returns the model that requests name.
func (c *Client) modelName() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.model
}

// oneTokenOf returns a request for one token, in the form that the run's requests have.
func (c *Client) oneTokenOf() engine.Request {
	r := engine.Request{N: 1, Sampling: c.cfg.Sampling}
	r.Sampling.Temperature, r.Sampling.MaxTokens = 1, 1
	if c.cfg.Completions {
		r.Raw = "1"
		return r
	}
	if c.cfg.System {
		r.Messages = []engine.Message{{Role: "system", Content: "1"}}
	}
	r.Messages = append(r.Messages, engine.Message{Role: "user", Content: "1"})
	return r
}

// oneToken asks for the shortest possible sample: a list of models is often
// open to everybody, samples are not. It also finds out how the endpoint counts.
func (c *Client) oneToken(ctx context.Context, e *endpoint) error {
	r := c.oneTokenOf()
	var user []engine.Message // without the system message
	if len(r.Messages) > 0 {
		user = r.Messages[len(r.Messages)-1:]
	}
	pat := patience{long: c.cfg.Patience}
	for breaks := 1; ; breaks++ {
		c.pool.mu.Lock()
		t := e.traits
		c.pool.mu.Unlock()
		_, err := c.converse(ctx, e, r, 1, t)
		if err == nil || ctx.Err() != nil {
			return err
		}
		f := faultOf(err)
		if f.kind == unclear && len(r.Messages) > len(user) {
			r.Messages = user
			if _, alone := c.converse(ctx, e, r, 1, t); alone == nil {
				return unfit{fmt.Errorf("ask for one token with a system message: %w\nthe model's template takes no system role: pass --prompt-style single", err)}
			}
		}
		left := pat.left(time.Now())
		if f.kind == rejected || f.kind == unclear || f.kind == refused || breaks == c.cfg.Attempts || left <= 0 {
			return fmt.Errorf("ask for one token: %w", err)
		}
		rest := min(max(firstEject<<min(breaks, 6), f.after), left) // a server may wish for more than anybody waits
		c.cfg.Log.Info("endpoint gives no token yet: it is asked again", "endpoint", e.shown, "in", rest.Round(time.Millisecond), "err", err)
		if err := wait(ctx, nil, rest); err != nil {
			return err
		}
	}
}

// choices asks for as many choices at once as requests will, and keeps what the endpoint gives fewer of. It
// refuses nothing: an endpoint that gave one token gives a sample, and what else it says may pass.
func (c *Client) choices(ctx context.Context, e *endpoint) error {
	n := min(c.cfg.Choices, c.traitsOf(e).mostChoices(false)) // as the run will
	if n < 2 {
		return nil
	}
	r := c.oneTokenOf()
	for range 2 { // one answer with too few teaches nothing
		got, err := c.converse(ctx, e, r, n, c.traitsOf(e))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			c.cfg.Log.Info("endpoint gives no choices together yet", "endpoint", e.shown, "choices", n, "err", err)
		}
		if err != nil || len(got) == n {
			break
		}
	}
	if now := c.traitsOf(e); now.n < n {
		c.cfg.Log.Warn("endpoint gives fewer choices at once than the run asks for: it is asked more often", "endpoint", e.shown, "choices", now.n, "of", n)
	}
	return nil
}

// serverVersion asks for the version wherever one of the servers tells it; ""
// where none does.
func (c *Client) serverVersion(ctx context.Context, e *endpoint) string {
	for _, at := range []struct{ path, field, prefix string }{
		{"/version", "version", ""}, // vLLM
		{"/api/version", "version", "ollama "},
		{"/props", "build_info", "llama.cpp "},
		{"/get_server_info", "version", "sglang "},
	} {
		raw, err := c.get(ctx, e, e.root+at.path)
		if err != nil {
			continue
		}
		var all map[string]json.RawMessage
		var v string
		if json.Unmarshal(raw, &all) == nil && json.Unmarshal(all[at.field], &v) == nil && v != "" {
			if at.prefix == "ollama " {
				c.cfg.Log.Warn("ollama takes one choice a request and its own top_k and min_p", "endpoint", e.shown)
			}
			return at.prefix + v
		}
	}
	return ""
}

// get fetches a small answer.
func (c *Client) get(ctx context.Context, e *endpoint, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, checkFor, fmt.Errorf("no answer within %v", checkFor))
	defer cancel()
	resp, err := c.send(ctx, e, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	defer closeBody(resp)
	return io.ReadAll(io.LimitReader(resp.Body, 64<<20))
}

package openai

import (
	"context"
	"slices"

	"github.com/lcbq/lcbq/worker/engine"
)

// converse asks one endpoint for n samples. Where the endpoint does not like something in
// the request, it finds out what, and gives in as long as that leaves what is asked for.
func (c *Client) converse(ctx context.Context, e *endpoint, r engine.Request, n int, t traits) ([]engine.Completion, error) {
	got, counts, err := c.attempt(ctx, e, r, n, t)
	if err == nil {
		c.answered(e, n, len(got), counts)
		return got, nil
	}
	if faultOf(err).kind != unclear {
		return nil, err
	}
	// One request at a time: the others are refused for the same reason.
	select {
	case e.learning <- struct{}{}:
		defer func() { <-e.learning }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	l := lesson{c, e, r, n, t, err}
	return l.learn(ctx)
}

// A lesson finds out what an endpoint does not like about a request. A refusal may also
// pass by itself: nothing is changed but for what the endpoint names, or what makes the
// difference between refusal and success twice. Otherwise a fault of a server behind the
// endpoint would change the sampling of the rest of the run.
type lesson struct {
	c       *Client
	e       *endpoint
	r       engine.Request
	n       int
	t       traits
	refusal error // the last one
}

// learn returns the samples of the request as the endpoint takes it, or the last refusal.
func (l *lesson) learn(ctx context.Context) ([]engine.Completion, error) {
	if now := l.c.traitsOf(l.e); !now.same(l.t) || now.n < l.n {
		l.t, l.n = now, min(l.n, now.n) // found out by the request before
		if got, err := l.ask(ctx, l.n, l.t); got != nil || err != nil {
			return got, err
		}
	}
	for {
		next, named := obeying(l.r, l.c.cfg.Stream, l.t, l.refusal.Error())
		if !named {
			break
		}
		l.t = next
		got, err := l.ask(ctx, l.n, l.t)
		if err != nil {
			return nil, err
		}
		if got != nil {
			l.c.remember(l.e, l.t)
			return got, nil
		}
	}
	if got, err := l.ask(ctx, l.n, l.t); got != nil || err != nil {
		return got, err // the refusal passed
	}
	if got, err := l.fewer(ctx); got != nil || err != nil {
		return got, err
	}
	t, err := l.without(ctx)
	if err != nil {
		return nil, err
	}
	l.c.remember(l.e, t)
	l.t = t
	got, err := l.ask(ctx, l.n, t)
	if got == nil && err == nil {
		got, err = l.fewer(ctx) // both the fields and the number of choices
	}
	if got == nil && err == nil {
		err = l.refusal
	}
	return got, err
}

// fewer halves the number of choices until the endpoint gives some. It returns neither samples
// nor an error if it refuses even one.
func (l *lesson) fewer(ctx context.Context) ([]engine.Completion, error) {
	for k := l.n / 2; k >= 1; k /= 2 {
		got, err := l.ask(ctx, k, l.t)
		if err != nil {
			return nil, err
		}
		if got == nil {
			continue
		}
		if again, err := l.probe(ctx, l.n, l.t); err == nil && !again {
			l.c.pool.learn(l.e, func(now *traits) { now.n = min(now.n, k) })
		}
		return got, nil
	}
	return nil, nil
}

// without returns the traits with which the endpoint takes a request for one choice that it
// refuses without a word that helps. The refusal is its error where there are none.
func (l *lesson) without(ctx context.Context) (traits, error) {
	all := sent(l.r, l.c.cfg.Stream, l.t)
	ours := slices.DeleteFunc(slices.Clone(all), func(o option) bool { return o.name != "return_token_ids" && o.name != "stream_options" })
	off := slices.DeleteFunc(slices.Clone(all), func(o option) bool { return !o.off })
	// What only serves our counting goes first: without the rest, the server's defaults
	// would take part in the sampling.
	for _, drop := range [][]option{ours, off} {
		if len(drop) == 0 {
			continue
		}
		taken, err := l.probe(ctx, 1, l.t.leaving(drop))
		if err != nil {
			return traits{}, err
		}
		if taken {
			return l.least(ctx, drop)
		}
	}
	return traits{}, l.refusal
}

// least gives up as few of the dropped fields as the endpoint makes necessary.
func (l *lesson) least(ctx context.Context, drop []option) (traits, error) {
	t := l.t.leaving(drop)
	for _, o := range drop {
		with := t.taking(o)
		for round := 1; ; round++ {
			taken, err := l.probe(ctx, 1, with)
			if err != nil {
				return traits{}, err
			}
			if taken {
				t = with
				break
			}
			if taken, err = l.probe(ctx, 1, t); err != nil {
				return traits{}, err
			}
			if !taken {
				return traits{}, l.refusal // it refuses now this and now that: no field is the reason
			}
			if round == 2 {
				break // it makes the difference, twice
			}
		}
	}
	return t, nil
}

// ask asks for n samples. It returns neither samples nor an error if the endpoint refuses
// the request without a reason that is clear.
func (l *lesson) ask(ctx context.Context, n int, t traits) ([]engine.Completion, error) {
	got, counts, err := l.c.attempt(ctx, l.e, l.r, n, t)
	if err == nil {
		l.c.answered(l.e, n, len(got), counts)
		return got, nil
	}
	if faultOf(err).kind != unclear {
		return nil, err
	}
	l.refusal = err
	return nil, nil
}

// probe reports whether the endpoint takes the request, by one token of each choice.
func (l *lesson) probe(ctx context.Context, n int, t traits) (bool, error) {
	r := l.r
	r.Sampling.MaxTokens = 1
	_, _, err := l.c.attempt(ctx, l.e, r, n, t)
	if err != nil && faultOf(err).kind != unclear {
		return false, err
	}
	return err == nil, nil
}

// traitsOf returns what is known of an endpoint now.
func (c *Client) traitsOf(e *endpoint) traits {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return e.traits
}

// remember keeps the fields that an endpoint takes.
func (c *Client) remember(e *endpoint, t traits) {
	if c.traitsOf(e).same(t) {
		return
	}
	c.cfg.Log.Warn("endpoint does not take these request fields: they are left out from now on", "endpoint", e.shown, "fields", t.missing())
	c.pool.learn(e, func(now *traits) { now.without, now.newMax = t.without, t.newMax })
}

// answered keeps what an answer of got choices to a request for n taught about an endpoint.
func (c *Client) answered(e *endpoint, n, got int, counts counting) {
	c.pool.learn(e, func(now *traits) {
		if now.short++; got == n {
			now.short = 0
		}
		if now.short > 1 {
			now.n, now.short = min(now.n, got), 0
		}
		now.counts = counts
	})
}

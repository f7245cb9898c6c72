package openai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/lcbq/lcbq/worker/engine"
)

// Generate implements engine.Engine. It asks in as many requests as the
// endpoints' limits on choices make necessary, side by side, and repeats those
// that fail; the choices of a failed one are never used. A call's requests come before
// those of units that came later. No seed is sent: it would cost vLLM's sampler one kernel
// a sequence and step, and the samples would not be reproducible even so.
//
// What a call that failed had drawn is kept for the next one of the same samples: to draw
// it again would favour what is drawn without a fault.
func (c *Client) Generate(ctx context.Context, r engine.Request) ([]engine.Completion, error) {
	if r.N < 1 {
		return nil, fmt.Errorf("generate %d samples of question %q: %w", r.N, r.QuestionID, engine.ErrRejected)
	}
	all := c.kept.take(r)
	var missing []*slot
	for i := range all {
		if !all[i].drawn {
			missing = append(missing, &all[i])
		}
	}
	if r.Since.IsZero() {
		r.Since = time.Now()
	}
	if err := c.fill(ctx, r, missing, r.N); err != nil {
		if !errors.Is(err, engine.ErrRejected) {
			c.kept.put(r, all)
		}
		return nil, fmt.Errorf("generate question %q, samples %d to %d: %w", r.QuestionID, r.First, r.First+r.N-1, err)
	}
	out := make([]engine.Completion, len(all))
	for i := range all {
		out[i] = all[i].Completion
	}
	return out, nil
}

// A slot is the place of one sample. Redrawn is kept in it from before it is drawn.
type slot struct {
	engine.Completion
	drawn bool
}

// draw puts a completion in its place.
func (s *slot) draw(done engine.Completion) {
	done.Redrawn = s.Redrawn
	s.Completion, s.drawn = done, true
}

// lost notes that a completion for the place was broken off or refused.
func (s *slot) lost(cause string) {
	if s.Redrawn != "" {
		cause = s.Redrawn + ", " + cause
	}
	s.Redrawn = cause
}

// fill draws a sample for every place of dst, with at most so many in one request. When it
// returns, no request runs.
func (c *Client) fill(ctx context.Context, r engine.Request, dst []*slot, most int) error {
	n := min(most, c.pool.widest(greedy(r)))
	if len(dst) <= n {
		got, narrow, err := c.ask(ctx, r, dst)
		if err != nil {
			return err
		}
		if narrow {
			most = 1
		}
		if rest := dst[got:]; len(rest) > 0 {
			return c.fill(ctx, r, rest, most)
		}
		return nil
	}
	// A final failure ends the others: without all samples there are none. After any other
	// they go on, because what they draw is kept.
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
			if err := c.fill(ctx, r, part, most); err != nil {
				first.Do(func() { fail = err })
				if errors.Is(err, engine.ErrRejected) {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return fail
}

// greedy reports whether all samples of r are the same text.
func greedy(r engine.Request) bool { return r.Sampling.Temperature < 1e-5 }

// ask draws between 1 and all of dst, in their order, by one request that succeeded. Narrow
// says that the others are to be asked for one by one: the server refuses some texts, and
// with one of them all choices of a request are lost.
func (c *Client) ask(ctx context.Context, r engine.Request, dst []*slot) (got int, narrow bool, err error) {
	pat := patience{long: c.cfg.Patience}
	for breaks := 1; ; {
		want := len(dst)
		if narrow {
			want = 1
		}
		e, n, t, err := c.pool.take(ctx, r.Since, want, greedy(r), &pat)
		if err != nil {
			return 0, narrow, err
		}
		began := time.Now()
		all, err := c.converse(ctx, e, r, n, t)
		if ctx.Err() != nil {
			c.pool.back(e, n)
			return 0, narrow, context.Cause(ctx)
		}
		c.settle(e, n, began, err)
		if err == nil {
			return put(dst, all), narrow, nil
		}
		f := faultOf(err)
		err = fmt.Errorf("%s: %w", e.shown, err)
		switch f.kind {
		case rejected:
			return 0, narrow, fmt.Errorf("%w: %w", engine.ErrRejected, err)
		case unclear:
			return 0, narrow, fmt.Errorf("%w: %w", engine.ErrRefused, err)
		case busy, refused: // take says so when no other endpoint is left
		case broken, ofText:
			again := breaks < c.cfg.Attempts
			byText := f.kind == ofText || !again && n == 1 && c.readsOthers(ctx, e, r, f)
			if byText && n == 1 && !r.Redraw {
				c.told.Do(func() {
					c.cfg.Log.Warn("the server refuses texts that the model wrote: these count as failed", "endpoint", e.shown, "err", err)
				})
				dst[0].draw(engine.Completion{FinishReason: "refused"})
				return 1, narrow, nil
			}
			for _, s := range dst[:n] {
				s.lost(f.why())
			}
			narrow = narrow || n > 1 && (byText || f.code == http.StatusInternalServerError && breaks > 1)
			switch {
			case byText && n > 1: // the others of the request are not at fault
			case !again:
				return 0, narrow, fmt.Errorf("%d attempts: %w", breaks, err)
			default:
				breaks++
			}
		}
	}
}

// put draws the choices of an answer into the first places of dst, and returns how many. Those that the
// server gave up are left out, and noted with the places that come next: these are drawn again, and the
// others stay as they are.
func put(dst []*slot, all []engine.Completion) int {
	n := 0
	for _, one := range all {
		if !abandoned(one.FinishReason) {
			dst[n].draw(one)
			n++
		}
	}
	for _, s := range dst[n:len(all)] {
		s.lost(givenUp)
	}
	return n
}

// readsOthers reports whether an endpoint that broke a request over and over with an error
// of its own gives a token for the same prompt: then the texts are what it cannot read.
func (c *Client) readsOthers(ctx context.Context, e *endpoint, r engine.Request, f *fault) bool {
	if f.code != http.StatusInternalServerError {
		return false
	}
	r.Sampling.MaxTokens = 1
	_, _, err := c.attempt(ctx, e, r, 1, c.traitsOf(e))
	return err == nil
}

// settle judges an endpoint by an attempt, and gives it back.
func (c *Client) settle(e *endpoint, n int, began time.Time, err error) {
	if rest := c.pool.judge(e, began, err); rest > 0 {
		c.cfg.Log.Warn("endpoint fails: it is asked nothing for a while", "endpoint", e.shown, "for", rest.Round(time.Millisecond), "err", err)
	}
	c.pool.back(e, n)
}

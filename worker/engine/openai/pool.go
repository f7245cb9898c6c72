package openai

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// firstEject is how long an endpoint is asked nothing (it rests) after a fault. It
	// doubles with every further fault, up to mostEject. The first is short because most
	// faults are one cut connection among many good ones.
	firstEject = 100 * time.Millisecond
	mostEject  = 30 * time.Second
	// refusedFor is how long an endpoint that a person must mend is left alone.
	refusedFor = time.Minute
)

// An endpoint is one server. Everything below mu of its pool is guarded by it.
type endpoint struct {
	address
	http *http.Client

	busy  int       // samples asked for at this moment
	fails int       // faults since the last good answer
	until time.Time // it rests until then
	last  error     // why it rests
	dead  error     // not nil while it rests because only a person can mend it
	traits

	// learning holds a token while a request finds out what the endpoint does not take.
	learning chan struct{}
}

// Traits are what was found out about an endpoint.
type traits struct {
	n       int             // most choices it gives for one request
	short   int             // answers in a row with fewer choices than asked for
	counts  counting        // how exact token counts are had
	without map[string]bool // fields it refused; never written to, only replaced
	newMax  bool            // it wants max_completion_tokens for max_tokens
}

// counting says how an endpoint tells the tokens of a choice.
type counting uint8

const (
	unknown  counting = iota // not asked yet
	byIDs                    // it returns the ids of each choice's tokens
	byAnswer                 // it counts whole answers: exact for one choice only
)

// A pool hands out endpoints: the least busy one that does not rest. The requests of an
// older unit come before those of a younger one, also when they are repeated: a slow server
// then completes units one after the other, not all of them at the end.
type pool struct {
	mu      sync.Mutex
	ends    []*endpoint
	next    int       // where the search begins, so that equals take turns
	waiting []*waiter // oldest unit first; the first of them has the next free endpoint
	most    int       // samples in flight at one endpoint
}

// patience is how long a request still waits while all endpoints are left alone after
// faults. Its clock starts when none is in use, and starts again after one has worked.
type patience struct {
	long  time.Duration
	since time.Time
}

// left returns what is left of it and starts the clock if need be.
func (p *patience) left(now time.Time) time.Duration {
	if p.since.IsZero() {
		p.since = now
	}
	return p.long - now.Sub(p.since)
}

// take waits for an endpoint with room for up to want samples of a request whose unit
// came at the given time, and returns it with the number it has room for, its traits, and its hold taken.
// It returns an error when ctx or the patience ends, or when every endpoint
// waits for a person.
func (p *pool) take(ctx context.Context, since time.Time, want int, greedy bool, pat *patience) (*endpoint, int, traits, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.enter(since)
	defer p.leave(w)
	for {
		best, n, wake, last := p.pick(want, greedy, time.Now())
		if best != nil && p.waiting[0] == w {
			best.busy += n
			p.next++
			return best, n, best.traits, nil
		}
		if dead := p.dead(time.Now()); dead != nil {
			return nil, 0, traits{}, dead
		}
		if last != nil { // nobody works on it: all rest
			left := pat.left(time.Now())
			if left <= 0 {
				return nil, 0, traits{}, fmt.Errorf("no endpoint works for %v: %w", pat.long, last)
			}
			wake = min(wake, left)
		} else {
			pat.since = time.Time{}
		}
		p.mu.Unlock()
		err := wait(ctx, w.woken, wake)
		p.mu.Lock()
		if err != nil {
			return nil, 0, traits{}, err
		}
	}
}

// pick finds the best endpoint. Where there is none it returns how long to wait
// at most and, if all rest, why one of them does.
func (p *pool) pick(want int, greedy bool, now time.Time) (best *endpoint, n int, wake time.Duration, last error) {
	wake = mostEject
	working := false
	for i := range p.ends {
		e := p.ends[(p.next+i)%len(p.ends)]
		if rest := e.until.Sub(now); rest > 0 {
			wake = min(wake, rest)
			last = e.last
			continue
		}
		working = true
		k := min(want, e.mostChoices(greedy))
		if e.busy > 0 && e.busy+k > p.most {
			continue
		}
		if best == nil || e.busy < best.busy {
			best, n = e, k
		}
	}
	if working {
		last = nil
	}
	return best, n, wake, last
}

// dead returns an error if every endpoint waits for a person.
func (p *pool) dead(now time.Time) error {
	for _, e := range p.ends {
		if e.dead == nil || !e.until.After(now) {
			return nil
		}
	}
	return p.ends[0].dead
}

// mostChoices returns how many choices to ask for at most.
func (t traits) mostChoices(greedy bool) int {
	// One choice where more would be the same text over again, which vLLM
	// refuses, or where the server's count could not be told apart.
	if greedy || t.counts != byIDs {
		return 1
	}
	return t.n
}

// back returns an endpoint's hold on n samples and wakes those who wait.
func (p *pool) back(e *endpoint, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.busy -= n
	p.wakeFirst()
}

// held returns how many samples are asked for at this moment.
func (p *pool) held() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, e := range p.ends {
		n += e.busy
	}
	return float64(n)
}

// wake ends all rests.
func (p *pool) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.ends {
		e.fails, e.until, e.last, e.dead = 0, time.Time{}, nil, nil
	}
	p.wakeAll()
}

// judge decides by the outcome of an attempt that began at the given time
// whether the endpoint rests, and returns how long if that is new.
func (p *pool) judge(e *endpoint, began time.Time, err error) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if err == nil {
		e.fails, e.until, e.last, e.dead = 0, time.Time{}, nil, nil
		return 0
	}
	f := faultOf(err)
	if f.kind == rejected || f.kind == unclear || f.kind == ofText {
		return 0 // it works: it said no
	}
	if f.kind != refused && began.Before(e.until) {
		return 0 // the same outage, seen by another request that it cut off
	}
	e.last, e.dead = err, nil
	rest := min(firstEject<<min(e.fails, 20), mostEject)
	e.fails++
	switch {
	case f.kind == refused:
		e.dead, rest = err, refusedFor
	case f.after > 0:
		rest = f.after
	}
	// Each rest is longer by another random part, so that waiting clients do not
	// all come back at once.
	rest += rand.N(rest/4 + 1)
	e.until = now.Add(rest)
	p.wakeAll() // the patience of each may have begun
	return rest
}

// learn replaces what is known about an endpoint.
func (p *pool) learn(e *endpoint, change func(*traits)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&e.traits)
}

// widest returns the most choices that any endpoint gives for one request.
func (p *pool) widest(greedy bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 1
	for _, e := range p.ends {
		n = max(n, e.mostChoices(greedy))
	}
	return n
}

// wait blocks until the waiter is woken, the time is over or ctx is done.
func wait(ctx context.Context, woken <-chan struct{}, long time.Duration) error {
	t := time.NewTimer(long)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-woken:
	case <-t.C:
	}
	return nil
}

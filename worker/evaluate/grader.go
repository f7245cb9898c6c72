// Package evaluate turns samples into verdicts: it runs each distinct program
// once in the sandbox, lets the judge compare what it printed or returned, and
// remembers the answer. A Grader needs no server; a Worker grades the units of
// EVALUATE. Neither knows where samples come from or where verdicts go.
package evaluate

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// ErrFault marks a failure of ours: the sandbox, not the program. The sample is
// judged again; it is never counted.
var ErrFault = errors.New("judge fault")

// Config says how and where a Grader judges.
type Config struct {
	Sandbox sandbox.Config
	Slots   int // programs judged at once, at least 1
	Log     *slog.Logger
}

// A Grader judges samples. It is safe for concurrent use. Close it.
type Grader struct {
	host   *sandbox.Host
	pool   *pool
	cache  *cache
	flight singleflight.Group
	cached atomic.Int64
	ran    atomic.Int64
	near   atomic.Int64

	// quiet is held for reading while a program runs, and for writing while one is
	// run alone.
	quiet sync.RWMutex
}

// NewGrader probes the host and starts the slots. Its error says what is missing
// and how to get it.
func NewGrader(ctx context.Context, cfg Config) (*Grader, error) {
	host, err := sandbox.Probe(ctx, cfg.Sandbox)
	if err != nil {
		return nil, err
	}
	p, err := newPool(host, cfg.Slots)
	if err != nil {
		return nil, err
	}
	return &Grader{host: host, pool: p, cache: newCache(cacheGeneration)}, nil
}

// Close stops the slots. No process of the grader is left when it has returned.
func (g *Grader) Close() error { return g.pool.close() }

// Host returns the sandbox the grader judges in.
func (g *Grader) Host() *sandbox.Host { return g.host }

// Limit makes the grader run at most n programs at once from now on, and those that start from now
// on on the processors, nil for all. There is no limit but Config.Slots at first.
func (g *Grader) Limit(n int, cpus []int) {
	g.host.Pin(cpus)
	g.pool.gate.Limit(n)
}

// Counts returns how many programs were run, and how many samples were answered
// from memory.
func (g *Grader) Counts() (ran, cached int64) { return g.ran.Load(), g.cached.Load() }

// Rejudged returns how many programs ended near the time limit and were run once
// more, alone.
func (g *Grader) Rejudged() int64 { return g.near.Load() }

// Judge returns the judgement of one sample, and whether it was known already.
// Identical programs of a question are run once, also when they arrive at the
// same time. Its error wraps ErrFault unless ctx is done.
func (g *Grader) Judge(ctx context.Context, q *Question, s stream.Sample) (j stream.Judgement, known bool, err error) {
	if j, decided := withoutRunning(s); decided {
		return j, false, nil
	}
	key := cacheKey{question: q.Digest, program: sha256.Sum256([]byte(s.Code))}
	if j, ok := g.cache.get(key); ok {
		g.cached.Add(1)
		return j, true, nil
	}
	for {
		ran := false
		v, err, _ := g.flight.Do(key.String(), func() (any, error) {
			if j, ok := g.cache.get(key); ok { // a run of it ended since we looked
				return j, nil
			}
			ran = true
			j, err := g.run(ctx, q, s.Code)
			if err == nil {
				g.cache.put(key, j)
			}
			return j, err
		})
		if err == nil {
			if !ran {
				g.cached.Add(1)
			}
			j, _ = v.(stream.Judgement) // the function above returns nothing else
			return j, !ran, nil
		}
		if ran || ctx.Err() != nil || errors.Is(err, ErrFault) {
			return stream.Judgement{}, false, err
		}
		// The caller whose run this one waited for was told to stop; this one was not.
	}
}

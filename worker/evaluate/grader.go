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
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// ErrFault marks a failure of the sandbox, not of the program. The sample is judged again
// and never counted.
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
	unsure atomic.Int64
	quiet  *quiet
	shared *shared // nil if nothing is shared
	forms  *forms  // nil if every program is judged by its text

	fingerprint string // of the host's environment

	turns atomic.Int64 // handed out so far

	// others is held for reading while a program runs, and for writing while a program must
	// run alone. rest holds the time from which the next program may run alone.
	others sync.RWMutex
	rest   chan time.Time

	yard    *yard
	stretch func(t *trial) sandbox.Stretch // a strain's, for one run; another in tests

	fault func(code string) error // stands for a failure of the sandbox; for tests
}

// NewGrader probes the host and starts the slots. Its error says what is missing
// and how to get it.
func NewGrader(ctx context.Context, cfg Config) (*Grader, error) {
	cfg.Sandbox.Slots = cfg.Slots
	host, first, err := sandbox.Open(ctx, cfg.Sandbox)
	if err != nil {
		return nil, err
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p, err := newPool(ctx, host, first, cfg.Slots, log)
	if err != nil {
		return nil, err
	}
	return newGraderOn(host, p, log)
}

// newGraderOn returns a grader that judges in the pool's slots.
func newGraderOn(host *sandbox.Host, p *pool, log *slog.Logger) (*Grader, error) {
	machine, err := cores.Here()
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	first := p.next
	q := newQuiet(host, machine, first+1)
	q.base = host.CPUs()
	// Slots that come later are numbered after those of the forms and of every quiet core.
	p.next = first + 1 + len(machine.CPUs)
	g := &Grader{
		host: host, pool: p, quiet: q, cache: newCache(cacheGeneration), rest: make(chan time.Time, 1),
		fingerprint: host.Environment().Digest(),
	}
	g.yard = newYard(machine.Cores())
	g.stretch = g.strained
	if host.Environment().NormalForm {
		g.forms = newForms(host, first, log)
	}
	g.rest <- time.Time{}
	return g, nil
}

// Close stops the slots. No process of the grader is left when it has returned.
func (g *Grader) Close() error { return errors.Join(g.pool.close(), g.quiet.close(), g.forms.close()) }

// Calm measures how fast this host is before anything is judged: a tenth of a second, by which the slowdown of
// programs is measured from then on. Its error says that only programs will show it.
func (g *Grader) Calm() error { return g.yard.begin() }

// Host returns the sandbox the grader judges in.
func (g *Grader) Host() *sandbox.Host { return g.host }

// Limit sets how many programs run at once, at most as many as there is room for. Programs that start from
// now on run on the processors cpus; nil is all.
func (g *Grader) Limit(n int, cpus []int) {
	g.quiet.limit(cpus)
	g.pool.limit(n)
}

// Counts returns how many programs were run, and how many samples the cache answered.
func (g *Grader) Counts() (ran, cached int64) { return g.ran.Load(), g.cached.Load() }

// ServerCPU returns the processor time that the fork servers of all slots have used, their
// programs' not counted. It may be called only while no program runs.
func (g *Grader) ServerCPU() (time.Duration, error) {
	var sum time.Duration
	for _, s := range g.pool.slots() {
		used, err := s.ServerCPU()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// Rejudged returns how many programs ended near the time limit and were run once
// more, alone.
func (g *Grader) Rejudged() int64 { return g.near.Load() }

// Unsure returns how many programs ended beyond the time limit twice, the second time beside
// others too, because too many waited to be run alone. Their details say so.
func (g *Grader) Unsure() int64 { return g.unsure.Load() }

// Judge returns the judgement of one sample, and whether it was known already.
// Identical programs of a question are run once, also when they arrive at the same time, and
// slow ones that differ in comments, docstrings and layout only, unless their outcome depends
// on chance: then each is run, as the official runner does it. Its error wraps ErrFault unless
// ctx is done.
func (g *Grader) Judge(ctx context.Context, q *Question, s stream.Sample) (j stream.Judgement, known bool, err error) {
	return g.judgeIn(ctx, g.turn(), q, s)
}

// turn returns the turn of what has come just now: all that came before goes first.
func (g *Grader) turn() turn { return turn(g.turns.Add(1)) }

// judgeIn is Judge in a turn.
func (g *Grader) judgeIn(ctx context.Context, turn turn, q *Question, s stream.Sample) (j stream.Judgement, known bool, err error) {
	if j, decided := withoutRunning(s); decided {
		return j, false, nil
	}
	key := cacheKey{question: q.key(), program: sha256.Sum256([]byte(s.Code))}
	for {
		f, ok := g.cache.get(key)
		switch {
		case ok && !f.chance:
			g.cached.Add(1)
			return f.Judgement, true, nil
		case ok:
			f, err := g.run(ctx, &trial{q: q, code: s.Code, turn: turn, asked: true})
			return f.Judgement, false, err
		}
		ran := false
		v, err, _ := g.flight.Do(key.String(), func() (any, error) {
			if f, ok := g.cache.get(key); ok { // another run of the program has ended meanwhile
				return f, nil
			}
			ran = true
			f, err := g.run(ctx, &trial{q: q, code: s.Code, turn: turn, asked: g.forms == nil})
			if err == nil {
				g.cache.put(key, f)
			}
			return f, err
		})
		f, _ = v.(finding) // the function above returns no other type
		switch {
		case ran, err == nil && !f.chance:
			if !ran || f.known {
				g.cached.Add(1)
			}
			return f.Judgement, !ran || f.known, err
		case err == nil: // a draw of another copy
		case ctx.Err() != nil, errors.Is(err, ErrFault):
			return stream.Judgement{}, false, err
		}
		// The error may also be of another caller: this one waited for that caller's run, and
		// only that caller was told to stop.
	}
}

// Package sim is a simulated model for the built-in problems: it draws answers
// from a fixed pool, so that the true pass probability at every temperature is
// known in closed form. It asks no model and says nothing about any; everything
// it makes is marked as simulated.
package sim

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lcbq/lcbq/worker/engine"
)

// Config says how the simulated model behaves. The zero value is ready.
type Config struct {
	// TPS is how many tokens a second the engine makes, all requests together.
	// 0 means as fast as it can; negative is refused.
	TPS float64
	// Unique is the share of programs, 0 to 1, that are made different from every
	// other by a comment. Without it the few programs of the pool come again and
	// again, as those of a model at a low temperature do.
	Unique float64
}

// An Engine is a simulated model. Its samples depend on the run's seed, the
// question, the temperature and the sample's index, and on nothing else: not on
// how samples are cut into requests, nor on time or Config.TPS. Of the sampling
// settings it heeds the temperature alone.
type Engine struct {
	cfg     Config
	pools   map[string]pool
	version string

	mu   sync.Mutex // guards free
	free time.Time  // when the tokens promised so far will have been made
}

var _ engine.Engine = (*Engine)(nil)

// New returns a simulated model.
func New(cfg Config) (*Engine, error) {
	if !(cfg.TPS >= 0) || math.IsInf(cfg.TPS, 0) {
		return nil, fmt.Errorf("tokens per second = %v, want 0 or more", cfg.TPS)
	}
	if !(cfg.Unique >= 0 && cfg.Unique <= 1) {
		return nil, fmt.Errorf("share of unique programs = %v, want 0 to 1", cfg.Unique)
	}
	loaded := load()
	return &Engine{cfg: cfg, pools: loaded.pools, version: loaded.version}, nil
}

// Info says that this is a simulation. The version changes with the pool.
func (e *Engine) Info() engine.Info {
	return engine.Info{Name: "sim", Model: "simulated", Version: e.version, Simulated: true}
}

// Generate draws the samples of the request. It returns an error that wraps
// engine.ErrRejected for a question that is not built in.
func (e *Engine) Generate(ctx context.Context, r engine.Request) ([]engine.Completion, error) {
	pool, err := lookUp(e.pools, r.QuestionID)
	if err != nil {
		return nil, err
	}
	if t := r.Sampling.Temperature; !(t >= 0) || math.IsInf(t, 0) {
		return nil, fmt.Errorf("temperature = %v, want 0 or more: %w", t, engine.ErrRejected)
	}
	if r.N < 1 || r.First < 0 {
		return nil, fmt.Errorf("%d samples from %d on: %w", r.N, r.First, engine.ErrRejected)
	}
	shares := pool.shares(r.Sampling.Temperature)
	out := make([]engine.Completion, r.N)
	tokens := 0
	for i := range out {
		if i%1000 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		out[i] = e.draw(pool, shares, r, r.First+i)
		tokens += out[i].Tokens
	}
	if err := e.pace(ctx, tokens); err != nil {
		return nil, err
	}
	return out, nil
}

// maxPace bounds the time of one request, so that no rate overflows a duration.
const maxPace = 10000 * time.Hour

// pace waits until the engine would have made so many more tokens.
func (e *Engine) pace(ctx context.Context, tokens int) error {
	if e.cfg.TPS == 0 {
		return nil
	}
	e.mu.Lock()
	now := time.Now()
	if e.free.Before(now) {
		e.free = now
	}
	seconds := min(float64(tokens)/e.cfg.TPS, maxPace.Seconds())
	e.free = e.free.Add(time.Duration(seconds * float64(time.Second)))
	wait := e.free.Sub(now)
	e.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// draw makes one sample. Everything random about it is drawn in a fixed order,
// so that a setting changes nothing but what it is for.
func (e *Engine) draw(p pool, shares []float64, r engine.Request, index int) engine.Completion {
	random := source(r.Seed, r.QuestionID, r.Sampling.Temperature, index)
	prog := p[pick(shares, random.Float64())]
	opening, closing := openings[random.IntN(len(openings))], closings[random.IntN(len(closings))]
	unique := random.Float64() < e.cfg.Unique

	c := engine.Completion{FinishReason: "stop"}
	switch prog.class {
	case NoCode:
		c.Text = prog.body
	case Truncated:
		c.Text = opening + "\n\n```python\n" + strings.TrimRight(prog.body, "\n")
		c.FinishReason = "length"
	default:
		code := prog.body
		if unique {
			code += fmt.Sprintf("# sample %d at temperature %s\n", index, strconv.FormatFloat(r.Sampling.Temperature, 'g', -1, 64))
		}
		c.Text = opening + "\n\n```python\n" + code + "```\n\n" + closing
	}
	c.Tokens = countTokens(c.Text)
	return c
}

// source returns the randomness of one sample. ChaCha8 and SHA-256 are the same
// for ever, so a sample can be drawn again years later.
func source(seed uint64, question string, temperature float64, index int) *rand.Rand {
	b := []byte("lcbq sim 1\x00")
	b = binary.BigEndian.AppendUint64(b, seed)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(temperature+0)) // -0 is 0
	b = binary.BigEndian.AppendUint64(b, uint64(index))                   // never negative
	return rand.New(rand.NewChaCha8(sha256.Sum256(append(b, question...))))
}

// pick returns the place of the share that u, in [0, 1), falls into.
func pick(shares []float64, u float64) int {
	last := 0
	for i, share := range shares {
		if share == 0 {
			continue
		}
		if u < share {
			return i
		}
		u -= share
		last = i
	}
	return last // the shares sum up to 1 but for rounding
}

// bytesPerToken is what code in English comes to with the usual vocabularies.
const bytesPerToken = 3.5

func countTokens(text string) int { return int(math.Ceil(float64(len(text)) / bytesPerToken)) }

// What models say around a program. None of it holds a fence.
var (
	openings = [...]string{
		"Here is a solution to the problem.",
		"To solve this, we follow the statement step by step and keep track of what is needed.",
		"Let's think about what has to be computed, and then write it down directly.",
		"The constraints are small enough for a direct approach. Here's the code:",
	}
	closings = [...]string{
		"This solution handles all the cases of the statement within the limits.",
		"The program follows the examples and runs fast enough for the given constraints.",
		"Let me know if you would like an explanation of any step!",
		"Each step takes constant or logarithmic time, so it is well within the limits.",
	}
)

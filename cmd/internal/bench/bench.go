// Package bench measures lcbq itself: how many tokens a second its queue carries
// from generators to files. It measures no model and judges nothing: samples are
// simulated and verdicts are placeholders, which never leave its temporary folder.
package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/bench/spent"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/sim"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/sample"
)

// Config says what load to put on the queue.
type Config struct {
	GPUs     int           // simulated, at least 1
	TPS      float64       // tokens a second of each; 0 is unpaced
	Length   time.Duration // that one run is to take at that pace, or at unpacedTPS; about
	UnitSize int           // samples of a message
	// HTTP generates by asking an endpoint of each GPU, which answers at the GPU's pace, instead of
	// in the process.
	HTTP bool
	Dir  string // where the temporary folder is made; "" is the system's place for such
	Log  *slog.Logger
}

// unpacedTPS is the pace in tokens a second by which the size of an unpaced run
// is chosen. How long it takes is what it measures.
const unpacedTPS = 800_000

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, name string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("--%s = %v: want %s", name, value, want))
		}
	}
	check(c.GPUs >= 1 && c.GPUs <= 64, "gpus", c.GPUs, "1 to 64")
	check(c.TPS >= 0 && !math.IsInf(c.TPS, 0), "tps", c.TPS, "0 or more")
	check(c.Length >= time.Second && c.Length <= time.Hour, "length", c.Length, "1s to 1h")
	check(c.UnitSize >= 1 && c.UnitSize <= 10_000, "unit-size", c.UnitSize, "1 to 10000")
	return errors.Join(errs...)
}

// A Result is one run through the queue.
type Result struct {
	Samples int     `json:"samples"`
	Tokens  int64   `json:"tokens"`
	Seconds float64 `json:"seconds"` // from the first unit begun to the last cell on disk
	// TPS is completion tokens a second over those seconds.
	TPS float64 `json:"tokens_per_s"`
	// GenerateTPS is completion tokens a second from the first unit begun to the
	// last one generated; generators that wait for the queue bring it down.
	GenerateTPS float64 `json:"generate_tokens_per_s"`
	// CPU is the processor time of each stage, from the first unit handed out to the last cell on disk.
	CPU []spent.Stage `json:"cpu"`
	// Profile is what CPU is from, as 'go tool pprof' reads it.
	Profile []byte `json:"-"`
	// Idle is the share of the generators' time, 0 to 1, in which they made no token
	// though they could have; 0 for an unpaced run.
	Idle float64 `json:"idle"`
}

// Queue sends one simulated run through a server of its own: generators, a null
// judge and the combiner do with every message what the real ones do, but no
// program is run. What it wrote is gone when it returns.
func Queue(ctx context.Context, cfg Config) (Result, error) {
	if err := cfg.Validate(); err != nil {
		return Result{}, err
	}
	dir, err := os.MkdirTemp(cfg.Dir, "lcbq-bench-")
	if err != nil {
		return Result{}, fmt.Errorf("make folder for the benchmark: %w\nname another place with --dir", err)
	}
	r, err := measure(ctx, cfg, dir)
	return r, errors.Join(err, os.RemoveAll(dir))
}

func measure(ctx context.Context, cfg Config, dir string) (Result, error) {
	h, err := startHost(filepath.Join(dir, "store"), cfg.Log) //nolint:contextcheck // the server outlives every context until it is closed
	if err != nil {
		return Result{}, err
	}
	r, err := h.measure(ctx, cfg, filepath.Join(dir, "results"))
	return r, errors.Join(err, h.close())
}

// temperatures are those of the default sweep.
func temperatures() []stream.Temperature {
	var ts []stream.Temperature
	for tenths := 1; tenths <= 16; tenths++ {
		t, err := stream.ParseTemperature(fmt.Sprintf("%d.%d", tenths/10, tenths%10))
		if err != nil {
			panic(err) // the texts are constants
		}
		ts = append(ts, t)
	}
	return ts
}

// questions is how many of the built-in questions a run has. Few, so that its
// cells hold many samples, as those of a long sweep do.
const questions = 2

// manifest defines a run whose samples make up about cfg.Length at cfg's pace.
func manifest(ctx context.Context, cfg Config, dir string) (*store.Manifest, error) {
	problems := sample.Problems()
	m := &store.Manifest{
		ID: "bench", LCBQ: "bench", OutputDir: dir, Temperatures: temperatures(), UnitSize: cfg.UnitSize,
		Problems: store.ProblemSet{Name: "sample", Digest: lcb.Digest(problems), Count: len(problems)},
		Model:    store.Model{Engine: stream.EngineSim, TopP: 1, MaxTokens: 500, Prompt: "lcb", Extract: "lcb", SimUnique: 1},
		// No command line can ask for this mode, and the null judge serves no other.
		Judge: store.Judge{Mode: nullMode},
	}
	mean := float64(endpointTokens)
	if cfg.HTTP {
		m.Model.Engine, m.Model.Name, m.Model.SimUnique = stream.EngineOpenAI, endpointModel, 0
	} else {
		e, err := newEngine(0)
		if err != nil {
			return nil, err
		}
		m.Model.Name = e.Info().Model
		if mean, err = meanTokens(ctx, e, m, problems); err != nil {
			return nil, err
		}
	}
	pace := cfg.TPS * float64(cfg.GPUs)
	if pace == 0 {
		pace = unpacedTPS
	}
	cells := float64(questions * len(m.Temperatures))
	n := max(int(pace*cfg.Length.Seconds()/mean/cells), cfg.UnitSize)
	n -= n % cfg.UnitSize
	for i, p := range problems[:questions] {
		m.Questions = append(m.Questions, store.Question{Index: i, ID: p.ID, Title: p.Title, Cuts: []int{n}})
	}
	return m, nil
}

// newEngine returns one simulated model. Every program is unique, so that
// compressing them is as much work as it is with a real one.
func newEngine(tps float64) (*sim.Engine, error) { return sim.New(sim.Config{TPS: tps, Unique: 1}) }

// meanTokens returns the mean length of the run's samples in tokens.
func meanTokens(ctx context.Context, e *sim.Engine, m *store.Manifest, problems []*lcb.Problem) (float64, error) {
	const each = 50
	tokens, samples := 0, 0
	for _, p := range problems[:questions] {
		for _, t := range m.Temperatures {
			got, err := e.Generate(ctx, engine.Request{QuestionID: p.ID, N: each, Sampling: engine.Sampling{Temperature: t.Float(), TopP: 1, MaxTokens: 500}})
			if err != nil {
				return 0, err
			}
			for _, c := range got {
				tokens += c.Tokens
			}
			samples += each
		}
	}
	return float64(tokens) / float64(samples), nil
}

// Median returns the run of rs with the median pace; the lower of the two in the
// middle. It panics if there is none.
func Median(rs []Result) Result {
	rs = slices.Clone(rs)
	slices.SortFunc(rs, func(a, b Result) int { return int(math.Copysign(1, a.TPS-b.TPS)) })
	return rs[(len(rs)-1)/2]
}

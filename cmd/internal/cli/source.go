package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/engine/replay"
	"github.com/lcbq/lcbq/worker/engine/sim"
	"github.com/lcbq/lcbq/worker/lcb"
)

// A source is where a run's samples come from: one engine that all generators of
// this process share, or one each. Those of vLLM come from a fleet.
type source struct {
	modelName string
	recorded  *replay.Engine // with --engine replay
	attached  *openai.Client // with --engine openai
	each      func() (engine.Engine, error)
}

// newSource opens the engine that cfg names, checked: a dead endpoint, a wrong key
// and a broken recording are said before any work starts. m holds the sampling
// settings of the run.
func newSource(ctx context.Context, cfg config.Model, m store.Model, log *slog.Logger) (*source, error) {
	switch m.Engine {
	case "replay":
		e, err := replay.Load(cfg.Completions)
		if err != nil {
			return nil, err
		}
		return &source{modelName: e.Info().Model, recorded: e, each: func() (engine.Engine, error) { return e, nil }}, nil
	case "openai":
		c, err := openai.New(openai.Config{
			Endpoints: cfg.Endpoint, Key: cfg.APIKey, Model: m.Name, Completions: rawPrompt(m), Log: log,
		})
		if err != nil {
			return nil, err
		}
		if err := c.Check(ctx); err != nil {
			c.Close()
			return nil, err
		}
		return &source{modelName: c.Info().Model, attached: c, each: func() (engine.Engine, error) { return c, nil }}, nil
	case "vllm": // a run can be defined on a machine without it
		return &source{modelName: m.Name}, nil
	case "sim":
		one := func() (engine.Engine, error) {
			return sim.New(sim.Config{Unique: m.SimUnique, TPS: cfg.SimTPS})
		}
		e, err := one()
		if err != nil {
			return nil, err
		}
		return &source{modelName: e.Info().Model, each: one}, nil
	default:
		return nil, fmt.Errorf("the run wants engine %q, which this lcbq does not know\nuse the lcbq that made the run", m.Engine)
	}
}

func (s *source) close() error {
	if s.attached != nil {
		s.attached.Close()
	}
	if s.recorded != nil {
		return s.recorded.Close()
	}
	return nil
}

// rawPrompt reports whether the run's prompts are texts, not messages.
func rawPrompt(m store.Model) bool {
	probe := &lcb.Problem{ID: "probe", Content: "probe"}
	if m.Template != "" {
		t, err := lcb.ParseTemplate("prompt template", m.Template)
		if err != nil {
			return false
		}
		p, err := t.Render(probe)
		return err == nil && p.Raw != ""
	}
	return lcb.PromptStyle(m.Prompt).Render(probe).Raw != ""
}

// covers reports the first recorded question that the problem set does not have.
func (s *source) covers(problems []*lcb.Problem, file, set string) error {
	if s.recorded == nil {
		return nil
	}
	known := make(map[string]bool, len(problems))
	for _, p := range problems {
		known[p.ID] = true
	}
	for _, id := range s.recorded.IDs() {
		if !known[id] {
			return fmt.Errorf("completions %s: question_id %q is not in the problem set %s\nname the problem set that the completions were made for with --problems", file, id, set)
		}
	}
	return nil
}

// How an attached server is kept full: how often its metrics are read, and the most
// samples that one endpoint is asked for at once, twice the batch of a large server.
const (
	attendEvery  = time.Second
	attachedMost = 1024
)

// inFlight returns how many units one generator works on at once. An attached
// server batches more samples than a small unit holds; a unit beyond those in
// flight is ready when one ends.
func (s *source) inFlight(asked, unitSize int) int {
	if asked > 0 {
		return asked
	}
	if s.attached != nil {
		return s.attached.Endpoints()*attachedMost/unitSize + 2
	}
	return 2
}

// attend keeps attached servers full by their own metrics until ctx is done. Where
// one has none, as hosted endpoints, all keep the number that they began with, and
// are not asked again.
func (s *source) attend(ctx context.Context, log *slog.Logger) {
	if s.attached == nil {
		return
	}
	if _, err := s.attached.Load(ctx); err != nil {
		if ctx.Err() == nil {
			log.Info("endpoint tells no metrics, its samples in flight stay as they are", "in_flight", s.attached.InFlight(), "err", err)
		}
		return
	}
	s.attached.Adapt(ctx, attendEvery, attachedMost)
}

var errNoRun = errors.New("no run on this server")

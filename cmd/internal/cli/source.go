package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
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
// settings of the run, asks what its requests ask for, recording what a file of completions leaves open.
func newSource(ctx context.Context, cfg config.Source, pace config.Pace, m store.Model, asks openai.Asks, recording replay.Options, log *slog.Logger) (*source, error) {
	cfg, err := cfg.Resolved()
	if err != nil {
		return nil, usageError{err}
	}
	switch m.Engine {
	case stream.EngineReplay:
		e, err := replay.Load(cfg.Completions, recording)
		if err != nil {
			return nil, unknownQuestion(err)
		}
		return &source{modelName: e.Info().Model, recorded: e, each: func() (engine.Engine, error) { return e, nil }}, nil
	case stream.EngineOpenAI:
		c, err := openai.New(openai.Config{
			Endpoints: cfg.Endpoint, Key: cfg.APIKey, Model: m.Name, Completions: rawPrompt(m), Asks: asks, Log: log,
		})
		if err != nil {
			return nil, err
		}
		if err := c.Check(ctx); err != nil {
			c.Close()
			return nil, err
		}
		return &source{modelName: c.Info().Model, attached: c, each: func() (engine.Engine, error) { return c, nil }}, nil
	case stream.EngineVLLM, stream.EngineLlama: // a run can be defined on a machine without it
		return &source{modelName: m.Name}, nil
	case stream.EngineSim:
		one := func() (engine.Engine, error) {
			return sim.New(sim.Config{Unique: m.SimUnique, TPS: pace.SimTPS})
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

// asksOf returns what a run's requests ask for: prompts of which the longest are known, and at most so many
// choices at once.
func asksOf(m store.Model, longest []engine.Request, choices int) openai.Asks {
	return openai.Asks{
		System: systemPrompt(m), MaxTokens: m.MaxTokens, Prompts: longest, Choices: choices,
		Sampling: engine.Sampling{TopP: m.TopP, TopK: m.TopK, MinP: m.MinP, Stop: m.Stop},
	}
}

// asksOfRun is asksOf for a run that was submitted elsewhere.
func asksOfRun(ctx context.Context, s *store.Store, m *store.Manifest) (openai.Asks, error) {
	longest, err := storedPrompts(ctx, s, m)
	if err != nil {
		return openai.Asks{}, err
	}
	most := 0
	for _, q := range m.Questions {
		most = max(most, q.N())
	}
	return asksOf(m.Model, longest, min(most, m.UnitSize)), nil
}

// rawPrompt reports whether the run's prompts are texts, not messages.
func rawPrompt(m store.Model) bool { return probePrompt(m).Raw != "" }

// systemPrompt reports whether the run's prompts hold a system message.
func systemPrompt(m store.Model) bool {
	return slices.ContainsFunc(probePrompt(m).Messages, func(msg lcb.Message) bool { return msg.Role == "system" })
}

// manyPrompts is how many of the longest prompts are looked at: the longest in bytes need not
// be the longest in tokens.
const manyPrompts = 4

// longestPrompts returns the longest prompts of a run of the problems at the given places.
func longestPrompts(m store.Model, problems []*lcb.Problem, places []int) []engine.Request {
	all := make([]engine.Request, 0, len(places))
	size := make(map[string]int, len(places))
	for _, i := range places {
		p := promptOf(m, problems[i])
		r := engine.Request{QuestionID: problems[i].ID, Raw: p.Raw}
		size[r.QuestionID] = promptSize(p)
		for _, msg := range p.Messages {
			r.Messages = append(r.Messages, engine.Message{Role: msg.Role, Content: msg.Content})
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b engine.Request) int { return size[b.QuestionID] - size[a.QuestionID] })
	return all[:min(len(all), manyPrompts)]
}

// promptSize returns the bytes of a prompt's texts.
func promptSize(p lcb.Prompt) int {
	n := len(p.Raw)
	for _, msg := range p.Messages {
		n += len(msg.Content)
	}
	return n
}

// storedPrompts returns the longest prompts of a run that was submitted elsewhere. It reads the problems
// that the run says are the longest, and no other: all of them can be gigabytes. A run of an lcbq that did
// not say the sizes has none.
func storedPrompts(ctx context.Context, s *store.Store, m *store.Manifest) ([]engine.Request, error) {
	qs := slices.DeleteFunc(slices.Clone(m.Questions), func(q store.Question) bool { return q.Prompt == 0 })
	slices.SortStableFunc(qs, func(a, b store.Question) int { return b.Prompt - a.Prompt })
	var problems []*lcb.Problem
	var places []int
	for _, q := range qs[:min(len(qs), manyPrompts)] {
		row, err := s.Problem(ctx, m.Problems.Digest, q.Index)
		if errors.Is(err, store.ErrNotFound) {
			continue // said of its units, when their turn comes
		}
		if err != nil {
			return nil, err
		}
		p, err := lcb.ParseProblem(row)
		if err != nil {
			continue // likewise
		}
		places, problems = append(places, len(problems)), append(problems, p)
	}
	return longestPrompts(m.Model, problems, places), nil
}

// probePrompt is a prompt of the run's form.
func probePrompt(m store.Model) lcb.Prompt {
	return promptOf(m, &lcb.Problem{ID: "probe", Content: "probe"})
}

// promptOf is the prompt of a problem; empty where the run's template fails, which is said
// when the run is defined.
func promptOf(m store.Model, probe *lcb.Problem) lcb.Prompt {
	if m.Template != "" {
		t, err := lcb.ParseTemplate("prompt template", m.Template)
		if err != nil {
			return lcb.Prompt{}
		}
		p, err := t.Render(probe)
		if err != nil {
			return lcb.Prompt{}
		}
		return p
	}
	return lcb.PromptStyle(m.Prompt).Render(probe)
}

// recordingOf returns what the problem set tells of a file of completions.
func recordingOf(set *problemSet) replay.Options {
	o := replay.Options{Set: set.Name}
	for _, p := range set.problems {
		o.IDs = append(o.IDs, p.ID)
	}
	return o
}

// unknownQuestion says what helps where a file of completions has questions that
// the problem set does not have.
func unknownQuestion(err error) error {
	if errors.Is(err, replay.ErrUnknown) {
		return fmt.Errorf("%w\nname the problem set that the completions were made for with --problems", err)
	}
	return err
}

// How an attached server is kept full: how often its metrics are read, and the most
// samples that one endpoint is asked for at once, twice the batch of a large server.
const (
	attendEvery  = time.Second
	attachedMost = 1024
)

// inFlight returns how many units one generator works on at once. An attached server batches
// more samples than a small unit holds. Two more units are ready for when one ends.
func (s *source) inFlight(asked, unitSize int) int {
	if asked > 0 {
		return asked
	}
	if s.attached != nil {
		return s.attached.Endpoints()*attachedMost/unitSize + 2
	}
	return 2
}

// downEvery is how often it is looked whether an attached server answers.
const downEvery = 2 * time.Second

// tell has the heartbeat of each generator say when no attached server answers, until ctx is done.
func (s *source) tell(ctx context.Context, pulses []*worker.Pulse) {
	if s.attached == nil {
		return
	}
	tick := time.NewTicker(downEvery)
	defer tick.Stop()
	over := func() {}
	for told := false; ; {
		switch down := s.attached.Down(); {
		case down != nil && !told:
			var all []func()
			for _, p := range pulses {
				all = append(all, p.Waits(store.TroubleEngine, down.Error(), engineRemedy))
			}
			over = func() {
				for _, f := range all {
					f()
				}
			}
			told = true
		case down == nil && told:
			over()
			told = false
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if told {
				over()
			}
			return
		}
	}
}

const engineRemedy = "start that server again, or see into its log: the units in hand wait and go on by themselves; or start a generator for another server"

// attend keeps attached servers full by their own metrics until ctx is done. If one has no
// metrics, as hosted endpoints, the number in flight stays as it was and no metrics are read.
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

// anyLocal reports whether one of the endpoints is this machine's, by its address.
func anyLocal(endpoints []string) bool {
	for _, e := range endpoints {
		u, err := url.Parse(e)
		if err != nil {
			continue
		}
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
			return true
		}
	}
	return false
}

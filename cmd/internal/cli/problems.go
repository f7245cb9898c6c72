package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/replay"
	"github.com/lcbq/lcbq/worker/engine/sim"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/sample"
)

// builtin is the name of the built-in problem set.
const builtin = "sample"

// A problemSet is a problem set in memory, and how results name it.
type problemSet struct {
	store.ProblemSet
	problems []*lcb.Problem
}

// loadProblems reads --problems: the built-in set, or a file.
func loadProblems(name string) (*problemSet, error) {
	problems, err := readProblems(name)
	if err != nil {
		return nil, err
	}
	label := name
	if name != builtin {
		label = filepath.Base(name)
	}
	return &problemSet{
		ProblemSet: store.ProblemSet{Name: label, Digest: lcb.Digest(problems), Count: len(problems)},
		problems:   problems,
	}, nil
}

func readProblems(name string) ([]*lcb.Problem, error) {
	if name == builtin {
		return sample.Problems(), nil
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read problems: %w\n--problems takes a LiveCodeBench JSONL file, or 'sample' for the built-in problems", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read problems: %w", err)
	}
	problems, err := lcb.ReadProblems(f, name)
	return problems, errors.Join(err, f.Close())
}

// loadReplay opens recorded completions, every one of which must be of a question
// of the set.
func loadReplay(path string, set *problemSet) (*replay.Engine, error) {
	e, err := replay.Load(path)
	if err != nil {
		return nil, err
	}
	known := make(map[string]bool, len(set.problems))
	for _, p := range set.problems {
		known[p.ID] = true
	}
	for _, id := range e.IDs() {
		if !known[id] {
			return nil, errors.Join(fmt.Errorf("completions %s: question_id %q is not in the problem set %s\nname the problem set that the completions were made for with --problems", path, id, set.Name), e.Close())
		}
	}
	return e, nil
}

// model returns what the manifest says of the engine.
func model(cfg config.Model, set *problemSet) (store.Model, error) {
	m := store.Model{
		Engine: cfg.Engine, Name: cfg.Model, Seed: cfg.Seed, TopP: cfg.TopP, TopK: cfg.TopK, MinP: cfg.MinP,
		MaxTokens: cfg.MaxTokens, Stop: cfg.Stop, Prompt: cfg.PromptStyle, Extract: cfg.Extract, SimUnique: cfg.SimUnique,
	}
	if cfg.Thinking != "auto" {
		on := cfg.Thinking == "on"
		m.Thinking = &on
	}
	if cfg.PromptTemplate != "" {
		text, err := os.ReadFile(cfg.PromptTemplate)
		if err != nil {
			return m, usageError{fmt.Errorf("read prompt template: %w", err)}
		}
		if _, err := lcb.ParseTemplate(cfg.PromptTemplate, string(text)); err != nil {
			return m, usageError{err}
		}
		m.Template = string(text)
	}
	if cfg.Engine == "sim" {
		if set.Name != builtin {
			return m, usageError{errors.New("--engine sim is a simulated model of the built-in problems only\nuse --problems sample, or another --engine for real problems")}
		}
		m.Name = sim.ModelName
	}
	return m, nil
}

// A generatorSpec is what a generator needs beyond the manifest: how to reach its
// engine.
type generatorSpec struct {
	config.Model
	replay *replay.Engine
}

// newEngine builds one generator's engine for a run.
func (g generatorSpec) newEngine(m *store.Manifest) (engine.Engine, error) {
	switch m.Model.Engine {
	case "replay":
		return g.replay, nil
	case "sim":
		return sim.New(sim.Config{Seed: m.Model.Seed, Unique: m.Model.SimUnique, TPS: g.SimTPS})
	case "openai":
		return newOpenAI(g.Model, m)
	default:
		return nil, fmt.Errorf("run %s wants engine %q\nknown engines: %v", m.ID, m.Model.Engine, slices.Sorted(slices.Values([]string{"openai", "replay", "sim"})))
	}
}

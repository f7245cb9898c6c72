package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/store"
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
	}
	return m, nil
}

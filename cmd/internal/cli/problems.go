package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/engine/llama"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/dataset"
	"github.com/lcbq/lcbq/worker/lcb/sample"
)

// builtin is the name of the built-in problem set.
const builtin = "sample"

// A problemSet is a problem set in memory, and how results name it.
type problemSet struct {
	store.ProblemSet
	problems []*lcb.Problem
}

// originOf returns what results repeat of a problem.
func originOf(p *lcb.Problem) stream.Origin {
	return stream.Origin{Difficulty: p.Difficulty, Platform: p.Platform, ContestID: p.ContestID, ContestDate: p.ContestDate}
}

// loadProblems reads --problems: the built-in set, a release of LiveCodeBench, or
// a file.
func loadProblems(ctx context.Context, name string, hub config.Dataset, log *slog.Logger) (*problemSet, error) {
	set := store.ProblemSet{Name: name}
	var problems []*lcb.Problem
	var err error
	switch {
	case name == builtin:
		problems = sample.Problems()
	case dataset.Named(name):
		var files *dataset.Set
		if files, err = release(ctx, name, hub, log); err == nil {
			set.Revision = files.Revision
			problems, err = files.Load()
		}
	default:
		set.Name = filepath.Base(name)
		problems, err = dataset.LoadFiles(name)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w\n--problems takes a LiveCodeBench JSONL file, 'sample' for the built-in problems, or one of %s", err, strings.Join(dataset.Versions(), ", "))
		}
	}
	if err != nil {
		return nil, err
	}
	set.Digest, set.Count = lcb.Digest(problems), len(problems)
	return &problemSet{ProblemSet: set, problems: problems}, nil
}

// release returns the files of a release: those on this machine, or else fetched.
func release(ctx context.Context, name string, hub config.Dataset, log *slog.Logger) (*dataset.Set, error) {
	cfg, err := hubConfig(hub, log)
	if err != nil {
		return nil, err
	}
	here := cfg
	here.Offline = true
	if set, err := dataset.Fetch(ctx, here, name); err == nil || hub.HFOffline {
		return set, err
	}
	log.Info("fetching problems", "release", name)
	return dataset.Fetch(ctx, cfg, name)
}

func hubConfig(hub config.Dataset, log *slog.Logger) (dataset.Config, error) {
	var err error
	if hub.Hub, err = hub.Resolved(); err != nil {
		return dataset.Config{}, usageError{err}
	}
	home := hub.HFHome
	if home == "" && hub.HFCache == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			return dataset.Config{}, fmt.Errorf("find the hub's folder: %w\nname one with HF_HOME", err)
		}
		home = filepath.Join(user, ".cache", "huggingface")
	}
	return dataset.Config{
		Endpoint: hub.HFEndpoint, Token: hub.HFToken, Home: home, Cache: hub.HFCache, Revision: hub.HFRevision, Offline: hub.HFOffline, Log: log,
	}, nil
}

// model returns what the manifest says of the engine.
func model(cfg config.Definition, set *problemSet) (store.Model, error) {
	m := store.Model{
		Engine: stream.Engine(cfg.Engine), Name: cfg.Model.Model, Seed: cfg.Seed, TopP: cfg.TopP, TopK: cfg.TopK, MinP: cfg.MinP,
		MaxTokens: cfg.MaxTokens, Stop: cfg.Stop, Prompt: cfg.PromptStyle, Extract: cfg.Extract, SimUnique: cfg.SimUnique,
	}
	if cfg.OnRefused != "fail" { // the default is left out: it names the same run as before there was a choice
		m.OnRefused = cfg.OnRefused
	}
	if m.Engine == stream.EngineVLLM {
		m.Serve = serveOf(cfg.Serve)
		if m.Name == "" {
			m.Name = config.DefaultModel
		}
	}
	if m.Engine == stream.EngineLlama {
		digest, err := llama.Digest(cfg.Model.Model)
		if err != nil {
			return m, usageError{err}
		}
		m.Name, m.Serve = llama.Name(cfg.Model.Model), &store.Serve{MaxModelLen: cfg.MaxModelLen, Digest: digest}
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
	if m.Engine.Simulated() {
		if set.Name != builtin {
			return m, usageError{errors.New("--engine sim is a simulated model of the built-in problems only\nuse --problems sample, or another --engine for real problems")}
		}
	}
	return m, nil
}

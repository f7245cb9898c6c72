package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/engine/replay"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// temperatures reads --temperatures: decimals and FROM:TO:STEP ranges.
func temperatures(list string) ([]stream.Temperature, error) {
	var ts []stream.Temperature
	for part := range strings.SplitSeq(list, ",") {
		bounds := strings.Split(part, ":")
		parsed := make([]stream.Temperature, len(bounds))
		for i, b := range bounds {
			var err error
			if parsed[i], err = stream.ParseTemperature(b); err != nil {
				return nil, fmt.Errorf("--temperatures: %w", err)
			}
		}
		switch {
		case len(bounds) == 1:
			ts = append(ts, parsed[0])
		case len(bounds) == 3 && parsed[2] > 0 && parsed[0] <= parsed[1]:
			for t := parsed[0]; t <= parsed[1]; t += parsed[2] {
				ts = append(ts, t)
			}
		default:
			return nil, fmt.Errorf("--temperatures: %q: want a decimal, or FROM:TO:STEP with FROM at most TO", part)
		}
	}
	slices.Sort(ts)
	return slices.Compact(ts), nil
}

// A definition is a run as the command line describes it, checked, before
// anything is written.
type definition struct {
	manifest *store.Manifest
	problems []*lcb.Problem
	source   *source
}

func (d *definition) row(question int) []byte { return d.problems[question].Row() }

// define checks everything that can be checked about a run without a server of
// ours: settings, problems, recorded completions, endpoints.
func define(ctx context.Context, cfg config.Config, log *slog.Logger) (*definition, error) {
	if err := cfg.Check(); err != nil {
		return nil, usageError{err}
	}
	ts, err := temperatures(cfg.Temperatures)
	if err != nil {
		return nil, usageError{err}
	}
	set, err := loadProblems(ctx, cfg.Problems, cfg.Hub, log)
	if err != nil {
		return nil, err
	}
	m := &store.Manifest{
		LCBQ: Version(), OutputDir: cfg.OutputDir, Problems: set.ProblemSet, Temperatures: ts, UnitSize: cfg.UnitSize,
		Judge: store.Judge{
			Mode: cfg.Judge.Judge, TimeLimit: cfg.TimeLimit, MemoryLimit: int64(cfg.MemoryLimit), OutputLimit: int64(cfg.OutputLimit),
		},
	}
	if m.Model, err = model(cfg.Model, cfg.VLLM, set); err != nil {
		return nil, err
	}
	src, err := newSource(ctx, cfg.Model, m.Model, log)
	if err != nil {
		return nil, err
	}
	d := &definition{manifest: m, problems: set.problems, source: src}
	if err := d.complete(cfg); err != nil {
		return nil, errors.Join(err, src.close())
	}
	return d, nil
}

// complete fills in what depends on the engine: the model's name, how many samples
// there are to have, and the run's id.
func (d *definition) complete(cfg config.Config) error {
	m := d.manifest
	m.Model.Name = d.source.modelName
	if err := d.source.covers(d.problems, cfg.Completions, m.Problems.Name); err != nil {
		return err
	}
	var err error
	if m.Questions, err = questions(cfg.Sweep, d.problems, d.source.recorded); err != nil {
		return err
	}
	if m.ID = cfg.Run; m.ID == "" {
		m.ID = deriveID(m, d.source.recorded)
	}
	if err := stream.CheckRunID(m.ID); err != nil {
		return usageError{fmt.Errorf("--run: %w", err)}
	}
	return nil
}

// questions returns the questions of [--start, --end) and how many samples each
// gets: --n, or what was recorded.
func questions(cfg config.Sweep, problems []*lcb.Problem, recorded *replay.Engine) ([]store.Question, error) {
	end := cfg.End
	if end == -1 {
		end = len(problems)
	}
	// The seed's command line says --end 175 whatever the set: an end beyond it is
	// its end. A start beyond it selects nothing, which nobody wants.
	if end = min(end, len(problems)); cfg.Start >= end {
		return nil, usageError{fmt.Errorf("--start = %d: the problem set has questions 0 to %d", cfg.Start, len(problems)-1)}
	}
	var qs []store.Question
	for i := cfg.Start; i < end; i++ {
		p := problems[i]
		n := cfg.N
		if recorded != nil {
			if n = recorded.Count(p.ID); n == 0 {
				continue
			}
		}
		qs = append(qs, store.Question{
			Index: i, ID: p.ID, Title: p.Title, Difficulty: p.Difficulty, Platform: p.Platform, Cuts: []int{n},
		})
	}
	if len(qs) == 0 {
		return nil, fmt.Errorf("--completions: no completion for questions %d to %d", cfg.Start, end-1)
	}
	return qs, nil
}

// deriveID names a run by what makes its samples comparable, so that the same
// command resumes it and one with more samples adds to it. How many samples, which
// questions and which temperatures are not part of it.
func deriveID(m *store.Manifest, recorded *replay.Engine) string {
	identity := struct {
		Problems string
		UnitSize int
		Model    store.Model
		Judge    store.Judge
		Recorded string
	}{Problems: m.Problems.Digest, UnitSize: m.UnitSize, Model: m.Model, Judge: m.Judge}
	if recorded != nil {
		identity.Recorded = recorded.Digest()
	}
	b, err := json.Marshal(identity)
	if err != nil {
		panic(err) // plain fields always encode
	}
	sum := sha256.Sum256(b)
	return m.Model.Engine + "-" + hex.EncodeToString(sum[:6])
}

// checkFolder refuses a results folder that holds another run.
func checkFolder(dir, id string) error {
	path := filepath.Join(dir, result.ConfigName)
	switch values, err := config.ReadFile(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at results folder %s: %w\nchoose another --output-dir", dir, err)
	case values["run"] != id:
		return fmt.Errorf("results folder %s belongs to run %v, this is run %s\nchoose another --output-dir, or the settings of that run (%s)", dir, values["run"], id, path)
	}
	return nil
}

// writeConfig writes run.toml: the effective configuration, with the run's id.
func writeConfig(cfg config.Config, id string) error {
	cfg.Run = id
	b, err := cfg.Marshal()
	if err != nil {
		return err
	}
	return result.WriteFileAtomic(filepath.Join(cfg.OutputDir, result.ConfigName), b)
}

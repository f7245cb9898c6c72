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
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/engine/replay"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/dataset"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// temperatures reads --temperatures: decimals and FROM:TO:STEP ranges, in any order. A run has
// them sorted. One that is named twice is refused: most likely it should have been another.
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
			if err := checkTemperature(parsed[i].Float()); err != nil {
				return nil, err
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
	for i := 1; i < len(ts); i++ {
		if ts[i] == ts[i-1] {
			return nil, fmt.Errorf("--temperatures: %s is named twice", ts[i])
		}
	}
	return ts, nil
}

// A definition is a run as the command line describes it, checked, before
// anything is written.
type definition struct {
	manifest *store.Manifest
	problems []*lcb.Problem
	chosen   []int // places in problems of the questions of the run
	source   *source
}

func (d *definition) row(question int) []byte { return d.problems[question].Row() }

// define checks everything that can be checked about a run without a server of
// ours: settings, problems, recorded completions, endpoints. Where cfg leaves the
// engine open it chooses one and writes it there. cfg has been checked; pace is of the
// generators that start here, program the vllm of this machine, and args the command line.
func define(ctx context.Context, cfg *config.Definition, pace config.Pace, program string, args []string, log *slog.Logger) (*definition, error) {
	ts, err := temperatures(cfg.Temperatures)
	if err = errors.Join(err, strayShare(cfg.Rules, args)); err != nil {
		return nil, usageError{err}
	}
	if dataset.Named(cfg.Problems) { // before a download for a run that cannot be
		if cfg.Engine, err = chooseEngine(ctx, *cfg, program); err != nil {
			return nil, err
		}
	}
	set, err := loadProblems(ctx, cfg.Problems, cfg.Dataset, log)
	if err != nil {
		return nil, err
	}
	if cfg.Engine, err = chooseEngine(ctx, *cfg, program); err != nil {
		return nil, err
	}
	if err := checkRange(cfg.Sweep, len(set.problems), args); err != nil {
		return nil, err
	}
	chosen, err := choose(*cfg, set.problems)
	if err != nil {
		return nil, err
	}
	m := &store.Manifest{
		LCBQ: Version(), OutputDir: cfg.OutputDir, Problems: set.ProblemSet, Temperatures: ts, UnitSize: cfg.UnitSize,
		Judge: judgeOf(cfg.Rules),
	}
	if m.Model, err = model(*cfg, set); err != nil {
		return nil, err
	}
	src, err := newSource(ctx, cfg.Source, pace, m.Model, asksOf(m.Model, longestPrompts(m.Model, set.problems, chosen.places), min(cfg.N, cfg.UnitSize)), recordingOf(set), log)
	if err != nil {
		return nil, err
	}
	m.Windows = chosen.windows
	d := &definition{manifest: m, problems: set.problems, chosen: chosen.places, source: src}
	if err := d.complete(*cfg); err != nil {
		return nil, errors.Join(err, src.close())
	}
	return d, nil
}

// asks returns what the requests of what is to be run ask for.
func (d *definition) asks(n int) openai.Asks {
	return asksOf(d.manifest.Model, longestPrompts(d.manifest.Model, d.problems, d.chosen), min(n, d.manifest.UnitSize))
}

// complete fills in what depends on the engine: the model's name, how many samples
// there are to have, and the run's id.
func (d *definition) complete(cfg config.Definition) error {
	m := d.manifest
	m.Model.Name = d.source.modelName
	var err error
	if m.Questions, err = questions(cfg.N, m.Model, d.problems, d.chosen, d.source.recorded); err != nil {
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

// questions returns the chosen questions and how many samples each gets: what the command
// asks for, or what was recorded.
func questions(asked int, m store.Model, problems []*lcb.Problem, chosen []int, recorded *replay.Engine) ([]store.Question, error) {
	var qs []store.Question
	for _, i := range chosen {
		p := problems[i]
		n := asked
		if recorded != nil {
			if n = recorded.Count(p.ID); n == 0 {
				continue
			}
		}
		qs = append(qs, store.Question{
			Index: i, ID: p.ID, Title: p.Title, Origin: originOf(p), Cuts: []int{n}, Prompt: promptSize(promptOf(m, p)),
		})
	}
	if len(qs) == 0 {
		return nil, fmt.Errorf("--completions: no completion for questions %d to %d", chosen[0], chosen[len(chosen)-1])
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
	return string(m.Model.Engine) + "-" + hex.EncodeToString(sum[:6])
}

// checkFolder refuses a results folder that holds another run, and names the settings that differ. cfg is nil
// where only the run's id is known.
func checkFolder(dir, id string, cfg *config.Definition) error {
	path := filepath.Join(dir, result.ConfigName)
	switch values, err := config.ReadFile(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at results folder %s: %w\nchoose another --output-dir", dir, err)
	case values["run"] != id:
		if cfg == nil {
			return fmt.Errorf("results folder %s belongs to run %v, this is run %s\nchoose another --output-dir", dir, values["run"], id)
		}
		differs, err := cfg.Differences(values)
		if err != nil {
			return err
		}
		var b strings.Builder
		for _, d := range differs {
			fmt.Fprintf(&b, "\n--%s is %s here, %s there", d.Key, d.Here, d.There)
		}
		if len(differs) == 0 {
			b.WriteString("\nno setting differs: the problem set or the recorded completions have changed since, or one run was named by --run")
		}
		return fmt.Errorf("results folder %s belongs to run %v, this is run %s%s\nchoose another --output-dir, or the settings of that run (%s)", dir, values["run"], id, b.String(), path)
	}
	return nil
}

// writeConfig writes run.toml: the effective configuration, with the run's id and number of cells.
func writeConfig(cfg config.Config, m *store.Manifest) error {
	cfg.Run, cfg.Cells = m.ID, m.Cells()
	b, err := cfg.Marshal()
	if err != nil {
		return err
	}
	path := filepath.Join(cfg.OutputDir, result.ConfigName)
	if err := result.WriteFileAtomic(path, b); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil { // settings are the user's own business
		return fmt.Errorf("keep %s from other users: %w", path, err)
	}
	return nil
}

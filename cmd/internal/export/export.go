// Package export writes a results folder in the formats of other tools: files that
// LiveCodeBench's, EvalPlus' and the hub's own readers take, and rows for data
// frames. It counts nothing and judges nothing: the numbers come from the caller. What
// stands in the record of Every Eval Ever is package record's to say.
package export

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/lcb/result/official"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// A Question is one question of a run. Its texts are known only where the problem
// set is at hand.
type Question struct {
	Index int // place in the problem set
	official.Question
}

// A Cell is the samples of one question at one temperature.
type Cell struct {
	Question    int // index in Run.Questions
	Temperature float64
	Counts      stream.Counts
	Path        string // "" if the samples are not there
}

// A Run is what is exported.
type Run struct {
	Summary   summary.Run // settings and provenance, as far as they are known
	Analysis  *curve.Analysis
	Questions []Question // in order of id
	Cells     []Cell     // by temperature, then question
	Release   string     // of LiveCodeBench's problems, such as v6; "" for other problems
}

// Formats are the names of the formats, with what they are.
var Formats = map[string]string{
	"livecodebench":   "LiveCodeBench's own .json, _eval.json and _eval_all.json, three files a temperature",
	"evalplus":        "EvalPlus' samples, one JSONL file a temperature",
	"every-eval-ever": "Every Eval Ever's aggregate record, one JSON file",
	"hf":              "the hub's .eval_results, one YAML file a temperature",
	"parquet":         "all samples, one Parquet file",
	"jsonl":           "all samples, one JSONL file that 'lcbq grade' reads",
}

// ErrCannot says that the run lacks what a format must have. Its text says what.
var ErrCannot = errors.New("cannot be exported in this format")

// Write writes the run in the given format to files below dir and returns their
// paths. Files that are there already are replaced whole.
func (r *Run) Write(ctx context.Context, format, dir string) ([]string, error) {
	w := &writer{Run: r, ctx: ctx, dir: dir}
	var err error
	switch format {
	case "livecodebench":
		err = w.liveCodeBench()
	case "evalplus":
		err = w.evalPlus()
	case "every-eval-ever":
		err = w.everyEvalEver()
	case "hf":
		err = w.hub()
	case "parquet":
		err = w.parquet()
	case "jsonl":
		err = w.jsonLines()
	default:
		return nil, fmt.Errorf("export: %q is no format", format)
	}
	if err != nil {
		return w.files, fmt.Errorf("export as %s: %w", format, err)
	}
	return w.files, nil
}

type writer struct {
	*Run
	ctx   context.Context //nolint:containedctx // a writer lives for one call of Write
	dir   string
	files []string
}

// create makes a file below the folder, for its whole content: f writes it, and
// only then it gets its name.
func (w *writer) create(name string, f func(*os.File) error) error {
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	err = f(file)
	if err == nil {
		err = file.Chmod(0o644)
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	w.files = append(w.files, path)
	return nil
}

// temperatures returns those that have cells, ascending.
func (w *writer) temperatures() []float64 {
	var out []float64
	for _, c := range w.Cells {
		out = append(out, c.Temperature)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// at returns the cells of one temperature, by question.
func (w *writer) at(temperature float64) []Cell {
	var out []Cell
	for _, c := range w.Cells {
		if c.Temperature == temperature {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b Cell) int { return a.Question - b.Question })
	return out
}

// samples calls f with every scored sample of a cell.
func (w *writer) samples(c Cell, f func(s *result.Sample) error) error {
	if c.Path == "" {
		return fmt.Errorf("question %s at temperature %v: %w: its samples are not in the folder", w.Questions[c.Question].ID, c.Temperature, ErrCannot)
	}
	cell, err := result.OpenCell(c.Path)
	if err != nil {
		return err
	}
	for s, err := range cell.Samples() {
		if err == nil {
			err = w.ctx.Err()
		}
		if err == nil && s.Verdict.Scored() {
			err = f(&s)
		}
		if err != nil {
			return errors.Join(err, cell.Close())
		}
	}
	return cell.Close()
}

// model is the model's name, fit for a file's.
func (w *writer) model() string {
	name := w.Summary.Model
	if name == "" {
		name = w.Summary.Engine
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>| `, r) {
			return '-'
		}
		return r
	}, name)
}

// decimal writes a temperature with at least one place.
func decimal(t float64) string {
	return strings.ReplaceAll(strings.TrimPrefix(result.TempName(t), "t"), "_", ".")
}

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/export"
	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/window"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/dataset"
	"github.com/lcbq/lcbq/worker/lcb/result/official"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// exportCmd writes results for other tools.
type exportCmd struct {
	Results        string `arg:"" type:"existingdir" help:"results folder"`
	Format         string `required:"" enum:"livecodebench,evalplus,every-eval-ever,hf,parquet,jsonl" help:"${export_formats}"`
	Output         string `short:"o" type:"path" placeholder:"DIR" help:"folder for the files; by default export/FORMAT in the results folder"`
	Group          int    `default:"0" help:"which of several results that lie in the folder, from 1 on; they are never averaged"`
	Problems       string `placeholder:"FILE|sample|v1..v6" help:"problem set that the results are of, for the formats that repeat its texts; by default the run's, if it is built in or a release"`
	Cutoff         string `placeholder:"DATE" help:"the model's training cut-off: every-eval-ever sets questions of contests before it and from it on side by side"`
	config.Window  `embed:"" group:"what"`
	config.Dataset `embed:"" group:"hub"`
}

// exportHelp lists the formats.
func exportHelp() string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(export.Formats)) {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", name, export.Formats[name])
	}
	return b.String()
}

// Run reads the folder, reports what is missing in it, and writes the rest.
func (c *exportCmd) Run(a *app) error {
	w, err := windowOf(c.Window)
	if err != nil {
		return err
	}
	if c.Cutoff != "" && c.Format != "every-eval-ever" {
		return usageError{fmt.Errorf("--cutoff = %q: --format %s has no place for two sides of a day; every-eval-ever has, and --from and --to choose questions in any format", c.Cutoff, c.Format)}
	}
	if c.Cutoff, err = window.Day("cutoff", c.Cutoff, false); err != nil {
		return usageError{err}
	}
	r, err := openWithin(c.Results, c.Group, w)
	if err != nil {
		return reportError(err)
	}
	run, err := c.run(a, r)
	if err != nil {
		return reportError(err)
	}
	out := c.Output
	if out == "" {
		out = fmt.Sprintf("%s/export/%s", strings.TrimSuffix(c.Results, "/"), c.Format)
	}
	files, err := run.Write(a.ctx, c.Format, out)
	if failed, ok := errors.AsType[*fs.PathError](err); ok && strings.HasPrefix(failed.Path, out) {
		return fmt.Errorf("%w\nname with --output a folder that you may write to, on a disk that has room", err)
	}
	if err != nil {
		return err
	}
	for _, n := range r.Notes {
		fmt.Fprintln(a.err, n)
	}
	if a.json {
		return a.printJSON(map[string]any{"files": files, "notes": slices.Concat([]string{}, r.Notes)})
	}
	for _, f := range files {
		fmt.Fprintln(a.out, f)
	}
	return nil
}

// run gathers what an export needs.
func (c *exportCmd) run(a *app, r *folder.Results) (*export.Run, error) {
	out := &export.Run{}
	if r.Run != nil {
		out.Summary = *r.Run
	}
	s := &out.Summary
	s.Engine, s.Model, s.Judge, s.Fingerprint, s.Simulated = r.Group.Engine, r.Group.Model, r.Group.Judge, r.Group.Fingerprint, r.Group.Simulated
	s.Windows = r.Windows
	if dataset.Named(s.Problems.Name) {
		out.Release = s.Problems.Name
	}
	var err error
	if out.Analysis, err = curve.Analyse(r.Sweep(), curve.Options{Cutoff: c.Cutoff}); err != nil {
		return nil, err
	}
	texts, err := c.texts(a, s)
	if err != nil {
		return nil, err
	}
	order := make([]int, len(r.Questions)) // by id, as the official files want them
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int { return strings.Compare(r.Questions[x].ID, r.Questions[y].ID) })
	for place, i := range order {
		q := &r.Questions[i]
		x := export.Question{Index: q.Index, Question: official.Question{ID: q.ID, Title: q.Title, Difficulty: q.Difficulty, Platform: q.Platform, ContestID: q.ContestID, ContestDate: q.ContestDate}}
		if text, ok := texts[q.ID]; ok {
			x.Question = text
		}
		out.Questions = append(out.Questions, x)
		for t, temperature := range r.Temperatures {
			if cell := r.Cell(i, t); cell != nil {
				out.Cells = append(out.Cells, export.Cell{Question: place, Temperature: temperature, Counts: cell.Counts, Path: cell.Path})
			}
		}
	}
	slices.SortStableFunc(out.Cells, func(x, y export.Cell) int {
		switch {
		case x.Temperature < y.Temperature:
			return -1
		case x.Temperature > y.Temperature:
			return 1
		default:
			return x.Question - y.Question
		}
	})
	return out, nil
}

// texts returns the texts of the run's problems by id, if the format needs them and they are
// available.
func (c *exportCmd) texts(a *app, s *summary.Run) (map[string]official.Question, error) {
	name := c.Problems
	if name == "" && c.Format == "livecodebench" && (s.Problems.Name == builtin || dataset.Named(s.Problems.Name)) {
		name = s.Problems.Name
	}
	if name == "" {
		return nil, nil
	}
	set, err := loadProblems(a.ctx, name, c.Dataset, a.log)
	if err != nil {
		return nil, err
	}
	if s.Problems.Digest != "" && s.Problems.Digest != set.Digest {
		return nil, fmt.Errorf("export: --problems %s is not the set of the run (digest %.12s, the run's %.12s)\nname the file that the run was made with", name, set.Digest, s.Problems.Digest)
	}
	out := make(map[string]official.Question, len(set.problems))
	for _, p := range set.problems {
		q := official.Question{
			Title: p.Title, Content: p.Content, Platform: p.Platform, ID: p.ID, ContestID: p.ContestID, ContestDate: p.ContestDate,
			StarterCode: p.StarterCode, Difficulty: p.Difficulty, Functional: p.Functional(),
		}
		tests, err := p.Tests()
		if err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
		q.Tests = len(tests)
		out[p.ID] = q
	}
	return out, nil
}

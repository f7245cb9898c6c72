package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/schollz/progressbar/v3"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/dataset"
)

// datasetCmd deals with problem sets.
type datasetCmd struct {
	Fetch datasetFetchCmd `cmd:"" help:"fetch a release (v1 to v6, release_v1 to release_v6) into the hub's cache"`
	Info  datasetInfoCmd  `cmd:"" help:"sum up a problem set"`
	Check datasetCheckCmd `cmd:"" help:"check every row and every test of a problem set"`
}

type datasetFetchCmd struct {
	config.Hub `embed:""`
	Release    string `arg:"" help:"v6 is the 175 questions of 2025"`
}

// Run fetches what is missing and checks sizes and digests.
func (c *datasetFetchCmd) Run(a *app) error {
	if !dataset.Named(c.Release) {
		return usageError{fmt.Errorf("dataset fetch %q: want one of %s", c.Release, strings.Join(dataset.Versions(), ", "))}
	}
	cfg, err := hubConfig(c.Hub, a.log)
	if err != nil {
		return err
	}
	if isTerminal(a.err) {
		cfg.Progress = fetchBar(a)
	}
	set, err := dataset.Fetch(a.ctx, cfg, c.Release)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(set)
	}
	fmt.Fprintf(a.out, "%s at revision %s\n", set.Version, set.Revision)
	for _, f := range set.Files {
		fmt.Fprintf(a.out, "%s  %d bytes  sha256 %s\n  %s\n", f.Name, f.Size, f.Digest, f.Path)
	}
	return nil
}

// fetchBar shows one bar a file.
func fetchBar(a *app) func(dataset.Progress) {
	var bar *progressbar.ProgressBar
	file := ""
	return func(p dataset.Progress) {
		if p.File != file {
			file = p.File
			bar = progressbar.NewOptions64(p.Total, progressbar.OptionSetWriter(a.err), progressbar.OptionSetDescription(p.File),
				progressbar.OptionShowBytes(true), progressbar.OptionSetWidth(20), progressbar.OptionEnableColorCodes(a.color))
		}
		_ = bar.Set64(p.Done) // a bar that cannot be drawn stops nothing
	}
}

// A setArg names a problem set.
type setArg struct {
	config.Hub `embed:""`
	Set        string `arg:"" default:"sample" help:"a JSONL file, 'sample', or a fetched release"`
}

// paths returns the files of the set; none for the built-in one.
func (c *setArg) paths(a *app) ([]string, error) {
	switch {
	case c.Set == builtin:
		return nil, nil
	case !dataset.Named(c.Set):
		return []string{c.Set}, nil
	}
	set, err := release(a.ctx, c.Set, c.Hub, a.log)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, f := range set.Files {
		paths = append(paths, f.Path)
	}
	return paths, nil
}

type datasetInfoCmd struct {
	setArg `embed:""`
}

// Run prints what the set holds.
func (c *datasetInfoCmd) Run(a *app) error {
	paths, err := c.paths(a)
	if err != nil {
		return err
	}
	if paths == nil {
		set, err := loadProblems(a.ctx, builtin, c.Hub, a.log)
		if err != nil {
			return err
		}
		return printSet(a, set)
	}
	var errs []error
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("read problems: %w", err)
		}
		info, err := dataset.Inspect(a.ctx, f, path)
		errs = append(errs, err, f.Close())
		if a.json {
			errs = append(errs, a.printJSON(info))
			continue
		}
		fmt.Fprintf(a.out, "%s\n  %d questions (%d stdin, %d functional), %d broken rows, contests %s to %s\n", path, info.Questions, info.Stdin, info.Functional, info.Broken, info.From, info.To)
		fmt.Fprintf(a.out, "  %d tests (%d to %d a question), %d bytes of rows, %d decoded, largest %s with %d\n", info.Tests, info.FewestTests, info.MostTests, info.Bytes, info.DecodedBytes, info.LargestID, info.LargestBytes)
		fmt.Fprintf(a.out, "  platforms %s; difficulties %s\n  digest %s\n", counts(info.Platforms), counts(info.Difficulties), info.Digest)
	}
	return errors.Join(errs...)
}

func printSet(a *app, set *problemSet) error {
	if a.json {
		return a.printJSON(set.ProblemSet)
	}
	fmt.Fprintf(a.out, "%s: %d questions, digest %s\n", set.Name, set.Count, set.Digest)
	for i, p := range set.problems {
		tests, err := p.Tests()
		if err != nil {
			return err
		}
		fmt.Fprintf(a.out, "%3d  %-10s %-8s %-28s %d tests\n", i, p.ID, p.Difficulty, p.Title, len(tests))
	}
	return nil
}

func counts(m map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}

type datasetCheckCmd struct {
	setArg `embed:""`
}

// Run decodes everything that a judge would, and reports what it could not use.
func (c *datasetCheckCmd) Run(a *app) error {
	paths, err := c.paths(a)
	if err != nil {
		return err
	}
	var problems []*lcb.Problem
	if paths == nil {
		set, err := loadProblems(a.ctx, builtin, c.Hub, a.log)
		if err != nil {
			return err
		}
		problems = set.problems
	} else if problems, err = dataset.LoadFiles(paths...); err != nil {
		return err
	}
	tests := 0
	var errs []error
	for _, p := range problems {
		q, err := evaluate.NewQuestion(p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		tests += q.Tests()
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%d questions, %d tests: all can be judged\n", len(problems), tests)
	return nil
}

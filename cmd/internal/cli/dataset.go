package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/dataset"
	"github.com/lcbq/lcbq/worker/lcb/sample"
)

// datasetCmd deals with problem sets.
type datasetCmd struct {
	Fetch datasetFetchCmd `cmd:"" help:"fetch a release (v1 to v6, release_v1 to release_v6) into the hub's cache"`
	Info  datasetInfoCmd  `cmd:"" help:"sum up a problem set"`
	Check datasetCheckCmd `cmd:"" help:"check every row and every test of a problem set"`
	Show  datasetShowCmd  `cmd:"" help:"print a question: statement, starter code, tests, date"`

	Example datasetExampleCmd `cmd:"" help:"print a problem set of one's own to begin with, and on stderr which fields a row needs"`
}

// datasetExampleCmd prints a small problem file.
type datasetExampleCmd struct{}

// Run prints the rows; what they need goes where no reader of rows looks.
func (c *datasetExampleCmd) Run(a *app) error {
	fmt.Fprintf(a.err, `One JSON object a line, plain, gzip or zstd. A row needs
  question_id         text or a whole number, once in the file
  question_content    the statement, with its examples
  public_test_cases   a list of {"input", "output"}, or that list as text; may be empty
  private_test_cases  the same, or as LiveCodeBench encodes it; one test in both at least
A question whose function is called, and does not read stdin, needs also
  starter_code        what the model is told to complete
  metadata            {"func_name": "..."}; a test's input is then one JSON value a line
                      for each argument, its output one JSON value
Optional: question_title, platform, difficulty, contest_id, contest_date (2025-01-31T00:00:00).
lcbq dataset check FILE says what cannot be used.

`)
	_, err := a.out.Write(sample.Own())
	return err
}

// datasetShowCmd prints one question.
type datasetShowCmd struct {
	config.Dataset `embed:"" group:"hub"`
	ID             string `arg:"" help:"id of the question, as lcbq dataset info --json lists them"`
	Set            string `arg:"" default:"sample" help:"a JSONL file, 'sample', or a fetched release"`
}

// A shownQuestion is a question as people and programs read it.
type shownQuestion struct {
	ID           string `json:"question_id"`
	Index        int    `json:"index"` // place in the problem set, from 0
	Title        string `json:"title"`
	Content      string `json:"content"`
	StarterCode  string `json:"starter_code"`
	FuncName     string `json:"func_name"`
	Platform     string `json:"platform"`
	Difficulty   string `json:"difficulty"`
	ContestID    string `json:"contest_id"`
	ContestDate  string `json:"contest_date"`
	PublicTests  int    `json:"public_tests"`
	PrivateTests int    `json:"private_tests"`
	Digest       string `json:"digest"` // of the tests
}

// Run finds the question in its set.
func (c *datasetShowCmd) Run(a *app) error {
	set, err := loadProblems(a.ctx, c.Set, c.Dataset, a.log)
	if err != nil {
		return err
	}
	for i, p := range set.problems {
		if p.ID == c.ID {
			return show(a, i, p)
		}
	}
	return fmt.Errorf("question %q is not in %s, which has %d, from %s to %s\nlcbq dataset info %s --json lists the ids", c.ID, set.Name, set.Count, set.problems[0].ID, set.problems[set.Count-1].ID, c.Set)
}

func show(a *app, i int, p *lcb.Problem) error {
	public, private, err := p.TestCounts()
	if err != nil {
		return err
	}
	q := shownQuestion{
		ID: p.ID, Index: i, Title: p.Title, Content: p.Content, StarterCode: p.StarterCode, FuncName: p.FuncName, Platform: p.Platform,
		Difficulty: p.Difficulty, ContestID: p.ContestID, ContestDate: p.ContestDate, PublicTests: public, PrivateTests: private, Digest: p.Digest(),
	}
	if a.json {
		return a.printJSON(q)
	}
	kind := "reads stdin"
	if p.Functional() {
		kind = "calls " + p.FuncName
	}
	fmt.Fprintf(a.out, "%s  %s\n%s, %d public and %d private tests", q.ID, q.Title, kind, public, private)
	for _, word := range []string{q.Platform, q.Difficulty, q.ContestDate} {
		if word != "" {
			fmt.Fprintf(a.out, ", %s", word)
		}
	}
	fmt.Fprintf(a.out, "\n\n%s\n", strings.TrimSpace(q.Content))
	if q.StarterCode != "" {
		fmt.Fprintf(a.out, "\n%s\n", strings.TrimRight(q.StarterCode, " \n"))
	}
	return nil
}

type datasetFetchCmd struct {
	config.Dataset `embed:"" group:"hub"`
	Release        string `arg:"" help:"v6 is the 175 questions of 2025"`
}

// Run fetches what is missing and checks sizes and digests.
func (c *datasetFetchCmd) Run(a *app) error {
	if !dataset.Named(c.Release) {
		return usageError{fmt.Errorf("dataset fetch %q: want one of %s", c.Release, strings.Join(dataset.Versions(), ", "))}
	}
	cfg, err := hubConfig(c.Dataset, a.log)
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

// fetchBar shows one line a file.
func fetchBar(a *app) func(dataset.Progress) {
	return func(p dataset.Progress) {
		const mega = 1e6
		end := ""
		if p.Done >= p.Total {
			end = "\n"
		}
		text := fmt.Sprintf("%s: %.1f of %.1f MB", p.File, float64(p.Done)/mega, float64(p.Total)/mega)
		_, _ = fmt.Fprintf(a.err, "\r\x1b[K%s%s", fit(text, terminalWidth(a.err)), end) // a line that cannot be drawn stops nothing
	}
}

// A setArg names a problem set.
type setArg struct {
	config.Dataset `embed:"" group:"hub"`
	Set            string `arg:"" default:"sample" help:"a JSONL file, 'sample', or a fetched release"`
}

// paths returns the files of the set; none for the built-in one.
func (c *setArg) paths(a *app) ([]string, error) {
	switch {
	case c.Set == builtin:
		return nil, nil
	case !dataset.Named(c.Set):
		return []string{c.Set}, nil
	}
	set, err := release(a.ctx, c.Set, c.Dataset, a.log)
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
		set, err := loadProblems(a.ctx, builtin, c.Dataset, a.log)
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
		ids := make([]string, 0, len(set.problems))
		for _, p := range set.problems {
			ids = append(ids, p.ID)
		}
		return a.printJSON(struct {
			store.ProblemSet
			IDs []string `json:"ids"`
		}{set.ProblemSet, ids})
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
		set, err := loadProblems(a.ctx, builtin, c.Dataset, a.log)
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

package cli

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/lcb/result/official"
)

// importCmd makes a results folder of LiveCodeBench's own result files.
type importCmd struct {
	Files          []string  `arg:"" type:"path" placeholder:"FILE" help:"LiveCodeBench's _eval_all.json files, one a temperature"`
	OutputDir      string    `required:"" short:"o" type:"path" placeholder:"DIR" help:"results folder to make"`
	Temperatures   []float64 `placeholder:"T" help:"temperatures of the files, in their order, where their names do not say (Scenario.codegeneration_10_0.2_eval_all.json does)"`
	Model          string    `help:"model that wrote the completions"`
	Problems       string    `placeholder:"FILE|sample|v1..v6" help:"problem set that the results are of: gives questions their places in it"`
	Judge          string    `default:"lcb" enum:"lcb,script" help:"how the verdicts were found; those of LiveCodeBench's own runner are lcb"`
	Environment    string    `default:"official" help:"name of the environment that judged: results of two are never averaged"`
	SkipBad        bool      `help:"leave bad problems out and count them, instead of refusing the files"`
	Compress       string    `default:"none" enum:"none,zstd" help:"compress the cell files"`
	config.Dataset `embed:"" group:"hub"`
}

// Run reads every file, writes the folder and prints its table.
func (c *importCmd) Run(a *app) error {
	files, err := c.files()
	if err != nil {
		return err
	}
	if there, err := result.Questions(c.OutputDir); err == nil && len(there) > 0 {
		return fmt.Errorf("import: %s holds results already\nchoose another --output-dir", c.OutputDir)
	}
	im := official.Import{Model: c.Model, Judge: c.Judge, Fingerprint: c.Environment, Compress: c.Compress == "zstd"}
	s := &summary.Run{LCBQ: Version()}
	if err := c.place(a, &im, s); err != nil {
		return err
	}
	if err := c.check(a, &im, files); err != nil {
		return err
	}
	digest := sha256.New()
	var parts []official.Part
	for i, f := range files {
		im.Temperature = f.temperature
		if i > 0 && c.Problems == "" {
			im.Index = placesOf(parts)
		}
		got, err := readOfficial(im, c.OutputDir, f.path, digest)
		if err != nil {
			return err
		}
		parts = append(parts, got...)
	}
	summaries, err := official.Summaries(c.OutputDir, parts)
	if err != nil {
		return err
	}
	if len(summaries) == 0 {
		return errors.New("import: the files hold no question that can be read")
	}
	if err := c.summarise(s, summaries, hex.EncodeToString(digest.Sum(nil)[:6])); err != nil {
		return err
	}
	if err := result.WriteJSONAtomic(result.RunSummaryPath(c.OutputDir), s); err != nil {
		return err
	}
	for i, f := range files {
		if err := checkMetrics(a, f, &s.Results[i]); err != nil {
			return err
		}
	}
	if a.json {
		return a.printJSON(s)
	}
	writeTable(a.out, s)
	fmt.Fprintf(a.out, "\n%d samples in %s\n", s.Samples, c.OutputDir)
	return nil
}

// officialFile is one file to import.
type officialFile struct {
	path        string
	temperature float64
}

// files finds the temperature of each file and returns the files by temperature.
func (c *importCmd) files() ([]officialFile, error) {
	if len(c.Temperatures) > 0 && len(c.Temperatures) != len(c.Files) {
		return nil, usageError{fmt.Errorf("--temperatures: %d for %d files, want one each", len(c.Temperatures), len(c.Files))}
	}
	var out []officialFile
	for i, path := range c.Files {
		f := officialFile{path: evalAll(path)}
		if len(c.Temperatures) > 0 {
			f.temperature = c.Temperatures[i]
		} else {
			var ok bool
			if _, f.temperature, ok = official.ParseName(path); !ok {
				return nil, usageError{fmt.Errorf("%s: its name does not say the temperature\ngive it with --temperatures", path)}
			}
		}
		if math.IsNaN(f.temperature) || math.IsInf(f.temperature, 0) || f.temperature < 0 {
			return nil, usageError{fmt.Errorf("--temperatures = %v: want 0 or more", f.temperature)}
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b officialFile) int { return cmp.Compare(a.temperature, b.temperature) })
	for i := 1; i < len(out); i++ {
		if out[i].temperature == out[i-1].temperature {
			return nil, usageError{fmt.Errorf("%s and %s are of the same temperature, %v", out[i-1].path, out[i].path, out[i].temperature)}
		}
	}
	return out, nil
}

// evalAll returns the file with completions and verdicts that belongs to one of
// the three files of a run, where it is there.
func evalAll(path string) string {
	base := strings.TrimSuffix(path, ".json")
	if strings.HasSuffix(base, "_eval_all") {
		return path
	}
	other := strings.TrimSuffix(base, "_eval") + "_eval_all.json"
	if _, err := os.Stat(other); err != nil {
		return path
	}
	return other
}

// check reads all files before anything is written, so that a bad problem costs no half a folder.
func (c *importCmd) check(a *app, im *official.Import, files []officialFile) error {
	skipped := 0
	if c.SkipBad {
		im.Skip = func(e *official.ProblemError) {
			if skipped++; skipped <= maxSkippedShown {
				a.log.Warn("bad problem left out", "err", e.Error())
			}
		}
	}
	var faults []error
	for _, f := range files {
		in, err := os.Open(f.path)
		if err != nil {
			return fmt.Errorf("import: %w", err)
		}
		faults = append(faults, im.Check(in, f.path), in.Close())
	}
	if skipped > 0 {
		im.Skip = func(*official.ProblemError) {}
		a.log.Warn("bad problems left out", "problems", skipped)
	}
	return errors.Join(faults...)
}

// place gives questions their places in the problem set, if one is named.
func (c *importCmd) place(a *app, im *official.Import, s *summary.Run) error {
	s.Problems.Name = "imported"
	if c.Problems == "" {
		return nil
	}
	set, err := loadProblems(a.ctx, c.Problems, c.Dataset, a.log)
	if err != nil {
		return err
	}
	s.Problems = set.ProblemSet
	places := make(map[string]int, len(set.problems))
	for i, p := range set.problems {
		places[p.ID] = i
	}
	im.Index = func(id string) (int, bool) {
		i, ok := places[id]
		return i, ok
	}
	return nil
}

// placesOf keeps the places that the first files gave to questions, and gives new
// ones to those that come up later.
func placesOf(parts []official.Part) func(id string) (int, bool) {
	places := make(map[string]int)
	for _, p := range parts {
		places[p.Question.ID] = p.Header.QuestionIdx
	}
	return func(id string) (int, bool) {
		i, ok := places[id]
		if !ok {
			i = len(places)
			places[id] = i
		}
		return i, true
	}
}

func readOfficial(im official.Import, dir, path string, digest io.Writer) ([]official.Part, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	parts, err := im.Cells(dir, io.TeeReader(in, digest), path)
	return parts, errors.Join(err, in.Close())
}

// summarise fills in the run's summary from the files, which do not say how they were made.
func (c *importCmd) summarise(s *summary.Run, summaries []*result.Summary, digest string) error {
	first := summaries[0]
	s.Run, s.Engine, s.Model, s.Judge, s.Fingerprint = "import-"+digest, first.Engine, c.Model, c.Judge, c.Environment
	s.Sampling.Engine, s.Sampling.Name, s.Judging.Mode, s.Judging.Fingerprint = stream.Engine(s.Engine), s.Model, s.Judge, s.Fingerprint
	s.Questions = len(summaries)
	for _, q := range summaries {
		s.N = max(s.N, q.N)
	}
	if c.Problems == "" {
		s.Problems.Count = len(summaries)
	}
	s.Provenance.Stages, s.Provenance.Timeline = []summary.Stage{}, []summary.Mark{}
	s.Started = time.Now().UTC()
	s.Finished = s.Started // the files do not say when they were made
	sweep := summary.Sweep(summaries)
	s.Temperatures = sweep.Temperatures
	return s.Count(summaries, sweep)
}

// checkMetrics compares pass@k with the run's _eval.json, if it is there. If two numbers
// differ it shows both and chooses none.
func checkMetrics(a *app, f officialFile, r *result.TemperatureSummary) error {
	path := strings.TrimSuffix(f.path, "_eval_all.json") + "_eval.json"
	in, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	said, err := official.ReadMetrics(in, path)
	if err := errors.Join(err, in.Close()); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	agree := 0
	for _, k := range slices.Sorted(maps.Keys(said)) {
		mine, ok := r.PassAtK[k]
		switch {
		case !ok:
			a.log.Warn("pass@k of the file cannot be checked", "file", path, "k", k, "said", said[k])
		case math.Abs(mine-said[k]) > 1e-9:
			a.log.Warn("pass@k of the file is not what its verdicts give", "file", path, "k", k, "said", said[k], "verdicts_give", mine)
		default:
			agree++
		}
	}
	a.log.Info("compared with the file's own pass@k", "file", path, "agree", agree, "of", len(said))
	return nil
}

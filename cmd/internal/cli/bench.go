package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/cmd/internal/bench"
	"github.com/lcbq/lcbq/cmd/internal/bench/spent"
)

// benchCmd measures the queue, or judging, or a whole sweep, or works out what judging one costs.
type benchCmd struct {
	Runs   int           `default:"5" help:"rounds of each measurement; the medians count"`
	Length time.Duration `placeholder:"DURATION" help:"length of one measurement, about: 10s of the queue, 500ms of judging; between two readings of a sweep 10s"`

	GPUs     int     `name:"gpus" default:"8" group:"queue" help:"simulated GPUs"`
	TPS      float64 `name:"tps" default:"100000" group:"queue" help:"tokens a second of each; measured at that pace, and as fast as the queue takes it"`
	UnitSize int     `default:"100" group:"queue" help:"samples per message"`
	HTTP     bool    `name:"http" group:"queue" help:"generate through an OpenAI-compatible endpoint for each GPU, which answers as vLLM does, instead of in the process"`
	Profile  string  `type:"path" placeholder:"FILE" group:"queue" help:"write the processor profile of the last round, for 'go tool pprof'"`
	Dir      string  `type:"path" placeholder:"DIR" group:"queue" help:"disk to measure; by default that of temporary files"`

	benchJudge `embed:""`
	benchPlan  `embed:""`
	benchSweep `embed:""`
}

// A benchReport is what --json prints.
type benchReport struct {
	GPUs     int            `json:"gpus"`
	Asked    float64        `json:"asked_tokens_per_s"`
	UnitSize int            `json:"unit_size"`
	Judging  string         `json:"judging"` // null: no program was run
	HTTP     bool           `json:"http"`    // endpoints were asked
	Paced    []bench.Result `json:"paced"`
	Unpaced  []bench.Result `json:"unpaced"`
	Median   struct {
		Paced   bench.Result `json:"paced"`
		Unpaced bench.Result `json:"unpaced"`
	} `json:"median"`
}

// Run measures what the flags say.
func (c *benchCmd) Run(a *app) error {
	if c.Judge && c.Plan || c.Sweep && (c.Judge || c.Plan) {
		return usageError{errors.New("--judge, --plan and --sweep: want one of them")}
	}
	if err := c.stray(a.args); err != nil {
		return usageError{err}
	}
	if named(a.args, "length") && c.Length <= 0 {
		return usageError{fmt.Errorf("--length = %v: want more than 0", c.Length)}
	}
	for name, path := range map[string]string{"save": c.Save, "profile": c.Profile} {
		if err := writable(path); err != nil { // what takes minutes is not measured for nothing
			return usageError{fmt.Errorf("--%s = %s: %w\nname a file in a folder that is there and that you may write to", name, path, err)}
		}
	}
	if c.Runs < 1 {
		return usageError{fmt.Errorf("--runs = %d: want 1 or more", c.Runs)}
	}
	switch {
	case c.Judge:
		return c.benchJudge.run(a, c.Runs, cmp.Or(c.Length, 500*time.Millisecond))
	case c.Plan:
		return c.benchPlan.run(a, c.Slots, c.Baseline)
	case c.Sweep:
		return c.sweep(a)
	}
	return c.queue(a)
}

// unmeasured returns how a measurement ends that has an error, which a signal explains.
func unmeasured(a *app, err error) error {
	if a.ctx.Err() != nil {
		return stopped{"nothing is kept of a measurement that did not end"}
	}
	return err
}

// writable returns why a file cannot be written, nil if it can or if path is empty. It leaves the file as it is.
func writable(path string) error {
	if path == "" {
		return nil
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		path = filepath.Dir(path)
		if info, err = os.Stat(path); err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is no folder", path)
		}
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a folder")
	}
	if err := unix.Access(path, unix.W_OK); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// benchFlags are the flags that one measurement alone reads.
var benchFlags = map[string][]string{
	"a measurement of the queue":            {"gpus", "tps", "http", "profile"},
	"a measurement of the queue or --sweep": {"unit-size", "dir"},
	"--judge":                               {"kinds", "save", "python", "sandbox-min-level", "no-normal-form"},
	"--judge or --plan":                     {"slots", "baseline"},
	"--plan":                                {"distinct", "timeouts", "generated", "fast-cpu", "limit-cpu"},
	"--plan or --sweep":                     {"questions", "temperatures", "n"},
	"all but --sweep":                       {"runs"},
}

// stray returns an error if the command line has a flag that what it asks for does not
// read. Settings of a file or the environment are for other verbs too.
func (c *benchCmd) stray(args []string) error {
	queue := !c.Judge && !c.Plan && !c.Sweep
	reads := map[string]bool{
		"a measurement of the queue": queue, "a measurement of the queue or --sweep": queue || c.Sweep, "--judge": c.Judge,
		"--judge or --plan": c.Judge || c.Plan, "--plan": c.Plan, "--plan or --sweep": c.Plan || c.Sweep, "all but --sweep": !c.Sweep,
	}
	for of, names := range benchFlags {
		for _, name := range names {
			if named(args, name) && !reads[of] {
				return fmt.Errorf("--%s: only for %s", name, of)
			}
		}
	}
	return nil
}

// queue measures at the pace of the GPUs, and then without one.
func (c *benchCmd) queue(a *app) error {
	cfg := bench.Config{GPUs: c.GPUs, TPS: c.TPS, Length: cmp.Or(c.Length, 10*time.Second), UnitSize: c.UnitSize, HTTP: c.HTTP, Dir: c.Dir, Log: a.log}
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	if c.TPS == 0 {
		return usageError{fmt.Errorf("--tps = %v: want more than 0", c.TPS)}
	}
	r := benchReport{GPUs: c.GPUs, Asked: c.TPS * float64(c.GPUs), UnitSize: c.UnitSize, Judging: "null", HTTP: c.HTTP}
	if !a.json {
		fmt.Fprintf(a.out, "%d simulated GPUs; judging is null: no program is run, and nothing of this is a result\n", c.GPUs)
	}
	var last []byte
	for _, series := range []struct {
		name   string
		tps    float64
		all    *[]bench.Result
		median *bench.Result
	}{
		{fmt.Sprintf("at %.0f tok/s", r.Asked), c.TPS, &r.Paced, &r.Median.Paced},
		{"as fast as the queue takes it", 0, &r.Unpaced, &r.Median.Unpaced},
	} {
		cfg.TPS = series.tps
		for i := range c.Runs {
			one, err := bench.Queue(a.ctx, cfg)
			if err != nil {
				return unmeasured(a, fmt.Errorf("benchmark %s: %w", series.name, err))
			}
			*series.all = append(*series.all, one)
			last = one.Profile
			if !a.json {
				writeBench(a.out, fmt.Sprintf("%s, %d of %d", series.name, i+1, c.Runs), one)
			}
		}
		*series.median = bench.Median(*series.all)
	}
	if c.Profile != "" {
		if err := os.WriteFile(c.Profile, last, 0o600); err != nil {
			return fmt.Errorf("write the profile: %w", err)
		}
	}
	if a.json {
		return a.printJSON(r)
	}
	writeBench(a.out, "median of the paced", r.Median.Paced)
	writeBench(a.out, "median of the fastest", r.Median.Unpaced)
	writeSpent(a.out, r.Asked, append(r.Paced, r.Unpaced...))
	return nil
}

// writeSpent says what each stage takes of the processors, over all rounds.
func writeSpent(w io.Writer, pace float64, rounds []bench.Result) {
	var all [][]spent.Stage
	tokens := 0.0
	for _, r := range rounds {
		all = append(all, r.CPU)
		tokens += float64(r.Tokens) / 1e6
	}
	const shown = 5 // kinds of work of a stage
	fmt.Fprintf(w, "\nprocessor seconds a million tokens, and processors at %.0f tok/s\n", pace)
	for _, s := range spent.Sum(all...) {
		each := s.Seconds / tokens
		var kinds []string
		for _, k := range s.Kinds[:min(len(s.Kinds), shown)] {
			kinds = append(kinds, fmt.Sprintf("%s %.0f %%", k.Name, 100*k.Seconds/s.Seconds))
		}
		fmt.Fprintf(w, "%-10s %7.3f %6.2f  %s\n", s.Name, each, each*pace/1e6, strings.Join(kinds, ", "))
	}
}

func writeBench(w io.Writer, name string, r bench.Result) {
	fmt.Fprintf(w, "%-40s %9.0f tok/s to the files, %9.0f tok/s generated, %5.2f%% idle; %d samples in %.2f s\n",
		name, r.TPS, r.GenerateTPS, 100*r.Idle, r.Samples, r.Seconds)
}

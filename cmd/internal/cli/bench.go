package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/bench"
)

// benchCmd measures the queue.
type benchCmd struct {
	GPUs     int           `name:"gpus" default:"8" help:"simulated GPUs"`
	TPS      float64       `name:"tps" default:"100000" help:"tokens a second of each"`
	Runs     int           `default:"5" help:"runs at that pace, and runs as fast as the queue takes it; the medians count"`
	Length   time.Duration `default:"10s" help:"length of one run, about"`
	UnitSize int           `default:"100" help:"samples per message"`
	Dir      string        `type:"path" placeholder:"DIR" help:"disk to measure; by default that of temporary files"`
}

// A benchReport is what --json prints.
type benchReport struct {
	GPUs     int            `json:"gpus"`
	Asked    float64        `json:"asked_tokens_per_s"`
	UnitSize int            `json:"unit_size"`
	Judging  string         `json:"judging"` // null: no program was run
	Paced    []bench.Result `json:"paced"`
	Unpaced  []bench.Result `json:"unpaced"`
	Median   struct {
		Paced   bench.Result `json:"paced"`
		Unpaced bench.Result `json:"unpaced"`
	} `json:"median"`
}

// Run measures at the pace of the GPUs, and then without one.
func (c *benchCmd) Run(a *app) error {
	cfg := bench.Config{GPUs: c.GPUs, TPS: c.TPS, Length: c.Length, UnitSize: c.UnitSize, Dir: c.Dir, Log: a.log}
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	if c.Runs < 1 || c.TPS == 0 {
		return usageError{fmt.Errorf("--runs = %d, --tps = %v: want more than 0", c.Runs, c.TPS)}
	}
	r := benchReport{GPUs: c.GPUs, Asked: c.TPS * float64(c.GPUs), UnitSize: c.UnitSize, Judging: "null"}
	if !a.json {
		fmt.Fprintf(a.out, "%d simulated GPUs; judging is null: no program is run, and nothing of this is a result\n", c.GPUs)
	}
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
				return interrupted(a, fmt.Errorf("benchmark %s: %w", series.name, err))
			}
			*series.all = append(*series.all, one)
			if !a.json {
				writeBench(a.out, fmt.Sprintf("%s, %d of %d", series.name, i+1, c.Runs), one)
			}
		}
		*series.median = bench.Median(*series.all)
	}
	if a.json {
		return a.printJSON(r)
	}
	writeBench(a.out, "median of the paced", r.Median.Paced)
	writeBench(a.out, "median of the fastest", r.Median.Unpaced)
	return nil
}

func writeBench(w io.Writer, name string, r bench.Result) {
	fmt.Fprintf(w, "%-40s %9.0f tok/s to the files, %9.0f tok/s generated, %5.2f%% idle; %d samples in %.2f s\n",
		name, r.TPS, r.GenerateTPS, 100*r.Idle, r.Samples, r.Seconds)
}

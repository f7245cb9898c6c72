package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/bench"
)

// A benchSweep sends a whole sweep through the queue.
type benchSweep struct {
	Sweep bool `group:"sweep" help:"send a whole sweep of short texts, judged by nobody, through one server: hours, memory, disk, and which stage binds; the files are then verified"`
}

// sweep measures a whole sweep. Its readings are printed as they come.
func (c *benchCmd) sweep(a *app) error {
	cfg := bench.SweepConfig{
		Questions: c.Questions, Temperatures: c.Temperatures, N: c.N, UnitSize: c.UnitSize,
		Every: cmp.Or(c.Length, 10*time.Second), Dir: c.Dir, Log: a.log,
	}
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	if !a.json {
		fmt.Fprintln(a.out, "judging is null: no program is run, and nothing of this is a result")
		fmt.Fprintf(a.out, "%8s %9s %9s %9s %7s %8s %8s %6s %6s %10s %10s\n", "s", "GENERATE", "EVALUATE", "COMBINE", "cells", "RSS MiB", "heap MiB", "gorou", "files", "queue MiB", "results")
		cfg.Told = func(r bench.Reading) {
			fmt.Fprintf(a.out, "%8.0f %9d %9d %9d %7d %8d %8d %6d %6d %10d %10d\n", r.Seconds, r.Generate, r.Evaluate, r.Combine, r.Cells, r.RSS>>20, r.Heap>>20, r.Goroutines, r.Files, r.Store>>20, r.Results>>20)
		}
	}
	r, err := bench.Sweep(a.ctx, cfg)
	if err != nil {
		if r.Seconds > 0 && !a.json { // hours went into this, and only the proof is missing
			writeSweep(a.out, r)
		}
		return interrupted(a, fmt.Errorf("benchmark a sweep: %w", err))
	}
	if a.json {
		return a.printJSON(r)
	}
	writeSweep(a.out, r)
	return nil
}

func writeSweep(w io.Writer, r bench.SweepResult) {
	fmt.Fprintf(w, "\n%d units, %d samples: submitted in %.1f s, all on disk after %.0f s, %.0f units/s; %.0f%% of %d processors were this process's\n",
		r.Units, r.Samples, r.Submit, r.Seconds, float64(r.Units)/r.Seconds, 100*r.CPUShare, r.CPUs)
	if r.Verified > 0 {
		fmt.Fprintf(w, "verified in %.0f s: every cell whole, %d samples in all\n", r.VerifyFor, r.Verified)
	} else {
		fmt.Fprintln(w, "the files are not verified")
	}
	fmt.Fprintf(w, "%s binds: units piled up before no stage behind it\n", r.Binds)
	fmt.Fprintln(w, "\nprocessor time, ms a unit")
	for _, s := range r.CPU {
		var kinds []string
		for _, k := range s.Kinds[:min(len(s.Kinds), 5)] {
			kinds = append(kinds, fmt.Sprintf("%s %.0f %%", k.Name, 100*k.Seconds/s.Seconds))
		}
		fmt.Fprintf(w, "%-10s %7.3f  %s\n", s.Name, 1000*s.Seconds/float64(r.Units), strings.Join(kinds, ", "))
	}
}

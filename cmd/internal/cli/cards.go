package cli

import (
	"cmp"
	"fmt"
	"io"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/cmd/internal/snapshot/screen"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/gpu"
)

// gibibyte is the unit of GPU memory, for people.
const gibibyte = 1 << 30

// showEngines prints what each worker has done and how its engine and cards are.
func showEngines(w io.Writer, s *snapshot.Snapshot) {
	for i := range s.Workers {
		v := &s.Workers[i]
		fmt.Fprintf(w, "%-9s %s  %d units, %d samples, %d from cache, %d given back", v.Stage, screen.Plain(v.Name), v.Units, v.Samples, v.Cached, v.Faults)
		if v.Stage == stream.Evaluate {
			fmt.Fprintf(w, ", %d programs at once", v.Slots)
		}
		fmt.Fprintln(w)
		if v.Engine != nil {
			showEngine(w, v.Engine)
			fmt.Fprintf(w, "%9s %d units ready, %.1f MiB on their way to the queue, waited %.1f s for it\n", "", v.Ready, float64(v.Publishing)/(1<<20), v.Waited)
		}
	}
}

// showEngine prints how an engine and its cards are doing, a line each.
func showEngine(w io.Writer, e *store.EngineState) {
	fmt.Fprintf(w, "%9s engine %s", "", screen.Plain(e.Phase))
	if e.Version != "" {
		fmt.Fprintf(w, ", version %s", screen.Plain(e.Version))
	}
	fmt.Fprintf(w, ", %.0f sequences running, %.0f waiting, %d restarts\n", e.Running, e.Waiting, e.Restarts)
	if d := e.PerCard; d != nil {
		fmt.Fprintf(w, "%9s GPU %d has %d engines, %.0f%% of its memory each: %s\n", "", d.GPU, d.Engines, 100*d.Share, screen.Plain(cmp.Or(d.Why, "still being found")))
		for _, s := range d.Steps {
			fmt.Fprintf(w, "%9s   with %d: %.0f tokens/s, GPU %s busy", "", s.Engines, s.TokensPer, gpu.Text(s.Utilization, "%.0f%%"))
			if s.Before > 0 {
				fmt.Fprintf(w, "; just before it with %d: %.0f", s.Engines-1, s.Before)
			}
			fmt.Fprintln(w)
		}
	}
	for _, c := range e.Cards {
		fmt.Fprintf(w, "%9s GPU %d %s  %s busy, idle %.1f%% of the run  %.1f of %.1f GiB  %s  %s", "", c.Index, screen.Plain(c.Name),
			gpu.Text(float64(c.Utilization), "%.0f%%"), 100*c.IdleShare, float64(c.MemoryUsed)/gibibyte, float64(c.MemoryTotal)/gibibyte,
			gpu.Text(c.Power, "%.0f W"), gpu.Text(float64(c.Temperature), "%.0f C"))
		for _, p := range c.Processes {
			fmt.Fprintf(w, "  process %d (%s, %.1f GiB)", p.PID, screen.Plain(p.State), float64(p.Memory)/gibibyte)
		}
		fmt.Fprintln(w)
	}
}

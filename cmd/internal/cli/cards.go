package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/gpu"
)

// gibibyte is the unit of GPU memory, for people.
const gibibyte = 1 << 30

// showEngine prints how an engine and its cards are doing, a line each.
func showEngine(w io.Writer, e *store.EngineState) {
	fmt.Fprintf(w, "%9s engine %s", "", e.Phase)
	if e.Version != "" {
		fmt.Fprintf(w, ", version %s", e.Version)
	}
	fmt.Fprintf(w, ", %.0f sequences running, %.0f waiting, %d restarts\n", e.Running, e.Waiting, e.Restarts)
	for _, c := range e.Cards {
		fmt.Fprintf(w, "%9s GPU %d %s  %s busy, idle %.1f%% of the run  %.1f of %.1f GiB  %s  %s", "", c.Index, c.Name,
			known(float64(c.Utilization), "%.0f%%"), 100*c.IdleShare, float64(c.MemoryUsed)/gibibyte, float64(c.MemoryTotal)/gibibyte,
			known(c.Power, "%.0f W"), known(float64(c.Temperature), "%.0f C"))
		for _, p := range c.Processes {
			fmt.Fprintf(w, "  process %d (%s, %.1f GiB)", p.PID, p.State, float64(p.Memory)/gibibyte)
		}
		fmt.Fprintln(w)
	}
}

// known formats a value that the driver may not tell.
func known(v float64, format string) string {
	if v == gpu.Unknown {
		return "?"
	}
	return fmt.Sprintf(format, v)
}

// graphics says what GPUs this machine has, who holds their memory, and whether vLLM is here.
func graphics(ctx context.Context, program string) []finding {
	return append(cardFindings(ctx), engineFinding(program))
}

func cardFindings(ctx context.Context) []finding {
	s, err := gpu.Open(ctx, gpu.Config{})
	if err != nil {
		return []finding{{Check: "GPU driver", Says: err.Error(), Remedy: "only --engine vllm needs one: install NVIDIA's driver, or pass the GPUs into this container (docker run --gpus all)"}}
	}
	defer func() { _ = s.Close() }() // nothing is read any more
	all, err := s.Read(ctx)
	if err != nil {
		return []finding{{Check: "GPU driver", Says: fmt.Sprintf("%s: %v", s.Name(), err), Remedy: "nvidia-smi says more; a restart of the machine or pod brings a wedged driver back"}}
	}
	if len(all) == 0 {
		return []finding{{Check: "GPU driver", Says: s.Name() + ", and no GPU", Remedy: "only --engine vllm needs one: pass the GPUs into this container (docker run --gpus all)"}}
	}
	fs := []finding{{Check: "GPU driver", OK: true, Says: s.Name()}}
	for _, r := range all {
		fs = append(fs, finding{Check: fmt.Sprintf("GPU %d", r.Index), OK: true, Says: fmt.Sprintf("%s, %.1f of %.1f GiB in use, %s busy, %s, %s, %s",
			r.Name, float64(r.Used)/gibibyte, float64(r.Total)/gibibyte, known(float64(r.Utilization), "%.0f%%"), known(r.Power, "%.0f W"), known(float64(r.Temperature), "%.0f C"), r.UUID)})
		for _, h := range (gpu.Kernel{}).Holders([]gpu.Reading{r}, gpu.Baseline{r.UUID: idleMemory}, nil) {
			_, says, _ := strings.Cut(h.String(), ": ") // the check names the card
			fs = append(fs, finding{Check: fmt.Sprintf("GPU %d memory", r.Index), Says: says})
		}
	}
	return fs
}

// idleMemory is more than what an idle driver keeps on a card: what is in use beyond it with no process
// listed is somebody's.
const idleMemory = 1 << 30

func engineFinding(program string) finding {
	path, err := vllm.Find(program)
	if err != nil {
		says, remedy, _ := strings.Cut(err.Error(), "\n")
		return finding{Check: "vllm", Says: says, Remedy: remedy}
	}
	return finding{Check: "vllm", OK: true, Says: path}
}

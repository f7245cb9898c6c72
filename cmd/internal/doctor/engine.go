package doctor

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/gpu"
)

// idleMemory is more than what an idle driver keeps on a card, in bytes: what is in use beyond
// it with no process listed is somebody's.
const idleMemory = gibibyte

// GPUs says what GPUs this machine has, and who holds their memory.
func GPUs() Check {
	return func(ctx context.Context) []Finding {
		const name = "GPU driver"
		s, err := gpu.Open(ctx, gpu.Config{})
		if err != nil {
			return []Finding{{Check: name, Result: Warn, Says: err.Error(), Remedy: "only --engine vllm needs one: install NVIDIA's driver, or pass the GPUs into this container (docker run --gpus all)"}}
		}
		defer func() { _ = s.Close() }() // nothing is read any more
		all, err := s.Read(ctx)
		if err != nil {
			return []Finding{{Check: name, Result: Warn, Says: fmt.Sprintf("%s: %v", s.Name(), err), Remedy: "nvidia-smi says more; a restart of the machine or pod brings a wedged driver back"}}
		}
		if len(all) == 0 {
			return []Finding{{Check: name, Result: Warn, Says: s.Name() + ", and no GPU", Remedy: "only --engine vllm needs one: pass the GPUs into this container (docker run --gpus all)"}}
		}
		found := []Finding{{Check: name, Result: Pass, Says: s.Name()}}
		for _, r := range all {
			if r.Fault != "" {
				found = append(found, Finding{Check: fmt.Sprintf("GPU %d", r.Index), Result: Warn, Says: r.Fault, Remedy: "leave it out with --gpus, or have it reset: nvidia-smi says more"})
				continue
			}
			found = append(found, Finding{Check: fmt.Sprintf("GPU %d", r.Index), Result: Pass, Says: fmt.Sprintf("%s, %.1f of %.1f GiB in use, %s busy, %s, %s, %s",
				r.Name, float64(r.Used)/gibibyte, float64(r.Total)/gibibyte, gpu.Text(float64(r.Utilization), "%.0f%%"), gpu.Text(r.Power, "%.0f W"), gpu.Text(float64(r.Temperature), "%.0f C"), r.UUID)})
			for _, h := range (gpu.Kernel{}).Holders([]gpu.Reading{r}, gpu.Baseline{r.UUID: idleMemory}, nil) {
				_, says, _ := strings.Cut(h.String(), ": ") // the check names the card
				found = append(found, Finding{Check: fmt.Sprintf("GPU %d memory", r.Index), Result: Warn, Says: says, Remedy: "end that process, or choose other cards with --gpus"})
			}
		}
		return found
	}
}

// VLLM says whether the program is here and can be asked for its flags, which takes as long as
// an import of torch.
func VLLM(program string) Check {
	return one("vllm", func(ctx context.Context) Finding {
		path, err := vllm.Find(program)
		if err == nil {
			_, err = vllm.Probe(ctx, os.Environ(), path)
		}
		if err != nil {
			says, remedy, _ := strings.Cut(err.Error(), "\n")
			return Finding{Result: Warn, Says: says, Remedy: remedy}
		}
		return Finding{Result: Pass, Says: path + ", says its flags"}
	})
}

// hubWait bounds the look at the hub: it is a question of yes or no.
const hubWait = 5 * time.Second

// Hub says whether models and problem sets can be fetched from the endpoint.
func Hub(endpoint string, offline bool) Check {
	return one("hub", func(ctx context.Context) Finding {
		if offline {
			return Finding{Result: Pass, Says: "not asked: offline is set, what has been fetched is used"}
		}
		ctx, cancel := context.WithTimeout(ctx, hubWait)
		defer cancel()
		remedy := "only --model and 'dataset fetch' need it: name a mirror with --hf-endpoint, or fetch elsewhere, copy HF_HOME and set HF_HUB_OFFLINE=1"
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, endpoint, http.NoBody)
		if err != nil {
			return Finding{Result: Warn, Says: fmt.Sprintf("%s: %v", endpoint, err), Remedy: remedy}
		}
		began := time.Now()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return Finding{Result: Warn, Says: fmt.Sprintf("not reached: %v", err), Remedy: remedy}
		}
		_ = resp.Body.Close() // a HEAD has none
		if resp.StatusCode >= http.StatusInternalServerError {
			return Finding{Result: Warn, Says: fmt.Sprintf("%s answers %s", endpoint, resp.Status), Remedy: remedy}
		}
		return Finding{Result: Pass, Says: fmt.Sprintf("%s answers in %v", endpoint, time.Since(began).Round(time.Millisecond))}
	})
}

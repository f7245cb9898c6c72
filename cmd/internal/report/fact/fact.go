// Package fact tells where the numbers of a results folder come from: what made
// the samples, what judged them, when and how fast. It says only what the folder
// knows.
package fact

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/window"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/combine/summary"
)

// A Fact is one line.
type Fact struct{ Name, Value string }

// Of returns what is known of how the results were made: first what everybody
// asks, then whatever else run_summary.json holds.
func Of(r *folder.Results) []Fact {
	var out []Fact
	add := func(name, value string) {
		if value != "" {
			out = append(out, Fact{name, value})
		}
	}
	g := r.Group
	add("Model", g.Model)
	engine := g.Engine
	if g.Simulated {
		engine += " (simulated: no model was asked)"
	}
	add("Engine", engine)
	if s := r.Run; s != nil {
		add("Run", s.Run)
		p := s.Problems
		set := p.Name
		if p.Revision != "" {
			set += " at " + p.Revision
		}
		add("Problem set", set)
		add("Digest of the set", p.Digest)
		add("Code taken from a completion", s.Sampling.Extract)
		// What a run asks for is not what recorded or simulated samples were made with.
		if m := s.Sampling; !stream.Engine(g.Engine).Recorded() && !g.Simulated {
			add("Prompt", m.Prompt)
			add("Sampling", fmt.Sprintf("top_p %v, top_k %d, min_p %v, at most %s tokens, seed %d", m.TopP, m.TopK, m.MinP, figure.Count(m.MaxTokens), m.Seed))
			if m.OnRefused == "redraw" {
				add("Texts that the server refuses", "are drawn again")
			}
		}
	}
	for i := range r.Windows {
		add("Window", window.Words(&r.Windows[i]))
		for _, x := range r.Windows[i].Excluded {
			add("Left out", x.ID+": "+x.Reason)
		}
	}
	if r.Run != nil && r.Run.Until != nil {
		add("Number of samples", Until(r.Run.Until))
	}
	add("Judge", g.Judge)
	add("Judging environment", g.Fingerprint)
	if s := r.Run; s != nil {
		j := s.Judging
		if j.TimeLimit > 0 {
			add("Limits of a program", fmt.Sprintf("%s CPU a test, %s memory, %s output a test", j.Limit(), size(j.MemoryLimit), size(j.OutputLimit)))
		}
		add("Started", when(s.Started))
		add("Finished", when(s.Finished))
		if s.DurationSeconds > 0 {
			add("Duration", took(s.DurationSeconds))
			pace := fmt.Sprintf("%.1f samples/s", s.Throughput.SamplesPerSecond)
			if s.Throughput.TokensPerSecond > 0 {
				pace += fmt.Sprintf(", %s tokens/s", figure.Count(int(s.Throughput.TokensPerSecond)))
			}
			add("Pace", pace+" over the whole duration")
		}
		if s.Throughput.Tokens > 0 {
			add("Completion tokens", figure.Count(s.Throughput.Tokens))
		}
		if s.Throughput.JudgeCPU > 0 {
			add("CPU time of judging", took(s.Throughput.JudgeCPU)+" (a program that several samples share is run once, and counted once)")
		}
		if s.UnitSize > 0 {
			add("Samples a unit", figure.Count(s.UnitSize))
		}
		machinery(&s.Provenance, add)
		add("Defined by", "lcbq "+s.LCBQ)
	}
	return append(out, further(r.Raw)...)
}

// machinery is what made the samples and what judged them.
func machinery(p *summary.Provenance, add func(name, value string)) {
	add("Engine version", p.EngineVersion)
	add("Engine arguments", strings.Join(p.EngineArgs, " "))
	if p.EngineRestarts > 0 {
		add("Engine restarts", strconv.Itoa(p.EngineRestarts))
	}
	for _, g := range p.GPUs {
		add("GPU", card(g))
	}
	for _, c := range p.CardEngines {
		said := []string{fmt.Sprintf("%d, %.0f %% of its memory each: %s", c.Engines, 100*c.Share, c.Why)}
		for _, s := range c.Steps {
			said = append(said, fmt.Sprintf("%s tokens/s with %d", figure.Count(int(s.TokensPer)), s.Engines))
		}
		add(fmt.Sprintf("Engines on GPU %d", c.GPU), strings.Join(said, "; "))
	}
	if p.GPUIdleShare != nil {
		add("GPUs idle", figure.Percent(*p.GPUIdleShare)+" % of the time")
	}
	add("Sandbox level", p.SandboxLevel)
	var env struct {
		Python   string            `json:"python"`
		Packages map[string]string `json:"packages"`
	}
	if json.Unmarshal(p.Environment, &env) == nil && env.Python != "" { // one of another lcbq says nothing here
		parts := []string{"Python " + env.Python}
		for _, name := range slices.Sorted(maps.Keys(env.Packages)) {
			parts = append(parts, name+" "+env.Packages[name])
		}
		add("Programs run on", strings.Join(parts, ", "))
	}
	for _, s := range p.Stages {
		text := fmt.Sprintf("%.1f samples/s over %s", s.SamplesPerSecond, took(s.Seconds))
		if s.TokensPerSecond > 0 {
			text += fmt.Sprintf(", %s tokens/s", figure.Count(int(s.TokensPerSecond)))
		}
		if s.Retries > 0 {
			text += ", " + figure.Count(s.Retries) + " units tried again"
		}
		add("Stage "+string(s.Stage), text)
	}
	if p.DeadUnits > 0 {
		add("Units given up", figure.Count(p.DeadUnits))
	}
}

func card(g store.GPU) string {
	text := g.Name
	if g.MemoryBytes > 0 {
		text += ", " + size(g.MemoryBytes)
	}
	if g.Driver != "" {
		text += ", driver " + g.Driver
	}
	if g.Seconds > 0 {
		text += fmt.Sprintf(", %.0f %% used, idle %.1f %% of the time", g.Utilization, 100*g.IdleShare)
		if g.Power > 0 {
			text += fmt.Sprintf(", %.0f W", g.Power)
		}
	}
	return text
}

// told are the keys of run_summary.json, and of its provenance, that Of or the
// charts tell.
var told = []string{
	"run", "engine", "model", "simulated", "judge", "fingerprint", "questions", "n", "temperatures", "samples", "passed", "unscored", "results",
	"started", "finished", "duration_s", "lcbq", "problems", "windows", "sampling", "judging", "throughput", "incomplete", "health", "analysis", "unit_size", "provenance",
	"engine_version", "engine_args", "engine_restarts", "engines_per_gpu", "gpus", "gpu_idle_share", "sandbox_level", "environment", "stages", "dead_units", "timeline",
}

// further returns what run_summary.json holds beyond that, so that nothing which
// a newer lcbq writes is kept from the reader.
func further(raw map[string]any) []Fact {
	var out []Fact
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(name+" · "+spaced(k), v[k])
			}
		case nil:
		default:
			text, err := json.Marshal(v)
			if s, ok := v.(string); ok {
				text = []byte(s)
			}
			if err == nil && len(text) > 0 && len(text) <= 300 { // longer ones are data, not facts
				out = append(out, Fact{name, string(text)})
			}
		}
	}
	known := maps.Clone(raw)
	if nested, ok := known["provenance"].(map[string]any); ok {
		delete(known, "provenance")
		maps.Copy(known, nested)
	}
	for _, k := range slices.Sorted(maps.Keys(known)) {
		if !slices.Contains(told, k) {
			walk(strings.ToUpper(k[:min(1, len(k))])+spaced(k[min(1, len(k)):]), known[k])
		}
	}
	return out
}

func spaced(key string) string { return strings.ReplaceAll(key, "_", " ") }

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

func took(seconds float64) string {
	if seconds < 60 {
		return fmt.Sprintf("%.1f s", seconds)
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

func size(bytes int64) string {
	for _, u := range []struct {
		of   int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if bytes >= u.of {
			return strconv.FormatFloat(float64(bytes)/float64(u.of), 'f', -1, 64) + " " + u.name
		}
	}
	return cmp.Or(strconv.FormatInt(bytes, 10), "0") + " bytes"
}

// Until says by which rule the number of samples was chosen, and what came of it.
func Until(u *summary.Until) string {
	reached := "reached"
	if !u.Reached {
		reached = "not reached"
		if n := u.Left(); n < len(u.Temperatures) {
			reached = fmt.Sprintf("not reached at %d of %d", n, len(u.Temperatures))
		}
	}
	most := u.N
	for _, x := range u.Temperatures {
		most = max(most, x.N)
	}
	samples := figure.Count(u.N)
	if most > u.N {
		samples += " to " + figure.Count(most)
	}
	return fmt.Sprintf("chosen by the results at each temperature by itself, until half the interval of pass@%d on these questions is at most %.2f points (%s): with %s samples of a question it is %.2f or less (most at %s; 95 %%, however often one looked)",
		u.K, 100*u.Half, reached, samples, 100*u.Widest, figure.Temperature(u.At))
}

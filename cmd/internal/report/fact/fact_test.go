package fact_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/lcbq/lcbq/cmd/internal/report/fact"
	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/report/reporttest"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

func sweep(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := &reporttest.Sweep{Questions: 6, Temperatures: []float64{0.2, 0.6}, N: 20}
	if err := s.Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// read returns the folder's run_summary.json.
func read(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(result.RunSummaryPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func of(t *testing.T, dir string) []fact.Fact {
	t.Helper()
	r, err := folder.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fact.Of(r)
}

// TestFacts: what run_summary.json knows is told, also what this version does not
// know the meaning of.
func TestFacts(t *testing.T) {
	t.Parallel()
	dir := sweep(t)
	var raw map[string]any
	b := read(t, dir)
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatal(err)
	}
	raw["new_thing"] = map[string]any{"shade": 0.25, "name": "H100"}
	raw["provenance"] = map[string]any{
		"engine_version": "9.9", "gpus": []any{map[string]any{"name": "H100", "memory_bytes": 80 << 30, "measured_s": 60, "utilization_mean": 91, "idle_share": 0.02}}, "gpu_idle_share": 0.02,
		"environment": map[string]any{"python": "3.11.2", "packages": map[string]any{"numpy": "1.24.2"}}, "newer": 7,
		"stages": []any{map[string]any{"stage": "evaluate", "duration_s": 90, "samples_per_s": 320, "retries": 3}}, "dead_units": 2,
	}
	if err := result.WriteJSONAtomic(result.RunSummaryPath(dir), raw); err != nil {
		t.Fatal(err)
	}
	facts := of(t, dir)
	for _, want := range [][2]string{
		{"Judge", "lcb"},
		{"Duration", "24h0m0s"},
		{"Run", "made-up"},
		{"Started", "2026-01-02 03:04:05 UTC"},
		{"New thing · shade", "0.25"},
		{"New thing · name", "H100"},
		{"Newer", "7"},
		{"Engine version", "9.9"},
		{"GPU", "H100, 80 GiB, 91 % used, idle 2.0 % of the time"},
		{"GPUs idle", "2.00 % of the time"},
		{"Programs run on", "Python 3.11.2, numpy 1.24.2"},
		{"Stage evaluate", "320.0 samples/s over 1m30s, 3 units tried again"},
		{"Units given up", "2"},
	} {
		if !slices.Contains(facts, fact.Fact{Name: want[0], Value: want[1]}) {
			t.Errorf("facts lack %v: %v", want, facts)
		}
	}
	for _, f := range facts {
		if slices.Contains([]string{"Sampling", "Prompt", "Limits of a program", "Samples a unit"}, f.Name) {
			t.Errorf("%s is told of a simulation that does not know it: %s", f.Name, f.Value)
		}
		if slices.Contains([]string{"Results", "Duration s", "Samples", "Judging · mode", "Analysis", "Stages"}, f.Name) {
			t.Errorf("%s is told twice, or is no fact: %s", f.Name, f.Value)
		}
	}
}

// TestFactsOfAModel: the settings that made the samples are told.
func TestFactsOfAModel(t *testing.T) {
	t.Parallel()
	dir := sweep(t)
	for q := range 6 {
		s, err := result.ReadSummary(dir, q)
		if err != nil {
			t.Fatal(err)
		}
		s.Engine, s.Model, s.Simulated = "openai", "m", false
		if err := result.WriteSummary(dir, s); err != nil {
			t.Fatal(err)
		}
	}
	var raw map[string]any
	if err := json.Unmarshal(read(t, dir), &raw); err != nil {
		t.Fatal(err)
	}
	raw["engine"], raw["model"], raw["simulated"] = "openai", "m", false
	raw["sampling"] = map[string]any{"top_p": 0.95, "top_k": 20, "max_tokens": 2000, "seed": 3, "prompt_style": "lcb"}
	raw["judging"] = map[string]any{"time_limit_s": 6, "memory_limit": 4 << 30, "output_limit": 16 << 20}
	if err := result.WriteJSONAtomic(result.RunSummaryPath(dir), raw); err != nil {
		t.Fatal(err)
	}
	facts := of(t, dir)
	for _, want := range [][2]string{
		{"Model", "m"},
		{"Engine", "openai"},
		{"Prompt", "lcb"},
		{"Sampling", "top_p 0.95, top_k 20, min_p 0, at most 2,000 tokens, seed 3"},
		{"Limits of a program", "6 s CPU a test, 4 GiB memory, 16 MiB output a test"},
	} {
		if !slices.Contains(facts, fact.Fact{Name: want[0], Value: want[1]}) {
			t.Errorf("facts lack %v: %v", want, facts)
		}
	}
}

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

var (
	endlessTexts    = flag.Int("endless", 20, "endless programs of TestEndlessOnTwoEvaluators")
	endlessTogether = flag.Bool("endless.together", false, "have their copies anywhere, also in units that two evaluators judge at the same time")
)

// TestEndlessOnTwoEvaluators has two evaluator processes judge endless programs, every text twice, its
// copies half the run apart. It wants each text to be run once, whichever evaluator gets the copy.
func TestEndlessOnTwoEvaluators(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	n, dir := *endlessTexts, t.TempDir()
	completions, out := filepath.Join(dir, "completions.jsonl"), filepath.Join(dir, "out")
	half := rand.Perm(n)
	order := slices.Concat(half, half) // each copy as far behind as can be: those of another order may be neighbours
	if *endlessTogether {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	f, err := os.Create(completions)
	if err != nil {
		t.Fatal(err)
	}
	rows := json.NewEncoder(f)
	for i, text := range order {
		row := map[string]string{"question_id": "lcbq_a01", "completion_id": fmt.Sprintf("lcbq_a01-%04d", i), "output": fmt.Sprintf("```python\nx = %d\nwhile True:\n    x += 1\n```", text)}
		if err := rows.Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	server, url := startServer(t, filepath.Join(dir, "store"))
	defer interrupt(t, server)
	says(t, 0, "submit", "--nats", url, "--problems", "sample", "--end", "1", "--engine", "replay", "--completions", completions, "--n", fmt.Sprint(2*n),
		"--unit-size", "5", "--temperatures", "0.2", "--time-limit", "0.6", "--run", "endless", "-o", out)
	for _, worker := range [][]string{{"evaluate", "--evaluators", "1"}, {"evaluate", "--evaluators", "1"}, {"combine"}, {"generate", "--completions", completions}} {
		cmd := command(t, append(worker, "--nats", url)...)
		cmd.Stderr = new(said)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer interrupt(t, cmd)
	}
	path := result.CellPath(out, 0, 0.2)
	for end := time.Now().Add(time.Hour); ; <-time.After(100 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the cell is not written")
		}
	}
	cell, err := result.OpenCell(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cell.Close() }()
	runs := make(map[string][]string)
	cpu := 0.0
	for s, err := range cell.Samples() {
		if err != nil {
			t.Fatal(err)
		}
		if s.Verdict != stream.TimeLimit {
			t.Errorf("sample %d: %v", s.Index, s.Verdict)
		}
		if !s.Cached {
			cpu += s.CPU
			runs[s.Code] = append(runs[s.Code], s.Evaluator)
		}
	}
	var twice, by []string
	for text, evaluators := range runs {
		if len(evaluators) > 1 {
			twice = append(twice, text)
		}
		by = append(by, evaluators...)
	}
	slices.Sort(by)
	t.Logf("%d texts, %d samples: %d runs of %.1f s of processor time by %d evaluators, %d texts were run twice", n, 2*n, len(by), cpu, len(slices.Compact(by)), len(twice))
	if len(runs) != n {
		t.Errorf("%d texts were run, want %d", len(runs), n)
	}
	if len(twice) > 0 && !*endlessTogether {
		t.Errorf("run by both evaluators: %q", twice)
	}
}

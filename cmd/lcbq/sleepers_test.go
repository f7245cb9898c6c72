package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/combine/summary"
)

var (
	sleepSlots = flag.Int("sleepers.slots", 64, "programs at once in BenchmarkSleepers, of all evaluators together")
	sleepTurns = flag.Int("sleepers.turns", 50, "programs for each of these slots")
	sleepFor   = flag.Duration("sleepers.for", 500*time.Millisecond, "how long each program sleeps")
)

// BenchmarkSleepers judges programs that sleep, through the whole pipeline, in units of 100: by one
// process that does all, and by two evaluators with half of the slots each. ideal is the time that
// the slots need if none is ever empty, to the time from the first unit's begin to the last one's end.
// Sleepers show many slots on few processors.
func BenchmarkSleepers(b *testing.B) {
	dir := b.TempDir()
	completions, n := filepath.Join(dir, "completions.jsonl"), *sleepSlots**sleepTurns
	f, err := os.Create(completions)
	if err != nil {
		b.Fatal(err)
	}
	rows := json.NewEncoder(f)
	for i := range n {
		// Each fails its first test, so that it sleeps once.
		code := fmt.Sprintf("```python\nimport time\ntime.sleep(%v)\nprint('text %d')\n```", sleepFor.Seconds(), i)
		if err := rows.Encode(map[string]string{"question_id": "lcbq_a01", "completion_id": fmt.Sprintf("lcbq_a01-%06d", i), "output": code}); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	asked := []string{"--problems", "sample", "--end", "1", "--engine", "replay", "--n", fmt.Sprint(n), "--unit-size", "100", "--temperatures", "0.2", "--run", "sleepers"}
	asked = append(asked, "--completions", completions)
	slots := func(of int) []string { return []string{"--evaluators", fmt.Sprint(*sleepSlots / of)} }
	b.Run("one process", func(b *testing.B) {
		for b.Loop() {
			out := b.TempDir()
			cmd := reexec(b, "lcbq", append(append([]string{"run", "-o", out}, asked...), slots(1)...)...)
			if text, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, text)
			}
			if !reportSlept(b, out, n) {
				b.Fatal("the run has no summary")
			}
		}
	})
	b.Run("two evaluators", func(b *testing.B) {
		for b.Loop() {
			out := b.TempDir()
			server, url := listening(b, "serving", "server", "--listen", "127.0.0.1:0", "--store-dir", filepath.Join(b.TempDir(), "store"))
			submit := reexec(b, "lcbq", append([]string{"submit", "--nats", url, "-o", out}, asked...)...)
			if text, err := submit.CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, text)
			}
			for _, worker := range [][]string{
				append([]string{"evaluate"}, slots(2)...), append([]string{"evaluate"}, slots(2)...), {"combine"}, {"generate", "--completions", completions},
			} {
				message := map[string]string{"evaluate": "judging", "combine": "combining", "generate": "generating"}[worker[0]]
				cmd, _ := listening(b, message, append(worker, "--nats", url)...)
				defer kill9(b, cmd)
			}
			for !reportSlept(b, out, n) {
				<-time.After(100 * time.Millisecond)
			}
			kill9(b, server)
		}
	})
}

// reportSlept says how long judging took against the ideal. It reports whether the run's one cell is written.
func reportSlept(b *testing.B, out string, n int) bool {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(out, "run_summary.json"))
	if os.IsNotExist(err) {
		return false
	}
	var s summary.Run
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		b.Fatal(err)
	}
	for _, stage := range s.Provenance.Stages {
		if stage.Stage == stream.Evaluate {
			b.ReportMetric((time.Duration(*sleepTurns)**sleepFor).Seconds()/stage.Seconds, "ideal")
			b.ReportMetric(stage.Seconds, "wall-s")
			b.ReportMetric(s.Throughput.JudgeCPU*1000/float64(n), "program-cpu-ms")
		}
	}
	return true
}

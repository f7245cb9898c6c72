package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/engine/sim"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/score"
)

// TestSweepMeetsTheClosedForm runs the built-in sweep and compares what was
// measured of each cell with the true pass probability of the simulated model: the
// 99.9% interval of the measurement must hold it. The run's seed is fixed, so that
// this is a fact about the code and not a matter of luck.
func TestSweepMeetsTheClosedForm(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := filepath.Join(t.TempDir(), "results")
	out, err := command(t, "run", "-o", dir, "--time-limit", "2", "--listen", "127.0.0.1:0").CombinedOutput()
	if err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	cells := 0
	for q := range 12 {
		s, err := result.ReadSummary(dir, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range s.Results {
			cells++
			p, err := sim.PassProbability(s.QuestionID, r.Temperature)
			if err != nil {
				t.Fatal(err)
			}
			i, err := score.ClopperPearson(r.N, r.Passed, 0.999)
			if err != nil {
				t.Fatal(err)
			}
			if r.N != 100 || !i.Contains(p) {
				t.Errorf("%s at %v: %d of %d passed, 99.9%% interval %.4f to %.4f, true probability %.4f", s.QuestionID, r.Temperature, r.Passed, r.N, i.Low, i.High, p)
			}
		}
	}
	if cells != 12*16 {
		t.Errorf("%d cells, want 192", cells)
	}
}

// TestPaceOfARun wants `lcbq run` to hold the pace that it is given: tests that end a sweep in its
// middle, and whoever tries lcbq on a simulated sweep of a day, count on it.
func TestPaceOfARun(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "results")
	const pace = 3000
	ok(t, "run", "-o", dir, "--end", "1", "--n", "20", "--unit-size", "5", "--temperatures", "0.2", "--sim-tps", strconv.Itoa(pace), "--time-limit", "1", "--evaluators", "1", "--listen", "127.0.0.1:0")
	data, err := os.ReadFile(result.RunSummaryPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	var s summary.Run
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	// The run lasts longer than its tokens take, by its start and end.
	if got := s.Throughput; got.Tokens < 1000 || got.TokensPerSecond > pace {
		t.Errorf("%d tokens at %.0f a second, want 1,000 at least and no more than %d a second", got.Tokens, got.TokensPerSecond, pace)
	}
}

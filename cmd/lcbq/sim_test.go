package main

import (
	"path/filepath"
	"testing"

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

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// TestSubmitUntil: the combiner of a submitted run adds samples until pass@1 is known as well as
// wanted, at each temperature as many as that one needs, and workers end when the run does.
func TestSubmitUntil(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	server, url := startServer(t, filepath.Join(dir, "store"))
	results := filepath.Join(dir, "results")
	out := ok(t, "submit", "--nats", url, "-o", results, "--run", "u", "--end", "3", "--n", "2000", "--temperatures", "0.2,1.2,1.8", "--until-width", "10")
	if want := "to begin with, at most 2000 of a cell: the combiner adds"; !strings.Contains(out, want) {
		t.Errorf("submit says %q, want %q", out, want)
	}
	var workers []*exec.Cmd
	for _, w := range [][]string{{"generate"}, {"evaluate", "--evaluators", "2"}, {"combine"}} {
		workers = append(workers, start(t, append(w, "--nats", url, "--run", "u")...))
	}
	for _, w := range workers {
		if err := w.Wait(); err != nil {
			t.Errorf("%v: %v", w.Args, err)
		}
	}
	ok(t, "verify", results)
	raw, err := os.ReadFile(result.RunSummaryPath(results))
	if err != nil {
		t.Fatal(err)
	}
	var run summary.Run
	if err := json.Unmarshal(raw, &run); err != nil {
		t.Fatal(err)
	}
	u := run.Until
	if u == nil || !u.Reached || len(u.Temperatures) != 3 || u.Widest > 0.1 {
		t.Fatalf("the run says %+v of its rule", u)
	}
	for i, x := range u.Temperatures {
		if got := run.Analysis.Temperatures[i].NMin; !x.Reached || x.N != got || x.N < 16 || x.N >= 2000 {
			t.Errorf("at %v: %+v, and %d samples in the analysis", x.Temperature, x, got)
		}
	}
	interrupt(t, server)
}

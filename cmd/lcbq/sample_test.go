package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// TestSampleThatNoFileTakes: a judged unit with an error code that there is not lies
// in COMBINE before any worker starts. The run writes every other cell, ends with exit
// status 3 and names the unit; made anew, the unit completes the run.
func TestSampleThatNoFileTakes(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := filepath.Join(t.TempDir(), "results")
	store := filepath.Join(dir, ".lcbq")
	server, url := startServer(t, store)
	submit := submitArgs(url, "one", dir)
	ok(t, submit...)
	u := stream.Scored{Batch: stream.Batch{
		Unit: stream.Unit{Cell: stream.Cell{Run: "one", Temperature: 400}, Index: 3}, Generator: "a stranger",
	}, Evaluator: "a stranger"}
	for i := range 10 {
		u.Samples = append(u.Samples, stream.Sample{Index: 30 + i, Code: "print(1)"})
		u.Judgements = append(u.Judgements, stream.Judgement{Verdict: stream.RuntimeError, ErrorCode: new(-4)})
	}
	u.Judgements[4].ErrorCode = new(0)
	forge(t, url, u)
	interrupt(t, server)

	args := append([]string{"run"}, submit[3:]...)
	args = append(args, "--listen", "127.0.0.1:0", "--evaluators", "1")
	cmd := command(t, args...)
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 3 {
		t.Fatalf("run = %v, want exit status 3\n%s", err, out)
	}
	subject := u.Subject(stream.Combine)
	for _, want := range []string{"1 units were given up, the first (poison) because: unit " + subject + ": sample 34: error_code = 0, want null or -5 to -2", "--regenerate"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("run does not say %q:\n%s", want, out)
		}
	}
	if cell, err := result.OpenCell(result.CellPath(dir, 0, 0.2)); err != nil {
		t.Errorf("the other cell is not there: %v", err)
	} else if err := cell.Close(); err != nil {
		t.Error(err)
	}
	ok(t, "dead", "requeue", "--regenerate", "--store-dir", store, subject)
	ok(t, args...)
	if out := ok(t, "verify", dir); !strings.Contains(out, "2 cells, 120 samples") {
		t.Errorf("verify says %q", out)
	}
}

// forge publishes a judged unit that no evaluator made, with the receipt of who was handed it.
func forge(t *testing.T, url string, u stream.Scored) {
	t.Helper()
	js, end := session(t, url)
	defer end()
	s, err := store.Open(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := s.Run(t.Context(), u.Run)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := s.Issuer(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	u.Receipt = issuer.Receipt(u.Unit)
	body, err := stream.Encode(u)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), u.Subject(stream.Combine), body); err != nil {
		t.Fatal(err)
	}
}

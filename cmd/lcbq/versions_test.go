package main

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
)

// TestOtherVersions has today's workers serve a server on which an earlier lcbq made one run and a later one another: what
// the earlier one did not know is not there, and the later run has a setting that today's lcbq does not know. The one must
// be done, and the other be left alone by every worker and by submit, which say why, and no unit of it be touched.
func TestOtherVersions(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	store, out := filepath.Join(dir, "store"), filepath.Join(dir, "out")
	server, url := startServer(t, store)
	submit := func(run, out string) []string {
		return []string{"submit", "--nats", url, "--store-dir", store, "--run", run, "-o", out, "--end", "1", "--n", "20", "--unit-size", "10", "--temperatures", "0.2"}
	}
	says(t, 0, submit("earlier", out)...)
	says(t, 0, submit("later", filepath.Join(dir, "later"))...)
	nc, err := keyedBy(url, store)
	js, end := sessionOver(t, nc, err)
	defer end()
	kv, err := js.KeyValue(t.Context(), "lcbq_runs")
	if err != nil {
		t.Fatal(err)
	}
	change := func(run, was, is string) {
		t.Helper()
		e, err := kv.Get(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		text := regexp.MustCompile(was).ReplaceAllString(string(e.Value()), is)
		if text == string(e.Value()) {
			t.Fatalf("nothing like %s in %s", was, text)
		}
		if _, err := kv.PutString(t.Context(), run, text); err != nil {
			t.Fatal(err)
		}
	}
	change("earlier", `"receipts":"[^"]*",|,"prompt_bytes":\d+`, "")
	change("earlier", `"lcbq":"[^"]*"`, `"lcbq":"v0.1"`)
	change("later", `"lcbq":"[^"]*"`, `"lcbq":"v99.0"`)
	change("later", `"judge":\{`, `"judge":{"leniency":0.5,`)
	q := queue.New(js)
	units, err := q.QuestionUnits(t.Context(), stream.Generate, "earlier", 0)
	if err != nil || len(units) != 2 {
		t.Fatalf("%d units of the earlier run, %v, want 2", len(units), err)
	}
	for i, u := range units { // without a receipt, as the earlier lcbq published them
		if err := q.Remove(t.Context(), stream.Generate, u); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Publish(t.Context(), stream.Generate, u, map[string]any{"run": u.Run, "question": u.Question, "temperature": "0.2", "unit": u.Index, "first": 10 * u.Index, "n": 10}); err != nil {
			t.Fatalf("unit %d: %v", i, err)
		}
	}
	for _, bucket := range []string{"lcbq_receipts", "lcbq_orders", "lcbq_verdicts", "lcbq_engines"} {
		if err := js.DeleteKeyValue(t.Context(), bucket); err != nil {
			t.Fatal(err)
		}
	}
	if err := js.DeleteStream(t.Context(), "JUDGES"); err != nil {
		t.Fatal(err)
	}
	logs := make(map[string]*said)
	var workers []*exec.Cmd
	for _, args := range [][]string{{"combine"}, {"generate"}, {"evaluate", "--evaluators", "1"}} {
		cmd := command(t, append(args, "--nats", url, "--store-dir", store)...)
		logs[args[0]] = new(said)
		cmd.Stderr = logs[args[0]]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		workers = append(workers, cmd)
	}
	defer func() {
		for name, s := range logs {
			if t.Failed() {
				t.Logf("%s:\n%s", name, s)
			}
		}
	}()
	waitUntil(t, "the earlier run is finished", func() bool {
		return strings.Contains(says(t, 0, "runs", "--nats", url, "--store-dir", store), "finished")
	})
	says(t, 0, "verify", out)
	for name, s := range logs {
		awaits(t, s, `"later"`)
		wantsAll(t, s.String(), "leniency", "v99.0")
		if strings.Contains(s.String(), "panic") {
			t.Errorf("%s:\n%s", name, s)
		}
	}
	wantsAll(t, says(t, 1, submit("later", filepath.Join(dir, "later"))...), "leniency", "use the lcbq that made it, version v99.0")
	for _, w := range workers {
		interrupt(t, w)
	}
	for stage, want := range map[stream.Stage]int{stream.Generate: 2, stream.Evaluate: 0, stream.Combine: 0} {
		if units, err := q.QuestionUnits(t.Context(), stage, "later", 0); err != nil || len(units) != want {
			t.Errorf("%s holds %d units of the later run, %v, want %d", stage.Stream(), len(units), err, want)
		}
	}
	interrupt(t, server)
}

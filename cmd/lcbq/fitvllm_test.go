package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMaxTokensOfEngines wants a run and a generator of another host ended for answers that their own
// engines have no room for: after one start of the engine, which counts the prompts, and with the
// largest number that fits.
func TestMaxTokensOfEngines(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	dir := filepath.Join(f.dir, "results")
	const most, fits = "--max-tokens", "pass --max-tokens 1"
	want := func(out, log string, err error) {
		t.Helper()
		text, bad := os.ReadFile(log)
		if starts := strings.Count(string(text), "--- engine started"); err == nil || !strings.Contains(out, fits) || bad != nil || starts != 1 {
			t.Errorf("%d starts, %v, end %v, want one start and %q in\n%s", starts, bad, err, fits, out)
		}
	}
	out, err := f.lcbq(t, nil, f.sweep(dir, 10, "--gpus", "none", most, "2100")...).CombinedOutput()
	want(string(out), filepath.Join(dir, "logs", "engine0.log"), err)

	server := f.lcbq(t, nil, "server", "--listen", "127.0.0.1:0", "--store-dir", filepath.Join(f.dir, "store"))
	log := f.start(t, server)
	log.await(t, `"msg":"serving"`)
	url := urlOf(log)
	if out, err := f.lcbq(t, nil, "submit", "--nats", url, "--engine", "vllm", "--model", f.args[len(f.args)-1], "--end", "2", "-n", "10", "--temperatures", "0.2", most, "2100", "-o", dir+"2").CombinedOutput(); err != nil {
		t.Fatalf("submit: %v\n%s", err, out)
	}
	logs := filepath.Join(f.dir, "logs")
	out, err = f.lcbq(t, nil, "generate", "--nats", url, "--vllm", filepath.Join(f.dir, "vllm"), "--gpus", "none", "--logs", logs).CombinedOutput()
	want(string(out), filepath.Join(logs, "engine0.log"), err)
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	wait(t, server)
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/lcbq/lcbq/stream/streamtest"
)

// movedSweep is the sweep of these tests: 80 units in 4 cells.
var movedSweep = []string{"--end", "2", "--n", "40", "--unit-size", "2", "--temperatures", "0.2,0.7", "--time-limit", "1"}

// beginSweep has a run of a server go on until the first cell is written, and stops its workers in good order. It
// returns the cells' files.
func beginSweep(t *testing.T, out string, at ...string) map[string][]byte {
	t.Helper()
	says(t, 0, slices.Concat([]string{"submit", "-o", out}, movedSweep, at)...)
	var workers []*exec.Cmd
	for _, w := range [][]string{{"generate", "--sim-tps", "2000"}, {"evaluate", "--evaluators", "1"}, {"combine"}} {
		workers = append(workers, start(t, append(w, at...)...))
	}
	cells := func() []string {
		files, err := filepath.Glob(filepath.Join(out, "q*", "t*_combined.json"))
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	waitUntil(t, "a cell is written", func() bool { return len(cells()) > 0 })
	for _, w := range workers {
		if err := w.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if status := wait(t, w); status != 0 {
			t.Errorf("%v ends with %d", w.Args, status)
		}
	}
	written := make(map[string][]byte)
	for _, file := range cells() {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		written[file] = text
	}
	if len(written) == 4 {
		t.Fatal("the run was over before it could be moved")
	}
	return written
}

// finishSweep has the run done by another server, and wants all samples, and the files as they were.
func finishSweep(t *testing.T, out string, written map[string][]byte, at ...string) {
	t.Helper()
	for _, w := range [][]string{{"generate"}, {"evaluate", "--evaluators", "1"}, {"combine"}} {
		cmd := start(t, append(w, at...)...)
		defer interrupt(t, cmd)
	}
	waitUntil(t, "the run is finished", func() bool { return runsOn(t, at...)[0].State == "finished" })
	if text := says(t, 0, "verify", out); !strings.Contains(text, "4 cells, 160 samples") {
		t.Errorf("verify:\n%s", text)
	}
	for file, was := range written {
		if text, err := os.ReadFile(file); err != nil || !bytes.Equal(text, was) {
			t.Errorf("%s was written again: %v", file, err)
		}
	}
}

// TestMoveToCluster begins a run on a server alone and submits it to a cluster in the midst of it. What is finished
// stays as it is, but a file that is not whole is made anew.
func TestMoveToCluster(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	store, out := filepath.Join(dir, "store"), filepath.Join(dir, "out")
	alone, _ := startServer(t, store)
	written := beginSweep(t, out, "--store-dir", store)
	interrupt(t, alone)
	c := streamtest.NewCluster(t)
	at := []string{"--nats", c.URLs()}
	torn := filepath.Join(out, "q1", "t0_7_combined.json")
	if written[torn] != nil {
		t.Fatal("the last cell was written first")
	}
	for _, text := range written {
		if err := os.MkdirAll(filepath.Dir(torn), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(torn, text[:len(text)/2], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := says(t, 0, slices.Concat([]string{"submit", "-o", out}, movedSweep, at)...)
	for _, want := range []string{fmt.Sprintf("%d cells are done", len(written)), fmt.Sprintf(": %d units published", 80-20*len(written))} {
		if !strings.Contains(text, want) {
			t.Errorf("submit to the cluster: missing %q in\n%s", want, text)
		}
	}
	finishSweep(t, out, written, at...)
}

// TestBackup keeps a server's streams by the stock nats command in the midst of a run, kills the server, and has a
// new one with the streams put back finish the run.
func TestBackup(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	natscli, err := exec.LookPath("nats")
	if err != nil {
		t.Skip("the nats command is not in PATH: run `just tools`, and put .bin there")
	}
	dir := t.TempDir()
	first, second, out, kept := filepath.Join(dir, "first"), filepath.Join(dir, "second"), filepath.Join(dir, "out"), filepath.Join(dir, "kept")
	creds := filepath.Join(dir, "op.creds")
	says(t, 0, "server", "init", "--store-dir", first)
	says(t, 0, "token", "--role", "operator", "--ttl", "0", "--store-dir", first, "--to", creds)
	server, url := startServer(t, first)
	as := func(creds string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), natscli, append([]string{"--server", url, "--creds", creds}, args...)...)
		cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+dir)
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("nats %v: %v\n%s", args, err, text)
		}
		return string(text)
	}
	nats := func(args ...string) string { t.Helper(); return as(creds, args...) }
	written := beginSweep(t, out, "--store-dir", first)
	nats("account", "backup", kept, "--force")
	// What the README says of a viewer's token.
	viewer := filepath.Join(dir, "viewer.creds")
	says(t, 0, "token", "--role", "viewer", "--store-dir", first, "--to", viewer)
	for _, look := range [][]string{{"stream", "info", "EVALUATE"}, {"consumer", "report", "EVALUATE"}} {
		if text := as(viewer, look...); !strings.Contains(text, "EVALUATE") || look[0] == "consumer" && !strings.Contains(text, "evaluators-") {
			t.Errorf("nats %v as a viewer:\n%s", look, text)
		}
	}
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait() // killed
	keys, err := os.ReadFile(filepath.Join(first, "keys.json"))
	if err == nil {
		err = os.Mkdir(second, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(second, "keys.json"), keys, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	// The new server makes its streams empty: they make room for the kept ones.
	server, url = startServer(t, second)
	for name := range strings.FieldsSeq(nats("stream", "ls", "--all", "--names")) {
		nats("stream", "rm", "--force", name)
	}
	nats("account", "restore", kept)
	interrupt(t, server)
	server, url = startServer(t, second)
	defer func() { interrupt(t, server) }()
	if text := says(t, 0, slices.Concat([]string{"submit", "-o", out, "--store-dir", second}, movedSweep)...); !strings.Contains(text, ": 0 units published") {
		t.Errorf("submit, after nothing was lost:\n%s", text)
	}
	finishSweep(t, out, written, "--store-dir", second)
	if text := says(t, 0, "verify", out, "--queues", "--store-dir", second); !strings.Contains(text, "80       80         0         0        0         0        0") {
		t.Errorf("verify --queues:\n%s", text)
	}
}

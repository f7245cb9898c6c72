package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/steer"
	"github.com/lcbq/lcbq/stream/store"
)

// An atWork is a worker as `lcbq --json status` has it.
type atWork struct {
	Stage, Name, Host, State string
	AtOnce                   int `json:"programs_at_once"`
}

// evaluators returns those of the server's workers.
func evaluators(t *testing.T, url string) []atWork {
	t.Helper()
	var s struct{ Workers []atWork }
	out, err := command(t, "--json", "status", "--nats", url).Output()
	if err != nil {
		return nil // it is asked again
	}
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	var all []atWork
	for _, w := range s.Workers {
		if w.Stage == "evaluate" && w.State == "working" {
			all = append(all, w)
		}
	}
	return all
}

// TestSetWhileARunGoesOn raises and lowers the programs at once of a living evaluator while a run goes on,
// drains it by an order, and wants every sample counted once.
func TestSetWhileARunGoesOn(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	server, url := startServer(t, filepath.Join(dir, "store"))
	at := []string{"--nats", url, "--run", "one"}
	set := func(what ...string) []string { return append(append([]string{"set"}, at...), what...) }
	ok(t, submitArgs(url, "one", filepath.Join(dir, "one"))...)
	ok(t, append([]string{"pause"}, at...)...)
	refused(t, set("evaluators=4"), "no evaluator works here", "lcbq evaluate")
	worker := start(t, "evaluate", "--nats", url, "--run", "one", "--evaluators", "1")
	var all []atWork
	waitUntil(t, "the evaluator is there", func() bool { all = evaluators(t, url); return len(all) == 1 })
	w := all[0]
	if out := ok(t, set("evaluators=4")...); out != w.Name+": 4 programs at once, before 1\n" {
		t.Errorf("set says %q", out)
	}
	waitUntil(t, "status shows it", func() bool { all := evaluators(t, url); return len(all) == 1 && all[0].AtOnce == 4 })
	refused(t, set("evaluators=4", "--host", "elsewhere"), `no evaluator works on host "elsewhere"`, w.Host)
	for _, nonsense := range []string{"evaluators=0", "evaluators=many", "evaluators=2000", "temperature=2"} {
		cmd := command(t, set(nonsense)...)
		if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "want") {
			t.Errorf("set %s = %v, want exit status 2\n%s", nonsense, err, out)
		}
	}
	if all := evaluators(t, url); len(all) != 1 || all[0].AtOnce != 4 {
		t.Errorf("after refusals %+v, want 4 programs at once", all)
	}
	others := []*exec.Cmd{start(t, "generate", "--nats", url), start(t, "combine", "--nats", url)}
	ok(t, append([]string{"resume"}, at...)...)
	for i := 0; runsOn(t, "--nats", url)[0].State == "running" && i < 200; i++ {
		cmd := command(t, set(fmt.Sprintf("evaluators=%d", 1+i%5), "--host", w.Host)...)
		if out, err := cmd.CombinedOutput(); err != nil && runsOn(t, "--nats", url)[0].State == "running" && len(evaluators(t, url)) > 0 {
			t.Errorf("set while judging: %v\n%s", err, out)
		}
	}
	waitUntil(t, "the run is finished", func() bool { return runsOn(t, "--nats", url)[0].State == "finished" })
	if err := worker.Wait(); err != nil { // the run that it was started for is over
		t.Errorf("evaluator ended with %v\n%v", err, worker.Stderr)
	}
	refused(t, set("evaluators=4"), "run one is finished: no evaluator works for it\nname one that goes on with --run: 'lcbq runs' lists them")
	for _, p := range append(others, server) {
		interrupt(t, p)
	}
	if out := ok(t, "verify", filepath.Join(dir, "one")); !strings.Contains(out, "2 cells, 120 samples") {
		t.Errorf("verify says %q", out)
	}
}

// TestDrainByOrder ends a worker from elsewhere in good order, and has one that is killed refused.
func TestDrainByOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, url := startServer(t, filepath.Join(dir, "store"))
	ok(t, submitArgs(url, "one", filepath.Join(dir, "one"))...)
	var workers []*exec.Cmd
	for range 2 {
		workers = append(workers, start(t, "evaluate", "--nats", url, "--evaluators", "1"))
	}
	waitUntil(t, "two evaluators are there", func() bool { return len(evaluators(t, url)) == 2 })
	nc, err := keyed(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	name := func(p *exec.Cmd) (found string) {
		waitUntil(t, fmt.Sprintf("process %d is an evaluator", p.Process.Pid), func() bool {
			for _, w := range evaluators(t, url) {
				if strings.HasSuffix(w.Name, fmt.Sprintf("-%d", p.Process.Pid)) {
					found = w.Name
				}
			}
			return found != ""
		})
		return found
	}
	drained, killed := name(workers[0]), name(workers[1])
	if _, err := steer.Ask(t.Context(), nc, stream.Evaluate, drained, steer.Order{Drain: true}); err != nil {
		t.Errorf("drain: %v", err)
	}
	if err := workers[0].Wait(); err != nil {
		t.Errorf("drained evaluator = %v, want exit status 0\n%v", err, workers[0].Stderr)
	}
	if err := workers[1].Process.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	_ = workers[1].Wait() // killed
	refused(t, []string{"set", "--nats", url, "evaluators=2"}, "evaluator "+killed, "is ended", "lcbq evaluate")
	interrupt(t, server)
}

// TestOrdersToWorkersWithTokens has an operator change and drain a worker that has a token of its role, over TLS, as from
// another machine, and the holders of other tokens refused.
func TestOrdersToWorkersWithTokens(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	keys := filepath.Join(dir, "store")
	server, url, log := serveElsewhere(t, keys)
	at := func(role string) []string {
		return []string{"--nats", url, "--creds", filepath.Join(dir, role+".creds")}
	}
	for _, role := range []string{"operator", "evaluator", "viewer"} {
		says(t, 0, "token", "--role", role, "--store-dir", keys, "--to", at(role)[3])
	}
	says(t, 0, append([]string{"submit", "-o", filepath.Join(dir, "out"), "--end", "1", "--n", "10", "--temperatures", "0.2"}, at("operator")...)...)
	worker := start(t, append([]string{"evaluate", "--evaluators", "1"}, at("evaluator")...)...)
	find := func() (all []atWork) {
		var s struct{ Workers []atWork }
		if err := json.Unmarshal([]byte(says(t, 0, append([]string{"--json", "status"}, at("viewer")...)...)), &s); err != nil {
			t.Fatal(err)
		}
		for _, w := range s.Workers {
			if w.Stage == "evaluate" && w.State == "working" {
				all = append(all, w)
			}
		}
		return all
	}
	waitUntil(t, "the evaluator is there", func() bool { return len(find()) == 1 })
	name := find()[0].Name
	if out := says(t, 0, append([]string{"set", "evaluators=3"}, at("operator")...)...); out != name+": 3 programs at once, before 1\n" {
		t.Errorf("set says %q", out)
	}
	if w := find()[0]; w.AtOnce != 3 {
		t.Errorf("status says %+v, want 3 programs at once", w)
	}
	for _, role := range []string{"evaluator", "viewer"} {
		wantsAll(t, says(t, 2, append([]string{"set", "evaluators=2"}, at(role)...)...), "needs a token of role operator")
	}
	nc, _, err := tokened(url, at("operator")[3])
	js, end := sessionOver(t, nc, err)
	defer end()
	board, err := store.Open(t.Context(), js)
	if err == nil {
		_, err = steer.Leave(t.Context(), board, stream.Evaluate, name, steer.Order{Drain: true}) // as top does
	}
	if err != nil {
		t.Errorf("drain: %v", err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("drained evaluator = %v, want exit status 0\n%v", err, worker.Stderr)
	}
	interrupt(t, server)
	if strings.Contains(log.String(), "Permissions Violation") {
		t.Errorf("the server refused what a role needs:\n%s", log)
	}
}

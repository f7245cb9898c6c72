package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/worker/lcb/result"
)

// A row is one run as `lcbq --json runs` lists it.
type row struct {
	ID, State   string
	Samples     int
	SamplesAll  int `json:"samples_all"`
	Cells, Dead int
}

func runsOn(t *testing.T, at ...string) []row {
	t.Helper()
	out, err := command(t, append([]string{"--json", "runs"}, at...)...).Output()
	if err != nil {
		t.Fatalf("runs: %v", err)
	}
	var rows []row
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func ok(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("lcbq %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// submitArgs publish a run of 12 units.
func submitArgs(url, id, dir string) []string {
	return []string{
		"submit", "--nats", url, "--run", id, "-o", dir, "--end", "1", "--n", "60", "--unit-size", "10", "--temperatures", "0.2,0.4",
		"--time-limit", "1",
	}
}

// TestRunsAreObjects takes two runs on one server through their lives: listed,
// paused, resumed, cancelled, brought back, finished.
func TestRunsAreObjects(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, url := startServer(t, filepath.Join(dir, "store"))
	at := []string{"--nats", url}
	if rows := runsOn(t, at...); len(rows) != 0 {
		t.Errorf("runs of an empty server = %+v", rows)
	}
	ok(t, submitArgs(url, "one", filepath.Join(dir, "one"))...)
	ok(t, submitArgs(url, "two", filepath.Join(dir, "two"))...)
	states := func(want string) {
		t.Helper()
		var got []string
		for _, r := range runsOn(t, at...) {
			got = append(got, r.ID+" "+r.State)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("runs = %v, want %s", got, want)
		}
	}
	states("one running, two running")
	refused(t, []string{"pause", "--nats", url}, "2 runs are unfinished", "--run", "lcbq runs")
	if out := ok(t, "pause", "--nats", url, "--run", "one"); !strings.Contains(out, "run one is paused") || !strings.Contains(out, "lcbq resume") {
		t.Errorf("pause says %q", out)
	}
	if out := ok(t, "status", "--nats", url, "--run", "one"); !strings.Contains(out, "run one  paused") {
		t.Errorf("status of a paused run says\n%s", out)
	}
	workers := []*exec.Cmd{start(t, "generate", "--nats", url), start(t, "combine", "--nats", url), start(t, "evaluate", "--nats", url, "--evaluators", "1")}
	waitUntil(t, "the second run is finished while the first is paused", func() bool { return runsOn(t, at...)[1].State == "finished" })
	if out := ok(t, "--json", "status", "--nats", url, "--run", "one"); !strings.Contains(out, `"judged": 0`) || !strings.Contains(out, `"waiting": 12`) {
		t.Errorf("the paused run moved:\n%s", out)
	}
	states("one paused, two finished")
	refused(t, []string{"pause", "--nats", url, "--run", "two"}, "run two is finished", "lcbq runs")
	refused(t, []string{"cancel", "--nats", url, "--run", "three"}, "there is no run three", "lcbq runs")
	for _, verb := range [][]string{{"pause"}, {"status"}, {"dead", "list"}} {
		cmd := command(t, append(verb, "--nats", url, "--run", "a.*")...)
		if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), `run id "a.*": want`) {
			t.Errorf("%v of a run id with forbidden characters = %v, want exit status 2\n%s", verb, err, out)
		}
	}
	refused(t, []string{"combine", "--nats", url, "--run", "two", "-o", filepath.Join(dir, "one")}, "belongs to run one", "choose another --output-dir")
	ok(t, "cancel", "--nats", url, "--run", "one")
	states("one cancelled, two finished")
	if out := ok(t, "--json", "status", "--nats", url, "--run", "one"); strings.Contains(out, `"waiting": 12`) {
		t.Errorf("the cancelled run's units are still there:\n%s", out)
	}
	ok(t, submitArgs(url, "one", filepath.Join(dir, "one"))...)
	waitUntil(t, "the run that was brought back is finished", func() bool { return runsOn(t, at...)[0].State == "finished" })
	for _, w := range append(workers, server) {
		interrupt(t, w)
	}
	for _, id := range []string{"one", "two"} {
		if out := ok(t, "verify", filepath.Join(dir, id)); !strings.Contains(out, "2 cells, 120 samples") {
			t.Errorf("verify says %q", out)
		}
	}
	if a, b := snapshot(t, filepath.Join(dir, "one", "q0")), snapshot(t, filepath.Join(dir, "two", "q0")); len(a) != len(b) {
		t.Errorf("files of the two runs: %d and %d", len(a), len(b))
	}
}

// TestCancelEndsARun: `lcbq run` ends when somebody cancels its run, and the same
// command brings it back.
func TestCancelEndsARun(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := filepath.Join(t.TempDir(), "results")
	args := sweep("-o", dir, sweepIn(30*time.Second))
	cmd, lines := logged(t, args...)
	var url string
	for lines.Scan() && url == "" {
		var line struct{ Msg, URL string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "run submitted" {
			url = line.URL
		}
	}
	waitForFile(t, filepath.Join(dir, "q0", "t0_2_combined.json"))
	ok(t, "cancel", "--nats", url)
	waitForLine(t, lines, "was cancelled")
	go drain(lines)
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("the cancelled run ended with %v, want exit status 1", err)
	}
	at := []string{"--store-dir", filepath.Join(dir, ".lcbq")}
	if rows := runsOn(t, at...); rows[0].State != "cancelled" || rows[0].Cells == 0 {
		t.Errorf("runs = %+v, want it cancelled with its finished cells", rows)
	}
	ok(t, sweep("-o", dir)...)
	ok(t, "verify", dir)
}

// TestDeadUnits: a run with a unit that nobody can judge ends with exit status 3,
// names the cell that lacks it and says what to do; doing it completes the run.
func TestDeadUnits(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "results")
	store := filepath.Join(dir, ".lcbq")
	server, url := startServer(t, store)
	submit := submitArgs(url, "one", dir)
	ok(t, submit...)
	poison(t, url, "one.q0.t0_4.u0003")
	interrupt(t, server)

	args := append([]string{"run"}, submit[3:]...)
	args = append(args, "--listen", "127.0.0.1:0", "--evaluators", "1")
	cmd := command(t, args...)
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 3 {
		t.Fatalf("run with a dead unit = %v, want exit status 3\n%s", err, out)
	}
	for _, want := range []string{"1 units were given up, the first (poison)", "lcbq dead list --store-dir " + store, "lcbq dead requeue --store-dir " + store} {
		if !strings.Contains(string(out), want) {
			t.Errorf("run with a dead unit does not say %q:\n%s", want, out)
		}
	}
	var summary struct {
		Incomplete map[string][]string `json:"incomplete"`
	}
	b, err := os.ReadFile(result.RunSummaryPath(dir))
	if err == nil {
		err = json.Unmarshal(b, &summary)
	}
	if err != nil || fmt.Sprint(summary.Incomplete) != "map[lcbq_a01:[0.4]]" {
		t.Errorf("run_summary.json: incomplete = %v, %v, want the cell at 0.4", summary.Incomplete, err)
	}
	at := []string{"--store-dir", store}
	if out := ok(t, append([]string{"dead", "list"}, at...)...); !strings.Contains(out, "evaluate.one.q0.t0_4.u0003  poison, 1 deliveries, last by eval0_") {
		t.Errorf("dead list says\n%s", out)
	}
	if out := ok(t, append([]string{"--json", "dead", "list"}, at...)...); !strings.Contains(out, `"stage": "evaluate"`) || !strings.Contains(out, `"reason": "poison"`) {
		t.Errorf("dead list --json says\n%s", out)
	}
	if out := ok(t, append([]string{"dead", "show", "evaluate.one.q0.t0_4.u0003"}, at...)...); !strings.Contains(out, "stage       evaluate") || !strings.Contains(out, "not a batch") {
		t.Errorf("dead show says\n%s", out)
	}
	refused(t, append([]string{"dead", "show", "evaluate.one.q0.t0_4.u0000"}, at...), "lcbq dead list")
	refused(t, append([]string{"dead", "requeue", "evaluate.one.q0.t0_4.u0000"}, at...), "no unit was given up", "lcbq dead list")
	if out := ok(t, append([]string{"dead", "requeue", "--regenerate"}, at...)...); !strings.Contains(out, "1 units put back") {
		t.Errorf("dead requeue says %q", out)
	}
	ok(t, args...)
	if out := ok(t, "verify", dir); !strings.Contains(out, "2 cells, 120 samples") {
		t.Errorf("verify says %q", out)
	}
	if rows := runsOn(t, at...); rows[0].Dead != 0 || rows[0].State != "finished" {
		t.Errorf("runs = %+v, want it finished with no dead unit", rows)
	}
}

// poison publishes a message that no evaluator can read where a unit's samples go,
// and takes away the task of which a generator would make good ones.
func poison(t *testing.T, url, unit string) {
	t.Helper()
	js, end := session(t, url)
	defer end()
	_, err := js.Publish(t.Context(), "evaluate."+unit, []byte("not a batch"))
	var tasks jetstream.Stream
	if err == nil {
		tasks, err = js.Stream(t.Context(), "GENERATE")
	}
	if err == nil {
		err = tasks.Purge(t.Context(), jetstream.WithPurgeSubject("generate."+unit))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCellFilePutBack: a raised run whose cell file was lost ends with exit status 3
// and says so; with the file back the same command completes it.
func TestCellFilePutBack(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := filepath.Join(t.TempDir(), "results")
	args := []string{
		"run", "-o", dir, "--end", "1", "--n", "20", "--unit-size", "10", "--temperatures", "0.2", "--time-limit", "1", "--evaluators", "1",
		"--listen", "127.0.0.1:0",
	}
	ok(t, args...)
	path := result.CellPath(dir, 0, 0.2)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	args[6] = "40"
	for range 2 { // the second time it is looked at anew, and given up again
		cmd := command(t, args...)
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 3 || !strings.Contains(string(out), "its file "+path+" is gone") {
			t.Fatalf("run with a cell file missing = %v, want exit status 3\n%s", err, out)
		}
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	ok(t, args...)
	if out := ok(t, "verify", dir); !strings.Contains(out, "1 cells, 40 samples") {
		t.Errorf("verify says %q", out)
	}
	if rows := runsOn(t, "--store-dir", filepath.Join(dir, ".lcbq")); rows[0].Dead != 0 {
		t.Errorf("runs = %+v, want no dead unit", rows)
	}
}

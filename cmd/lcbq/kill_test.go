package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// sweep returns the arguments of a run of 128 units, in full 384, that takes a second or two, and
// more arguments: long enough to be killed in, at every stage. No program of its two questions
// comes near the time limit, so no verdict depends on the load.
func sweep(more ...string) []string {
	return append([]string{
		"run", "--end", "2", "--n", strconv.Itoa(sweepSamples()), "--unit-size", "10", "--temperatures", "0.2:1.6:0.2", "--sim-unique", "0.05",
		"--time-limit", "1", "--evaluators", "2", "--listen", "127.0.0.1:0",
	}, more...)
}

// sweepSamples is how many samples each of the sweep's 16 cells has.
func sweepSamples() int {
	if *slow {
		return 240
	}
	return 80
}

// sweepIn is the pace, in tokens a second, at which the sweep's model makes its tokens in the given
// time, however fast the machine is.
func sweepIn(d time.Duration) string {
	return fmt.Sprintf("--sim-tps=%.0f", float64(2500*sweepSamples())/d.Seconds())
}

// undisturbed is the folder that an undisturbed sweep left, made once for all tests that compare
// theirs with it, and how long it took.
func undisturbed(t *testing.T) (dir string, took time.Duration) {
	t.Helper()
	whole.Do(func() {
		began := time.Now()
		dir := filepath.Join(fixtures, "whole")
		if out, err := command(t, sweep("-o", dir)...).CombinedOutput(); err != nil {
			t.Errorf("undisturbed run: %v\n%s", err, out)
			return
		}
		whole.dir, whole.took = dir, time.Since(began)
	})
	if whole.dir == "" {
		t.Fatal("there is no undisturbed run")
	}
	return whole.dir, whole.took
}

var whole struct {
	sync.Once
	dir  string
	took time.Duration
}

// TestKilledAnywhere kills `lcbq run` at random moments, ten times in full, and starts it
// again each time. What it leaves in the end must be what an undisturbed run
// leaves, apart from times and names of workers.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken")
	whole, took := undisturbed(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d; undisturbed %v", seed, took)
	rng := rand.New(rand.NewPCG(seed, 0))
	// Six lives of ten of up to 0.6 of that time each are too short for the run's tokens at this
	// pace, however fast the machine has become meanwhile; the other four meet its end.
	paced := sweepIn(4 * took)
	const lives = 10
	killed := 0
	for life := range lives {
		// From before the store is made to the end: a run that finished first is
		// killed never, which the count below notices.
		args := sweep("-o", broken)
		if life*10 < lives*6 {
			args = append(args, paced)
		}
		if kill(t, args, time.Duration(rng.Float64()*0.6*float64(took))) {
			killed++
		}
	}
	// What a combiner leaves that is killed while it writes; the kills above need
	// not have met one. verify finds it unless the next run takes it away.
	if err := os.MkdirAll(filepath.Join(broken, "q0"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "q0", ".t0_2_combined.json.x1.tmp"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, sweep("-o", broken)...).CombinedOutput(); err != nil {
		t.Fatalf("run after %d kills: %v\n%s", killed, err, out)
	}
	if killed*2 < lives {
		t.Errorf("only %d of %d runs were killed before they finished", killed, lives)
	}
	compareFolders(t, whole, broken)
	if out, err := command(t, "verify", broken).CombinedOutput(); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
}

// TestInterruptDrains sends the signal of Ctrl-C: the run exits 130 after what it
// held was finished, and the same command completes it.
func TestInterruptDrains(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole, _ := undisturbed(t)
	cut := filepath.Join(dir, "cut")
	var stderr bytes.Buffer
	cmd := command(t, sweep("-o", cut, sweepIn(12*time.Second))...) // paced: it cannot be over too soon
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitForFile(t, filepath.Join(cut, "q0", "t0_2_combined.json"))
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Fatalf("interrupted run = %v, want exit status 130\n%s", err, stderr.String())
	}
	if !strings.Contains(stderr.String(), "the same command resumes") {
		t.Errorf("interrupted run does not say how to resume:\n%s", stderr.String())
	}
	if strings.Contains(stderr.String(), `"level":"ERROR"`) {
		t.Errorf("interrupted run calls it an error that it was interrupted:\n%s", stderr.String())
	}
	if out, err := command(t, sweep("-o", cut)...).CombinedOutput(); err != nil {
		t.Fatalf("resumed run: %v\n%s", err, out)
	}
	compareFolders(t, whole, cut)
}

// command is lcbq as a process of its own.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return reexec(t, "lcbq", args...)
}

// reexec is a process that runs one of the commands of TestMain.
func reexec(tb testing.TB, name string, args ...string) *exec.Cmd {
	tb.Helper()
	most := 5 * time.Minute
	if *slow {
		most = 25 * time.Minute
	}
	return reexecFor(tb, most, name, args...)
}

// reexecFor is reexec for a process that may run for most on a quiet machine.
func reexecFor(tb testing.TB, most time.Duration, name string, args ...string) *exec.Cmd {
	tb.Helper()
	exe, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	if name == "lcbq" && *otherLcbq != "" {
		exe = *otherLcbq
	}
	link := filepath.Join(tb.TempDir(), name) // testscript's Main runs the command of that name
	if err := os.Symlink(exe, link); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	tb.Cleanup(cancel)
	var late atomic.Bool
	tb.Cleanup(patience.After(most, func() {
		late.Store(true)
		cancel()
	}))
	cmd := exec.CommandContext(ctx, link, args...)
	cmd.Cancel = func() error {
		if late.Load() {
			tb.Errorf("%s %q still runs after %v of a quiet machine: killed", name, args, most)
		}
		return cmd.Process.Kill()
	}
	cmd.Env = append(os.Environ(), "LCBQ_PYTHON="+python())
	return cmd
}

// kill runs lcbq, kills it after the given time, and reports whether it was still
// running then.
func kill(t *testing.T, args []string, after time.Duration) bool {
	t.Helper()
	cmd := command(t, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may have ended by itself
	defer timer.Stop()
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return true
		}
	}
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	return false
}

func waitForFile(t *testing.T, path string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for wait := patience.Begin(time.Minute); !wait.Over(); <-tick.C {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s did not appear", path)
}

// compareFolders compares two results folders file by file.
func compareFolders(t *testing.T, want, got string) {
	t.Helper()
	a, b := snapshot(t, want), snapshot(t, got)
	for path := range a {
		if b[path] != a[path] {
			at := differAt(a[path], b[path])
			t.Errorf("%s differs at byte %d:\n%.300s\nwant\n%.300s", path, at, b[path][at:], a[path][at:])
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			t.Errorf("%s is not in the undisturbed run", path)
		}
	}
}

// differAt returns where two texts begin to differ, and a little before that.
func differAt(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return max(0, i-100)
		}
	}
	return max(0, n-100)
}

// varying are the keys whose values are times, or names of workers, or follow from
// them.
var varying = []string{
	"cpu_s", "slowdown", "cached", "judge_cpu_s", "gen_tps", "generator", "evaluator", "sha256", "bytes", "started", "finished", "duration_s", "throughput",
	"timeline", // when each cell was finished
	"stages",   // when each began and ended, how fast it was, how often units were handed out again
	"card_seconds",
	"judge_speed", "judges", // how fast the hosts were
}

// snapshot returns the result files of a folder with what varies taken out.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") {
			if d != nil && d.IsDir() && d.Name() == ".lcbq" {
				return fs.SkipDir
			}
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var v any
		if err := json.Unmarshal(content, &v); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		strip(v)
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// ofSpeed reports whether v is a mix of temperatures at an equal time of cards, which follows from how fast
// they generated.
func ofSpeed(v any) bool {
	m, ok := v.(map[string]any)
	return ok && m["budget"] == curve.BudgetCardSeconds
}

func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range varying {
			delete(v, key)
		}
		for key, child := range v {
			if list, ok := child.([]any); ok {
				v[key] = slices.DeleteFunc(list, ofSpeed)
			}
			strip(v[key])
		}
	case []any:
		for _, child := range v {
			strip(child)
		}
	}
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine/supervise/supervisetest"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// fakeVLLM plays the program vllm.
func fakeVLLM() {
	status, _ := supervisetest.Main(os.Args[1:])
	os.Exit(status) //nolint:forbidigo // this process is not the test
}

// A farm is one test's place for runs on fake engines.
type farm struct {
	dir  string
	mark string   // variable in the environment of every process of the farm
	args []string // of lcbq run, with a fake vllm
}

// newFarm makes a farm and wants none of its processes left when the test ends.
func newFarm(t *testing.T) farm {
	t.Helper()
	f := farm{dir: t.TempDir(), mark: fmt.Sprintf(fakeFarm+"=%s-%d", t.Name(), time.Now().UnixNano())}
	model := filepath.Join(f.dir, "model")
	if err := os.Mkdir(model, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(model, "config.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(f.dir, "vllm")
	exe, err := os.Executable()
	if err == nil {
		err = os.Symlink(exe, program)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.args = []string{"run", "--listen", "127.0.0.1:0", "--engine", "vllm", "--vllm", program, "--model", model}
	t.Cleanup(func() {
		if left := f.processes(t); len(left) > 0 {
			t.Errorf("processes left: %v", left)
		}
	})
	return f
}

// lcbq is a command of the farm, with further variables in its environment.
func (f farm) lcbq(t *testing.T, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := command(t, args...)
	cmd.Env = append(append(cmd.Env, f.mark, "XDG_CACHE_HOME="+filepath.Join(f.dir, "cache"), "GORACE=atexit_sleep_ms=0"), environ...)
	return cmd
}

// processes returns the command lines of the farm's processes by their number, zombies
// left out.
func (f farm) processes(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(env, []byte(f.mark)) {
			continue // it has ended, is a zombie, or not ours
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if err == nil && len(line) > 0 {
			found[filepath.Base(filepath.Dir(file))] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return found
}

// start starts a command and returns what it has said so far.
func (f farm) start(t *testing.T, cmd *exec.Cmd) *said {
	t.Helper()
	s := &said{}
	cmd.Stdout, cmd.Stderr = s, s
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // where the test has failed before
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return s
}

// A said is what a process has said so far.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until the process has said something.
func (s *said) await(t *testing.T, what string) {
	t.Helper()
	until(t, "it says "+what, func() bool { return strings.Contains(s.String(), what) }, s)
}

// until waits for a condition, and shows what is at hand when it does not come.
func until(t *testing.T, what string, ok func() bool, show fmt.Stringer) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for wait := patience.Begin(time.Minute); !ok(); <-tick.C {
		if wait.Over() {
			t.Fatalf("waited in vain until %s:\n%v", what, show)
		}
	}
}

// wait waits for a process and returns its exit status; a hang is killed.
func wait(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	defer patience.After(time.Minute, func() { _ = cmd.Process.Kill() })()
	_ = cmd.Wait() // its status is what counts
	return cmd.ProcessState.ExitCode()
}

// inOrder wants texts to come in this order.
func inOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, p := range parts {
		_, after, ok := strings.Cut(rest, p)
		if !ok {
			t.Fatalf("%q does not come after what must come before it (%q) in:\n%s", p, parts, text)
		}
		rest = after
	}
}

// TestSupervisedEngines runs a sweep through two supervised engines, from the start of vllm to the
// files.
func TestSupervisedEngines(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	f := newFarm(t)
	dir := filepath.Join(f.dir, "results")
	// With a pace, or the first engine is done before the second has started.
	out, err := f.lcbq(t, []string{supervisetest.Behaviours + "=" + supervisetest.Forks, supervisetest.Pace + "=4"}, append(f.args, "--gpus", "none", "--generators", "2", "--end", "2", "--n", "300",
		"--unit-size", "10", "--temperatures", "0.2,0.8", "-o", dir, "--vllm-arg=--enforce-eager")...).CombinedOutput()
	if err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	for _, want := range []string{"no GPU is used", "installed vllm lacks flags", `"msg":"engine serves","gpu":1`, "engine stopped"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("run does not say %q:\n%s", want, out)
		}
	}
	s, err := result.ReadSummary(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Results[1]; r.N != 300 || r.Tokens < 300 || s.Engine != "vllm" || s.Simulated {
		t.Errorf("summary = %+v, want 300 samples with their tokens from vllm", r)
	}
	for _, name := range []string{"engine0.log", "engine1.log"} {
		log, err := os.ReadFile(filepath.Join(dir, "logs", name))
		for _, want := range []string{"--dtype half --max-model-len 2182 --gpu-memory-utilization 0.95 --max-num-seqs 512 --max-num-batched-tokens 32768 --generation-config vllm", "--enforce-eager", "INFO serving"} {
			if err != nil || !strings.Contains(string(log), want) {
				t.Errorf("%s, %v, lacks %q:\n%s", name, err, want, log)
			}
		}
	}
}

// sweep is a run of so many samples at two temperatures on the farm's engines. With a pace it lasts.
func (f farm) sweep(dir string, n int, more ...string) []string {
	return append(append([]string(nil), f.args...), append([]string{
		"--end", "2", "--n", fmt.Sprint(n), "--unit-size", "10", "--temperatures", "0.2,0.8", "--max-num-seqs", "20", "-o", dir, "--evaluators", "1",
	}, more...)...)
}

// finish runs a sweep to its end and proves its counts.
func (f farm) finish(t *testing.T, environ []string, dir string, n int, more ...string) {
	t.Helper()
	out, err := f.lcbq(t, environ, f.sweep(dir, n, more...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("resumed run: %v\n%s", err, out)
	}
	if out, err := f.lcbq(t, nil, "verify", dir).CombinedOutput(); err != nil || !strings.Contains(string(out), fmt.Sprintf("4 cells, %d samples", 4*n)) {
		t.Errorf("verify: %v\n%s", err, out)
	}
}

// TestStop stops a run on two simulated cards with `lcbq stop`, and wants the safe order: no unit lost, the
// engines gone and the cards' memory back before the server ends.
func TestStop(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	f := newFarm(t)
	env := append(f.cards(t, 2), supervisetest.Pace+"=4", supervisetest.Behaviours+"="+supervisetest.Forks)
	dir := filepath.Join(f.dir, "results")
	cmd := f.lcbq(t, env, f.sweep(dir, 600)...)
	log := f.start(t, cmd)
	waitForFile(t, filepath.Join(dir, "logs", "generate1.log"))
	until(t, "both engines generate", func() bool {
		out, err := f.lcbq(t, env, "--json", "status", "--nats", urlOf(log)).Output()
		return err == nil && strings.Count(string(out), `"phase": "serving"`) == 2 && strings.Contains(string(out), `"samples": 10`)
	}, log)
	shown, err := f.lcbq(t, env, "status", "--long", "--nats", urlOf(log)).Output()
	for _, want := range []string{"engine serving, version 0.99", "GPU 1 Simulated H100  100% busy", "75.7 of 79.6 GiB  200 W  40 C  process ", "(ours, 75.2 GiB)", "on their way to the queue"} {
		if err != nil || !strings.Contains(string(shown), want) {
			t.Errorf("status: %v, want %q in\n%s", err, want, shown)
		}
	}
	stop := f.lcbq(t, env, "stop", "-o", dir)
	out, err := stop.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "processes stopped: 1") || !strings.Contains(string(out), "GPU 1: 0.5 of 79.6 GiB in use") {
		t.Errorf("stop: %v\n%s", err, out)
	}
	if left := f.processes(t); len(left) > 1 || !strings.Contains(fmt.Sprint(left), " run ") && len(left) == 1 {
		t.Errorf("after stop are left %v", left)
	}
	if status := wait(t, cmd); status != 130 {
		t.Errorf("run ended with %d, want 130", status)
	}
	inOrder(t, log.String(), "interrupted", "stopping the engines", "engine stopped", "GPU memory is free", "judged", "the same command resumes")
	if out, err := f.lcbq(t, env, "stop", "-o", dir).CombinedOutput(); err == nil || !strings.Contains(string(out), "no server runs") {
		t.Errorf("a second stop: %v\n%s", err, out)
	}
	for i := range 2 { // nothing was lost on the way
		text, err := os.ReadFile(filepath.Join(dir, "logs", fmt.Sprintf("generate%d.log", i)))
		if err != nil || strings.Contains(string(text), "unit failed") || !strings.Contains(string(text), "units given back") {
			t.Errorf("generate%d.log, %v, speaks of units that failed, or of none given back:\n%s", i, err, text)
		}
	}
	f.finish(t, env[:3], dir, 600)
}

// urlOf returns the server's address as a run has said it.
func urlOf(s *said) string {
	for _, after := range strings.Split(s.String(), `"url":"`)[1:] {
		if url, _, _ := strings.Cut(after, `"`); !strings.HasPrefix(url, "http") { // the live page has one too, and may come first
			return url
		}
	}
	return ""
}

// TestInterruptedWhileLoading presses Ctrl-C while engines load that end neither by themselves nor by SIGTERM, and
// wants the second one to hurry the end, and nothing to be left.
func TestInterruptedWhileLoading(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	env := []string{supervisetest.Behaviours + "=" + strings.Join([]string{supervisetest.Hangs, supervisetest.Stubborn, supervisetest.Forks}, ",")}
	dir := filepath.Join(f.dir, "results")
	cmd := f.lcbq(t, env, f.sweep(dir, 10, "--gpus", "none")...)
	log := f.start(t, cmd)
	until(t, "the engine's children run", func() bool { return strings.Contains(fmt.Sprint(f.processes(t)), "child loner") }, log)
	for _, want := range []string{"interrupted", "stopping the engines"} {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		log.await(t, want)
	}
	if status := wait(t, cmd); status != 130 {
		t.Errorf("run ended with %d, want 130:\n%s", status, log)
	}
	if left := f.processes(t); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	inOrder(t, log.String(), "engine starts", "interrupted", "engine stopped", "the same command resumes")
	f.finish(t, nil, dir, 10, "--gpus", "none")
}

// TestKilledRunLeavesNoEngine kills lcbq in the worst way while its engines generate.
func TestKilledRunLeavesNoEngine(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	f := newFarm(t)
	env := []string{supervisetest.Pace + "=4", supervisetest.Behaviours + "=" + supervisetest.Stubborn + "," + supervisetest.Forks}
	dir := filepath.Join(f.dir, "results")
	cmd := f.lcbq(t, env, f.sweep(dir, 200, "--gpus", "none", "--generators", "2")...)
	log := f.start(t, cmd)
	waitForFile(t, filepath.Join(dir, "q0", "t0_2_combined.json"))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	most := patience.Begin(10 * time.Second)
	wait(t, cmd)
	until(t, "nothing is left", func() bool { return len(f.processes(t)) == 0 }, log)
	if most.Over() {
		t.Error("the engines ended more than 10s of a quiet machine after lcbq")
	}
	f.finish(t, nil, dir, 200, "--gpus", "none")
}

// TestStopSeparateProcesses stops a run whose server and workers are a process each: generators first, the server
// last.
func TestStopSeparateProcesses(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	f := newFarm(t)
	dir, store := filepath.Join(f.dir, "results"), filepath.Join(f.dir, "store")
	server := f.lcbq(t, nil, "server", "--listen", "127.0.0.1:0", "--store-dir", store)
	log := f.start(t, server)
	log.await(t, `"msg":"serving"`)
	url := urlOf(log)
	submit := append([]string{"submit", "--nats", url}, submission(f.sweep(dir, 600)[3:])...)
	if out, err := f.lcbq(t, nil, submit...).CombinedOutput(); err != nil {
		t.Fatalf("submit: %v\n%s", err, out)
	}
	env := []string{supervisetest.Pace + "=4"}
	workers := []*exec.Cmd{
		f.lcbq(t, env, "evaluate", "--nats", url, "--evaluators", "1"), f.lcbq(t, env, "combine", "--nats", url),
		f.lcbq(t, env, "generate", "--nats", url, "--vllm", f.args[6], "--gpus", "none", "--max-num-seqs", "20", "--logs", filepath.Join(f.dir, "logs")),
	}
	for _, w := range workers {
		f.start(t, w)
	}
	until(t, "all three work", func() bool {
		out, err := f.lcbq(t, nil, "--json", "status", "--nats", url).Output()
		return err == nil && strings.Count(string(out), `"pid"`) >= 3 && strings.Contains(string(out), `"phase": "serving"`) && !strings.Contains(string(out), "starting_")
	}, log)
	done := make(chan string, 1)
	go func() {
		out, err := f.lcbq(t, nil, "stop", "--nats", url, "--store-dir", store).CombinedOutput()
		done <- fmt.Sprintf("%s%v", out, err)
	}()
	for _, w := range workers {
		if status := wait(t, w); status != 0 { // drained on SIGTERM
			t.Errorf("%v ended with %d, want 0", w.Args[1:], status)
		}
	}
	if status := wait(t, server); status != 0 {
		t.Errorf("server ended with %d, want 0:\n%s", status, log)
	}
	inOrder(t, <-done, "stopping generate engine0_", "stopping evaluate eval0_", "stopping combine combine0_", "stopping the lcbq that runs on", "processes stopped: 4\n<nil>")
	if left := f.processes(t); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

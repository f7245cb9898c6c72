package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lcbq/lcbq/worker/engine/supervise/supervisetest"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// newLlamaFarm makes a farm whose runs have a fake of llama.cpp's server, and returns the model's file.
func newLlamaFarm(t *testing.T) (farm, string) {
	t.Helper()
	f := newFarm(t)
	program, file := filepath.Join(f.dir, "llama-server"), filepath.Join(f.dir, "tiny.gguf")
	exe, err := os.Executable()
	if err == nil {
		err = os.Symlink(exe, program)
	}
	if err == nil {
		err = os.WriteFile(file, []byte("GGUF of a fake"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.args = []string{"run", "--listen", "127.0.0.1:0", "--engine", "llama", "--llama", program, "--model", file, "--llama-parallel", "20"}
	return f, file
}

// kill kills the farm's processes whose command line holds the word.
func (f farm) kill(t *testing.T, word string) {
	t.Helper()
	for pid, line := range f.processes(t) {
		if n, err := strconv.Atoi(pid); err == nil && strings.Contains(line, word) {
			_ = syscall.Kill(n, syscall.SIGKILL) // it may have ended
		}
	}
}

// TestLlamaKilledAtEveryPhase kills llama.cpp's server while it generates, its guardian after that,
// and at last lcbq itself, and wants the run finished by the same command with nothing left behind.
func TestLlamaKilledAtEveryPhase(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	f, _ := newLlamaFarm(t)
	env := []string{supervisetest.Pace + "=4", supervisetest.Behaviours + "=" + supervisetest.Stubborn + "," + supervisetest.Forks}
	dir := filepath.Join(f.dir, "results")
	cmd := f.lcbq(t, env, f.sweep(dir, 200)...)
	log := f.start(t, cmd)
	for i, victim := range []string{"--alias", "engine-guardian"} {
		until(t, "the engine serves", func() bool { return strings.Count(log.String(), "engine serves") == i+1 }, log)
		until(t, "it generates", func() bool {
			out, err := f.lcbq(t, nil, "--json", "status", "--nats", urlOf(log)).Output()
			return err == nil && strings.Contains(string(out), `"phase": "serving"`)
		}, log)
		f.kill(t, victim)
	}
	until(t, "a third engine starts", func() bool { return strings.Count(log.String(), "engine starts") == 3 }, log)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait(t, cmd)
	until(t, "nothing is left", func() bool { return len(f.processes(t)) == 0 }, log)
	f.finish(t, nil, dir, 200)
	if text, err := os.ReadFile(filepath.Join(dir, "logs", "llama0.log")); err != nil || strings.Count(string(text), "--- engine started") < 4 {
		t.Errorf("llama0.log: %v, want four starts:\n%s", err, text)
	}
	s, err := result.ReadSummary(dir, 0)
	if err != nil || s.Engine != "llama" || s.Model != "tiny.gguf" || s.Simulated {
		t.Errorf("summary %+v, %v, want engine llama and the file's name", s, err)
	}
}

// TestLlamaOfASubmittedRun wants a generator to serve a submitted run with the run's file, and with no
// other.
func TestLlamaOfASubmittedRun(t *testing.T) {
	t.Parallel()
	f, file := newLlamaFarm(t)
	dir := filepath.Join(f.dir, "results")
	server := f.lcbq(t, nil, "server", "--listen", "127.0.0.1:0", "--dir", filepath.Join(f.dir, "store"))
	said := f.start(t, server)
	said.await(t, "serving")
	url := urlOf(said)
	if out, err := f.lcbq(t, nil, "submit", "--nats", url, "--engine", "llama", "--model", file, "--end", "1", "--n", "4", "--temperatures", "0.5", "-o", dir).CombinedOutput(); err != nil {
		t.Fatalf("submit: %v\n%s", err, out)
	}
	elsewhere := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := os.WriteFile(elsewhere, []byte("GGUF of another"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(f.dir, "llama-server")
	for _, tt := range []struct{ file, want string }{
		{"", "say where it lies on this machine with --llama-file"},
		{elsewhere, "it is not the file that the run was submitted with"},
		{program, "the run's model is tiny.gguf"},
	} {
		args := []string{"generate", "--nats", url, "--llama", program}
		if tt.file != "" {
			args = append(args, "--llama-file", tt.file)
		}
		if out, err := f.lcbq(t, nil, args...).CombinedOutput(); err == nil || !strings.Contains(string(out), tt.want) {
			t.Errorf("generate with %q: %v, want %q:\n%s", tt.file, err, tt.want, out)
		}
	}
	generator := f.lcbq(t, nil, "generate", "--nats", url, "--llama", program, "--llama-file", file, "--logs", filepath.Join(f.dir, "logs"))
	log := f.start(t, generator)
	evaluator := f.lcbq(t, nil, "evaluate", "--nats", url, "--evaluators", "1")
	f.start(t, evaluator)
	combiner := f.lcbq(t, nil, "combine", "--nats", url)
	f.start(t, combiner)
	waitForFile(t, filepath.Join(dir, "run_summary.json"))
	for _, cmd := range []interface{ Signal(os.Signal) error }{generator.Process, evaluator.Process, combiner.Process} {
		if err := cmd.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
	}
	if status := wait(t, generator); status != 130 {
		t.Errorf("generate ended with %d, want 130:\n%s", status, log)
	}
	wait(t, evaluator)
	wait(t, combiner)
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	wait(t, server)
	if _, err := os.Stat(filepath.Join(f.dir, "logs", "llama0.log")); err != nil {
		t.Error(err)
	}
}

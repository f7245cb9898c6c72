package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/engine/vllm/vllmtest"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// fakeVLLM plays the program vllm.
func fakeVLLM() {
	status, _ := vllmtest.Main(os.Args[1:])
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
	f := farm{dir: t.TempDir(), mark: fmt.Sprintf("LCBQ_TEST_FARM=%s-%d", t.Name(), time.Now().UnixNano())}
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

// TestSupervisedEngines runs a sweep through two supervised engines, from the start of vllm to the
// files.
func TestSupervisedEngines(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	dir := filepath.Join(f.dir, "results")
	out, err := f.lcbq(t, []string{vllmtest.Behaviours + "=" + vllmtest.Forks}, append(f.args, "--gpus", "none", "--generators", "2", "--end", "2", "--n", "300",
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
	for _, name := range []string{"gpu0.log", "gpu1.log"} {
		log, err := os.ReadFile(filepath.Join(dir, "logs", name))
		for _, want := range []string{"--dtype half --max-model-len 2182 --gpu-memory-utilization 0.95 --max-num-seqs 512 --max-num-batched-tokens 32768 --generation-config vllm", "--enforce-eager", "INFO serving"} {
			if err != nil || !strings.Contains(string(log), want) {
				t.Errorf("%s, %v, lacks %q:\n%s", name, err, want, log)
			}
		}
	}
}

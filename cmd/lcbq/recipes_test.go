package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const recipes = "../../config/recipes"

// TestRecipesForSystemd has systemd itself read the units: a setting that it does not know is a
// line of its output.
func TestRecipesForSystemd(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here: it comes with systemd")
	}
	units, err := filepath.Glob(filepath.Join(recipes, "*.service"))
	if err != nil || len(units) != 2 {
		t.Fatalf("units %v, %v, want two", units, err)
	}
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		// verify wants the program to be there.
		here := strings.ReplaceAll(string(text), "/usr/local/bin/lcbq", "/bin/true")
		if !strings.Contains(here, "ExecStart=/bin/true ") {
			t.Errorf("%s starts no lcbq", unit)
		}
		copied := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(copied, []byte(here), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", copied).CombinedOutput()
		if err != nil || bytes.Contains(out, []byte(filepath.Base(unit))) {
			t.Errorf("verify %s: %v\n%s", unit, err, out)
		}
	}
}

// TestRecipeForSlurm runs the script as Slurm does and ends it by the signal that it asks for.
func TestRecipeForSlurm(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "")
	f.serve("--store-dir", filepath.Join(t.TempDir(), "store"))
	script, err := filepath.Abs(filepath.Join(recipes, "slurm-evaluate.sh"))
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	lcbq := command(t)
	// The script finds lcbq on the path.
	if err := os.Symlink(lcbq.Path, filepath.Join(bin, "lcbq")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "bash", script).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("LCBQ_NATS")) {
		t.Errorf("without an address: %v, want it refused by name\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "bash", script)
	cmd.Env = slices.Concat(lcbq.Env, []string{"PATH=" + bin + ":/usr/bin:/bin", "LCBQ_NATS=nats://" + f.addrs[0], "SLURM_CPUS_PER_TASK=1"})
	var log said
	cmd.Stderr, cmd.WaitDelay = &log, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that nothing is left where the signal ends bash alone
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }()
	log.await(t, "waiting for a run to work on")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, cmd); status != 0 {
		t.Errorf("drained by SIGTERM: exit status %d, want 0\n%s", status, &log)
	}
}

// recipeFiles are those with commands in them, by name.
func recipeFiles(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	entries, err := os.ReadDir(recipes)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".go", ".json": // the package, and Grafana's dashboard
			continue
		}
		text, err := os.ReadFile(filepath.Join(recipes, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

var (
	// In a comment a command is indented; all else is prose.
	commented = regexp.MustCompile(`^#   (?:sudo -u \S+ |podman run --rm )?(lcbq .*)$`)
	started   = regexp.MustCompile(`(?:^|[\s/|])(lcbq [a-z][^|;&]*)`)
	setting   = regexp.MustCompile(`\bLCBQ_[A-Z_]+\b`)
)

// recipeCommands returns the command lines of a recipe that start lcbq.
func recipeCommands(t *testing.T, name, text string) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch comment := commented.FindStringSubmatch(line); {
		case comment != nil:
			out = append(out, comment[1])
		case strings.HasPrefix(strings.TrimSpace(line), "#"), strings.HasPrefix(line, "Description="), filepath.Ext(name) == ".yaml", filepath.Ext(name) == ".md":
		case name == "Containerfile":
			if args, ok := strings.CutPrefix(line, "CMD "); ok {
				var words []string
				if err := json.Unmarshal([]byte(args), &words); err != nil {
					t.Errorf("%s: %s: %v", name, line, err)
				}
				out = append(out, "lcbq "+strings.Join(words, " "))
			}
		default:
			if found := started.FindStringSubmatch(line); found != nil {
				out = append(out, found[1])
			}
		}
	}
	if filepath.Ext(name) == ".yaml" {
		for _, c := range containersOf(objectsOf(t, text)) {
			if len(c.Args) > 0 {
				out = append(out, "lcbq '"+strings.Join(c.Args, "' '")+"'")
			}
		}
	}
	if filepath.Ext(name) == ".md" {
		for _, b := range blocksOf(t, text) {
			out = append(out, b.commands...)
		}
	}
	return out
}

// TestRecipesCommands wants every command of lcbq's in the recipes to be one, with flags that it has, and every
// variable that is set for lcbq to be a setting of it.
func TestRecipesCommands(t *testing.T) {
	t.Parallel()
	helps, seen := make(map[string]string), 0
	for name, text := range recipeFiles(t) {
		commands := recipeCommands(t, name, text)
		if len(commands) == 0 && name != "README.md" {
			t.Errorf("%s starts no lcbq", name)
		}
		for _, c := range commands {
			seen++
			said, err := shell(t, t.TempDir(), helpOf(c))
			if err != nil {
				t.Errorf("%s: %s\n%v\n%s", name, c, err, said)
			}
			helps[name] += said
		}
		for _, v := range setting.FindAllString(text, -1) {
			if !strings.Contains(helps[name], "$"+v) {
				t.Errorf("%s: none of its commands reads %s", name, v)
			}
		}
	}
	if seen < 12 {
		t.Errorf("%d commands were read, want those of all recipes", seen)
	}
	if c := recipeCommands(t, "a.sh", "x || exec lcbq evalute --wait\n"); len(c) != 1 {
		t.Errorf("commands %q", c)
	} else if said, err := shell(t, t.TempDir(), helpOf(c[0])); err == nil {
		t.Errorf("a misspelt command passes:\n%s", said)
	}
}

// TestRecipesScripts has bash and, where it is there, shellcheck read the scripts.
func TestRecipesScripts(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob(filepath.Join(recipes, "*.sh"))
	if err != nil || len(scripts) != 3 {
		t.Fatalf("scripts %v, %v, want three", scripts, err)
	}
	if out, err := exec.CommandContext(t.Context(), "bash", append([]string{"-c", `for f; do bash -n "$f" || exit 1; done`, "bash"}, scripts...)...).CombinedOutput(); err != nil {
		t.Errorf("bash -n: %v\n%s", err, out)
	}
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("shellcheck is not here: bash has read the scripts alone")
	}
	if out, err := exec.CommandContext(t.Context(), shellcheck, scripts...).CombinedOutput(); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}

// TestRecipeForRunPod has the pod with GPUs, which here has a simulated model and judges nothing itself, and a
// helper do a run by the script.
func TestRecipeForRunPod(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	script, err := filepath.Abs(filepath.Join(recipes, "runpod-start.sh"))
	if err != nil {
		t.Fatal(err)
	}
	bin, home := t.TempDir(), t.TempDir()
	lcbq := command(t)
	if err := os.Symlink(lcbq.Path, filepath.Join(bin, "lcbq")); err != nil {
		t.Fatal(err)
	}
	port, release := freePort(t)
	release()
	at := net.JoinHostPort(elsewhere(t), port)
	pod := func(log *said, env []string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "bash", append([]string{script}, args...)...)
		cmd.Env = slices.Concat(lcbq.Env, []string{"PATH=" + bin + ":/usr/bin:/bin", "KEEP_IN=" + home}, env)
		cmd.Stderr, cmd.WaitDelay = log, time.Second
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	refused := new(said)
	if status := wait(t, pod(refused, nil, "helper")); status == 0 || !strings.Contains(refused.String(), "LCBQ_NATS") {
		t.Errorf("a helper without an address ends with %d, want it refused by name\n%s", status, refused)
	}
	run := func(log *said, more ...string) *exec.Cmd {
		return pod(log, []string{"LCBQ_LISTEN=" + at}, append([]string{"gpu", "--problems", "sample", "--engine", "sim", "--end", "2", "--n", "80", "--unit-size", "4", "--temperatures", "0.2,0.8", "--evaluators", "1", "--http", "none"}, more...)...)
	}
	gpuLog, helperLog := new(said), new(said)
	gpu := run(gpuLog, "--sim-tps", "60") // a quarter of an hour of units, of which a helper that starts late judges some too
	defer func() { _ = gpu.Process.Kill() }()
	token := filepath.Join(home, "helper.creds")
	waitForFile(t, token)
	creds, err := os.ReadFile(token)
	if err != nil {
		t.Fatal(err)
	}
	secret := base64.StdEncoding.EncodeToString(creds)
	helper := pod(helperLog, []string{"LCBQ_NATS=tls://" + at, "HELPER_TOKEN=" + secret, "LCBQ_EVALUATORS=1"}, "helper")
	defer func() { _ = helper.Process.Kill() }()
	waitUntil(t, "the helper has judged", func() bool {
		out, err := command(t, "--json", "status", "--output-dir", filepath.Join(home, "out")).Output()
		var s struct{ Workers []struct{ PID, Units int } }
		return err == nil && json.Unmarshal(out, &s) == nil && slices.ContainsFunc(s.Workers, func(w struct{ PID, Units int }) bool {
			return w.PID == helper.Process.Pid && w.Units > 0
		})
	})
	// The pod is taken away, and the next one goes on with the volume.
	if err := gpu.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, gpu); status != 0 && status != 130 {
		t.Errorf("the pod with GPUs, ended by SIGTERM: exit status %d\n%s", status, gpuLog)
	}
	gpuLog = new(said)
	if status := wait(t, run(gpuLog)); status != 0 {
		t.Errorf("the next pod with GPUs ends with %d\n%s", status, gpuLog)
	}
	if text := says(t, 0, "verify", filepath.Join(home, "out")); !strings.Contains(text, "4 cells, 320 samples") {
		t.Errorf("verify:\n%s", text)
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", helper.Process.Pid))
	if err != nil || bytes.Contains(environ, []byte(secret)) || !bytes.Contains(environ, []byte("LCBQ_NATS=")) {
		t.Errorf("the helper's environment has the token: %v", err)
	}
	if err := helper.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, helper); status != 0 {
		t.Errorf("a helper that SIGTERM ends: exit status %d, want 0\n%s", status, helperLog)
	}
}

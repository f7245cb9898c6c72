package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/engine/supervise/supervisetest"
	"github.com/lcbq/lcbq/worker/gpu"
)

// Variables of the simulated driver's environment.
const (
	fakeCards  = "FAKE_CARDS"       // number of cards
	fakeHeld   = "FAKE_CARDS_HELD"  // file of what else holds memory: card, process and MiB on a line; process 0 is not listed
	fakeFarm   = "LCBQ_TEST_FARM"   // whose engines use the cards
	cardTotal  = 81559              // MiB
	cardIdle   = 480                // MiB in use on an idle card
	engineUses = 77000              // MiB
	cardPrefix = "GPU-simulated-00" // of the UUIDs
)

// fakeSMI plays nvidia-smi on a machine whose cards are used by the farm's engines.
func fakeSMI() {
	n, err := strconv.Atoi(os.Getenv(fakeCards)) //nolint:forbidigo // this process is not the test
	if err != nil {
		fmt.Println("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.") //nolint:forbidigo // this process is not the test
		os.Exit(9)                                                                                   //nolint:forbidigo // this process is not the test
	}
	if n == 0 {
		fmt.Println("No devices were found") //nolint:forbidigo // this process is not the test
		os.Exit(0)                           //nolint:forbidigo // this process is not the test
	}
	holders := cardHolders(n)
	out := bufio.NewWriter(os.Stdout)
	for i := range n {
		used, pids := cardIdle, ""
		for _, h := range holders[i] {
			used += h.mib
			if h.pid != 0 {
				pids += fmt.Sprintf("%s%d, %d, %d\n", cardPrefix, i, h.pid, h.mib)
			}
		}
		switch os.Args[1] {
		case "--query-gpu=driver_version":
			fmt.Fprintln(out, "580.simulated")
		case "--query-compute-apps=gpu_uuid,pid,used_memory":
			_, _ = out.WriteString(pids)
		default:
			fmt.Fprintf(out, "%d, %s%d, Simulated H100, %d, %d, %d, %d.5, 40\n", i, cardPrefix, i, 100*min(1, len(holders[i])), cardTotal, used, 100+100*len(holders[i]))
		}
	}
	_ = out.Flush()
	os.Exit(0) //nolint:forbidigo // this process is not the test
}

// A cardHolder holds memory of a simulated card.
type cardHolder struct{ pid, mib int }

// cardHolders returns who holds memory of each card: the farm's engines, and what the file says.
func cardHolders(n int) [][]cardHolder {
	all := make([][]cardHolder, n)
	mark := fakeFarm + "=" + os.Getenv(fakeFarm) //nolint:forbidigo // this process is not the test
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, err := os.ReadFile(file)
		line, err2 := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if err != nil || err2 != nil || !strings.Contains(string(env), mark) || !strings.Contains(string(line), "\x00--max-num-seqs\x00") {
			continue
		}
		for i := range n {
			// The order of the cards tells an engine from an lcbq that was shown one card.
			if strings.Contains(string(env), fmt.Sprintf("CUDA_VISIBLE_DEVICES=%d\x00", i)) && strings.Contains(string(env), "CUDA_DEVICE_ORDER=PCI_BUS_ID") {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
				all[i] = append(all[i], cardHolder{pid, engineMemory(string(line))})
			}
		}
	}
	held, _ := os.ReadFile(os.Getenv(fakeHeld)) //nolint:forbidigo // this process is not the test
	for line := range strings.Lines(string(held)) {
		var card int
		var h cardHolder
		if k, _ := fmt.Sscan(line, &card, &h.pid, &h.mib); k == 3 && card < n {
			all[card] = append(all[card], h)
		}
	}
	return all
}

// engineMemory returns how many MiB an engine with these arguments uses: engineUses with the share that
// one alone claims.
func engineMemory(line string) int {
	_, rest, _ := strings.Cut(line, "\x00--gpu-memory-utilization\x00")
	text, _, _ := strings.Cut(rest, "\x00")
	share, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return engineUses
	}
	return int(math.Round(engineUses * share / 0.95))
}

// TestEnginesPerCard runs a sweep with three engines on a simulated card, kills each while it serves, and
// wants the sweep finished, the card measured once, and each engine in the run's summary and in status.
func TestEnginesPerCard(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	f := newFarm(t)
	env := append(f.cards(t, 1), supervisetest.Pace+"=4", supervisetest.Behaviours+"="+supervisetest.Forks+","+supervisetest.Lingers)
	dir := filepath.Join(f.dir, "results")
	cmd := f.lcbq(t, env, f.sweep(dir, 200, "--engines-per-gpu", "3")...)
	log := f.start(t, cmd)
	until(t, "all three serve", func() bool { return strings.Count(log.String(), "engine serves") == 3 }, log)
	out, err := f.lcbq(t, nil, "status", "--long", "--nats", urlOf(log)).Output()
	for _, want := range []string{"gpu0_", "gpu0-2_", "gpu0-3_", "GPU 0 has 3 engines, 30% of its memory each: asked for"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("status: %v, want %q in\n%s", err, want, out)
		}
	}
	if strings.Contains(string(out), "(foreign") {
		t.Errorf("status takes another engine of the card for a stranger:\n%s", out)
	}
	f.kill(t, "--gpu-memory-utilization")
	if status := wait(t, cmd); status != 0 {
		t.Fatalf("run ended with %d:\n%s", status, log)
	}
	if n := strings.Count(log.String(), "engine serves"); n < 4 {
		t.Errorf("%d times an engine served, want those that were killed to serve again", n)
	}
	var s struct {
		Provenance struct {
			GPUs    []struct{ UUID string }
			Engines []struct {
				Engines int
				Settled bool
				Because string
				Share   float64 `json:"memory_share"`
				Made    []struct{ Engine, Samples, Tokens, Restarts int }
			} `json:"engines_per_gpu"`
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "run_summary.json"))
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	p := s.Provenance
	if err != nil || len(p.GPUs) != 1 || len(p.Engines) != 1 || p.Engines[0].Engines != 3 || !p.Engines[0].Settled || p.Engines[0].Share != 0.303 || len(p.Engines[0].Made) != 3 {
		t.Fatalf("provenance %+v, %v, want one card with three engines", p, err)
	}
	samples := 0
	for _, m := range p.Engines[0].Made {
		samples += m.Samples
		if m.Tokens == 0 {
			t.Errorf("engine %d made %+v", m.Engine, m)
		}
	}
	if samples < 800 {
		t.Errorf("the engines made %d samples, want all 800 of the run", samples)
	}
	for _, name := range []string{"gpu0.log", "gpu0-2.log", "gpu0-3.log"} {
		if said, err := os.ReadFile(filepath.Join(dir, "logs", name)); err != nil || !strings.Contains(string(said), "INFO serving") {
			t.Errorf("%s = %q, %v", name, said, err)
		}
	}
}

// realDriver reports whether this machine has NVIDIA's library, beside which cards cannot be simulated.
func realDriver(ctx context.Context) bool {
	s, err := gpu.Open(ctx, gpu.Config{SMI: "/nonexistent/nvidia-smi"})
	if err == nil {
		_ = s.Close() // it was only looked for
	}
	return err == nil
}

// cards gives the farm so many simulated cards and returns the environment that shows them.
// On a machine with a real driver they cannot be shown.
func (f farm) cards(t *testing.T, n int, held ...string) []string {
	t.Helper()
	if realDriver(t.Context()) {
		t.Skip("this machine has NVIDIA's library: cards cannot be simulated beside it")
	}
	bin := filepath.Join(f.dir, "bin")
	exe, err := os.Executable()
	if err == nil {
		err = os.MkdirAll(bin, 0o755)
	}
	if err == nil {
		err = os.Symlink(exe, filepath.Join(bin, "nvidia-smi"))
	}
	file := filepath.Join(f.dir, "held")
	if err == nil {
		err = os.WriteFile(file, []byte(strings.Join(held, "\n")), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return []string{"PATH=" + bin + ":" + os.Getenv("PATH"), fmt.Sprintf("%s=%d", fakeCards, n), fakeHeld + "=" + file} //nolint:forbidigo // a test's own environment
}

// TestCards runs a sweep on one of two simulated cards, and wants it measured and named in the run's
// summary.
func TestCards(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	env := append(f.cards(t, 2), "CUDA_VISIBLE_DEVICES=1", supervisetest.Pace+"=1")
	dir := filepath.Join(f.dir, "results")
	type summary struct {
		Provenance struct {
			EngineVersion string   `json:"engine_version"`
			EngineArgs    []string `json:"engine_args"`
			Idle          *float64 `json:"gpu_idle_share"`
			GPUs          []struct {
				Name, UUID, Driver string
				Memory             int64   `json:"memory_bytes"`
				Peak               uint64  `json:"memory_peak_bytes"`
				Seconds            float64 `json:"measured_s"`
				Utilization        float64 `json:"utilization_mean"`
				Power              float64 `json:"power_mean_w"`
			}
		}
	}
	var s summary
	// A reading starts a program, and two of them are a measurement. Where that takes as long as the run, it is made longer.
	for n := 100; n == 100 || s.Provenance.Idle == nil && n <= 1600; n *= 2 {
		f.finish(t, env, dir, n)
		text, err := os.ReadFile(filepath.Join(dir, "run_summary.json"))
		s = summary{}
		if err == nil {
			err = json.Unmarshal(text, &s)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	p := s.Provenance
	if p.EngineVersion != "0.99" || !slices.Contains(p.EngineArgs, "--generation-config") || len(p.GPUs) != 1 || p.Idle == nil || *p.Idle != 0 {
		t.Fatalf("provenance = %+v, want version, arguments and one GPU that was never idle", p)
	}
	g := p.GPUs[0]
	if g.Name != "Simulated H100" || g.UUID != cardPrefix+"1" || g.Driver != "580.simulated" || g.Memory != cardTotal<<20 ||
		g.Peak != (cardIdle+engineUses)<<20 || g.Seconds <= 0 || math.Abs(g.Utilization-100) > 1e-9 || math.Abs(g.Power-200.5) > 1e-9 {
		t.Errorf("GPU = %+v, want what the simulated driver says", g)
	}
	m, err := cores.Here()
	if err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(filepath.Join(dir, "logs", "benchmark.log"))
	if want := fmt.Sprintf(`"cores_left_to_engines":%d`, min(8, m.Quota/2)); err != nil || !strings.Contains(string(said), want) {
		t.Errorf("benchmark.log = %q, %v, want %s", said, err, want)
	}
	log, err := os.ReadFile(filepath.Join(dir, "logs", "gpu1.log"))
	if err != nil || !strings.Contains(string(log), "INFO serving") {
		t.Errorf("gpu1.log = %q, %v", log, err)
	}
}

// TestCardsOfEachRun wants the card in the provenance of both runs that one generator works for, with
// what was measured in the time of each, and an evaluator beside that leaves the card its processors.
func TestCardsOfEachRun(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	f := newFarm(t)
	env := append(f.cards(t, 1), supervisetest.Pace+"=4")
	server := f.lcbq(t, nil, "server", "--listen", "127.0.0.1:0", "--store-dir", filepath.Join(f.dir, "store"))
	log := f.start(t, server)
	log.await(t, `"msg":"serving"`)
	url := urlOf(log)
	for _, run := range []string{"one", "two"} {
		submit := append([]string{"submit", "--nats", url, "--run", run}, submission(f.sweep(filepath.Join(f.dir, run), 60)[3:])...)
		if out, err := f.lcbq(t, nil, submit...).CombinedOutput(); err != nil {
			t.Fatalf("submit: %v\n%s", err, out)
		}
	}
	workers := []*exec.Cmd{
		f.lcbq(t, env, "evaluate", "--nats", url), f.lcbq(t, nil, "combine", "--nats", url),
		f.lcbq(t, env, "generate", "--nats", url, "--vllm", f.args[6], "--max-num-seqs", "20", "--logs", filepath.Join(f.dir, "logs")),
	}
	judging := f.start(t, workers[0])
	for _, w := range workers[1:] {
		f.start(t, w)
	}
	if m, err := cores.Here(); err == nil && m.Quota > 1 {
		g := cores.NewGovernor(m.All(), m.Leave(8, m.Quota/2))
		judging.await(t, fmt.Sprintf(`"msg":"programs judged at once","programs":%d,"cores_left_to_engines":%d`, g.Floor, g.Beside.Left))
		until(t, "status shows how many programs are judged at once", func() bool {
			out, err := f.lcbq(t, nil, "status", "--long", "--nats", url, "--run", "one").Output()
			return err == nil && strings.Contains(string(out), fmt.Sprintf(", %d programs at once\n", g.Floor))
		}, judging)
	}
	for _, run := range []string{"one", "two"} {
		var s struct {
			Run struct {
				Finished   int64 `json:"finished_ms"`
				Provenance struct {
					EngineArgs []string `json:"engine_args"`
					GPUs       []struct {
						UUID    string
						Seconds float64 `json:"measured_s"`
					}
				}
			}
		}
		until(t, run+" is finished and its card measured", func() bool {
			out, err := f.lcbq(t, nil, "--json", "status", "--nats", url, "--run", run).Output()
			if err != nil || json.Unmarshal(out, &s) != nil {
				return false
			}
			p := s.Run.Provenance
			return s.Run.Finished != 0 && len(p.GPUs) == 1 && p.GPUs[0].Seconds > 0
		}, log)
		if p := s.Run.Provenance; p.GPUs[0].UUID != cardPrefix+"0" || !slices.Contains(p.EngineArgs, "--generation-config") {
			t.Errorf("provenance of %s = %+v, want the card and the engine's arguments", run, p)
		}
	}
	out, err := f.lcbq(t, nil, "stop", "--nats", url, "--store-dir", filepath.Join(f.dir, "store")).CombinedOutput()
	if err != nil {
		t.Errorf("stop: %v\n%s", err, out)
	}
	for _, w := range append(workers, server) {
		_ = wait(t, w) // how they end is another test's
	}
}

// TestCardsRefused wants a card that does not exist, and one whose memory is held, refused before anything is
// made, with who holds it.
func TestCardsRefused(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	f := newFarm(t)
	held := []string{fmt.Sprintf("0 %d 30000", os.Getpid()), "1 0 20000"}
	env := f.cards(t, 3, held...)
	dir := filepath.Join(f.dir, "results")
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"no such index", []string{"--gpus", "7"}, []string{"GPU 7 does not exist: this machine has GPU 0 to 2", "nvidia-smi -L"}},
		{"no such UUID", []string{"--gpus", "GPU-none"}, []string{"GPU GPU-none does not exist"}},
		{"twice", []string{"--gpus", "2,2"}, []string{"chosen twice"}},
		{"odd", []string{"--gpus", "2", "--tensor-parallel", "2"}, []string{"1 GPUs do not divide into engines of 2"}},
		{"held", []string{"--gpus", "0"}, []string{"GPU 0 (Simulated H100): 49.9 of 79.6 GiB are free, vllm wants 75.7", fmt.Sprintf("process %d (", os.Getpid()), "holds 29.3 GiB", "choose other cards with --gpus"}},
		{"leaked", []string{"--gpus", "1"}, []string{"GPU 1: 20.0 GiB in use that the driver lists no process for", "restart of the pod"}},
	} {
		cmd := f.lcbq(t, env, f.sweep(dir, 10, tt.args...)...)
		out, err := cmd.CombinedOutput()
		for _, want := range tt.want {
			if err == nil || !strings.Contains(string(out), want) {
				t.Errorf("%s: %v, want %q in\n%s", tt.name, err, want, out)
			}
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: the results folder was made", tt.name)
		}
	}
	out, err := f.lcbq(t, env, "doctor", "--vllm", filepath.Join(f.dir, "vllm")).CombinedOutput()
	if err != nil {
		t.Errorf("doctor: %v", err)
	}
	for _, want := range []string{"pass GPU driver             nvidia-smi, driver 580.simulated", "pass GPU 2                  Simulated H100, 0.5 of 79.6 GiB in use, 0% busy,", "warn GPU 0 memory           process", "warn GPU 1 memory           19.0 GiB in use", "pass vllm"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("doctor does not say %q:\n%s", want, out)
		}
	}
}

// TestDriverWithoutCards is a machine with a driver and no GPU.
func TestDriverWithoutCards(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	env := f.cards(t, 0)
	dir := filepath.Join(f.dir, "results")
	if out, err := f.lcbq(t, env, f.sweep(dir, 10)...).CombinedOutput(); err == nil || !strings.Contains(string(out), "lists none") {
		t.Errorf("run: %v\n%s", err, out)
	}
	if out, err := f.lcbq(t, env, "doctor").CombinedOutput(); err != nil || !strings.Contains(string(out), "and no GPU") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
}

// TestOneEngineFails wants a sweep finished by the other engine, and an error with the reason once there is none.
func TestOneEngineFails(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	f := newFarm(t)
	env := f.cards(t, 2)
	fails := []string{supervisetest.Behaviours + "_" + cardPrefix + "1=" + supervisetest.NoModel, supervisetest.Behaviours + "_1=" + supervisetest.NoModel} // by UUID or number
	cmd := f.lcbq(t, append(append(env, supervisetest.Pace+"=1"), fails...), f.sweep(filepath.Join(f.dir, "results"), 100)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("run: %v", err)
	}
	inOrder(t, string(out), "engine is out of the run", "no restart helps", "400 samples in")
	cmd = f.lcbq(t, append(env, fails...), f.sweep(filepath.Join(f.dir, "none"), 10, "--gpus", "1")...)
	if out, err = cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("run without an engine: %v, want exit status 1", err)
	}
	inOrder(t, string(out), "engine of GPU 1: no restart helps", "is not a local folder", "the model is not there: check its name", "lcbq ends")
}

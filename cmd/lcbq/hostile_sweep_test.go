package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The default is a short version of the sweep; `just hostile-sweep` is the long one.
var (
	hostileUnits = flag.Int("hostile.units", 12, "units of TestHostileSweep, each with one hostile program of a random kind")
	endlessUnits = flag.Int("hostile.endless", 0, "units of the sweep with endless loops that it is compared with; 0 for as many")
	hostileSlots = flag.Int("hostile.slots", 2, "programs at once in TestHostileSweep")
	hostileSeed  = flag.Uint64("hostile.seed", 0, "replay TestHostileSweep with this seed; 0 draws one")
)

// hostileSamples is the size of a unit of TestHostileSweep.
const hostileSamples = 4

// hostilePrograms returns the programs of the sandbox's catalogue that print to
// standard output, by name. None prints what TestHostileSweep asks for.
func hostilePrograms(t *testing.T) (names []string, sources map[string]string) {
	t.Helper()
	sources = map[string]string{}
	for _, file := range []string{"faults", "harness", "processes", "resources", "tricks"} {
		text, err := os.ReadFile("../../worker/sandbox/testdata/hostile/" + file + ".txtar")
		if err != nil {
			t.Fatal(err)
		}
		for section := range strings.SplitSeq("\n"+string(text), "\n-- ") {
			title, source, ok := strings.Cut(section, " --\n")
			// What calls a helper or is made from a word is the sandbox's tests' own.
			if !ok || strings.Contains(source, "class Solution") || strings.Contains(source, "tries(") || strings.Contains(source, "call(") || source == strings.ToUpper(source) {
				continue
			}
			name := file + " " + title
			names, sources[name] = append(names, name), source+"\n"
		}
	}
	if len(names) < 60 {
		t.Fatalf("%d hostile programs found, want 60 at least", len(names))
	}
	return names, sources
}

// sweepWith runs a sweep of units of which each has one program of hostile's, and
// returns what it says of itself and the processor time of everybody in it.
func sweepWith(t *testing.T, units int, hostile func(unit int) string) (verdicts map[string]int, cpu, wall time.Duration) {
	t.Helper()
	dir := t.TempDir()
	var problems, completions strings.Builder
	for k := range units {
		id := fmt.Sprintf("q%d", k)
		var tests []map[string]string
		for i := range 3 {
			tests = append(tests, map[string]string{"input": fmt.Sprintf("%d %d\n", i, k), "output": fmt.Sprint(i + k), "testtype": "stdin"})
		}
		writeJSON(t, &problems, map[string]string{
			"question_title": id, "question_content": id, "platform": "atcoder", "question_id": id, "contest_id": "x",
			"contest_date": "2025-01-01T00:00:00", "starter_code": "", "difficulty": "easy",
			"public_test_cases": asJSON(t, tests), "private_test_cases": "[]", "metadata": "{}",
		})
		for j := range hostileSamples {
			code := fmt.Sprintf("a, b = map(int, input().split())\nprint(a + b)  # %d %d\n", k, j)
			if j == k%hostileSamples {
				code = fmt.Sprintf("%s# %d\n", hostile(k), k)
			}
			writeJSON(t, &completions, map[string]string{"question_id": id, "completion_id": fmt.Sprintf("%s-%d", id, j), "code": code})
		}
	}
	p, c, out := filepath.Join(dir, "problems.jsonl"), filepath.Join(dir, "completions.jsonl"), filepath.Join(dir, "out")
	for file, text := range map[string]string{p: problems.String(), c: completions.String()} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	most := 25*time.Minute + time.Duration(units)*time.Minute/2 // on a machine that does more than this
	cmd := reexecFor(t, most, "lcbq", "run", "--problems", p, "--completions", c, "--temperatures", "0.5", "-n", fmt.Sprint(hostileSamples), "-o", out,
		"--evaluators", fmt.Sprint(*hostileSlots), "--time-limit", "1", "--memory-limit", "512MiB", "--output-limit", "1MiB", "--listen", "127.0.0.1:0")
	began := time.Now()
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("run with a hostile program in each unit: %v\n%.4000s", err, text)
	}
	wall, cpu = time.Since(began), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
	var summary struct {
		Samples, Passed, Unscored int
		Results                   []struct{ Verdicts map[string]int }
	}
	data, err := os.ReadFile(filepath.Join(out, "run_summary.json"))
	if err == nil {
		err = json.Unmarshal(data, &summary)
	}
	if err != nil {
		t.Fatal(err)
	}
	if summary.Samples != units*hostileSamples || summary.Passed != units*(hostileSamples-1) || summary.Unscored != 0 || len(summary.Results) != 1 {
		t.Errorf("%d samples, %d passed, %d unscored, %+v, want %d, %d and 0", summary.Samples, summary.Passed, summary.Unscored, summary.Results,
			units*hostileSamples, units*(hostileSamples-1))
	}
	return summary.Results[0].Verdicts, cpu, wall
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeJSON(t *testing.T, to *strings.Builder, v any) {
	t.Helper()
	to.WriteString(asJSON(t, v) + "\n")
}

// TestHostileSweep runs a sweep in which every unit holds a hostile program of a
// random kind, and wants every honest one passed, every hostile one failed, none
// unscored, an end, and no more processor time than with endless loops in their place.
func TestHostileSweep(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	seed := *hostileSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	names, sources := hostilePrograms(t)
	var drawn []string
	verdicts, cpu, wall := sweepWith(t, *hostileUnits, func(int) string {
		name := names[rng.IntN(len(names))]
		drawn = append(drawn, name)
		return sources[name]
	})
	endless := *endlessUnits
	if endless == 0 {
		endless = *hostileUnits
	}
	plain, plainCPU, plainWall := sweepWith(t, endless, func(int) string { return "while True: pass" })
	perUnit := func(d time.Duration, units int) float64 { return d.Seconds() / float64(units) }
	ratio := perUnit(plainCPU, endless) / perUnit(cpu, *hostileUnits)
	t.Logf("seed %d: %v in %v of processor time, %v in all; %d endless loops: %v in %v, %v in all; throughput %.2f of theirs by processor time, %.2f by the wall",
		seed, verdicts, cpu, wall, endless, plain, plainCPU, plainWall, ratio, perUnit(plainWall, endless)/perUnit(wall, *hostileUnits))
	if plain["time_limit"] != endless {
		t.Errorf("endless loops: %v, want %d time limits", plain, endless)
	}
	if verdicts["judge_fault"] != 0 {
		t.Errorf("seed %d: %v, want no judge faults", seed, verdicts)
	}
	if ratio < 0.8 {
		t.Errorf("seed %d: a unit costs so much that the throughput is %.2f of that with endless loops, want 0.8: %q", seed, ratio, drawn)
	}
	if t.Failed() {
		t.Logf("seed %d: %q", seed, drawn)
	}
}

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

var (
	pairLimit    = flag.Duration("pair.limit", 1200*time.Millisecond, "processor time of a test in BenchmarkPair")
	pairVariants = flag.Int("pair.variants", 3, "programs for each part of the limit in BenchmarkPair")
)

// pairParts are what parts of the limit the programs of BenchmarkPair need on a quiet core.
var pairParts = []float64{0.7, 0.8, 0.9, 1.1, 1.2, 1.3, 1.4}

// BenchmarkPair has two evaluators of one run judge the same programs, which need between 0.7 and 1.4 of its time limit.
// Each has half of this machine's cores and a host name of its own, and the limit is in seconds of the first. The
// second is slowed: by a competitor pinned to each of its processors, or by a quota of half the time of the
// one processor that it needs. Every program
// must have one verdict, and the right one. It is a benchmark because it needs a machine that does nothing else.
func BenchmarkPair(b *testing.B) {
	machine, err := cores.Here()
	if err != nil {
		b.Fatal(err)
	}
	all := machine.Cores()
	if len(all) < 2 {
		b.Skip("two evaluators need a core each, and this process may use one")
	}
	if os.Getuid() != 0 {
		b.Skip("a host name for each evaluator needs root")
	}
	plain, slowed := slices.Concat(all[:len(all)/2]...), slices.Concat(all[len(all)/2:]...)
	count := pairCount(b, plain)
	b.Logf("%d turns take the limit of %v", count, *pairLimit)
	for name, slow := range map[string]func(b *testing.B, cpus []int) string{"competitor": competitor, "quota": quota} {
		b.Run(name, func(b *testing.B) {
			group := slow(b, slowed)
			for b.Loop() {
				judgePair(b, count, plain, slowed, group)
			}
		})
	}
}

// pairTurns is the work of all programs. Its loop begins at ten million because its numbers grow longer before, and its
// turns slower.
const pairTurns = `
def turns(n, t):
    few = list(range(64))
    for i in range(10**7, 10**7 + n):
        x = few[i & 63] ^ i
        t += x * x % 7
        if t & 1:
            t -= i
`

// pairText returns a program that makes so many turns in the first test of lcbq_a01, and passes. Each number makes
// another program.
func pairText(count, number int) string {
	return fmt.Sprintf(`import sys
%s
numbers = list(map(int, sys.stdin.read().split()))
if numbers[:3] == [3, 10, 30]:
    turns(%d, %d)
lengths = [e - s for s, e in zip(numbers[1::2], numbers[2::2])]
print(sum(lengths))
print(lengths.index(max(lengths)) + 1)`, pairTurns, count, number)
}

// pairCount returns the turns that take the limit on a calm core. It times rounds as an evaluator times those of its
// yardstick: of half a millisecond, for some seconds, and takes the fastest fiftieth.
func pairCount(b *testing.B, cpus []int) int {
	b.Helper()
	const round = 5000
	cmd := exec.CommandContext(b.Context(), python(), "-c", fmt.Sprintf(`import time
%s
took = []
for burst in range(60):
    for i in range(20):
        began = time.thread_time_ns()
        turns(%d, 0)
        took.append(time.thread_time_ns() - began)
    time.sleep(0.1)
print(sorted(took)[len(took) // 50])`, pairTurns, round))
	var text []byte
	on(b, cpus, func() {
		var err error
		if text, err = cmd.CombinedOutput(); err != nil {
			b.Fatalf("time the turns: %v\n%s", err, text)
		}
	})
	ns, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || ns <= 0 {
		b.Fatalf("a round took %q ns: %v", text, err)
	}
	return int(round * pairLimit.Nanoseconds() / ns)
}

func writeRows(b *testing.B, path string, rows []map[string]string) {
	b.Helper()
	var text strings.Builder
	to := json.NewEncoder(&text)
	for _, row := range rows {
		if err := to.Encode(row); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
}

// on calls f on a thread that may use these processors only, as what f starts may.
func on(b *testing.B, cpus []int, f func()) {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, there unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		b.Fatal(err)
	}
	for _, cpu := range cpus {
		there.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &there); err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			b.Error(err)
		}
	}()
	f()
}

// competitor keeps each of the processors busy until the benchmark ends.
func competitor(b *testing.B, cpus []int) (group string) {
	b.Helper()
	for _, cpu := range cpus {
		cmd := exec.CommandContext(b.Context(), python(), "-c", "while True: pass")
		on(b, []int{cpu}, func() {
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
		})
		b.Cleanup(func() { _ = cmd.Wait() }) // killed when the context ended
	}
	return ""
}

// quota returns the file of a control group, which grants to whom it names the time of half a processor.
func quota(b *testing.B, _ []int) (group string) {
	b.Helper()
	home, limit, text := "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "50000" // of 100,000 microseconds
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		home, limit, text = "/sys/fs/cgroup", "cpu.max", "50000 100000"
	}
	dir := filepath.Join(home, fmt.Sprint("lcbq-pair-", os.Getpid()))
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Skip("no quota can be set here: ", err)
	}
	b.Cleanup(func() {
		for end := time.Now().Add(time.Minute); ; <-time.After(10 * time.Millisecond) { // the kernel still buries the last of them
			if err := os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
				return
			} else if time.Now().After(end) {
				b.Error(err)
				return
			}
		}
	})
	if err := os.WriteFile(filepath.Join(dir, limit), []byte(text), 0o600); err != nil {
		b.Skip("no quota can be set here: ", err)
	}
	return filepath.Join(dir, "cgroup.procs")
}

// pairEvaluator starts an evaluator on these processors, on a host of this name, and in a control group if that is not "".
func pairEvaluator(b *testing.B, url, host string, cpus []int, group string) {
	b.Helper()
	cmd := reexec(b, "lcbq", "evaluate", "--nats", url, "--evaluators", "1", "--no-shared-verdicts")
	const enter = `echo "$1" > /proc/sys/kernel/hostname && if [ -n "$2" ]; then echo $$ > "$2"; fi && shift 2 && exec "$@"`
	cmd.Args = append([]string{"sh", "-c", enter, "sh", host, group}, cmd.Args...)
	cmd.Path = "/bin/sh"
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUTS}
	on(b, cpus, func() { awaitMessage(b, cmd, "judging") })
	b.Cleanup(func() { kill9(b, cmd) })
}

// awaitMessage starts a process and returns when it has logged a message.
func awaitMessage(b *testing.B, cmd *exec.Cmd, message string) {
	b.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	var text strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		var line struct{ Msg string }
		if err := json.Unmarshal(lines.Bytes(), &line); err == nil && line.Msg == message {
			go func() { _, _ = io.Copy(io.Discard, stderr) }() // so that the process never blocks on its log
			return
		}
		text.WriteString(lines.Text() + "\n")
	}
	b.Fatalf("%v ended before it said %q: %v\n%s", cmd.Args, message, cmd.Wait(), &text)
}

// judgePair has the two evaluators judge the programs, and says what each came to.
func judgePair(b *testing.B, count int, plain, slowed []int, group string) {
	b.Helper()
	dir := b.TempDir()
	completions, out := filepath.Join(dir, "completions.jsonl"), filepath.Join(dir, "out")
	part := map[string]float64{} // of each program; that of one that never ends is 0
	var texts []string
	for _, p := range pairParts {
		for i := range *pairVariants {
			text := pairText(int(p*float64(count)), i)
			part[text] = p
			texts = append(texts, text)
		}
	}
	rand.Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
	// An evaluator learns from slow programs how fast its host is: two that never end come first.
	for i := range 2 {
		text := fmt.Sprintf("while %d:\n    pass", i+1)
		part[text] = 0
		texts = append([]string{text}, texts...)
	}
	// Every unit holds all of the texts, so whatever units an evaluator takes it judges each text, and runs it once.
	const units = 6
	var rows []map[string]string
	for i := range units * len(texts) {
		rows = append(rows, map[string]string{
			"question_id": "lcbq_a01", "completion_id": fmt.Sprintf("lcbq_a01-%04d", i), "output": "```python\n" + texts[i%len(texts)] + "\n```",
		})
	}
	writeRows(b, completions, rows)
	server, url := listening(b, "serving", "server", "--listen", "127.0.0.1:0", "--store-dir", filepath.Join(dir, "store"))
	b.Cleanup(func() { kill9(b, server) })
	submit := reexec(b, "lcbq", "submit", "--nats", url, "--problems", "sample", "--end", "1", "--engine", "replay", "--completions", completions,
		"--n", strconv.Itoa(len(rows)), "--unit-size", strconv.Itoa(len(texts)), "--temperatures", "0.2", "--run", "pair", "--reference-speed", "first",
		"--time-limit", fmt.Sprint(pairLimit.Seconds()), "-o", out)
	if text, err := submit.CombinedOutput(); err != nil {
		b.Fatalf("submit: %v\n%s", err, text)
	}
	for _, role := range [][]string{{"combine", "combining"}, {"generate", "generating", "--completions", completions}} {
		cmd, _ := listening(b, role[1], append([]string{role[0], "--nats", url}, role[2:]...)...)
		b.Cleanup(func() { kill9(b, cmd) })
	}
	// The plain one judges first, so that the limit is in seconds of its host. The other one's start takes less time
	// than its first unit.
	pairEvaluator(b, url, "plain", plain, "")
	board, err := store.Open(b.Context(), connectTo(b, url))
	if err != nil {
		b.Fatal(err)
	}
	awaitFor(b, "the plain evaluator judges", func() (bool, error) {
		m, _, err := board.Run(b.Context(), "pair")
		return err == nil && m.Provenance.JudgeHost != "", err
	})
	pairEvaluator(b, url, "slowed", slowed, group)
	awaitFor(b, "the run is over", func() (bool, error) {
		_, err := os.Stat(filepath.Join(out, "run_summary.json"))
		return err == nil, nil
	})
	tellPair(b, out, part)
}

// awaitFor waits until something has happened.
func awaitFor(b *testing.B, what string, happened func() (bool, error)) {
	b.Helper()
	for end := time.Now().Add(20 * time.Minute); ; <-time.After(100 * time.Millisecond) {
		if ok, err := happened(); err != nil {
			b.Fatalf("wait until %s: %v", what, err)
		} else if ok {
			return
		}
		if time.Now().After(end) {
			b.Fatalf("waited in vain until %s", what)
		}
	}
}

// A pairSum is what an evaluator came to on the programs of one part of the limit.
type pairSum struct {
	passed, judged int
	cpu            []float64
	slowdown       float64 // the largest that is recorded
}

// tellPair says which evaluator judged what, and wants one verdict on each program.
func tellPair(b *testing.B, out string, part map[string]float64) {
	b.Helper()
	cell, err := result.OpenCell(result.CellPath(out, 0, 0.2))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = cell.Close() }()
	hosts := []string{"plain", "slowed"}
	sums := map[string]map[float64]*pairSum{}
	verdicts := map[string]map[string]stream.Verdict{} // by text, then by host
	for s, err := range cell.Samples() {
		if err != nil {
			b.Fatal(err)
		}
		p, known := part[s.Code]
		i := slices.IndexFunc(hosts, func(host string) bool { return strings.Contains(s.Evaluator, "_"+host+"-") })
		if !known || i < 0 || s.Verdict != stream.Passed && s.Verdict != stream.TimeLimit {
			b.Fatalf("sample %d: %v by %q: %s", s.Index, s.Verdict, s.Evaluator, s.Detail)
		}
		host := hosts[i]
		if s.Cached {
			continue
		}
		if verdicts[s.Code] == nil {
			verdicts[s.Code] = map[string]stream.Verdict{}
		}
		verdicts[s.Code][host] = s.Verdict
		if sums[host] == nil {
			sums[host] = map[float64]*pairSum{}
		}
		if sums[host][p] == nil {
			sums[host][p] = &pairSum{}
		}
		sum := sums[host][p]
		sum.judged++
		sum.cpu = append(sum.cpu, s.CPU/pairLimit.Seconds())
		sum.slowdown = max(sum.slowdown, s.Slowdown)
		if s.Verdict == stream.Passed {
			sum.passed++
		}
	}
	text, err := os.ReadFile(filepath.Join(out, "run_summary.json"))
	var run summary.Run
	if err == nil {
		err = json.Unmarshal(text, &run)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("the reference is %s, speed %.3g; hosts: %+v", run.Provenance.JudgeHost, run.Provenance.JudgeSpeed, run.Provenance.Judges)
	wrong := 0
	for _, p := range append([]float64{0}, pairParts...) {
		line := fmt.Sprintf("%.2f", p)
		if p == 0 {
			line = "endless"
		}
		for _, host := range hosts {
			sum := sums[host][p]
			if sum == nil {
				b.Fatalf("evaluator %s judged no program of %s", host, line)
			}
			slices.Sort(sum.cpu)
			line += fmt.Sprintf(" | %s: passed %d of %d, took %.3f to %.3f limits, slowdown %.3g", host, sum.passed, sum.judged, sum.cpu[0], sum.cpu[len(sum.cpu)-1], sum.slowdown)
			if p > 0 && p < 1 {
				wrong += sum.judged - sum.passed
			} else {
				wrong += sum.passed
			}
		}
		b.Log(line)
	}
	two := 0
	for text, by := range verdicts {
		if len(by) != len(hosts) {
			b.Errorf("only %v judged the program of %.2f", by, part[text])
		} else if by["plain"] != by["slowed"] {
			two++
		}
	}
	b.ReportMetric(float64(len(verdicts)), "programs")
	b.ReportMetric(float64(two), "two-verdicts")
	b.ReportMetric(float64(wrong), "wrong")
	if two+wrong > 0 {
		b.Errorf("%d programs have two verdicts, and %d verdicts are wrong", two, wrong)
	}
}

package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/pythontest"
	"github.com/lcbq/lcbq/worker/sandbox"
)

var (
	nearLimit = flag.Duration("near.limit", 2*time.Second, "processor time of a test in the benchmarks of contention")
	nearTries = flag.Int("near.tries", 5, "how often each program is judged in the benchmarks of contention")
	nearKinds = flag.String("near.kinds", "loop,table,texts,calls", "kinds of programs in the benchmarks of contention")
	nearLoads = flag.String("near.loads", "0,2,8", "how many busy processes there are in BenchmarkNearLimit, in turn")
	nearParts = flag.String("near.parts", "0.8,0.9,0.95,1.05,1.1,1.2", "parts of the limit that the programs of BenchmarkNearLimit need")
	nearModes = flag.String("near.modes", "measured,allowed", "how BenchmarkNearLimit judges, in turn: contention is measured, or allowed for as where it cannot be")
	nearSlots = flag.Int("near.slots", 2, "programs judged at once in the benchmarks of contention")
	nearOut   = flag.String("near.out", "", "where BenchmarkHosts keeps verdicts and counts; a folder that all machines share")
	nearHost  = flag.String("near.host", "", "the name of this machine in BenchmarkHosts")
)

// kinds are programs that take time in proportion to a count: a loop, a table of twenty megabytes, texts, calls.
var kinds = map[string]string{
	"loop":  "few = list(range(64))\nt = 0\nfor i in range(n):\n    x = few[i & 63] ^ i\n    t += x * x % 7\n    if t & 1:\n        t -= i\n",
	"table": "d = {}\nx = 1\nfor i in range(n // 4):\n    x = (x * 1103515245 + 12345) & 0x7fffffff\n    d[x % 200000] = d.get((x >> 3) % 200000, 0) + 1\n",
	"texts": "s = []\nfor i in range(n):\n    s.append(str(i) + 'a')\n    if len(s) > 1000:\n        ''.join(s).split('a')\n        s.clear()\n",
	"calls": "def f(k):\n    return 1 if k < 2 else f(k - 1) + f(k - 2)\nfor i in range(n // 400):\n    f(12)\n",
}

// nearText returns a program of a kind; each number makes another one.
func nearText(kind string, count, number int) string {
	return fmt.Sprintf("def main(n):\n    %s\nmain(%d)\nprint(1)\n# %d\n", strings.ReplaceAll(strings.TrimSpace(kinds[kind]), "\n", "\n    "), count, number)
}

// contentionGrader returns a grader whose programs have each a verdict of their own. Without measuring it judges as
// one that cannot.
func contentionGrader(b *testing.B, measuring bool) *Grader {
	b.Helper()
	limit := sandbox.Limits{CPU: *nearLimit, Wall: *nearLimit, Slack: Slack(*nearLimit)}
	g, err := NewGrader(b.Context(), Config{Sandbox: sandbox.Config{Python: pythontest.Find(b), Limits: limit, NoNormalForm: true}, Slots: *nearSlots})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := g.Close(); err != nil {
			b.Error(err)
		}
	})
	if !measuring {
		g.yard.round = func(int) ([]time.Duration, error) { return nil, errClock }
	} else if err := g.Calm(); err != nil {
		b.Fatal(err)
	}
	return g
}

// countsFor returns the count with which a program of each kind takes the limit on a calm quiet core: by the middle one of
// several tries, each corrected by the slowdown that was measured meanwhile. On a machine that others slow now and then
// the fastest of a few tries is now a calm one and now none.
func countsFor(b *testing.B, g *Grader) map[string]int {
	b.Helper()
	for all := g.quiet.machine.Cores(); g.yard.best() == 0; {
		if _, err := g.yard.look(all[len(all)-1][0]); err != nil {
			b.Fatal(err)
		}
	}
	counts := map[string]int{}
	for kind := range strings.SplitSeq(*nearKinds, ",") {
		slot, err := g.quiet.enter(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		slot.Scale(mostPace)
		count := int(9e6 * nearLimit.Seconds())
		for range 2 { // what a program takes need not be in proportion to its count
			var each []float64
			for i := range 5 {
				t := &trial{}
				ask := g.strained(t)
				slot.Stretch(func(now sandbox.Strain) (time.Duration, time.Duration, bool) {
					now.Limit = *nearLimit
					return ask(now)
				})
				r, err := slot.Run(b.Context(), &one("counts").sandbox, nearText(kind, count, i), func(int, sandbox.Output) bool { return true })
				if err != nil || r.Outcome != sandbox.Accepted {
					b.Fatalf("%s: %+v, %v", kind, r, err)
				}
				each = append(each, r.TestCPU.Seconds()/(1+t.slowed))
			}
			slices.Sort(each)
			count = int(float64(count) * nearLimit.Seconds() / each[len(each)/2])
		}
		slot.Stretch(nil)
		slot.Scale(1)
		counts[kind] = count
		if err := g.quiet.leave(slot); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("counts for %v: %v; a round takes %v at best", *nearLimit, counts, g.yard.best())
	return counts
}

// busy keeps n processors busy, half of them with memory, until the function it returns is called.
func busy(b *testing.B, n int) (end func()) {
	b.Helper()
	programs := make([]string, n)
	for i := range programs {
		programs[i] = "while True: pass"
		if i%2 == 1 {
			programs[i] = "d = bytearray(1 << 24)\nwhile True:\n    d[:] = bytes(1 << 24)"
		}
	}
	return run(b, programs)
}

// run runs programs until the function it returns is called.
func run(b *testing.B, programs []string) (end func()) {
	b.Helper()
	var all []*exec.Cmd
	for _, program := range programs {
		cmd := exec.CommandContext(context.WithoutCancel(b.Context()), pythontest.Find(b), "-c", program)
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		all = append(all, cmd)
	}
	return func() {
		for _, cmd := range all {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
}

// A nearProgram is a program and what part of the limit it needs on a quiet core.
type nearProgram struct {
	kind string
	part float64
}

func (p nearProgram) String() string { return fmt.Sprintf("%s %.2f", p.kind, p.part) }

// judgeNear judges each program once, in an order that mixes them, and counts those that passed.
func judgeNear(b *testing.B, g *Grader, q *Question, counts map[string]int, parts []float64, try int, passed map[nearProgram]int) {
	b.Helper()
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(2 * *nearSlots)
	for _, part := range parts {
		for kind, count := range counts {
			group.Go(func() error {
				j, _, err := g.Judge(b.Context(), q, code(nearText(kind, int(part*float64(count)), try)))
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				p := nearProgram{kind, part}
				passed[p] += 0
				switch j.Verdict {
				case stream.Passed:
					passed[p]++
				case stream.TimeLimit:
				default:
					return fmt.Errorf("%v: %+v", p, j)
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
}

// table says how often programs of each part passed.
func table(passed map[nearProgram]int) string {
	sums := map[float64][2]int{}
	var parts []float64
	for p, n := range passed {
		if _, ok := sums[p.part]; !ok {
			parts = append(parts, p.part)
		}
		s := sums[p.part]
		sums[p.part] = [2]int{s[0] + n, s[1] + *nearTries}
	}
	slices.Sort(parts)
	var text strings.Builder
	for _, part := range parts {
		fmt.Fprintf(&text, "  %.2f: %d of %d", part, sums[part][0], sums[part][1])
	}
	return text.String()
}

// BenchmarkEndless is what endless programs cost in limits, on a machine that does nothing else: a loop, and one that
// fills twenty megabytes again and again.
func BenchmarkEndless(b *testing.B) {
	for b.Loop() {
		g := contentionGrader(b, true)
		b.Logf("loops: %s limits; a round takes %v at best", endlessCost(b, g, 0, 5), g.yard.best())
		var looks, beside int
		g.yard.beside = func() bool { // asked by one program at a time
			looks++
			with := company()
			if with {
				beside++
			}
			return with
		}
		for i := range 3 {
			looks, beside = 0, 0
			j, _, err := g.Judge(b.Context(), one("endless table"), code(fmt.Sprintf("d = {}\ni = 0\nwhile True:\n    d[i %% 200000] = i\n    i += 7919\n# %d\n", i)))
			if err != nil || j.Verdict != stream.TimeLimit {
				b.Fatalf("Judge = %+v, %v", j, err)
			}
			b.Logf("tables: %.3f limits; something else was ready to run in %d of %d looks", j.CPU/nearLimit.Seconds(), beside, looks)
		}
	}
}

// BenchmarkNearLimit judges programs between 0.8 and 1.2 of the limit beside 0, 2 and 8 busy processes, by turns as a
// grader that measures contention does and as one that cannot. It says how many of the programs had more than one
// verdict, how many verdicts were wrong by a tenth of the limit and more, and what an endless loop costs in limits. The
// loads are those of this benchmark: its numbers mean something on a machine that does nothing else.
func BenchmarkNearLimit(b *testing.B) {
	counts := countsFor(b, contentionGrader(b, true))
	var parts []float64
	for text := range strings.SplitSeq(*nearParts, ",") {
		part, err := strconv.ParseFloat(text, 64)
		if err != nil {
			b.Fatal(err)
		}
		parts = append(parts, part)
	}
	modes := strings.Split(*nearModes, ",")
	for b.Loop() {
		graders, all := map[string]*Grader{}, map[string]map[nearProgram]int{}
		for _, mode := range modes {
			graders[mode], all[mode] = contentionGrader(b, mode == "measured"), map[nearProgram]int{}
			if mode == "measured" {
				endlessCost(b, graders[mode], -1, 5) // the yard learns from them what the host can
			}
		}
		loads := strings.Split(*nearLoads, ",")
		for _, text := range loads {
			load, err := strconv.Atoi(text)
			if err != nil {
				b.Fatal(err)
			}
			end := busy(b, load)
			passed, cost := map[string]map[nearProgram]int{}, map[string]string{}
			for try := range *nearTries {
				for _, mode := range modes {
					if try == 0 {
						cost[mode], passed[mode] = endlessCost(b, graders[mode], load, 3), map[nearProgram]int{}
					}
					judgeNear(b, graders[mode], one(fmt.Sprint("near", load)), counts, parts, try, passed[mode])
				}
			}
			end()
			for _, mode := range modes {
				g := graders[mode]
				b.Logf("%s, load %d:%s; endless loops cost %s limits; a round takes %v at best; run again %d", mode, load, table(passed[mode]), cost[mode], g.yard.best(), g.Rejudged())
				for p, n := range passed[mode] {
					all[mode][p] += n
				}
			}
		}
		for _, mode := range modes {
			flips, wrong, runs := 0, 0, *nearTries*len(loads)
			for p, n := range all[mode] {
				if n > 0 && n < runs {
					b.Logf("%s: %v passed %d times of %d", mode, p, n, runs)
					flips++
				}
				switch {
				case p.part <= 0.9:
					wrong += runs - n
				case p.part >= 1.1:
					wrong += n
				}
			}
			b.ReportMetric(float64(flips), mode+"-flips")
			b.ReportMetric(float64(wrong), mode+"-wrong-by-0.1")
		}
		b.ReportMetric(float64(len(parts)*len(counts)), "programs")
		b.ReportMetric(float64(*nearTries*len(loads)), "times-each")
	}
}

// endlessCost returns the processor times of n endless loops, one after the other, in limits. The first ones of a
// grader also teach it how fast the host can be.
func endlessCost(b *testing.B, g *Grader, load, n int) string {
	b.Helper()
	var all []string
	for i := range n {
		j, _, err := g.Judge(b.Context(), one("endless"), code(fmt.Sprintf("while True: pass\n# %d %d\n", load, i)))
		if err != nil || j.Verdict != stream.TimeLimit {
			b.Fatalf("Judge = %+v, %v", j, err)
		}
		all = append(all, fmt.Sprintf("%.3f", j.CPU/nearLimit.Seconds()))
	}
	return strings.Join(all, " ")
}

// A hostVerdicts is what BenchmarkHosts writes down of a host.
type hostVerdicts struct {
	Counts   map[string]int
	Speed    float64
	Off, Ref map[string]int // by program: how often it passed
}

// BenchmarkHosts judges programs between 0.7 and 1.4 of the limit on one of several machines, whose verdicts it compares
// with those of the machine that was first, in whose seconds the limit is. It is run on one after the other, by turns.
func BenchmarkHosts(b *testing.B) {
	if *nearHost == "" || *nearOut == "" {
		b.Skip("give this machine's name by -near.host, and a folder that all machines share by -near.out")
	}
	for b.Loop() {
		judgeHost(b, *nearOut, *nearHost)
	}
}

// judgeHost judges programs as one host of several that share a folder.
func judgeHost(b *testing.B, dir, name string) {
	b.Helper()
	g := contentionGrader(b, true)
	first := filepath.Join(dir, "first.json")
	mine := hostVerdicts{Off: map[string]int{}, Ref: map[string]int{}}
	speed, err := g.Speed(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	mine.Speed = speed
	var reference hostVerdicts
	data, err := os.ReadFile(first)
	switch {
	case errors.Is(err, os.ErrNotExist):
		mine.Counts = countsFor(b, g)
		reference = mine
	case err != nil:
		b.Fatal(err)
	default:
		if err := json.Unmarshal(data, &reference); err != nil {
			b.Fatal(err)
		}
		mine.Counts = reference.Counts
	}
	endlessCost(b, g, 0, 5) // the yard learns from them what the host can
	parts := []float64{0.7, 0.8, 0.9, 0.95, 1.05, 1.1, 1.2, 1.4}
	for into, q := range map[*map[string]int]*Question{
		&mine.Off: one("off"), &mine.Ref: one("reference").At(Pace{Reference: reference.Speed, Host: speed}),
	} {
		passed := map[nearProgram]int{}
		for try := range *nearTries {
			judgeNear(b, g, q, mine.Counts, parts, try, passed)
		}
		b.Logf("%s, %s, speed %.3g, the reference is %.3g:%s", name, q.ID, speed, reference.Speed, table(passed))
		for p, n := range passed {
			(*into)[p.String()] = n
		}
	}
	if data == nil {
		reference = mine
	}
	two := func(a, b map[string]int) (n int) {
		for p, had := range b {
			if sum := a[p] + had; sum > 0 && sum < 2**nearTries {
				n++
			}
		}
		return n
	}
	b.ReportMetric(float64(len(mine.Off)), "programs")
	b.ReportMetric(float64(two(mine.Off, reference.Off)), "two-verdicts-off")
	b.ReportMetric(float64(two(mine.Ref, reference.Ref)), "two-verdicts-reference")
	text, err := json.Marshal(mine)
	if err == nil && data == nil {
		err = os.WriteFile(first, text, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
}

package judging

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/lcbq/lcbq/worker/sandbox"
)

// reportFormat is the version of a Report's file. Another is refused.
const reportFormat = 1

// A Report is what was measured and where. Its file is a baseline for later ones.
type Report struct {
	Format      int    `json:"format"`
	LCBQ        string `json:"lcbq"` // version that measured
	Processors  int    `json:"processors"`
	Python      string `json:"python"` // version
	Level       string `json:"sandbox_level"`
	Fingerprint string `json:"fingerprint"` // of all that programs are judged under
	Rounds      int    `json:"rounds"`
	Costs       []Cost `json:"costs"` // the median of the rounds by case
}

// NewReport returns the report of some rounds.
func NewReport(lcbq string, processors int, env sandbox.Environment, rounds [][]Cost) Report {
	return Report{
		Format: reportFormat, LCBQ: lcbq, Processors: processors, Python: env.Python, Level: env.Level.String(), Fingerprint: env.Digest(),
		Rounds: len(rounds), Costs: Median(rounds),
	}
}

// Save writes the report to a file for later measurements to be compared with.
func (r Report) Save(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // measurements are no secret
	}
	if err != nil {
		return fmt.Errorf("save measurements: %w", err)
	}
	return nil
}

// Load reads a report that Save wrote. Its error names the field at fault.
func Load(path string) (Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Report{}, fmt.Errorf("read baseline: %w\n'lcbq bench --judge --save FILE' makes one", err)
	}
	var r Report
	if err := json.Unmarshal(text, &r); err != nil {
		return Report{}, fmt.Errorf("read baseline %s: %w", path, err)
	}
	if r.Format != reportFormat {
		return Report{}, fmt.Errorf("read baseline %s: format = %d, want %d\n'lcbq bench --judge --save FILE' makes a new one", path, r.Format, reportFormat)
	}
	if len(r.Costs) == 0 {
		return Report{}, fmt.Errorf("read baseline %s: costs: want at least one", path)
	}
	for i, c := range r.Costs {
		if !(c.CPU > 0) || math.IsInf(c.CPU, 0) {
			return Report{}, fmt.Errorf("read baseline %s: costs[%d].cpu_ms = %v: want more than 0", path, i, c.CPU)
		}
	}
	return r, nil
}

// A Change is a case's processor time beside that of a baseline.
type Change struct {
	Case
	Was   float64 `json:"was_cpu_ms"`
	Is    float64 `json:"is_cpu_ms"`
	Ratio float64 `json:"ratio"` // Is to Was
}

// ErrNothingInCommon says that two reports hold no case of both: a comparison would be
// empty, and look as if nothing had changed.
var ErrNothingInCommon = errors.New("no measurement in common")

// Compare returns the cases that both reports hold, in r's order.
func (r Report) Compare(baseline Report) ([]Change, error) {
	var out []Change
	for _, c := range r.Costs {
		i := slices.IndexFunc(baseline.Costs, func(b Cost) bool { return b.Case == c.Case })
		if i >= 0 {
			out = append(out, Change{c.Case, baseline.Costs[i].CPU, c.CPU, c.CPU / baseline.Costs[i].CPU})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("compare with the baseline: %w\nmeasure the same --kinds and --slots", ErrNothingInCommon)
	}
	return out, nil
}

// Find returns the cost of a kind under the load that all kinds are measured under, on
// the fewest slots.
func (r Report) Find(name string) (Cost, error) {
	var best Cost
	for _, c := range r.Costs {
		if c.Kind == name && c.Tests == baseTests && c.SuiteBytes == baseSuite && (best.Slots == 0 || c.Slots < best.Slots) {
			best = c
		}
	}
	if best.Slots == 0 {
		return best, fmt.Errorf("baseline: no %s programs of %d tests\nmeasure them: lcbq bench --judge --kinds %s --save FILE", name, baseTests, name)
	}
	return best, nil
}

// Write prints the report as a table. changes, if any, are the comparison with a baseline.
func (r Report) Write(w io.Writer, changes []Change) {
	fmt.Fprintf(w, "%d processors, Python %s, sandbox level %s; medians of %d; CPU is processor time, a program's share on average\n", r.Processors, r.Python, r.Level, r.Rounds)
	fmt.Fprintf(w, "%-12s %5s %7s %5s %11s %9s %9s %7s %7s", "kind", "tests", "inputs", "slots", "programs/s", "CPU ms", "program", "server", "lcbq")
	if changes != nil {
		fmt.Fprintf(w, " %9s %6s", "baseline", "ratio")
	}
	fmt.Fprintln(w)
	for _, c := range r.Costs {
		fmt.Fprintf(w, "%-12s %5d %7s %5d %11.1f %9.2f %9.2f %7.2f %7.2f", c.Kind, c.Tests, size(c.SuiteBytes), c.Slots, c.PerSecond, c.CPU, c.Program, c.Server, c.Judge)
		if i := slices.IndexFunc(changes, func(h Change) bool { return h.Case == c.Case }); i >= 0 {
			fmt.Fprintf(w, " %9.2f %6.2f", changes[i].Was, changes[i].Ratio)
		}
		fmt.Fprintln(w)
	}
}

func size(bytes int) string {
	if bytes >= 1<<20 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}

// Write prints the plan in words.
func (p Plan) Write(w io.Writer) {
	fmt.Fprintf(w, "%d questions x %d temperatures x %d = %.0f samples, of which %.0f programs are run (%.0f%% distinct)\n", p.Questions, p.Temperatures, p.N, p.Samples, p.Programs, 100*p.Distinct)
	fmt.Fprintf(w, "a program that ends costs %.1f ms of processor time, one that runs into the time limit (%.3g%%) %.1f s\n", 1000*p.Fast, 100*p.Timeouts, p.Endless)
	fmt.Fprintf(w, "judging: %s of processor time, %s on %d slots with a processor each; %.0f%% of it for time-outs\n", hours(p.CPUHours), hours(p.WallHours), p.Slots, 100*p.TimeoutsShare)
	fmt.Fprintln(w, "half of that, each alone:")
	fmt.Fprintf(w, "  %d slots\n", p.HalfSlots)
	if p.HalfN > 0 {
		fmt.Fprintf(w, "  --n %d\n", p.HalfN)
	}
	if p.HalfTimeouts > 0 {
		fmt.Fprintf(w, "  time-outs in %.2g%% of the programs\n", 100*p.HalfTimeouts)
	}
	if p.HalfLimit > 0 {
		fmt.Fprintf(w, "  --time-limit %g instead of %g: other verdicts, not comparable with the leaderboard\n", p.HalfLimit, p.Limit)
	} else {
		fmt.Fprintln(w, "  no time limit: programs that end cost more than half")
	}
	if p.Generated == 0 {
		return
	}
	fmt.Fprintf(w, "generating %.0f samples a second takes %s; %d slots judge %.0f a second\n", p.Generated, hours(p.GenerateHours), p.Slots, p.JudgedPerS)
	p.backlog(w)
	if len(p.Simulated) == 0 {
		return
	}
	fmt.Fprintf(w, "\nsimulated sample by sample, with time-outs spread exponentially over the questions\n%6s %12s %10s %12s %12s %6s\n", "slots", "most waiting", "at hour", "hours in all", "hours behind", "busy")
	for _, s := range p.Simulated {
		fmt.Fprintf(w, "%6d %12.0f %10.2f %12.2f %12.2f %5.0f%%\n", s.Slots, s.Peak, s.PeakAt, s.Hours, s.LagHours, 100*s.Busy)
	}
}

// backlog says what waits on average.
func (p Plan) backlog(w io.Writer) {
	if p.Backlog == 0 {
		fmt.Fprintf(w, "nothing waits for long: %d slots would keep up\n", p.SlotsToKeepUp)
		return
	}
	fmt.Fprintf(w, "the backlog grows to %s samples, and its last is judged %s after it was made; %d slots would keep up\n", many(p.Backlog), hours(p.LagHours), p.SlotsToKeepUp)
}

// many returns a number of samples as people say it.
func many(n float64) string {
	if n < 1e5 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.3g million", n/1e6)
}

func hours(h float64) string {
	switch {
	case h < 1.0/60:
		return fmt.Sprintf("%.2g seconds", 3600*h)
	case h < 1:
		return fmt.Sprintf("%.1f minutes", 60*h)
	}
	return fmt.Sprintf("%.1f hours", h)
}

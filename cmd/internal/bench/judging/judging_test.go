package judging

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/worker/pythontest"
	"github.com/lcbq/lcbq/worker/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	goleak.VerifyTestMain(m)
}

func config(t *testing.T, limit time.Duration, names ...string) Config {
	t.Helper()
	return Config{
		Sandbox: sandbox.Config{Python: pythontest.Find(t), Limits: sandbox.Limits{CPU: limit, Wall: time.Minute, Hard: 10 * time.Minute}},
		Kinds:   names, Slots: []int{1}, Length: shortest,
	}
}

// TestMeasure wants every kind judged as what it is, and its cost to be what its programs
// do.
func TestMeasure(t *testing.T) {
	t.Parallel()
	cfg := config(t, 2*time.Second, Kinds...)
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	costs, err := Measure(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := NewReport("test", 1, sandbox.Environment{}, [][]Cost{costs})
	if len(costs) != len(Kinds)+3 || len(costs) != len(cfg.Cases()) {
		t.Fatalf("%d cases are measured, want each kind, and a passing program with other tests", len(costs))
	}
	for _, c := range costs {
		if c.Programs < 1 || c.Program <= 0 || c.Server <= 0 || c.Judge <= 0 || math.Abs(c.CPU-c.Program-c.Server-c.Judge) > 1e-9 || c.PerSecond <= 0 {
			t.Errorf("%+v: want parts that add up", c)
		}
	}
	if want := `kind=endless slots=1 case=12 of=12`; !strings.Contains(log.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, log.String())
	}
	// An endless loop goes on for three tenths of its limit where the load may have slowed it, and is looked at then.
	for name, want := range map[string][2]float64{"slow": {500, 1100}, "endless": {2000, 2800}} {
		if c, err := r.Find(name); err != nil || c.Program < want[0] || c.Program > want[1] {
			t.Errorf("a %s program costs %v ms, %v, want %v", name, c.Program, err, want)
		}
	}
	if c, err := r.Find("waiting"); err != nil || c.PerSecond > 2.1 {
		t.Errorf("%v waiting programs a second, %v: each waits ten times 50 ms", c.PerSecond, err)
	}
	small, err := r.Find("passing")
	large := slices.IndexFunc(costs, func(c Cost) bool { return c.SuiteBytes == 4<<20 })
	if err != nil || large < 0 || costs[large].Program < 2*small.Program {
		t.Errorf("reading 4 MiB costs %+v, 4 KiB %+v, %v", costs[large], small, err)
	}
}

// TestMeasureRefuses wants no number of programs that are not judged as their kind is.
func TestMeasureRefuses(t *testing.T) {
	t.Parallel()
	_, err := Measure(t.Context(), config(t, 100*time.Millisecond, "slow"))
	if err == nil || !strings.Contains(err.Error(), "measure slow: judged time_limit, want passed") {
		t.Errorf("Measure of programs that run into the limit = %v", err)
	}
	bad := Config{Kinds: []string{"rusty"}, Slots: []int{0}}
	if _, err = Measure(t.Context(), bad); err == nil {
		t.Fatal("a bad configuration is measured")
	}
	for _, want := range []string{"--kinds = rusty", "--slots = 0", "--length = 0s"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Measure = %v, want %q", err, want)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	round := func(a, b float64) []Cost {
		return []Cost{{Case: Case{Kind: "wrong"}, CPU: a}, {Case: Case{Kind: "slow"}, CPU: b}}
	}
	got := Median([][]Cost{round(3, 10), round(1, 30), round(2, 20)})
	if len(got) != 2 || got[0].CPU != 2 || got[0].Kind != "wrong" || got[1].CPU != 20 || got[1].Kind != "slow" {
		t.Errorf("Median = %+v, want 2 of wrong and 20 of slow", got)
	}
}

// TestPlan wants the plan of a full sweep to be what it was computed to be by hand, and
// each of the ways to halve it to halve it.
func TestPlan(t *testing.T) {
	t.Parallel()
	s := Sweep{Questions: 175, Temperatures: 16, N: 10_000, Distinct: 0.7, Timeouts: 0.025, Fast: 0.008, Endless: 7.6, Limit: 6, Slots: 64, Generated: 1900}
	p := Of(s)
	// 28M x 0.7 x (0.025 x 7.6 + 0.975 x 0.008) s
	if math.Abs(p.CPUHours-1076.9) > 0.1 || math.Abs(p.WallHours-16.83) > 0.01 || math.Abs(p.TimeoutsShare-0.9606) > 1e-3 || p.Samples != 28e6 {
		t.Errorf("Of = %+v", p)
	}
	// 28M / 1900 a second; 28M / 16.83 h; and what is left of each second's 1900.
	if math.Abs(p.GenerateHours-4.094) > 1e-3 || math.Abs(p.JudgedPerS-462.2) > 0.1 || math.Abs(p.Backlog-21.19e6) > 1e4 || math.Abs(p.LagHours-12.73) > 0.01 || p.SlotsToKeepUp != 264 {
		t.Errorf("Of = %+v, want a backlog of 21.19 million samples, 12.7 hours and 264 slots without one", p)
	}
	enough := s
	if enough.Slots = p.SlotsToKeepUp; Of(enough).Backlog != 0 || Of(enough).LagHours != 0 {
		t.Errorf("Of = %+v, want no backlog with that many slots", Of(enough))
	}
	if enough.Slots--; Of(enough).Backlog == 0 {
		t.Errorf("Of = %+v, want a backlog with one slot less", Of(enough))
	}
	for name, change := range map[string]func(*Sweep){
		"slots":     func(s *Sweep) { s.Slots = p.HalfSlots },
		"n":         func(s *Sweep) { s.N = p.HalfN },
		"time-outs": func(s *Sweep) { s.Timeouts = p.HalfTimeouts },
		"limit":     func(s *Sweep) { s.Endless *= p.HalfLimit / s.Limit },
	} {
		half := s
		change(&half)
		if got := Of(half).WallHours; math.Abs(got/p.WallHours-0.5) > 0.002 {
			t.Errorf("with other %s %v hours, want half of %v", name, got, p.WallHours)
		}
	}
	s.Timeouts = 0.0001 // programs that end are most of the cost: no time-out less would halve it
	if p := Of(s); p.HalfLimit != 0 || p.HalfTimeouts != 0 {
		t.Errorf("Of = %+v, want no time limit and no share of time-outs that halves it", p)
	}
	if err := (Sweep{Questions: 1, Temperatures: 1, N: 1, Slots: 1, Fast: 1, Endless: 1}).Validate(); err == nil || !strings.Contains(err.Error(), "--distinct = 0: want more than 0") {
		t.Errorf("Validate of a sweep that runs nothing = %v", err)
	}
	err := Sweep{Distinct: 2, Timeouts: math.NaN(), Generated: -1}.Validate()
	for _, want := range []string{"--questions = 0", "--temperatures = 0", "--n = 0", "--slots = 0", "--distinct = 2", "--timeouts = NaN", "--generated = -1", "--fast-cpu = 0", "--limit-cpu = 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want %q", err, want)
		}
	}
}

// TestPlanInWords wants small sweeps to be said in seconds and samples, and a share of all as 100 %.
func TestPlanInWords(t *testing.T) {
	t.Parallel()
	s := Sweep{Questions: 175, Temperatures: 16, N: 1, Distinct: 0.7, Timeouts: 1, Fast: 0.008, Endless: 6.3, Limit: 6, Slots: 5000, Generated: 1900}
	var out strings.Builder
	Of(s).Write(&out)
	for _, want := range []string{"time limit (100%) 6.3 s", "3.4 hours of processor time, 2.5 seconds on 5000 slots", "takes 1.5 seconds", "grows to 1129 samples", "judged 1 seconds after"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the plan does not say %q:\n%s", want, out.String())
		}
	}
	for h, want := range map[float64]string{0: "0 seconds", 0.5: "30.0 minutes", 12: "12.0 hours"} {
		if got := hours(h); got != want {
			t.Errorf("hours(%v) = %q, want %q", h, got, want)
		}
	}
	if got := many(19_800_000); got != "19.8 million" {
		t.Errorf("many = %q", got)
	}
}

func TestBaseline(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "base.json")
	base := Case{"passing", baseTests, baseSuite, 2}
	was := NewReport("old", 2, sandbox.Environment{}, [][]Cost{{{Case: base, CPU: 4}, {Case: Case{"wrong", baseTests, baseSuite, 2}, CPU: 1}}})
	if err := was.Save(path); err != nil {
		t.Fatal(err)
	}
	read, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	is := NewReport("new", 2, sandbox.Environment{}, [][]Cost{{{Case: Case{"slow", baseTests, baseSuite, 2}, CPU: 9}, {Case: base, CPU: 3}}})
	changes, err := is.Compare(read)
	if err != nil || len(changes) != 1 || changes[0] != (Change{base, 4, 3, 0.75}) {
		t.Errorf("Compare = %+v, %v, want 0.75 of the one in common", changes, err)
	}
	var text strings.Builder
	is.Write(&text, changes)
	if !strings.Contains(text.String(), "4.00   0.75") {
		t.Errorf("the table is\n%s\nwant the ratio", text.String())
	}
	is.Costs = is.Costs[:1]
	if _, err := is.Compare(read); !errors.Is(err, ErrNothingInCommon) {
		t.Errorf("Compare = %v, want ErrNothingInCommon", err)
	}
	if _, err := is.Find("endless"); err == nil || !strings.Contains(err.Error(), "--kinds endless") {
		t.Errorf("Find = %v, want the remedy", err)
	}
	for bad, want := range map[string]string{
		"{": "unexpected end", `{"format":7}`: "format = 7", `{"format":1}`: "costs: want", `{"format":1,"costs":[{"cpu_ms":0}]}`: "costs[0].cpu_ms = 0",
	} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load of %s = %v, want %q", bad, err, want)
		}
	}
}

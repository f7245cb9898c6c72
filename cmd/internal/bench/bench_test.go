package bench

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/bench/spent"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

// profiler is held by who measures: a process has one profile of its processor time.
var profiler sync.Mutex

// TestQueue wants every sample of a run in the files, the generators no faster than
// their pace, and nothing left on the disk.
func TestQueue(t *testing.T) {
	t.Parallel()
	profiler.Lock()
	defer profiler.Unlock()
	dir := t.TempDir()
	cfg := Config{GPUs: 2, TPS: 60_000, Length: time.Second, UnitSize: 20, Dir: dir}
	r, err := Queue(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	// A unit of each generator is handed out before its tokens are made.
	most := 1.1 * cfg.TPS * float64(cfg.GPUs)
	if r.Samples < 20*questions*16 || r.Tokens < int64(r.Samples)*20 || r.TPS > r.GenerateTPS || r.GenerateTPS > most || r.Idle < 0 || r.Idle >= 1 || r.Seconds <= 0 {
		t.Errorf("Queue = %+v, want a whole run at %v tok/s at most", r, most)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
	if len(r.CPU) == 0 || r.CPU[0].Seconds <= 0 || len(r.Profile) == 0 {
		t.Errorf("Queue says no processor time: %+v", r.CPU)
	}
	cfg.HTTP = true
	r, err = Queue(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Tokens != int64(r.Samples)*endpointTokens || r.GenerateTPS > 1.1*cfg.TPS*float64(cfg.GPUs)+8*32*endpointTokens/r.Seconds {
		t.Errorf("Queue through endpoints = %+v, want %d tokens of each sample, and their pace at most", r, endpointTokens)
	}
	for _, s := range r.CPU {
		if !slices.Contains([]string{"generate", "evaluate", "combine", "endpoints", spent.Server, spent.Runtime, spent.Other}, s.Name) {
			t.Errorf("processor time of an unknown stage: %+v", s)
		}
	}
	if fast, err := Queue(t.Context(), Config{GPUs: 1, Length: time.Second, UnitSize: 1000, Dir: dir}); err != nil || fast.Idle != 0 || fast.Samples%1000 != 0 {
		t.Errorf("Queue without a pace = %+v, %v, want no idle share", fast, err)
	}
}

// TestNullJudgeRefusesRuns wants no unit of a real run passed without a judge.
func TestNullJudgeRefusesRuns(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	m, err := manifest(t.Context(), Config{GPUs: 1, TPS: 1, Length: time.Second, UnitSize: 10}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m.Judge = store.Judge{Mode: "lcb"}
	if _, err := env.Store.PutRun(t.Context(), m, 0); err != nil {
		t.Fatal(err)
	}
	j := &nullJudge{client: &client{env.Queue, env.Store, &worker.Runs{Store: env.Store}}}
	unit := m.Tasks(m.Questions[0], m.Temperatures[0])[0].Unit
	if err := j.handle(t.Context(), worker.Message{Unit: unit}); !errors.Is(err, worker.ErrUnfit) {
		t.Errorf("handle = %v, want ErrUnfit", err)
	}
	if there, err := env.Queue.Has(t.Context(), stream.Combine, unit); there || err != nil {
		t.Errorf("unit in COMBINE: %v, %v", there, err)
	}
}

// TestSweep wants a whole sweep in the files, its readings to end with nothing waiting, and nothing left on the disk.
func TestSweep(t *testing.T) {
	t.Parallel()
	profiler.Lock()
	defer profiler.Unlock()
	dir := t.TempDir()
	told := 0
	cfg := SweepConfig{Questions: 2, Temperatures: 2, N: 30, UnitSize: 10, Every: 20 * time.Millisecond, Dir: dir, Told: func(Reading) { told++ }}
	r, err := Sweep(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Units != 12 || r.Samples != 120 || r.Verified != 120 || r.Submit <= 0 || r.Submit > r.Seconds || r.CPUShare <= 0 || r.Binds != "generate" || told != len(r.Readings) || told == 0 {
		t.Errorf("Sweep = %+v, want 12 units and 120 samples", r)
	}
	last := r.Readings[len(r.Readings)-1]
	if last.Generate+last.Evaluate+last.Combine != 0 || last.RSS < 10<<20 || last.Heap <= 0 || last.Files == 0 || last.Store == 0 || last.Results == 0 {
		t.Errorf("the last reading is %+v, want nothing to wait", last)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
	err = SweepConfig{Temperatures: 17}.Validate()
	for _, want := range []string{"--questions = 0", "--temperatures = 17", "--n = 0", "--unit-size = 0", "--length = 0s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want %q", err, want)
		}
	}
}

// TestBlindness: a sweep that cannot be read goes on for a while, and ends if that stays so.
func TestBlindness(t *testing.T) {
	t.Parallel()
	var b blindness
	slow := errors.New("no answer")
	at := time.Unix(1_000_000, 0)
	for _, look := range []struct {
		after time.Duration
		err   error
		ends  bool
	}{{0, slow, false}, {mostBlind - 1, slow, false}, {1, slow, true}, {1, nil, false}, {1, slow, false}, {mostBlind, slow, true}} {
		at = at.Add(look.after)
		if err := b.look(at, look.err); (err != nil) != look.ends || look.ends && !errors.Is(err, slow) {
			t.Errorf("%v later, with %v: %v, want an end: %t", look.after, look.err, err, look.ends)
		}
	}
}

func TestBinds(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]Reading{"generate": {Generate: 90_000, Evaluate: 5000}, "evaluate": {Evaluate: 5001, Combine: 5000}, "combine": {Evaluate: 9000, Combine: 5001}} {
		if got := binds([]Reading{{}, r, {}}, 100_000); got != want {
			t.Errorf("%+v: %s binds, want %s", r, got, want)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	rs := []Result{{TPS: 3}, {TPS: 1}, {TPS: 2}, {TPS: 9}}
	if got := Median(rs); got.TPS != 2 || rs[0].TPS != 3 {
		t.Errorf("Median = %v of %v, want 2 and the order kept", got.TPS, rs)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	err := Config{GPUs: 0, TPS: -1, Length: 1, UnitSize: 0}.Validate()
	for _, want := range []string{"--gpus = 0", "--tps = -1", "--length = 1ns", "--unit-size = 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want %q", err, want)
		}
	}
}

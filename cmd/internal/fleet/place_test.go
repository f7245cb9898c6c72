package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/fleet/percard"
	"github.com/lcbq/lcbq/worker/engine/supervise"
	"github.com/lcbq/lcbq/worker/engine/supervise/supervisetest"
	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/gpu"
)

// roomy is a card that one engine fills to a quarter.
func roomy() *deck { return &deck{load: []int{0, 25, 50, 70}, rate: []float64{0, 100, 200, 290}} }

// TestAutoAdds wants engines added to a card while it has room: to a second and a third engine, which
// double and treble its rate.
func TestAutoAdds(t *testing.T) {
	t.Parallel()
	r := newRig(t, PerCardAuto, roomy(), supervisetest.Lingers, nil)
	r.until(t, "it settles", r.settled)
	d, _ := r.members[0].Density()
	if d.Engines != 3 || len(d.Steps) != 3 || !strings.Contains(d.Why, "3 engines are the most") || r.serving() != 3 {
		t.Fatalf("settled with %+v, %d serve; want three\n%s", d, r.serving(), r.log)
	}
	for i, want := range []percard.Step{{Engines: 1, TokensPer: 100, Load: 25}, {Engines: 2, TokensPer: 200, Load: 50}, {Engines: 3, TokensPer: 290, Load: 70}} {
		if s := d.Steps[i]; s.Engines != want.Engines || math.Abs(s.TokensPer-want.TokensPer) > 1 || s.Load != want.Load {
			t.Errorf("measured %+v, want %+v", s, want)
		}
	}
	r.until(t, "each engine has made something", func() bool {
		return !slices.ContainsFunc(r.members, func(m *Member) bool { return m.MadeFor("r").Tokens == 0 })
	})
	if err := r.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	for _, want := range []string{`"engines for a GPU" gpu=0 at_most=3`, `"one more engine for a GPU" gpu=0 engines=2`, `"number of engines of a GPU settled" gpu=0 engines=3`, "tokens_per_s="} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, r.log)
		}
	}
}

// TestAutoMeasuresBefore holds the second engine of a card back while it loads, and wants recorded what
// the first made meanwhile.
func TestAutoMeasuresBefore(t *testing.T) {
	t.Parallel()
	d := roomy()
	held := 0
	var release func()
	d.look = func() {
		p := d.fleet.places[0]
		switch {
		case release == nil && p.members[0].Phase() == supervise.Serving:
			release, _ = p.await(t.Context())
		case release != nil && isClosed(p.members[1].wanted):
			if held++; held == 30 {
				release()
			}
		}
	}
	r := newRig(t, PerCardAuto, d, supervisetest.Lingers, nil)
	r.until(t, "it settles", r.settled)
	got, _ := r.members[0].Density()
	if len(got.Steps) != 3 || math.Abs(got.Steps[1].Before-100) > 1 {
		t.Errorf("settled with %+v, want 100 tokens/s before the second", got)
	}
	if err := r.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	if !strings.Contains(r.log.String(), "tokens_per_s_before=100") {
		t.Errorf("the log lacks what was measured before the second:\n%s", r.log)
	}
}

// TestAutoWaitsForWork wants no second engine while little work is left, said so, and one as soon as there
// is more.
func TestAutoWaitsForWork(t *testing.T) {
	t.Parallel()
	var work atomic.Int64
	work.Store(1)
	r := newRig(t, PerCardAuto, roomy(), supervisetest.Lingers, func(c *Config) { c.left = func(context.Context) float64 { return float64(work.Load()) } })
	var d Density
	r.until(t, "it waits", func() bool { d, _ = r.members[0].Density(); return d.Why != "" })
	if d.Engines != 1 || d.Settled || !strings.Contains(d.Why, "the work left takes 0 s") {
		t.Errorf("it says %+v, want one engine for now", d)
	}
	work.Store(1 << 50)
	r.until(t, "it settles", r.settled)
	if d, _ = r.members[0].Density(); d.Engines != 3 || len(d.Steps) != 3 {
		t.Errorf("settled with %+v, want three", d)
	}
	if err := r.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
}

// TestAutoDrops wants a second engine that gains too little ended once its units in hand are done, the
// first left alone, and nothing of the second left.
func TestAutoDrops(t *testing.T) {
	t.Parallel()
	r := newRig(t, PerCardAuto, &deck{load: []int{0, 60, 70}, rate: []float64{0, 100, 105}}, supervisetest.Lingers, nil)
	r.until(t, "it settles", r.settled)
	d, _ := r.members[0].Density()
	if d.Engines != 1 || !strings.Contains(d.Why, "engine 2 of the card gained 5 %, want 15") {
		t.Errorf("settled with %+v, want one", d)
	}
	for i, m := range r.members[1:] {
		r.until(t, fmt.Sprintf("engine %d has ended", i+2), func() bool { return m.Phase() == supervise.Ended })
	}
	if r.serving() != 1 || r.members[0].Restarts() != 0 {
		t.Errorf("%d serve, the first was restarted %d times, want it alone and untouched", r.serving(), r.members[0].Restarts())
	}
	if err := r.stop(); err != nil || strings.Contains(r.log.String(), "out of the run") {
		t.Errorf("Run = %v; want an engine that is not wanted to end without a fault:\n%s", err, r.log)
	}
}

// TestAutoStaysAtOne wants one engine on a card that is busy with it, on one whose memory a stranger
// holds, and on one where the second engine cannot be started.
func TestAutoStaysAtOne(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		load     int
		stranger uint64 // from when the first engine serves
		change   func(*Config)
		why      string
	}{
		{"busy", 95, 0, nil, "the card is busy 95 %"},
		{"a stranger's process", 30, 50 << 30, nil, "GiB of the card are free, another engine needs 24.2"},
		{"little memory", 30, 0, func(c *Config) { c.Engine.MemoryShare = 0.07 }, "memory: with 2 engines each has room for"},
		{"few processors", 30, 0, func(c *Config) { c.Processors = 2 }, "processors: 2 engines keep 3 busy, this machine has 2"},
		{"a model that is not here", 30, 0, func(c *Config) { c.Engine.Model = "own/nowhere" }, "not been fetched yet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := &deck{load: []int{0, tt.load}, rate: []float64{0, 100}}
			if tt.stranger > 0 {
				d.stranger = func() uint64 {
					if _, serving := d.phases(); len(serving) > 0 {
						return tt.stranger
					}
					return 0
				}
			}
			r := newRig(t, PerCardAuto, d, "", tt.change)
			r.until(t, "it settles", r.settled)
			if d, _ := r.members[0].Density(); d.Engines != 1 || !strings.Contains(d.Why, tt.why) {
				t.Errorf("settled with %+v; want one: %s", d, tt.why)
			}
			r.until(t, "the first serves", func() bool { return r.members[0].Phase() == supervise.Serving })
			if err := r.stop(); err != nil {
				t.Errorf("Run = %v", err)
			}
			for _, m := range r.members[1:] {
				if isClosed(m.wanted) || m.Restarts() > 0 {
					t.Errorf("engine %d was started", m.Slot+1)
				}
			}
		})
	}
}

// TestAutoLosesTheSecond wants a card to go on with one engine where the second cannot have the memory
// that was free when it was asked for.
func TestAutoLosesTheSecond(t *testing.T) {
	t.Parallel()
	d := roomy()
	d.stranger = func() uint64 {
		if p := d.fleet.places[0]; isClosed(p.members[1].wanted) && p.members[0].Phase() == supervise.Serving {
			return 60 << 30
		}
		return 0
	}
	r := newRig(t, PerCardAuto, d, supervisetest.Lingers, func(c *Config) { c.Engine.Restarts = -1 })
	r.until(t, "it settles", r.settled)
	got, _ := r.members[0].Density()
	if got.Engines != 1 || !strings.Contains(got.Why, "an engine ended") || r.members[1].Phase() != supervise.Ended {
		t.Errorf("settled with %+v, the second is %v; want the first alone", got, r.members[1].Phase())
	}
	if r.members[0].Restarts() != 0 || r.serving() != 1 {
		t.Errorf("the first was restarted %d times, %d serve; want it untouched", r.members[0].Restarts(), r.serving())
	}
	if err := r.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
}

// TestGauges wants a real engine read as it says itself: full, with the tokens that it made, and the
// processor time of its processes.
func TestGauges(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, roomy(), "", nil)
	w := watcher{place: r.places[0], gauges: realGauges(r.places[0]), batch: simulatedBatch}
	var last percard.Reading
	r.until(t, "the engine is full and computes", func() bool {
		now := w.read(t.Context(), w.now())
		ok := now.Full && now.Tokens > last.Tokens && last.Tokens > 0 && now.Loop > 0 && now.Loop < 64 && now.Load == 25 && now.Free > 0
		last = now
		return ok
	})
	if err := r.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	if now := w.read(t.Context(), w.now()); now.Tokens != 0 || now.Loop != percard.Unknown {
		t.Errorf("read %+v of an engine that has ended", now)
	}
}

// TestThreeKilled kills each of three engines of a card while it loads and while it serves, and wants it
// started anew, the others left alone, and never two that load at once.
func TestThreeKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, roomy(), supervisetest.Lingers+","+supervisetest.Forks, nil)
	watching, over := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() {
		for watching.Err() == nil {
			loading := 0
			for _, m := range r.members {
				if m.Phase() == supervise.Loading {
					loading++
				}
			}
			if loading > 1 {
				t.Errorf("%d engines of a card load at once", loading)
				return
			}
			time.Sleep(time.Millisecond) //nolint:forbidigo // a look at a time
		}
	})
	defer func() { over(); watch.Wait() }()
	kill := func(m *Member, phase supervise.Phase) {
		restarts := m.Restarts()
		r.until(t, fmt.Sprintf("engine %d is %v, and killed", m.Slot+1, phase), func() bool {
			if m.Restarts() > restarts {
				return true
			}
			if m.Phase() != phase || len(m.Used()) < 2 {
				return false
			}
			for pid := range m.Used() {
				line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // not the engine's own until it is executed
				if err == nil && strings.Contains(string(line), "\x00--max-num-seqs\x00") {
					_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
				}
			}
			return false
		})
	}
	for _, m := range r.members {
		r.until(t, "all serve", func() bool { return r.serving() == 3 })
		before := []int{r.members[0].Restarts(), r.members[1].Restarts(), r.members[2].Restarts()}
		kill(m, supervise.Serving)
		kill(m, supervise.Loading)
		r.until(t, "all serve again", func() bool { return r.serving() == 3 && m.Restarts() >= before[m.Slot]+2 })
		for i, o := range r.members {
			if o != m && o.Restarts() != before[i] {
				t.Errorf("the end of engine %d restarted engine %d", m.Slot+1, i+1)
			}
		}
	}
	if err := r.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
}

// TestSeveralRefused wants settings refused that several engines on a card cannot be had with.
func TestSeveralRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(smol), 0o600)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "model.safetensors"), []byte("weights"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no GPU", Config{PerCard: 2, WithoutGPU: 1}, "--gpus none hides every one"},
		{"tensor parallel", Config{PerCard: PerCardAuto, Engine: vllm.Config{TensorParallel: 2}}, "--tensor-parallel"},
		{"vllm's own share", Config{PerCard: 2, Engine: vllm.Config{Extra: []string{"--gpu_memory_utilization=0.5"}}}, "share for all of them"},
		{"less than a sequence", Config{PerCard: 8, Engine: vllm.Config{MemoryShare: 0.3}}, "8 engines on a card of 80.0 GiB: each gets 1.5 GiB"},
	} {
		tt.cfg.Log, tt.cfg.Engine.Model = slog.New(slog.DiscardHandler), dir
		f := &Fleet{cfg: tt.cfg}
		err := f.refuse()
		if err == nil {
			err = f.arrange([][]gpu.Reading{{{UUID: "GPU-a", Total: total}}})
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q and a remedy", tt.name, err, tt.want)
		}
	}
}

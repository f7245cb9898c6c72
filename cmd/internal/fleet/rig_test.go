package fleet

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/engine/supervise"
	"github.com/lcbq/lcbq/worker/engine/supervise/supervisetest"
	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/gpu"
)

// A deck is a simulated card: its load, its memory and its rate follow from the engines that run on it,
// which are processes. Its clock moves by a second with each look at it, so no result depends on how fast
// this machine is.
type deck struct {
	fleet    *Fleet
	load     []int         // percent with no engine, with one, and so on; the last for more
	rate     []float64     // tokens a second, likewise
	look     func()        // is called with each look at it; nil for nothing
	stranger func() uint64 // bytes of a process that is none of the fleet's; nil for none

	mu        sync.Mutex
	clock     time.Time
	generated map[*Member]float64
}

// phases returns how many engines hold memory and how many of them serve.
func (d *deck) phases() (holding int, serving []*Member) {
	for _, p := range d.fleet.places {
		for _, m := range p.members {
			switch m.Phase() {
			case supervise.Loading:
				holding++
			case supervise.Serving:
				holding++
				serving = append(serving, m)
			default:
			}
		}
	}
	return holding, serving
}

func (d *deck) Read(context.Context) ([]gpu.Reading, error) {
	r := gpu.Reading{Index: 0, UUID: "GPU-a", Name: "Card", Total: total}
	if d.stranger != nil {
		if r.Used = d.stranger(); r.Used > 0 {
			r.Processes = []gpu.Process{{PID: os.Getppid(), Memory: r.Used}}
		}
	}
	holding, serving := d.phases()
	r.Used += uint64(float64(holding) * d.fleet.places[0].share * total)
	r.Utilization = d.load[min(len(serving), len(d.load)-1)]
	return []gpu.Reading{r}, nil
}

// gauges let a decision be made by the deck.
func (d *deck) gauges() gauges {
	return gauges{
		every: time.Millisecond,
		now: func() time.Time {
			if d.look != nil {
				d.look()
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			d.clock = d.clock.Add(time.Second)
			_, serving := d.phases()
			for _, m := range serving {
				d.generated[m] += d.rate[min(len(serving), len(d.rate)-1)] / float64(len(serving))
			}
			return d.clock
		},
		load: func(_ context.Context, m *Member) (openai.Load, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			return openai.Load{Running: simulatedBatch, Waiting: 5, Generated: d.generated[m]}, nil
		},
		used: func(*Member) map[int]time.Duration { return nil },
		card: func(ctx context.Context) *gpu.Reading {
			all, _ := d.Read(ctx)
			return &all[0]
		},
	}
}

// simulatedBatch is how many sequences an engine of a deck computes at once.
const simulatedBatch = 20

func (*deck) Name() string   { return "deck" }
func (*deck) Driver() string { return "1.2" }
func (*deck) Slow() bool     { return false }
func (*deck) Close() error   { return nil }

// smol is a model whose engines take little of a card.
const smol = `{"num_hidden_layers":30,"num_attention_heads":9,"num_key_value_heads":3,"hidden_size":576,"intermediate_size":1536,"vocab_size":49152}`

// A rig is a fleet of fake engines on a deck, and what it says.
type rig struct {
	*Fleet
	log  *logged
	stop func() error
}

type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newRig makes a fleet for a card, with behaviours of the engines, and runs it. A generator keeps each
// engine full that is wanted.
func newRig(t *testing.T, perCard int, d *deck, behaviours string, change func(*Config)) *rig {
	t.Helper()
	dir := t.TempDir()
	err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(smol), 0o600)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "model.safetensors"), []byte("weights"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{log: &logged{}}
	cfg := Config{
		PerCard: perCard, Answer: 500, Processors: 64, State: filepath.Join(dir, "state"), Log: slog.New(slog.NewTextHandler(r.log, nil)),
		Engine: vllm.Config{
			Model: dir, MaxNumSeqs: simulatedBatch, InFlight: 100, Cache: filepath.Join(dir, "cache"),
			Environ: append(os.Environ(), supervisetest.Pace+"=1", supervisetest.Behaviours+"="+behaviours, "GORACE=atexit_sleep_ms=0"),
			Life:    supervise.Life{Pause: time.Millisecond, Grace: 200 * time.Millisecond, Health: 50 * time.Millisecond, FreeFor: 500 * time.Millisecond, Restarts: 20},
		},
	}
	if change != nil {
		change(&cfg)
	}
	r.Fleet = &Fleet{cfg: cfg, base: gpu.Baseline{}}
	d.fleet, d.clock, d.generated = r.Fleet, time.Now(), map[*Member]float64{}
	r.source, r.cfg.gauges = d, d.gauges()
	if r.cfg.Engine.Install, err = vllm.Probe(t.Context(), cfg.Engine.Environ, os.Args[0]); err != nil {
		t.Fatal(err)
	}
	if err := r.arrange([][]gpu.Reading{{{Index: 0, UUID: "GPU-a", Name: "Card", Total: total}}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Prepare(r.cfg.Log, dir, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	var generators sync.WaitGroup
	for _, m := range r.Members() {
		generators.Go(func() { feed(ctx, m) })
	}
	r.stop = sync.OnceValue(func() error {
		cancel()
		generators.Wait()
		late, enough := patience.Context(context.WithoutCancel(t.Context()), time.Minute)
		defer enough()
		select {
		case err := <-ran:
			return errors.Join(err, r.Close())
		case <-late.Done():
			return errors.New("Run does not return")
		}
	})
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// feed is the generator of an engine: it keeps the engine full until it is dropped.
func feed(ctx context.Context, m *Member) {
	defer m.Drained()
	select {
	case <-m.Wanted():
	case <-m.Dropped():
		return
	case <-ctx.Done():
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-m.Done():
			cancel()
		case <-m.Dropped():
			cancel()
		case <-ctx.Done():
		}
	}()
	var units sync.WaitGroup
	for range 24 {
		units.Go(func() {
			for ctx.Err() == nil {
				if _, err := m.Generate(ctx, engine.Request{Run: "r", N: 5, Messages: []engine.Message{{Role: "user", Content: "q"}}, Sampling: engine.Sampling{Temperature: 1, MaxTokens: 40}}); err != nil && isClosed(m.Done()) {
					return
				}
			}
		})
	}
	units.Wait()
}

// until waits for a condition.
func (r *rig) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for wait := patience.Begin(time.Minute); !ok(); <-tick.C {
		if wait.Over() {
			t.Fatalf("waited in vain until %s:\n%s", what, r.log)
		}
	}
}

func (r *rig) settled() bool {
	d, _ := r.members[0].Density()
	return d.Settled
}

// serving returns how many engines serve.
func (r *rig) serving() int {
	n := 0
	for _, m := range r.members {
		if m.Phase() == supervise.Serving {
			n++
		}
	}
	return n
}

// Package fleet runs one vLLM on each chosen GPU of this machine: it chooses the
// cards, looks beforehand whether they and the model can be had, and waits for
// the cards' memory. How one engine is kept alive is worker/engine/vllm's, and what the
// driver says worker/gpu's.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/gpu"
	"github.com/lcbq/lcbq/worker/process"
)

// Config says what to run and on which cards.
type Config struct {
	Engine vllm.Config // the settings of every engine; what tells one from another is filled in here
	// Program is the vllm to run, and arguments before its own; none is vllm on PATH.
	Program []string
	// GPUs names the cards, in the manner of CUDA_VISIBLE_DEVICES; "" takes all.
	GPUs string
	// WithoutGPU is the number of engines that run with every card hidden, for a vLLM that computes
	// on the CPU; 0 runs one on each card.
	WithoutGPU int
	// State is the folder that remembers running engines, so that what a crash left is
	// found; "" is lcbq's in the user's cache.
	State string
	// Hub says where models come from.
	Hub Hub
	Log *slog.Logger
}

// A Fleet is the engines of this machine.
type Fleet struct {
	cfg     Config
	source  gpu.Source // nil without GPUs
	base    gpu.Baseline
	members []*Member
}

// A Member is one engine and its cards.
type Member struct {
	*vllm.Engine
	Index int           // of its first card, or its number where there is none
	Cards []gpu.Reading // as they were before the start; none without GPUs
	meter meter
}

// Open finds vLLM, the model and the cards, and checks that they can be used: that the
// flags exist, that no other engine runs there and that the memory is free. It starts nothing. The
// caller closes the fleet.
func Open(ctx context.Context, cfg Config) (*Fleet, error) {
	f := &Fleet{cfg: cfg}
	if err := f.open(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Fleet) open(ctx context.Context) error {
	if err := process.CheckProc(); err != nil {
		return fmt.Errorf("supervise engines: %w", err)
	}
	if f.cfg.State == "" {
		f.cfg.State = cacheFolder("engines")
	}
	groups, err := f.cards(ctx)
	if err != nil {
		return err
	}
	if err := CheckModel(ctx, f.cfg.Engine.Model, f.cfg.Hub); err != nil {
		return err
	}
	f.cfg.Log.Info("asking vllm for its flags")
	if f.cfg.Engine.Install, err = vllm.Probe(ctx, f.cfg.Engine.Environ, f.cfg.Program...); err != nil {
		return err
	}
	for i, cards := range groups {
		m := &Member{Index: i, Cards: cards}
		if len(cards) > 0 {
			m.Index = cards[0].Index
		}
		for _, c := range cards {
			m.meter.cards = append(m.meter.cards, cardMeter{now: c})
		}
		f.members = append(f.members, m)
		// The flags are checked now; Prepare makes the engines, once there is a log folder.
		e, err := vllm.New(f.config(i, m, slog.New(slog.DiscardHandler), ""))
		if err != nil {
			return err
		}
		e.Close()
	}
	return f.available(ctx)
}

// cards returns the cards of each engine.
func (f *Fleet) cards(ctx context.Context) ([][]gpu.Reading, error) {
	if n := f.cfg.WithoutGPU; n > 0 {
		f.cfg.Engine.NoGPU = true
		f.cfg.Log.Warn("no GPU is used: every card is hidden from vllm, as asked", "engines", n)
		return make([][]gpu.Reading, n), nil
	}
	var err error
	if f.source, err = gpu.Open(ctx, gpu.Config{}); err != nil {
		return nil, fmt.Errorf("look for GPUs: %w\n--engine vllm needs an NVIDIA GPU and its driver: lcbq doctor says what is missing; --gpus none runs a vllm that was built for the CPU", err)
	}
	all, err := f.source.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for GPUs: %w", err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("look for GPUs: %s lists none\n--engine vllm needs one; --gpus none runs a vllm that was built for the CPU", f.source.Name())
	}
	chosen, err := gpu.Select(all, f.cfg.GPUs)
	if err != nil {
		return nil, fmt.Errorf("choose GPUs: %w", err)
	}
	each := max(f.cfg.Engine.TensorParallel, 1)
	if len(chosen)%each != 0 {
		return nil, fmt.Errorf("choose GPUs: %d GPUs do not divide into engines of %d\nchoose a multiple with --gpus, or change --tensor-parallel", len(chosen), each)
	}
	if each > 1 {
		f.cfg.Log.Warn("tensor parallel engines are slow on cards without NVLink: one engine on each card gives more samples, unless the model needs the memory of several", "cards", each)
	}
	var groups [][]gpu.Reading
	for len(chosen) > 0 {
		groups = append(groups, chosen[:each])
		chosen = chosen[each:]
	}
	return groups, nil
}

// config returns the configuration of one engine.
func (f *Fleet) config(i int, m *Member, log *slog.Logger, logs string) vllm.Config {
	c := f.cfg.Engine
	c.GPU, c.Log, c.State = m.Index, log, f.state(m)
	c.Delay = time.Duration(i) * vllm.Stagger
	if logs != "" {
		c.LogFile = filepath.Join(logs, fmt.Sprintf("gpu%d.log", m.Index))
	}
	if len(m.Cards) == 0 {
		return c
	}
	c.Device = m.numbers()
	// Kernels compiled by several engines at once into one folder have been corrupted.
	if c.Cache == "" {
		c.Cache = cacheFolder(filepath.Join("vllm", m.uuids("+")))
	}
	return c
}

// state returns the file that remembers the member's engine.
func (f *Fleet) state(m *Member) string {
	if f.cfg.State == "" {
		return ""
	}
	name := "without-gpu-" + strconv.Itoa(m.Index)
	if len(m.Cards) > 0 {
		name = m.Cards[0].UUID
	}
	return filepath.Join(f.cfg.State, name+".json")
}

// numbers returns the cards as CUDA_VISIBLE_DEVICES names them.
func (m *Member) numbers() string {
	ns := make([]string, len(m.Cards))
	for i, c := range m.Cards {
		ns[i] = strconv.Itoa(c.Index)
	}
	return strings.Join(ns, ",")
}

func (m *Member) uuids(sep string) string {
	ids := make([]string, len(m.Cards))
	for i, c := range m.Cards {
		ids[i] = c.UUID
	}
	return strings.Join(ids, sep)
}

// cacheFolder returns a folder of lcbq's in the user's cache, "" where the user has none.
func cacheFolder(name string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "lcbq", name)
}

// Prepare makes the engines. Their output goes to gpu<index>.log in the folder. The Hurry that
// ctx carries cuts the grace of their end short.
func (f *Fleet) Prepare(ctx context.Context, log *slog.Logger, folder string) error {
	f.cfg.Log = log
	f.cfg.Engine.Hurry = worker.Hurried(ctx)
	for _, dir := range []string{folder, f.cfg.State} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	for i, m := range f.members {
		c := f.config(i, m, log, folder)
		c.Free = func(ctx context.Context) error { return f.awaitFree(ctx, m) }
		e, err := vllm.New(c)
		if err != nil {
			return err
		}
		m.Engine = e
	}
	return nil
}

// Members returns the engines, in the order of their cards. They can be used after Prepare, and
// answer while Run runs.
func (f *Fleet) Members() []*Member { return f.members }

// Driver returns the driver's version, "" without GPUs.
func (f *Fleet) Driver() string {
	if f.source == nil {
		return ""
	}
	return f.source.Driver()
}

// Run keeps all engines running until ctx is done, then stops them and waits until the
// cards' memory is free. An engine that fails for good is said in the log, and the
// others go on. Run returns an error if all have failed, or if processes or memory
// stay after the end.
func (f *Fleet) Run(ctx context.Context) error {
	measuring, stop := context.WithCancel(context.WithoutCancel(ctx))
	measured := make(chan struct{})
	go func() {
		defer close(measured)
		if f.source != nil {
			f.measure(measuring)
		}
	}()
	defer func() { stop(); <-measured }()
	errs := make([]error, len(f.members))
	var wg sync.WaitGroup
	for i, m := range f.members {
		wg.Go(func() {
			errs[i] = m.Run(ctx)
			if errs[i] != nil && ctx.Err() == nil {
				f.cfg.Log.Error("engine is out of the run", "gpu", m.Index, "err", errs[i])
				if len(f.members) > 1 {
					errs[i] = fmt.Errorf("%w: %w", errEarly, errs[i])
				}
			}
		})
	}
	wg.Wait()
	left := 0
	for i, err := range errs {
		if errors.Is(err, errEarly) {
			left++
			if ctx.Err() != nil {
				errs[i] = nil // it was said, and others have done its work
			}
		}
	}
	return errors.Join(errs...)
}

// errEarly marks the end of an engine before it was told to.
var errEarly = errors.New("ended before the run")

// Close drops connections and the way to the driver. It is called after Run returned.
func (f *Fleet) Close() error {
	for _, m := range f.members {
		if m.Engine != nil {
			m.Close()
		}
	}
	if f.source == nil {
		return nil
	}
	return f.source.Close()
}

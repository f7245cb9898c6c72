// Package fleet runs the engines of this machine: a vLLM on each chosen GPU, or one server of
// llama.cpp. It chooses the cards, looks beforehand whether they and the model can be had, and
// waits for the cards' memory. How one engine is kept alive is worker/engine/supervise's, and what
// the driver says worker/gpu's.
package fleet

import (
	"cmp"
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
	"github.com/lcbq/lcbq/worker/engine/llama"
	"github.com/lcbq/lcbq/worker/engine/supervise"
	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/gpu"
	"github.com/lcbq/lcbq/worker/process"
)

// Config says what to run and on which cards.
type Config struct {
	Engine vllm.Config // the settings of every engine; what tells one from another is filled in here
	// Llama, where it is not nil, is run in place of vLLM. Its model's file must have the Digest, where
	// one is given.
	Llama  *llama.Config
	Digest string
	// Program is the vllm to run, and arguments before its own; none is vllm on PATH.
	Program []string
	// PerCard is the number of engines on each card, 1 to MostPerCard; 0 is 1. PerCardAuto starts one and
	// adds others while each gains enough.
	PerCard int
	// Answer is the most tokens of an answer: it tells how much memory an engine needs.
	Answer int
	// Processors that this machine has; 0 asks it.
	Processors int
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

	gauges gauges                        // a test's; the zero value reads the engines and the cards
	left   func(context.Context) float64 // as Left sets it
}

// A Fleet is the engines of this machine.
type Fleet struct {
	cfg     Config
	source  gpu.Source // nil without GPUs
	base    gpu.Baseline
	places  []*place
	members []*Member // of all places
}

// Left has the fleet know how many tokens are still to be generated, 0 where that is not known: a card
// gets one more engine only if the work lasts long enough. It is called before Run.
func (f *Fleet) Left(tokens func(context.Context) float64) { f.cfg.left = tokens }

// A Member is one engine and its cards.
type Member struct {
	*supervise.Engine
	Index int           // of its first card, or its number where there is none
	Slot  int           // which engine of its card it is, from 0
	Cards []gpu.Reading // as they were before the start; none without GPUs
	place *place
	meter *meter // of the cards, which the engines of a card share
	made  made
	life
}

// Name returns the member's name, for people and files: gpu0, gpu0-2 for a card's second engine, and
// engine0 without a card of its own.
func (m *Member) Name() string {
	switch {
	case len(m.Cards) == 0:
		return "engine" + strconv.Itoa(m.Index)
	case m.Slot == 0:
		return "gpu" + strconv.Itoa(m.Index)
	}
	return fmt.Sprintf("gpu%d-%d", m.Index, m.Slot+1)
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
	if f.cfg.Llama != nil {
		return f.openLlama(ctx)
	}
	if err := errors.Join(f.refuse(), f.cfg.Engine.Room()); err != nil {
		return err // before vllm is asked for its flags, which takes a while
	}
	groups, err := f.cards(ctx)
	if err != nil {
		return err
	}
	if err := CheckModel(ctx, f.cfg.Engine.Model, f.cfg.Hub); err != nil {
		return err
	}
	if err := f.probe(ctx); err != nil {
		return err
	}
	if err := f.arrange(groups); err != nil {
		return err
	}
	for i, m := range f.members {
		// The flags are checked now; Prepare makes the engines, once there is a log folder.
		e, err := vllm.New(f.config(i, m, slog.New(slog.DiscardHandler), ""))
		if err != nil {
			return err
		}
		e.Close()
	}
	return f.available(ctx)
}

// probe asks vllm for its flags. The answer takes an import of torch, up to minutes on a cold disk:
// it is said again and again that this is awaited.
func (f *Fleet) probe(ctx context.Context) error {
	f.cfg.Log.Info("asking vllm for its flags")
	began := time.Now()
	tick := time.NewTicker(cmp.Or(f.cfg.Engine.Tell, 15*time.Second))
	defer tick.Stop()
	asked := make(chan error, 1)
	go func() {
		var err error
		f.cfg.Engine.Install, err = vllm.Probe(ctx, f.cfg.Engine.Environ, f.cfg.Program...)
		asked <- err
	}()
	for {
		select {
		case err := <-asked:
			return err
		case <-tick.C:
			f.cfg.Log.Info("vllm still imports its libraries to say its flags", "for", time.Since(began).Round(time.Second), "most", vllm.ProbeFor)
		}
	}
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
	c.GPU, c.Slot, c.Log, c.State = m.Index, m.Slot, log.With("gpu", m.Index), f.state(m)
	c.Title = fmt.Sprintf("engine of GPU %d", m.Index)
	if m.place.share > 0 {
		c.MemoryShare = m.place.share
	}
	if len(m.place.members) > 1 {
		c.Turn = m.place.await
		c.Title = fmt.Sprintf("engine %d of GPU %d", m.Slot+1, m.Index)
		c.Log = c.Log.With("engine", m.Slot+1)
	}
	c.Delay = time.Duration(i) * supervise.Stagger
	if logs != "" {
		c.LogFile = filepath.Join(logs, m.Name()+".log")
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
	switch {
	case f.cfg.Llama != nil:
		name = "llama-" + strconv.Itoa(m.Index)
	case len(m.Cards) > 0:
		name = m.Cards[0].UUID
	}
	if m.Slot > 0 {
		name += "-" + strconv.Itoa(m.Slot+1)
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

// Prepare makes the engines. Their output goes to gpu<index>.log in the folder. hurry,
// which may be nil, cuts the grace of their end short.
func (f *Fleet) Prepare(log *slog.Logger, folder string, hurry *worker.Hurry) error {
	f.cfg.Log = log
	f.cfg.Engine.Hurry = hurry.Wait()
	for _, dir := range []string{folder, f.cfg.State} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	for i, m := range f.members {
		e, err := f.engine(i, m, folder)
		if err != nil {
			return err
		}
		m.Engine = e
	}
	return nil
}

// engine makes the engine of one member.
func (f *Fleet) engine(i int, m *Member, logs string) (*supervise.Engine, error) {
	if f.cfg.Llama != nil {
		return f.llama(m, logs)
	}
	c := f.config(i, m, f.cfg.Log, logs)
	c.Free = func(ctx context.Context) error { return f.awaitFree(ctx, m) }
	return vllm.New(c)
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
// cards' memory is free. An engine that is given up is named in the log, and the others
// go on. Run returns an error if all have failed, or if processes or memory
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
	deciding := f.decide(measuring)
	defer func() { stop(); deciding.Wait() }()
	errs := make([]error, len(f.members))
	var wg sync.WaitGroup
	for i, m := range f.members {
		wg.Go(func() {
			errs[i] = f.live(ctx, m)
			if errs[i] != nil && ctx.Err() == nil {
				f.cfg.Log.Error("engine is out of the run", "gpu", m.Index, "err", errs[i])
				m.place.lost(m, errs[i])
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

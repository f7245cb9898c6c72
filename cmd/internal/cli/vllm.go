package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/cmd/internal/fleet"
	"github.com/lcbq/lcbq/cmd/internal/fleet/percard"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/background"
	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/engine/llama"
	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/generate"
	"github.com/lcbq/lcbq/worker/health"
)

// withoutGPU is the --gpus that hides every card.
const withoutGPU = "none"

// serveOf returns what of the settings belongs to the run.
func serveOf(cfg config.Serve) *store.Serve {
	// No arguments are nil, as they are once the store has held them.
	return &store.Serve{DType: cfg.DType, MaxModelLen: cfg.MaxModelLen, Args: append([]string(nil), cfg.VLLMArg...)}
}

// openFleet finds vLLM, the model and the cards of this machine, and checks that they can
// be used. m is the run's, asks what its requests ask for.
func openFleet(ctx context.Context, cfg config.VLLM, own config.Llama, file string, hub config.Hub, generators int, m store.Model, asks openai.Asks, log *slog.Logger) (*fleet.Fleet, error) {
	if err := errors.Join(cfg.Check(), own.Check()); err != nil {
		return nil, usageError{err}
	}
	perCard, err := cfg.PerGPU()
	if err != nil {
		return nil, usageError{err}
	}
	if hub, err = hub.Resolved(); err != nil {
		return nil, usageError{err}
	}
	if m.Engine == stream.EngineLlama {
		if perCard != 1 {
			return nil, usageError{fmt.Errorf("--engines-per-gpu = %s: it is of --engine vllm; llama.cpp's server has --llama-parallel sequences\nleave it at 1", cfg.EnginesPerGPU)}
		}
		return openLlama(ctx, cfg, own, file, hub, m, asks, log)
	}
	serve := m.Serve
	if serve == nil {
		serve = &store.Serve{}
	}
	c := fleet.Config{
		Engine: vllm.Config{
			Model: m.Name, DType: serve.DType, MaxModelLen: serve.MaxModelLen, Extra: serve.Args, Seed: m.Seed, Completions: rawPrompt(m), Asks: asks,
			MaxNumSeqs: cfg.MaxNumSeqs, MaxBatchTokens: cfg.MaxNumBatchedTokens, MemoryShare: cfg.GPUMemoryUtilization,
			TensorParallel: cfg.TensorParallel, DistrustRemote: cfg.NoTrustRemoteCode, NoPrefixCaching: cfg.NoPrefixCaching, NoChunkedPrefil: cfg.NoChunkedPrefill,
			Environ: hubEnviron(hub),
		},
		Program: []string{cfg.VLLM}, GPUs: cfg.GPUs, PerCard: perCard, Answer: m.MaxTokens,
		Hub: fleet.Hub{Endpoint: hub.HFEndpoint, Token: hub.HFToken, Home: hub.HFHome, Cache: hub.HFCache, Offline: hub.HFOffline},
		Log: log,
	}
	switch list, hidden := config.VisibleDevices(); {
	case cfg.GPUs == withoutGPU:
		c.GPUs, c.WithoutGPU = "", generators
	case cfg.GPUs == "" && hidden:
		return nil, errors.New("choose GPUs: CUDA_VISIBLE_DEVICES hides every one\nunset it, name some with --gpus, or say --gpus none for a vllm that was built for the CPU")
	case cfg.GPUs == "":
		c.GPUs = list
	}
	return fleet.Open(ctx, c)
}

// openLlama finds llama.cpp's server and the model's file: file, unless the settings name another.
func openLlama(ctx context.Context, cfg config.VLLM, own config.Llama, file string, hub config.Hub, m store.Model, asks openai.Asks, log *slog.Logger) (*fleet.Fleet, error) {
	if file = cmp.Or(own.LlamaFile, file); file == "" {
		return nil, usageError{fmt.Errorf("the run's model is the file %s: say where it lies on this machine with --llama-file", m.Name)}
	}
	if llama.Name(file) != m.Name {
		return nil, usageError{fmt.Errorf("the run's model is %s, --llama-file names %s\nname the run's file", m.Name, file)}
	}
	c := llama.Config{
		Program: own.Llama, File: file, Parallel: own.LlamaParallel, Threads: own.LlamaThreads,
		NoGPU: cfg.GPUs == withoutGPU, Environ: hubEnviron(hub), Completions: rawPrompt(m), Asks: asks,
	}
	f := fleet.Config{Llama: &c, Log: log}
	if m.Serve != nil {
		c.Context, f.Digest = m.Serve.MaxModelLen, m.Serve.Digest
	}
	return fleet.Open(ctx, f)
}

// sequences returns how many one engine computes at once.
func sequences(e stream.Engine, cfg config.VLLM, own config.Llama) int {
	if e == stream.EngineLlama {
		return own.LlamaParallel
	}
	return cfg.MaxNumSeqs
}

// hubEnviron returns the environment of an engine: ours, with what flags say of the hub.
func hubEnviron(hub config.Hub) []string {
	env := os.Environ()
	for _, v := range []struct{ name, value string }{
		{"HF_ENDPOINT", hub.HFEndpoint}, {"HF_TOKEN", hub.HFToken}, {"HF_HOME", hub.HFHome}, {"HF_HUB_CACHE", hub.HFCache},
	} {
		if v.value != "" {
			env = append(env, v.name+"="+v.value)
		}
	}
	if hub.HFOffline {
		env = append(env, "HF_HUB_OFFLINE=1")
	}
	return env
}

// fleetSlots returns how many units one engine's generator works on at once: the samples that the
// engine is kept busy with at most, and two units more that are ready when one ends.
func fleetSlots(asked, maxNumSeqs, unitSize int) int {
	if asked > 0 {
		return asked
	}
	return 4*maxNumSeqs/unitSize + 2
}

// generators is what the generators of a fleet share.
type generators struct {
	*workers
	run   *store.Manifest // whose settings the engines have
	log   *slog.Logger
	slots int // units that one generator works on at once

	unhealthy func(log *slog.Logger) func(health.Finding) error // as onUnhealthy returns
}

// fleetPulses names the generators of a fleet by their cards.
func fleetPulses(f *fleet.Fleet, slots int) []*worker.Pulse {
	ps := make([]*worker.Pulse, len(f.Members()))
	for i, m := range f.Members() {
		ps[i] = worker.NewPulse(stream.Generate, m.Name(), slots)
	}
	return ps
}

// firstPulses returns those of the engines that start first: others of a card may never start.
func firstPulses(f *fleet.Fleet, pulses []*worker.Pulse) []*worker.Pulse {
	var first []*worker.Pulse
	for i, m := range f.Members() {
		if m.Slot == 0 {
			first = append(first, pulses[i])
		}
	}
	return first
}

// work runs a fleet and a generator for each of its engines until ctx is done: the
// generators drain first, then the engines are stopped and the memory of their cards
// awaited. A generator whose engine is given up ends alone; the others go on.
func (g *generators) work(ctx context.Context, f *fleet.Fleet, pulses []*worker.Pulse) error {
	f.Left(g.left)
	var ran error
	stopEngines := background.Start(context.WithoutCancel(ctx), func(ctx context.Context) { ran = f.Run(ctx) })
	l := &ledger{store: g.store, fleet: f, accounts: map[string]*account{g.run.ID: {}}}
	stopLedger := background.Start(context.WithoutCancel(ctx), func(ctx context.Context) { l.keep(ctx, g.log) })
	group, working := errgroup.WithContext(ctx)
	for i, m := range f.Members() {
		group.Go(func() error { return g.generateWith(working, m, pulses[i]) })
	}
	err := group.Wait()
	if ctx.Err() != nil || err != nil {
		g.log.Info("stopping the engines")
	}
	stopEngines()
	stopLedger()
	return errors.Join(err, ran)
}

// left returns how many tokens are still to be generated on this server, at most; 0 where that is not
// known.
func (g *generators) left(ctx context.Context) float64 {
	ctx, cancel := context.WithTimeout(ctx, leftFor)
	defer cancel()
	lag, err := g.queue.Lag(ctx, stream.Generate)
	if err != nil {
		return 0
	}
	units := float64(lag.Waiting) + float64(lag.InFlight)
	return units * float64(g.run.UnitSize) * float64(g.run.Model.MaxTokens)
}

// leftFor bounds the question how much work is left: the answer is not worth a longer wait.
const leftFor = 2 * time.Second

// generateWith runs the generator of one engine until ctx is done or the engine is given
// up. It pulls nothing before the engine serves.
func (g *generators) generateWith(ctx context.Context, m *fleet.Member, pulse *worker.Pulse) error {
	defer m.Drained()
	select {
	case <-m.Wanted():
	case <-m.Dropped():
		return nil // the card carries no more engines
	case <-ctx.Done():
		return nil
	}
	log, err := g.logs("generate" + strings.TrimPrefix(strings.TrimPrefix(m.Name(), "gpu"), "engine"))
	if err != nil {
		return err
	}
	ctx, enough := background.Until(ctx, m.Done(), func() error { return context.Canceled })
	defer enough()
	// A dropped engine takes no more units, and ends those in hand.
	ctx, kept := background.Until(ctx, m.Dropped(), func() error { return context.Canceled })
	defer kept()
	w := &generate.Worker{
		Queue: g.queue, Store: g.store, Runs: g.runs, Engine: m, Serve: g.run.Model.Serve, Pulse: pulse, Slots: g.slots, Grace: generateGrace, Hurry: g.hurry, Log: log,
		Unhealthy: g.unhealthy(log),
	}
	pulse.Look = func(ctx context.Context, w *store.Worker) { w.Engine = stateOf(ctx, m) }
	return g.withPulse(ctx, pulse, log, func(ctx context.Context) error {
		lasting := context.WithoutCancel(ctx) // until what is in flight is finished too
		defer background.Start(lasting, func(ctx context.Context) { tell(ctx, m, pulse) })()
		if err := m.Await(ctx); err != nil {
			return nil // told to stop, or the fleet says why the engine ended
		}
		defer background.Start(lasting, m.Adapt)()
		return w.Run(ctx)
	})
}

// engineLogs returns where the engines of `lcbq generate` write: the run's own folder where this
// machine has it.
func engineLogs(asked, outputDir string) string {
	if asked != "" {
		return asked
	}
	if info, err := os.Stat(outputDir); outputDir != "" && err == nil && info.IsDir() {
		return filepath.Join(outputDir, "logs")
	}
	return "lcbq-logs"
}

// cardsOf returns how many cards a fleet's engines have, for the processors that are left to them; an
// engine without a card counts as one.
func cardsOf(f *fleet.Fleet) int {
	n, engines := 0, 0
	for _, m := range f.Members() {
		if m.Slot == 0 {
			n += max(len(m.Cards), 1)
		}
		engines = max(engines, m.Slot+1)
	}
	if percard.Processors(engines) > cores.PerCard {
		n *= 2 // so many engines keep more processors busy than are left for a card
	}
	return n
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/lcbq/lcbq/cmd/internal/fleet"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/generate"
)

// withoutGPU is the --gpus that hides every card.
const withoutGPU = "none"

// serveOf returns what of the settings belongs to the run.
func serveOf(cfg config.VLLM) *store.Serve {
	// No arguments are nil, as they are once the store has held them.
	return &store.Serve{DType: cfg.DType, MaxModelLen: cfg.MaxModelLen, Args: append([]string(nil), cfg.VLLMArg...)}
}

// openFleet finds vLLM, the model and the cards of this machine, and checks that they can
// be used. m is the run's.
func openFleet(ctx context.Context, cfg config.VLLM, hub config.Hub, generators int, m store.Model, log *slog.Logger) (*fleet.Fleet, error) {
	if err := cfg.Check(); err != nil {
		return nil, usageError{err}
	}
	serve := m.Serve
	if serve == nil {
		serve = serveOf(cfg)
	}
	c := fleet.Config{
		Engine: vllm.Config{
			Model: m.Name, DType: serve.DType, MaxModelLen: serve.MaxModelLen, Extra: serve.Args, Seed: m.Seed, Completions: rawPrompt(m),
			MaxNumSeqs: cfg.MaxNumSeqs, MaxBatchTokens: cfg.MaxNumBatchedTokens, MemoryShare: cfg.GPUMemoryUtilization,
			TensorParallel: cfg.TensorParallel, DistrustRemote: cfg.NoTrustRemoteCode, NoPrefixCaching: cfg.NoPrefixCaching, NoChunkedPrefil: cfg.NoChunkedPrefill,
			Environ: hubEnviron(hub),
		},
		Program: []string{cfg.VLLM}, GPUs: cfg.GPUs,
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

// A garage is where a fleet's generators get what they share.
type garage struct {
	session *session
	run     *store.Manifest // whose settings the engines have
	runs    *worker.Runs
	logs    func(name string) (*slog.Logger, error)
	log     *slog.Logger
	slots   int // units that one generator works on at once
}

// fleetPulses names the generators of a fleet by their cards.
func fleetPulses(f *fleet.Fleet, slots int) []*worker.Pulse {
	ps := make([]*worker.Pulse, len(f.Members()))
	for i, m := range f.Members() {
		ps[i] = worker.NewPulse(stream.Generate, fmt.Sprintf("gpu%d", m.Index), slots)
	}
	return ps
}

// work runs a fleet and a generator for each of its engines until ctx is done: the
// generators drain first, then the engines are stopped and the memory of their cards
// awaited. A generator whose engine has failed for good ends alone; the others go on.
func (g *garage) work(ctx context.Context, f *fleet.Fleet, pulses []*worker.Pulse) error {
	engines, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- f.Run(engines) }()
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		l := &ledger{store: g.session.store, fleet: f, accounts: map[string]*account{g.run.ID: {}}}
		l.keep(engines, g.log)
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(pulses))
	var wg sync.WaitGroup
	for i, m := range f.Members() {
		wg.Go(func() {
			if errs[i] = g.generate(ctx, m, pulses[i]); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		g.log.Info("stopping the engines")
	}
	stop()
	errs = append(errs, <-ran)
	<-kept
	return errors.Join(errs...)
}

// generate runs the generator of one engine until ctx is done or the engine has
// ended for good. Nothing is pulled before the engine serves.
func (g *garage) generate(ctx context.Context, m *fleet.Member, pulse *worker.Pulse) error {
	log, err := g.logs(fmt.Sprintf("generate%d", m.Index))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopWatch := make(chan struct{})
	defer close(stopWatch)
	go func() {
		select {
		case <-m.Done():
			cancel()
		case <-stopWatch:
		}
	}()
	w := &generate.Worker{
		Queue: g.session.queue, Store: g.session.store, Runs: g.runs, Engine: m, Serve: g.run.Model.Serve, Pulse: pulse, Slots: g.slots, Grace: generateGrace, Log: log,
	}
	pulse.Look = func(ctx context.Context, w *store.Worker) { w.Engine = stateOf(ctx, m) }
	return withPulse(ctx, g.session.store, pulse, log, func(ctx context.Context) error {
		var beside sync.WaitGroup
		defer beside.Wait()
		telling, enough := context.WithCancel(context.WithoutCancel(ctx))
		defer enough()
		beside.Go(func() { tell(telling, m, pulse) })
		if err := m.Await(ctx); err != nil {
			return nil // told to stop, or the fleet says why the engine ended
		}
		beside.Go(func() { m.Adapt(telling) })
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

package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/bench/spent"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/combine"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/generate"
)

const (
	// endpointModel is the name that endpoints answer by.
	endpointModel = "bench"
	// endpointBatch is how many samples an endpoint is asked for at once: twice vLLM's batch.
	endpointBatch = 1024
)

// stages are the workers of a benchmark, and the endpoints that they ask. What each of them does is measured
// under its own name.
type stages struct {
	host      *host
	cfg       Config
	dir       string
	short     bool // texts are as short as programs can be, and files are compressed
	judge     *nullJudge
	endpoints []*endpoint
	clients   []*openai.Client
	works     []work
}

// A work is what one worker does until its context is done.
type work struct {
	stage string
	run   func(ctx context.Context) error
}

// prepare connects the stages and makes their workers. Close must follow, also after an error.
func (s *stages) prepare(ctx context.Context) error {
	for _, part := range []struct {
		stage string
		make  func(ctx context.Context, c *client) error
	}{
		{"generate", s.generators},
		{"evaluate", s.evaluator},
		{"combine", s.combiner},
	} {
		var err error
		spent.Do(ctx, part.stage, func(ctx context.Context) { // the goroutines of its connection are its own
			var c *client
			if c, err = s.host.connect(ctx); err == nil {
				err = part.make(ctx, c)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// generators makes a generator for each GPU.
func (s *stages) generators(ctx context.Context, c *client) error {
	var answers []answer
	if s.cfg.HTTP {
		answers = texts()
	}
	for i := range s.cfg.GPUs {
		e, slots, err := s.engine(ctx, answers)
		if err != nil {
			return err
		}
		w := &generate.Worker{
			Queue: c.queue, Store: c.store, Runs: c.runs, Engine: e, Grace: grace, Log: s.host.log, Slots: slots,
			Pulse: worker.NewPulse(stream.Generate, fmt.Sprintf("gpu%d", i), 1),
		}
		s.works = append(s.works, work{"generate", w.Run})
	}
	return nil
}

// engine returns what one GPU generates with, and how many units at once.
func (s *stages) engine(ctx context.Context, answers []answer) (engine.Engine, int, error) {
	if s.short {
		return shortEngine{}, 2, nil
	}
	if !s.cfg.HTTP {
		e, err := newEngine(s.cfg.TPS)
		return e, 2, err // one is generated while the other is published
	}
	var e *endpoint
	var err error
	spent.Do(ctx, "endpoints", func(context.Context) { e, err = startEndpoint(s.cfg.TPS, answers) })
	if err != nil {
		return nil, 0, err
	}
	s.endpoints = append(s.endpoints, e)
	client, err := openai.New(openai.Config{Endpoints: []string{e.url}, Model: endpointModel, InFlight: endpointBatch, Log: s.host.log})
	if err != nil {
		return nil, 0, err
	}
	s.clients = append(s.clients, client)
	if err := client.Check(ctx); err != nil {
		return nil, 0, err
	}
	return client, endpointBatch/s.cfg.UnitSize + 2, nil
}

func (s *stages) evaluator(_ context.Context, c *client) error {
	s.judge = &nullJudge{client: c}
	slots := nullSlots
	if s.short {
		slots = sweepSlots
	}
	l := worker.Loop{
		Stage: stream.Evaluate, Queue: c.queue, Handle: s.judge.handle, Slots: slots, Grace: grace, Log: s.host.log,
		Pulse: worker.NewPulse(stream.Evaluate, "null", slots),
	}
	s.works = append(s.works, work{"evaluate", l.Run})
	return nil
}

func (s *stages) combiner(_ context.Context, c *client) error {
	w := &combine.Worker{
		Queue: c.queue, Store: c.store, Runs: c.runs, Dir: s.dir, Compress: s.short, Grace: grace, Log: s.host.log, Pulse: worker.NewPulse(stream.Combine, "combine", 1),
	}
	s.works = append(s.works, work{"combine", w.Run})
	return nil
}

// run lets all work until await returns, and returns when that was. Await is told of the first worker
// that failed.
func (s *stages) run(ctx context.Context, await func(ctx context.Context, failed <-chan error) error) (time.Time, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, len(s.works))
	var workers sync.WaitGroup
	for _, w := range s.works {
		workers.Go(func() {
			spent.Do(ctx, w.stage, func(ctx context.Context) {
				if err := w.run(ctx); err != nil {
					failed <- err
				}
			})
		})
	}
	err := await(ctx, failed)
	ended := time.Now()
	stop()
	workers.Wait()
	return ended, err
}

// close ends the endpoints. Their clients have nothing in flight.
func (s *stages) close() error {
	var errs []error
	for _, c := range s.clients {
		c.Close()
	}
	for _, e := range s.endpoints {
		errs = append(errs, e.close())
	}
	return errors.Join(errs...)
}

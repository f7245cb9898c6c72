// Package generate turns units of GENERATE into samples: it renders the prompt,
// asks the engine, takes the programs from the completions and publishes them as
// one message. It does not know which engine answers, nor who judges.
package generate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/lcb"
)

// A Worker generates the units of GENERATE with one engine. Any number of them
// share the work.
type Worker struct {
	Queue  *queue.Queue
	Store  *store.Store
	Runs   *worker.Runs
	Engine engine.Engine
	Serve  *store.Serve // what shapes the samples of an engine that lcbq started; nil for another
	Pulse  *worker.Pulse
	Slots  int // units being generated at once
	// Backlog is the bytes of completions that may wait to be published while others are
	// generated; 0 is 256 MiB. Beyond it the engine waits for the queue.
	Backlog int64
	Grace   time.Duration // for units in flight when told to stop
	Log     *slog.Logger

	prompts prompts
	turns   chan struct{}   // a place for each unit being generated
	drains  <-chan struct{} // closed when units that had no turn yet are to go back
	press   press
}

// ahead returns how many units more than are generated are in hand: ready to be generated
// when one ends, or generated and on their way to the queue.
func ahead(slots int) int { return 1 + slots/2 }

// Run generates until ctx is done, then finishes the units in hand or gives them
// back. It returns as worker.Loop.Run does.
func (w *Worker) Run(ctx context.Context) error {
	w.prompts.store = w.Store
	w.turns, w.drains = make(chan struct{}, w.Slots), ctx.Done()
	if w.press.most = w.Backlog; w.press.most == 0 {
		w.press.most = defaultBacklog
	}
	loop := worker.Loop{
		Stage: stream.Generate, Queue: w.Queue, Handle: w.handle, Serves: w.serves,
		Slots: w.Slots + ahead(w.Slots), Grace: w.Grace, Pulse: w.Pulse, Log: w.Log,
	}
	return loop.Run(ctx)
}

// serves reports whether this generator's engine has the run's model.
func (w *Worker) serves(ctx context.Context, run string) (bool, error) {
	m, err := w.Runs.Run(ctx, run)
	if err != nil {
		return false, err
	}
	return w.fits(m), nil
}

func (w *Worker) fits(m *store.Manifest) bool {
	info := w.Engine.Info()
	return info.Name == m.Model.Engine && info.Model == m.Model.Name && reflect.DeepEqual(w.Serve, m.Model.Serve)
}

// handle generates one unit and publishes it to EVALUATE.
func (w *Worker) handle(ctx context.Context, msg worker.Message) error {
	m, q, task, err := w.Runs.Unit(ctx, msg.Unit)
	if err != nil {
		return err
	}
	if done, err := w.alreadyGenerated(ctx, task); done || err != nil {
		return err
	}
	var said stream.Task
	if err := stream.Decode(msg.Body, &said); err != nil {
		return err
	}
	if said != task {
		return fmt.Errorf("task says samples %d from %d of %s, the run %d from %d: %w", said.N, said.First, said.Key(), task.N, task.First, stream.ErrPoison)
	}
	info := w.Engine.Info()
	if !w.fits(m) {
		return fmt.Errorf("run %s wants model %q of engine %s, this generator has %q of %s: %w", m.ID, m.Model.Name, m.Model.Engine, info.Model, info.Name, worker.ErrUnfit)
	}
	if err := w.describe(ctx, m, info); err != nil {
		return err
	}
	prompt, err := w.prompts.get(ctx, m, q.Index)
	if err != nil {
		return err
	}
	batch, err := w.turn(ctx, m, q, task, prompt)
	if err != nil {
		return err
	}
	bytes := weight(batch)
	defer func() {
		w.Pulse.Publishing.Add(-bytes)
		w.press.leave(bytes)
	}()
	batch.Attempts = int(min(msg.Deliveries, math.MaxInt32))
	fresh, err := worker.Publish(ctx, w.Queue, w.Log, stream.Evaluate, msg.Unit, batch)
	if err == nil && !fresh {
		w.Log.Debug("duplicate refused, the first output stays", "subject", msg.Unit.Subject(stream.Evaluate))
	}
	return err
}

// turn generates a unit when its turn has come, and returns when there is room for it on
// the way to the queue: only a queue that is far behind keeps the next unit from its turn. The caller
// leaves the press.
func (w *Worker) turn(ctx context.Context, m *store.Manifest, q store.Question, task stream.Task, prompt lcb.Prompt) (*stream.Batch, error) {
	w.Pulse.Ready.Add(1)
	select {
	case w.turns <- struct{}{}:
		w.Pulse.Ready.Add(-1)
	case <-w.drains:
		w.Pulse.Ready.Add(-1)
		return nil, fmt.Errorf("wait for a turn: %w", worker.ErrDrained)
	}
	defer func() { <-w.turns }()
	batch, err := w.generate(ctx, m, q, task, prompt)
	if err != nil {
		return nil, err
	}
	bytes := weight(batch)
	waited, err := w.press.enter(ctx, bytes)
	if waited > 0 {
		w.Pulse.Blocked.Add(int64(waited))
		w.Log.Warn("generating waited for the queue", "waited", waited.Round(time.Millisecond), "backlog_bytes", w.press.most)
	}
	if err != nil {
		return nil, fmt.Errorf("wait for the queue: %w", err)
	}
	w.Pulse.Publishing.Add(bytes)
	return batch, nil
}

// describe records the version of the server behind the engine, once a run.
func (w *Worker) describe(ctx context.Context, m *store.Manifest, info engine.Info) error {
	if info.Version == "" || m.Provenance.EngineVersion != "" {
		return nil
	}
	m, err := w.Store.UpdateRun(ctx, m.ID, func(m *store.Manifest) bool {
		if m.Provenance.EngineVersion != "" {
			return false
		}
		m.Provenance.EngineVersion = info.Version
		return true
	})
	if err != nil {
		return err
	}
	w.Runs.Learn(m)
	return nil
}

// alreadyGenerated reports whether the unit's samples exist, so that a unit
// handed out twice does not cost a GPU twice.
func (w *Worker) alreadyGenerated(ctx context.Context, t stream.Task) (bool, error) {
	for _, stage := range []stream.Stage{stream.Evaluate, stream.Combine} {
		if there, err := w.Queue.Has(ctx, stage, t.Unit); there || err != nil {
			return there, err
		}
	}
	// The cell last: a unit leaves COMBINE only after its cell is done.
	return w.Store.CellDone(ctx, t.Cell, t.First+t.N)
}

func (w *Worker) generate(ctx context.Context, m *store.Manifest, q store.Question, task stream.Task, prompt lcb.Prompt) (*stream.Batch, error) {
	r := request(m, q, task, prompt)
	started := time.Now()
	completions, err := w.Engine.Generate(ctx, r)
	if errors.Is(err, engine.ErrRejected) {
		return nil, fmt.Errorf("generate question %s: %w: %w", q.ID, stream.ErrPoison, err)
	}
	if err != nil {
		return nil, fmt.Errorf("generate question %s: %w", q.ID, err)
	}
	if len(completions) != task.N {
		return nil, fmt.Errorf("generate question %s: engine gave %d completions, want %d", q.ID, len(completions), task.N)
	}
	info := w.Engine.Info()
	b := &stream.Batch{
		Unit: task.Unit, Samples: make([]stream.Sample, task.N), Generator: w.Pulse.Name(), Engine: info.Name, Simulated: info.Simulated,
		Started: started.UnixMilli(), Ended: time.Now().UnixMilli(),
	}
	for i, c := range completions {
		s := stream.Sample{Index: task.First + i, Completion: c.Text, Tokens: c.Tokens, FinishReason: c.FinishReason}
		if c.Code != nil && c.Text == "" { // a recording of programs, not of answers
			s.Code = *c.Code
		} else {
			s.Code = lcb.Extract(c.Text, lcb.Extraction(m.Model.Extract))
		}
		b.Samples[i] = s
	}
	w.Pulse.Samples.Add(int64(task.N))
	return b, nil
}

func request(m *store.Manifest, q store.Question, task stream.Task, prompt lcb.Prompt) engine.Request {
	r := engine.Request{
		Run: m.ID, Seed: m.Model.Seed, Question: q.Index, QuestionID: q.ID, First: task.First, N: task.N,
		Raw: prompt.Raw, Thinking: m.Model.Thinking,
		Sampling: engine.Sampling{
			Temperature: task.Temperature.Float(), TopP: m.Model.TopP, TopK: m.Model.TopK, MinP: m.Model.MinP,
			RepetitionPenalty: 1, MaxTokens: m.Model.MaxTokens, Stop: m.Model.Stop,
		},
	}
	for _, msg := range prompt.Messages {
		r.Messages = append(r.Messages, engine.Message{Role: msg.Role, Content: msg.Content})
	}
	return r
}

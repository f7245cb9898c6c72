// Package generate turns units of GENERATE into samples: it renders the prompt,
// asks the engine, takes the programs from the completions and publishes them as
// one message. It does not know which engine answers, nor who judges.
//
// A unit is published whole or not at all. When a generator is stopped and its grace
// ends, the samples of a unit that is not complete are dropped, also those that are,
// and the unit is generated again by another. The README of package stream says why.
package generate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"sync"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/health"
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
	Hurry   *worker.Hurry // cuts Grace short; may be nil
	// Unhealthy, if set, is called when the answers are no model's (see health.Watch), or when
	// the server refuses every request. Its error ends the generator, nil lets it go on.
	Unhealthy func(f health.Finding) error
	Log       *slog.Logger

	// What follows is set by Run before the first unit, and read by all handlers.
	prompts  prompts
	turns    turns
	drains   <-chan struct{} // closed when units that are not being generated yet are to go back
	backlog  backlog
	watches  watches
	refusals refusals
}

// ahead returns how many units a generator holds beside those being generated. They
// wait for the engine, or are on their way to the queue.
func ahead(slots int) int { return 1 + slots/2 }

// Run generates until ctx is done, then finishes the units in hand or gives them
// back. It returns as worker.Loop.Run does.
func (w *Worker) Run(ctx context.Context) error {
	w.prompts.store = w.Store
	w.turns.free, w.drains = w.Slots, ctx.Done()
	w.backlog = newBacklog(cmp.Or(w.Backlog, defaultBacklog))
	loop := worker.Loop{
		Stage: stream.Generate, Queue: w.Queue, Handle: w.handle, Serves: w.serves,
		Slots: w.Slots + ahead(w.Slots), Grace: w.Grace, Hurry: w.Hurry, Pulse: w.Pulse, Log: w.Log,
		Samples: w.Runs.Samples, Again: "generated",
	}
	return loop.Run(ctx)
}

// serves returns nil if this generator's engine has the run's model, and this lcbq the
// run's extraction rule.
func (w *Worker) serves(ctx context.Context, run string) error {
	m, err := w.Runs.Run(ctx, run)
	if err != nil {
		return err
	}
	return w.fits(m)
}

// fits returns an error that wraps worker.ErrUnfit if the run wants another engine, model
// or engine settings.
func (w *Worker) fits(m *store.Manifest) error {
	info := w.Engine.Info()
	if info.Name != string(m.Model.Engine) || info.Model != m.Model.Name {
		return fmt.Errorf("run %s wants model %q of engine %s, this generator has %q of %s: %w", m.ID, m.Model.Name, m.Model.Engine, info.Model, info.Name, worker.ErrUnfit)
	}
	if !reflect.DeepEqual(w.Serve, m.Model.Serve) {
		return fmt.Errorf("run %s wants engine settings %+v, this generator's engine has %+v: %w", m.ID, said(m.Model.Serve), said(w.Serve), worker.ErrUnfit)
	}
	if err := lcb.Extraction(m.Model.Extract).Check(); err != nil {
		return fmt.Errorf("run %s: %w: %w", m.ID, err, worker.ErrUnfit)
	}
	return nil
}

// said returns what s points to, for a message.
func said(s *store.Serve) any {
	if s == nil {
		return "of its own"
	}
	return *s
}

// handle generates one unit and publishes it to EVALUATE.
func (w *Worker) handle(ctx context.Context, msg worker.Message) error {
	m, q, task, err := w.Runs.Unit(ctx, msg.Unit)
	if err != nil {
		return err
	}
	if done, err := w.alreadyGenerated(ctx, m, task); done || err != nil {
		return err
	}
	var got stream.Task
	if err := stream.Decode(msg.Body, &got); err != nil {
		return err
	}
	// Who publishes tasks makes receipts; whether it is the right one is looked at when the completions come.
	if m.Receipts != "" && got.Receipt == "" {
		return fmt.Errorf("task has no receipt of run %s, so what is made of it would not count\nhave it made anew with 'lcbq dead requeue --regenerate': %w", m.ID, stream.ErrPoison)
	}
	task.Receipt = got.Receipt
	if got != task {
		return fmt.Errorf("task says samples %d from %d of %s, the run %d from %d: %w", got.N, got.First, got.Key(), task.N, task.First, stream.ErrPoison)
	}
	if err := w.fits(m); err != nil {
		return err
	}
	if err := w.describe(ctx, m, w.Engine.Info()); err != nil {
		return err
	}
	prompt, err := w.prompts.get(ctx, m, q.Index)
	if err != nil {
		return err
	}
	return w.produce(ctx, msg, m, q, task, prompt)
}

// produce generates one unit when its turn has come, and publishes it to EVALUATE. The
// next unit's turn comes as soon as the batch has room among those that wait to be
// published: only a queue that is far behind keeps the engine waiting.
func (w *Worker) produce(ctx context.Context, msg worker.Message, m *store.Manifest, q store.Question, task stream.Task, prompt lcb.Prompt) error {
	if err := w.awaitTurn(msg.Since); err != nil {
		return err
	}
	endTurn := sync.OnceFunc(w.turns.leave)
	defer endTurn()
	batch, err := w.generate(ctx, msg, m, q, task, prompt)
	if err != nil {
		return err
	}
	if err := w.watch(m, batch); err != nil {
		return err
	}
	bytes := weight(batch)
	leave, waited, err := w.backlog.enter(ctx, bytes)
	if waited > 0 {
		w.Pulse.Blocked.Add(int64(waited))
		w.Log.Warn("generating waited for the queue", "waited", waited.Round(time.Millisecond), "backlog_bytes", w.backlog.most)
	}
	if err != nil {
		return fmt.Errorf("wait for the queue: %w", err)
	}
	defer leave()
	w.Pulse.Publishing.Add(bytes)
	defer w.Pulse.Publishing.Add(-bytes)
	endTurn()
	ctx, end := outlive(ctx, publishGrace)
	defer end()
	batch.Attempts = int(min(msg.Deliveries, math.MaxInt32))
	fresh, err := w.Pulse.Publish(ctx, w.Queue, w.Log, stream.Evaluate, msg.Unit, m.Receipts, batch)
	if err == nil && !fresh {
		w.Log.Debug("duplicate refused, the first output stays", "subject", msg.Unit.Subject(stream.Evaluate))
	}
	return err
}

// publishGrace is how long a whole unit on its way to the queue may outlive the work: its
// samples are made and cost a card, and a queue that answers takes them in milliseconds.
const publishGrace = 2 * time.Second

// outlive returns a context that ends d after ctx does, or when end is called.
func outlive(ctx context.Context, d time.Duration) (longer context.Context, end func()) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			cancel(context.Cause(ctx))
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		cancel(nil)
	}
}

// awaitTurn waits until fewer units than Slots are being generated, and no older one waits.
func (w *Worker) awaitTurn(since time.Time) error {
	w.Pulse.Ready.Add(1)
	defer w.Pulse.Ready.Add(-1)
	return w.turns.take(since, w.drains)
}

// describe records the version of the server behind the engine, once a run.
func (w *Worker) describe(ctx context.Context, m *store.Manifest, info engine.Info) error {
	if info.Version == "" || m.Provenance.EngineVersion != "" {
		return nil
	}
	m, err := w.Store.Note(ctx, stream.Generate, m.ID, func(m *store.Manifest) bool {
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
func (w *Worker) alreadyGenerated(ctx context.Context, m *store.Manifest, t stream.Task) (bool, error) {
	for _, stage := range []stream.Stage{stream.Evaluate, stream.Combine} {
		if there, err := w.Queue.Holds(ctx, stage, t.Unit, m.Receipts); there || err != nil {
			return there, err
		}
	}
	// The cell last: a unit leaves COMBINE only after its cell is done.
	return w.Store.CellDone(ctx, t.Cell, t.First+t.N)
}

func (w *Worker) generate(ctx context.Context, msg worker.Message, m *store.Manifest, q store.Question, task stream.Task, prompt lcb.Prompt) (*stream.Batch, error) {
	r := request(m, q, task, prompt)
	r.Since = msg.Since
	started := time.Now()
	completions, err := w.Engine.Generate(ctx, r)
	if errors.Is(err, engine.ErrRejected) || errors.Is(err, engine.ErrRefused) {
		return nil, w.refused(m, q, msg.Deliveries, err)
	}
	if err != nil {
		return nil, fmt.Errorf("generate question %s: %w", q.ID, err)
	}
	w.refusals.accept(m.ID)
	if len(completions) != task.N {
		return nil, fmt.Errorf("generate question %s: engine gave %d completions, want %d", q.ID, len(completions), task.N)
	}
	b := &stream.Batch{
		Unit: task.Unit, Samples: make([]stream.Sample, task.N), Generator: w.Pulse.Name(),
		Started: started.UnixMilli(), Ended: time.Now().UnixMilli(), Receipt: task.Receipt,
	}
	for i, c := range completions {
		s := stream.Sample{Index: task.First + i, Completion: c.Text, Tokens: c.Tokens, FinishReason: c.FinishReason, LeftOut: c.LeftOut, Redrawn: c.Redrawn, AnsweredAs: c.AnsweredAs}
		if c.Code != nil && c.Text == "" { // a recording of programs, not of answers
			s.Code = *c.Code
		} else {
			if s.Code, err = lcb.Extract(c.Text, lcb.Extraction(m.Model.Extract)); err != nil {
				return nil, fmt.Errorf("generate question %s: %w", q.ID, err)
			}
		}
		b.Samples[i] = s
	}
	w.Pulse.Samples.Add(int64(task.N))
	return b, nil
}

func request(m *store.Manifest, q store.Question, task stream.Task, prompt lcb.Prompt) engine.Request {
	r := engine.Request{
		Run: m.ID, Seed: m.Model.Seed, Question: q.Index, QuestionID: q.ID, First: task.First, N: task.N,
		Raw: prompt.Raw, Thinking: m.Model.Thinking, Redraw: m.Model.OnRefused == "redraw",
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

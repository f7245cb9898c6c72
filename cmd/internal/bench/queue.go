package bench

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/combine"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/generate"
	"github.com/lcbq/lcbq/worker/lcb/sample"
)

// A host is a server of the benchmark's own. Its port is a random one of this
// machine's own address.
type host struct {
	server *embed.Server
	conn   *nats.Conn
	queue  *queue.Queue
	store  *store.Store
	log    *slog.Logger
}

// startHost starts the server. The caller opens the host and closes it.
func startHost(dir string, log *slog.Logger) (*host, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	srv, err := embed.Start(embed.Config{Dir: dir, Log: log})
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	return &host{server: srv, log: log}, nil
}

// open connects and declares the streams.
func (h *host) open(ctx context.Context) error {
	var err error
	if h.conn, err = h.server.Connect(); err != nil {
		return err
	}
	js, err := jetstream.New(h.conn, jetstream.WithDefaultTimeout(30*time.Second))
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	h.queue = queue.New(js)
	if err := h.queue.Declare(ctx, 1); err != nil {
		return err
	}
	h.store, err = store.Declare(ctx, js, 1)
	return err
}

func (h *host) close() error {
	if h.conn != nil {
		h.conn.Close()
	}
	return h.server.Close()
}

// grace is how long workers may finish what they hold when the benchmark ends;
// it ends when there is nothing left to hold, or when a person interrupts it.
const grace = time.Second

// measure publishes a run, works it off and measures how long that took.
// Publishing is not part of it: a sweep's units are there before its GPUs are.
func (h *host) measure(ctx context.Context, cfg Config, dir string) (Result, error) {
	m, err := manifest(ctx, cfg, dir)
	if err != nil {
		return Result{}, err
	}
	problems := sample.Problems()
	_, err = sweep.Sweeper{Queue: h.queue, Store: h.store}.Submit(ctx, m, func(q int) []byte { return problems[q].Row() })
	if err != nil {
		return Result{}, err
	}
	judge := &nullJudge{queue: h.queue, store: h.store, runs: &worker.Runs{Store: h.store}}
	loops, err := h.loops(cfg, dir, judge)
	if err != nil {
		return Result{}, err
	}
	work, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, len(loops))
	var workers sync.WaitGroup
	for _, run := range loops {
		workers.Go(func() {
			if err := run(work); err != nil {
				failed <- err
			}
		})
	}
	err = h.await(ctx, m.ID, failed)
	ended := time.Now()
	stop()
	workers.Wait()
	if err != nil {
		return Result{}, err
	}
	return h.result(ctx, cfg, m, judge, ended)
}

// loops returns the workers of the three stages.
func (h *host) loops(cfg Config, dir string, judge *nullJudge) ([]func(context.Context) error, error) {
	runs := &worker.Runs{Store: h.store}
	var all []func(context.Context) error
	for i := range cfg.GPUs {
		e, err := newEngine(cfg.TPS)
		if err != nil {
			return nil, err
		}
		w := &generate.Worker{
			Queue: h.queue, Store: h.store, Runs: runs, Engine: e, Grace: grace, Log: h.log,
			Slots: 2, // one is generated while the other is published
			Pulse: worker.NewPulse(stream.Generate, fmt.Sprintf("gpu%d", i), 1),
		}
		all = append(all, w.Run)
	}
	judging := worker.Loop{
		Stage: stream.Evaluate, Queue: h.queue, Handle: judge.handle, Slots: nullSlots, Grace: grace, Log: h.log,
		Pulse: worker.NewPulse(stream.Evaluate, "null", nullSlots),
	}
	combining := &combine.Worker{
		Queue: h.queue, Store: h.store, Runs: runs, Dir: dir, Grace: grace, Log: h.log, Pulse: worker.NewPulse(stream.Combine, "combine", 1),
	}
	return append(all, judging.Run, combining.Run), nil
}

// await returns when the run is finished.
func (h *host) await(ctx context.Context, run string, failed <-chan error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		m, _, err := h.store.Run(ctx, run)
		if err != nil || m.Finished != 0 {
			return err
		}
		select {
		case <-tick.C:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// result computes the paces from what the files and messages say.
func (h *host) result(ctx context.Context, cfg Config, m *store.Manifest, judge *nullJudge, ended time.Time) (Result, error) {
	cells, err := h.store.Cells(ctx, m.ID, -1)
	if err != nil {
		return Result{}, err
	}
	s, err := summary.Of(m, cells)
	if err != nil {
		return Result{}, err
	}
	if s.Samples != m.Samples() {
		return Result{}, fmt.Errorf("benchmark lost samples: %d of %d are in the files", s.Samples, m.Samples())
	}
	began := time.UnixMilli(judge.first.Load())
	generating := time.UnixMilli(judge.last.Load()).Sub(began).Seconds()
	r := Result{Samples: s.Samples, Tokens: s.Throughput.Tokens, Seconds: ended.Sub(began).Seconds()}
	r.TPS = float64(r.Tokens) / r.Seconds
	if generating > 0 {
		r.GenerateTPS = float64(r.Tokens) / generating
	}
	if pace := cfg.TPS * float64(cfg.GPUs); pace > 0 {
		r.Idle = max(0, 1-r.GenerateTPS/pace)
	}
	return r, nil
}

const (
	// nullMode is what the benchmark's run is said to be judged by.
	nullMode = "none (benchmark)"
	// nullSlots is how many units the null judge holds at once.
	nullSlots = 4
)

// A nullJudge does everything that an evaluator does with a unit but run the
// programs: every sample is no_code, with a detail that says why.
type nullJudge struct {
	queue *queue.Queue
	store *store.Store
	runs  *worker.Runs

	first, last atomic.Int64 // Unix milliseconds: the first unit begun, the last one generated
}

func (j *nullJudge) handle(ctx context.Context, msg worker.Message) error {
	m, _, task, err := j.runs.Unit(ctx, msg.Unit)
	if err != nil {
		return err
	}
	if m.Judge.Mode != nullMode {
		return fmt.Errorf("run %s is judged by %s, not by nobody: %w", m.ID, m.Judge.Mode, worker.ErrUnfit)
	}
	if there, err := j.queue.Has(ctx, stream.Combine, task.Unit); there || err != nil {
		return err
	}
	if done, err := j.store.CellDone(ctx, task.Cell, task.First+task.N); done || err != nil {
		return err
	}
	var batch stream.Batch
	if err := stream.Decode(msg.Body, &batch); err != nil {
		return err
	}
	j.note(batch)
	scored := stream.Scored{Batch: batch, Judgements: make([]stream.Judgement, len(batch.Samples)), Evaluator: "null", Fingerprint: nullMode}
	for i := range scored.Judgements {
		scored.Judgements[i] = stream.Judgement{Verdict: stream.NoCode, Detail: "not judged: benchmark"}
	}
	_, err = j.queue.Publish(ctx, stream.Combine, msg.Unit, scored)
	return err
}

// note keeps when generating began and ended.
func (j *nullJudge) note(b stream.Batch) {
	for {
		was := j.first.Load()
		if was != 0 && was <= b.Started || j.first.CompareAndSwap(was, b.Started) {
			break
		}
	}
	for {
		was := j.last.Load()
		if was >= b.Ended || j.last.CompareAndSwap(was, b.Ended) {
			break
		}
	}
}

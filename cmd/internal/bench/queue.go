package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/pprof"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/cmd/internal/bench/spent"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/sample"
)

// A host is a server of the benchmark's own. Its port is a random one of this
// machine's own address.
type host struct {
	server *embed.Server
	conns  []*nats.Conn
	log    *slog.Logger
}

// A client is what one stage has of a host: a connection of its own, as it has in a process of its own.
type client struct {
	queue *queue.Queue
	store *store.Store
	runs  *worker.Runs
}

// startHost starts the server. The caller closes the host.
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

// connect connects, and declares the streams where they are not there.
func (h *host) connect(ctx context.Context) (*client, error) {
	conn, err := h.server.Connect()
	if err != nil {
		return nil, err
	}
	h.conns = append(h.conns, conn)
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(30*time.Second))
	if err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	q := queue.New(js)
	if err := q.Declare(ctx, 1); err != nil {
		return nil, err
	}
	st, err := store.Declare(ctx, js, 1)
	if err != nil {
		return nil, err
	}
	return &client{q, st, &worker.Runs{Store: st}}, nil
}

func (h *host) close() error {
	for _, c := range h.conns {
		c.Close()
	}
	return h.server.Close()
}

// grace is how long workers may finish what they hold when the benchmark ends;
// it ends when there is nothing left to hold, or when a person interrupts it.
const grace = time.Second

// measure publishes a run, works it off and measures how long that took and what it cost.
// Publishing is not part of it: a sweep's units are there before its GPUs are.
func (h *host) measure(ctx context.Context, cfg Config, dir string) (Result, error) {
	m, err := manifest(ctx, cfg, dir)
	if err != nil {
		return Result{}, err
	}
	c, err := h.connect(ctx)
	if err != nil {
		return Result{}, err
	}
	problems := sample.Problems()
	_, err = sweep.Sweeper{Queue: c.queue, Store: c.store}.Submit(ctx, m, func(q int) []byte { return problems[q].Row() })
	if err != nil {
		return Result{}, err
	}
	s := &stages{host: h, cfg: cfg, dir: dir}
	r, err := s.measure(ctx, c, m)
	return r, errors.Join(err, s.close())
}

// measure has the stages work the run off, which c looks at.
func (s *stages) measure(ctx context.Context, c *client, m *store.Manifest) (Result, error) {
	if err := s.prepare(ctx); err != nil {
		return Result{}, err
	}
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		return Result{}, fmt.Errorf("measure processor time: %w", err)
	}
	ended, err := s.run(ctx, func(ctx context.Context, failed <-chan error) error { return c.await(ctx, m.ID, failed) })
	pprof.StopCPUProfile()
	if err != nil {
		return Result{}, err
	}
	r, err := c.result(ctx, s.cfg, m, s.judge, ended)
	if err != nil {
		return Result{}, err
	}
	r.Profile = profile.Bytes()
	r.CPU, err = spent.Parse(r.Profile)
	return r, err
}

// await returns when the run is finished.
func (c *client) await(ctx context.Context, run string, failed <-chan error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		m, _, err := c.store.Run(ctx, run)
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
func (c *client) result(ctx context.Context, cfg Config, m *store.Manifest, judge *nullJudge, ended time.Time) (Result, error) {
	cells, err := c.store.Cells(ctx, m.ID, -1)
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

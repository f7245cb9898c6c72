package combine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

// A bench is a server, a results folder and a run whose units the tests publish
// as if they had been judged.
type bench struct {
	*streamtest.Env
	dir string
	m   *store.Manifest

	issuer *stream.Issuer
}

// newBench makes a run of the given questions and temperatures with n samples a
// cell, in units of ten.
func newBench(tb testing.TB, questions, n int, ts ...stream.Temperature) *bench {
	tb.Helper()
	b := &bench{Env: streamtest.New(tb), dir: tb.TempDir()}
	b.submit(tb, questions, n, ts...)
	return b
}

// submit makes the run, or raises it.
func (b *bench) submit(tb testing.TB, questions, n int, ts ...stream.Temperature) {
	tb.Helper()
	m := &store.Manifest{
		ID: "r1", LCBQ: "v1", OutputDir: b.dir, UnitSize: 10, Temperatures: ts, Problems: store.ProblemSet{Digest: "d"},
		Model: store.Model{Engine: "sim", Name: "simulated"}, Judge: store.Judge{Mode: "lcb"},
	}
	for q := range questions {
		m.Questions = append(m.Questions, store.Question{Index: q, ID: fmt.Sprintf("q%d", q), Title: "Title", Cuts: []int{n}})
	}
	s := sweep.Sweeper{Queue: b.Queue, Store: b.Store}
	sub, err := s.Submit(tb.Context(), m, func(int) []byte { return []byte("{}") })
	if err != nil {
		tb.Fatal(err)
	}
	b.m = sub.Manifest
	if b.issuer, err = b.Store.Issuer(tb.Context(), b.m); err != nil || b.issuer == nil {
		tb.Fatalf("the run's units have no receipts: %v", err)
	}
}

func (b *bench) cell(q int, t stream.Temperature) stream.Cell {
	return stream.Cell{Run: "r1", Question: q, Temperature: t}
}

// tasks returns the units of a cell, with their receipts.
func (b *bench) tasks(q int, t stream.Temperature) []stream.Task {
	all := b.m.Tasks(b.m.Questions[q], t)
	for i := range all {
		all[i].Receipt = b.issuer.Receipt(all[i].Unit)
	}
	return all
}

// scored makes a judged unit: every fourth sample passed, of seven programs.
func scored(t stream.Task) stream.Scored {
	s := stream.Scored{
		Batch:     stream.Batch{Unit: t.Unit, Generator: "gpu0", Started: 1000, Ended: 2000, Receipt: t.Receipt},
		Evaluator: "eval0_h-1.2_3-77", Fingerprint: "f00d", JudgeSpeed: 9.5, JudgeStarted: 2000, JudgeEnded: 6000, JudgeAttempts: 3,
	}
	for i := t.First; i < t.First+t.N; i++ {
		s.Samples = append(s.Samples, stream.Sample{Index: i, Completion: fmt.Sprint("text ", i), Code: fmt.Sprint("print(", i%7, ")"), Tokens: 10, FinishReason: "stop"})
		j := stream.Judgement{Verdict: stream.Passed, CPU: 0.5}
		if i%4 != 0 {
			j = stream.Judgement{Verdict: stream.WrongAnswer, ErrorCode: new(-2), Test: new(1), CPU: 0.5, Detail: "no"}
		}
		s.Judgements = append(s.Judgements, j)
	}
	return s
}

func (b *bench) publish(tb testing.TB, tasks ...stream.Task) {
	tb.Helper()
	for _, task := range tasks {
		if fresh, err := b.Queue.Publish(tb.Context(), stream.Combine, task.Unit, scored(task)); err != nil || !fresh {
			tb.Fatalf("publish %s: fresh %v, %v", task.Subject(stream.Combine), fresh, err)
		}
	}
}

// publishAll publishes the units of every cell.
func (b *bench) publishAll(tb testing.TB) {
	tb.Helper()
	for q := range b.m.Questions {
		for _, t := range b.m.Temperatures {
			b.publish(tb, b.tasks(q, t)...)
		}
	}
}

// acknowledge settles the next n units, so that no combiner is handed them again.
func (b *bench) acknowledge(tb testing.TB, n int) {
	tb.Helper()
	c := b.Consumer(tb, stream.Combine, "r1")
	for range n {
		if err := streamtest.Next(tb, c).DoubleAck(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
}

func (b *bench) worker() *Worker {
	return &Worker{
		Queue: b.Queue, Store: b.Store, Runs: &worker.Runs{Store: b.Store}, Grace: time.Minute,
		Pulse: worker.NewPulse(stream.Combine, "combine", 1), Log: slog.New(slog.DiscardHandler),
	}
}

// start runs a combiner; stop ends it and checks that it ended well.
func (b *bench) start(tb testing.TB, w *Worker) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ran; err != nil {
			tb.Errorf("Run = %v, want nil after cancellation", err)
		}
	}
	tb.Cleanup(stop)
	return stop
}

// waitCell waits until a cell is done with n samples and its units are gone.
func (b *bench) waitCell(tb testing.TB, c stream.Cell, n int) store.CellState {
	tb.Helper()
	var st store.CellState
	streamtest.WaitFor(tb, c.Key()+" to be done", func(ctx context.Context) (bool, error) {
		done, err := b.Store.CellDone(ctx, c, n)
		if !done || err != nil {
			return false, err
		}
		if st, _, err = b.Store.Cell(ctx, c); err != nil {
			return false, err
		}
		units, err := b.Queue.Units(ctx, stream.Combine, c)
		return len(units) == 0, err
	})
	return st
}

// waitFinished waits until the run is marked finished.
func (b *bench) waitFinished(tb testing.TB) *store.Manifest {
	tb.Helper()
	var m *store.Manifest
	streamtest.WaitFor(tb, "the run to be finished", func(ctx context.Context) (bool, error) {
		var err error
		m, _, err = b.Store.Run(ctx, "r1")
		return err == nil && m.Finished != 0, err
	})
	return m
}

// readCell reads a cell's file, whose counts the reader proves, and checks that
// it holds the samples as they were published.
func readCell(tb testing.TB, path string, n int) {
	tb.Helper()
	c, err := result.OpenCell(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	}()
	seen := 0
	for s, err := range c.Samples() {
		if err != nil {
			tb.Fatal(err)
		}
		if s.Completion != fmt.Sprint("text ", s.Index) || s.Passed() != (s.Index%4 == 0) {
			tb.Errorf("sample %d of %s = %+v", s.Index, path, s)
		}
		seen++
	}
	if seen != n {
		tb.Errorf("%s holds %d samples, want %d", path, seen, n)
	}
}

// prove checks the whole results folder as lcbq verify does.
func (b *bench) prove(tb testing.TB, n int) {
	tb.Helper()
	p, err := result.Verify(tb.Context(), b.dir, result.Expectation{})
	if err != nil {
		tb.Fatal(err)
	}
	if !p.OK() {
		tb.Errorf("the folder does not prove: %v", p.Findings)
	}
	if want := n * b.m.Cells(); p.Samples != want {
		tb.Errorf("the folder holds %d samples, want %d", p.Samples, want)
	}
}

func exists(tb testing.TB, path string) bool {
	tb.Helper()
	_, err := os.Stat(path)
	if err != nil && !os.IsNotExist(err) {
		tb.Fatal(err)
	}
	return err == nil
}

func (b *bench) dead(tb testing.TB) []stream.Dead {
	tb.Helper()
	dead, err := b.Queue.DeadUnits(tb.Context(), "r1")
	if err != nil {
		tb.Fatal(err)
	}
	return dead
}

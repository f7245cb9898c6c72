package combine

import (
	"context"
	"encoding/json"
	"os"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// rule has the run's number of samples chosen by its results.
func (b *bench) rule(tb testing.TB, u store.Until) {
	tb.Helper()
	want := *b.m
	want.Until, want.Published, want.Finished = &u, false, 0
	sub, err := sweep.Sweeper{Queue: b.Queue, Store: b.Store}.Submit(tb.Context(), &want, func(int) []byte { return []byte("{}") })
	if err != nil || !sub.Grown {
		tb.Fatalf("a rule is something new: grown %v, %v", sub.Grown, err)
	}
	b.m = sub.Manifest
}

// feed judges what the run is given, all of it passed at the first temperature, until it is finished.
func (b *bench) feed(tb testing.TB) *store.Manifest {
	tb.Helper()
	seen := make(map[stream.Unit]bool)
	var m *store.Manifest
	streamtest.WaitFor(tb, "the run to be finished", func(ctx context.Context) (bool, error) {
		var err error
		if m, _, err = b.Store.Run(ctx, "r1"); err != nil || m.Finished != 0 {
			return err == nil, err
		}
		for task := range m.AllTasks() {
			there, err := b.Queue.Has(ctx, stream.Generate, task.Unit)
			if err != nil {
				return false, err
			}
			if !there || seen[task.Unit] {
				continue
			}
			seen[task.Unit] = true
			task.Receipt = b.issuer.Receipt(task.Unit)
			s := scored(task)
			for i := range s.Judgements {
				if task.Temperature == m.Temperatures[0] {
					s.Judgements[i] = stream.Judgement{Verdict: stream.Passed, CPU: 0.5}
				}
			}
			if _, err := b.Queue.Publish(ctx, stream.Combine, task.Unit, s); err != nil {
				return false, err
			}
		}
		return false, nil
	})
	return m
}

// TestUntil: a run is given more samples where it is not known well enough, and only there; a
// combiner that died before it had published them does so when it lives again.
func TestUntil(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 16, 100, 700)
	b.rule(t, store.Until{Half: 0.2, K: 1, Most: 400})
	stop := b.start(t, b.worker())
	m := b.feed(t)
	stop()
	q := m.Questions[0]
	if cold, hot := m.Wanted(q, 100), m.Wanted(q, 700); cold >= hot || hot >= 400 || m.Samples() != 2*(cold+hot) {
		t.Errorf("%d samples where all passed, %d where a quarter did; %d in all", cold, hot, m.Samples())
	}
	raw, err := os.ReadFile(result.RunSummaryPath(b.dir))
	if err != nil {
		t.Fatal(err)
	}
	var run summary.Run
	if err := json.Unmarshal(raw, &run); err != nil {
		t.Fatal(err)
	}
	if u := run.Until; u == nil || !u.Reached || len(u.Temperatures) != 2 || !u.Temperatures[0].Reached || u.Temperatures[0].N >= u.Temperatures[1].N || u.Temperatures[1].Half > 0.2 {
		t.Errorf("the run says %+v of its rule", run.Until)
	}

	// A narrower one, taken up by a combiner that dies when it has told the store and not yet published.
	b.rule(t, store.Until{Half: 0.12, K: 1, Most: 400})
	before := b.m.Samples()
	cells, err := b.Store.Cells(t.Context(), "r1", -1)
	if err != nil {
		t.Fatal(err)
	}
	u, err := summary.UntilOf(b.m, cells)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Store.UpdateRun(t.Context(), "r1", func(m *store.Manifest) bool {
		m.Published = false
		return u.Raise(m)
	}); err != nil {
		t.Fatal(err)
	}
	stop = b.start(t, b.worker())
	m = b.feed(t)
	stop()
	if m.Samples() <= before || !m.Published {
		t.Errorf("%d samples, before the narrower width %d; published %v", m.Samples(), before, m.Published)
	}
	b.m = m

	// A number that is given holds everywhere.
	b.submit(t, 2, m.Wanted(q, 100)+1, 100, 700)
	if b.m.Until != nil || b.m.Wanted(b.m.Questions[0], 100) != b.m.Wanted(b.m.Questions[0], 700) {
		t.Errorf("with a number that is given: %+v, %+v", b.m.Until, b.m.Fewer)
	}
}

// TestUntilLooksAgain: a standing combiner takes up a narrower width of a run all of whose cells are there.
func TestUntilLooksAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 16, 100, 700)
	w := b.worker()
	stop := b.start(t, w)
	b.publishAll(t)
	b.waitFinished(t)
	stop()
	b.rule(t, store.Until{Half: 0.2, K: 1, Most: 400})
	if err := w.lookAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, _, err := b.Store.Run(t.Context(), "r1")
	if err != nil || m.Samples() <= 64 || !m.Published {
		t.Errorf("%d samples, published %v, %v", m.Samples(), m.Published, err)
	}

	// Another combiner that looked at the same cells adds nothing, and knows that the run goes on.
	cells, err := b.Store.Cells(t.Context(), "r1", -1)
	if err != nil {
		t.Fatal(err)
	}
	more, err := w.raise(t.Context(), b.m, cells)
	now, _, err2 := b.Store.Run(t.Context(), "r1")
	if !more || err != nil || err2 != nil || now.Samples() != m.Samples() {
		t.Errorf("the second of two combiners: more %v, %v; %d samples, before %d, %v", more, err, now.Samples(), m.Samples(), err2)
	}
}

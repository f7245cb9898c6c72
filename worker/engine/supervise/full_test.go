package supervise

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine/supervise/supervisetest"
)

// TestBatchStaysFull keeps a batch of 32 places busy with units of 50 samples whose lengths differ: a request
// holds all its samples until the longest is complete, so that as many in flight as twice the batch are too few.
func TestBatchStaysFull(t *testing.T) {
	t.Parallel()
	const batch = 32
	// A token takes long beside what the fake and this test take to hand a place on, at the load that there is.
	pace := patience.Now(8 * time.Millisecond)
	n := newNest(t)
	cfg := n.config()
	cfg.Environ = append(cfg.Environ, supervisetest.Pace+"="+strconv.FormatInt(pace.Milliseconds(), 10))
	cfg.Args = []string{"m", "--max-num-seqs", strconv.Itoa(batch)}
	cfg.Client.Batch, cfg.Client.InFlight, cfg.Client.MaxN = batch, 2*batch, 8
	e, stop := start(t, cfg)
	if err := e.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { e.client.Adapt(ctx, 5*pace, 4*batch) })
	for range 6 { // units, more than are in flight
		wg.Go(func() {
			r := anyRequest
			r.N, r.Sampling.MaxTokens = 50, 100
			for ctx.Err() == nil {
				_, _ = e.Generate(ctx, r) // it ends with ctx
			}
		})
	}
	until(t, "the bound has settled above twice the batch", func() bool { return e.InFlight() > 2*batch })
	var running, there float64
	const looks = 60
	tick := time.NewTicker(5 * pace)
	defer tick.Stop()
	for range looks {
		<-tick.C
		l, err := e.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		running, there = running+l.Running/looks, there+(l.Running+l.Waiting)/looks
	}
	if running < 0.95*batch || there < 1.3*batch || there > 2.2*batch {
		t.Errorf("on average %.1f of %d places were taken, %.1f sequences there, want nearly all and 1.5 to 2 times as many", running, batch, there)
	}
	t.Logf("on average %.1f of %d places were taken, %.1f sequences there, %d in flight", running, batch, there, e.InFlight())
	cancel()
	wg.Wait()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

package openai_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine/openai"
)

// TestOldestUnitFirst gives several units to a server that makes one sample at a time. It
// wants every request of a unit asked before any of the next one, also the one that fails
// and is repeated when the others wait already, and also when units reach the engine in
// another order than they came in.
func TestOldestUnitFirst(t *testing.T) {
	t.Parallel()
	const units, samples = 4, 5
	begun := time.Now()
	came := []time.Duration{0, 3, 1, 2} // after begun, by the order of asking
	waiting := make(chan struct{})
	f := newFake(t, func(x *exchange) bool {
		if x.k > 1 {
			return false
		}
		<-waiting
		return x.status(500, "")
	})
	c := newClient(t, func(cfg *openai.Config) { cfg.InFlight = 1 }, f)
	tick := time.Tick(time.Millisecond)
	var wg sync.WaitGroup
	var want []float64
	for u := range units {
		r := request(samples)
		r.Sampling.MaxTokens = 100 + int(came[u]) // by which its requests are known
		r.Since = begun.Add(came[u])
		wg.Go(func() {
			if _, err := c.Generate(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
		asked := samples
		if u == 0 {
			asked++
		}
		want = append(want, slices.Repeat([]float64{float64(100 + u)}, asked)...)
		for wait := patience.Begin(patience.Base); c.Waiting() < (u+1)*samples-1; { // the next unit asks after this one
			if wait.Over() {
				close(waiting)
				t.Fatalf("%d requests wait, want %d", c.Waiting(), (u+1)*samples-1)
			}
			<-tick
		}
	}
	close(waiting)
	wg.Wait()
	var got []float64
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, body := range f.asked {
		known, _ := body["max_tokens"].(float64)
		got = append(got, known)
	}
	if !slices.Equal(got, want) {
		t.Errorf("asked in the order %v, want %v", got, want)
	}
}

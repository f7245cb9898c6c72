package generate_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/generate"
)

// TestStepsAreTheProtocols records what a generator does with one unit: the order
// for which the model shows that nothing is lost.
func TestStepsAreTheProtocols(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	m := submit(t, env, nil)
	for _, q := range m.Questions {
		for _, task := range m.Tasks(q, 700) {
			if task.Question+task.Index > 0 { // one unit is enough, and can be told from others
				if err := env.Queue.Remove(t.Context(), stream.Generate, task.Unit); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var mu sync.Mutex
	var sent []string
	work := 0 // what was sent before it
	record := env.Record(t, func(subject string) {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, subject)
	})
	e := &fake{answer: func(_ int, r engine.Request) ([]engine.Completion, error) {
		mu.Lock()
		defer mu.Unlock()
		work = len(sent)
		return texts(r.N), nil
	}}
	w := &generate.Worker{
		Queue: record.Queue, Store: record.Store, Runs: &worker.Runs{Store: record.Store}, Engine: e, Slots: 1, Grace: time.Minute,
		Pulse: worker.NewPulse(stream.Generate, "test", 1), Log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	env.WaitEmpty(t, stream.Generate)
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	got := append(streamtest.UnitSteps(stream.Generate, sent[:work]), streamtest.Work)
	got = append(got, streamtest.UnitSteps(stream.Generate, sent[work:])...)
	if want := streamtest.TheProtocol().Unit; !slices.Equal(got, want) {
		t.Errorf("a generator's steps are %v, want %v\n%v", got, want, sent)
	}
}

// TestOldUnitsFirst wants the engine told when each unit came, not when it was asked for it:
// units come in the order of the queue, which looking them up side by side may change.
func TestOldUnitsFirst(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	m := submit(t, env, func(m *store.Manifest) { m.UnitSize = 1 })
	var want []string
	for i, q := range m.Questions {
		for _, task := range m.Tasks(q, 700) {
			want = append(want, fmt.Sprint(i, " ", task.First))
		}
	}
	var w *generate.Worker
	var second time.Time // has come by then, and waits for its turn
	e := &fake{answer: func(call int, r engine.Request) ([]engine.Completion, error) {
		for call == 1 && w.Pulse.Ready.Load() == 0 {
			runtime.Gosched()
		}
		if call == 1 {
			second = time.Now()
		}
		return texts(r.N), nil
	}}
	w = newWorker(env, e)
	w.Slots = 1
	drain(t, env, w)
	asked := e.requests()
	if asked[1].Since.After(second) {
		t.Errorf("the engine was told that the second unit came at %v, want before %v", asked[1].Since, second)
	}
	slices.SortFunc(asked, func(a, b engine.Request) int { return a.Since.Compare(b.Since) })
	var got []string
	for _, r := range asked {
		got = append(got, fmt.Sprint(r.Question, " ", r.First))
	}
	if !slices.Equal(got, want) {
		t.Errorf("by the times that the engine was told, units came as %v, want %v", got, want)
	}
}

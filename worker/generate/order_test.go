package generate_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
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

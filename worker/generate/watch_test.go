package generate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/health"
)

// An attached engine is a server of somebody else's: its answers are looked at.
type attached struct{ *fake }

func (attached) Info() engine.Info { return engine.Info{Name: "openai", Model: "m"} }

func silent(_ int, r engine.Request) ([]engine.Completion, error) {
	out := make([]engine.Completion, r.N)
	for i := range out {
		out[i] = engine.Completion{Tokens: 77, FinishReason: "stop"}
	}
	return out, nil
}

// TestUnhealthyAnswersStop ends a generator whose server answers nothing, with the units
// that the finding is about in their queue.
func TestUnhealthyAnswersStop(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	m := submit(t, env, func(m *store.Manifest) {
		m.Model.Engine, m.Model.Name, m.UnitSize = stream.EngineOpenAI, "m", 10
		for i := range m.Questions {
			m.Questions[i].Cuts = []int{30}
		}
	})
	w := newWorker(env, attached{&fake{answer: silent}})
	w.Slots = 1
	w.Unhealthy = func(f health.Finding) error { return fmt.Errorf("%w: %s", worker.ErrHalt, f) }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := w.Run(ctx); !errors.Is(err, worker.ErrHalt) {
		t.Fatalf("Run = %v, want ErrHalt", err)
	}
	// The second unit completes 20 empty answers and stays; the server takes the first one away
	// a moment after it was acknowledged.
	streamtest.WaitFor(t, "all units but the first to be left", func(ctx context.Context) (bool, error) {
		lag, err := env.Queue.Lag(ctx, stream.Generate)
		return int(lag.Stored) == m.Units()-1, err
	})
}

// TestUnhealthyAnswersGoOn keeps going where that is what was asked for.
func TestUnhealthyAnswersGoOn(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	submit(t, env, func(m *store.Manifest) {
		m.Model.Engine, m.Model.Name, m.UnitSize = stream.EngineOpenAI, "m", 10
		for i := range m.Questions {
			m.Questions[i].Cuts = []int{30}
		}
	})
	w := newWorker(env, attached{&fake{answer: silent}})
	told := make(chan health.Finding, 100)
	w.Unhealthy = func(f health.Finding) error { told <- f; return nil }
	drain(t, env, w)
	if len(told) == 0 {
		t.Error("60 empty answers were not told")
	}
}

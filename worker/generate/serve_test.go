package generate_test

import (
	"context"
	"slices"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker/engine"
)

// TestOtherArgumentsDoNotServe wants a generator whose engine was started with other arguments
// than a run asks for to leave that run's units alone: they would be samples of another model.
// Both runs wait when it begins, and it does those of the run that fits.
func TestOtherArgumentsDoNotServe(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	submit(t, env, func(m *store.Manifest) {
		m.ID, m.Model.Serve = "r1", &store.Serve{DType: "half", Args: []string{"--quantization=fp8"}}
	})
	fits := submit(t, env, func(m *store.Manifest) { m.ID, m.Model.Serve = "r2", &store.Serve{DType: "half"} })
	f := new(fake)
	w := newWorker(env, f)
	w.Serve = &store.Serve{DType: "half"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	streamtest.WaitFor(t, "the units of the run that fits are generated", func(ctx context.Context) (bool, error) {
		n := 0
		for _, q := range fits.Questions {
			for _, task := range fits.Tasks(q, 700) {
				there, err := env.Queue.Has(ctx, stream.Evaluate, task.Unit)
				if err != nil {
					return false, err
				}
				if there {
					n++
				}
			}
		}
		return n == fits.Units(), nil
	})
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if asked := f.requests(); slices.ContainsFunc(asked, func(r engine.Request) bool { return r.Run != "r2" }) {
		t.Errorf("the engine was asked for %+v, want nothing of the run with other arguments", asked)
	}
}

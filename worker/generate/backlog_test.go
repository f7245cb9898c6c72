package generate_test

import (
	"context"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/generate"
)

// behind returns a worker whose connection leads through the proxy.
func behind(t *testing.T, env *streamtest.Env, p *streamtest.Proxy, e engine.Engine) *generate.Worker {
	t.Helper()
	u, err := url.Parse(env.Server.URL())
	if err != nil {
		t.Fatal(err)
	}
	p.Target(u.Host)
	nc, err := nats.Connect(p.URL(), nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(env, e)
	w.Queue, w.Store, w.Runs = queue.New(js), s, &worker.Runs{Store: s}
	return w
}

// TestReadyUnitsGoBack wants a worker that is told to stop to finish what it generates, and to give back at
// once what had no turn yet.
func TestReadyUnitsGoBack(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	submit(t, env, nil) // four units
	release := make(chan struct{})
	e := &fake{answer: func(_ int, r engine.Request) ([]engine.Completion, error) {
		<-release
		return texts(r.N), nil
	}}
	w := newWorker(env, e)
	var log strings.Builder // whole lines, written under the handler's lock; read after Run
	w.Log = slog.New(slog.NewTextHandler(&log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	streamtest.WaitFor(t, "two units are generated and two are ready", func(context.Context) (bool, error) {
		return len(e.requests()) == 2 && w.Pulse.Ready.Load() == 2, nil
	})
	cancel()
	c := env.Consumer(t, stream.Generate, "r1")
	for range 2 { // long before the server's ack wait, and before the others are done
		streamtest.Next(t, c)
	}
	close(release)
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	streamtest.WaitFor(t, "the other two have left GENERATE", func(ctx context.Context) (bool, error) {
		lag, err := env.Queue.Lag(ctx, stream.Generate)
		return lag.Stored == 2, err
	})
	if n := len(e.requests()); n != 2 || len(dead(t, env)) != 0 {
		t.Errorf("the engine was asked %d times, %d units are dead; want 2 and none", n, len(dead(t, env)))
	}
	if units := w.Pulse.Units(); units != 2 || strings.Count(log.String(), "units given back") != 1 || !regexp.MustCompile(`units=2 samples=[456]\b`).MatchString(log.String()) || strings.Contains(log.String(), "unit failed") {
		t.Errorf("%d units done, want 2, and two given back without a fault:\n%s", units, &log)
	}
}

// TestPublishingHoldsNothingUp wants the engine asked for the next units while the queue does not answer,
// and kept waiting once more than the bound is on its way.
func TestPublishingHoldsNothingUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		backlog int64
		calls   int // while the queue does not answer
		blocked bool
	}{
		{"there is room", 0, 4, false},
		{"there is none", 1, 3, true}, // one is on its way, two hold the engine's places
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := streamtest.New(t)
			submit(t, env, nil) // four units
			proxy := streamtest.NewProxy(t)
			release := make(chan struct{})
			e := &fake{answer: func(_ int, r engine.Request) ([]engine.Completion, error) {
				<-release
				return texts(r.N), nil
			}}
			w := behind(t, env, proxy, e)
			w.Backlog = tt.backlog
			ctx, cancel := context.WithCancel(t.Context())
			ran := make(chan error, 1)
			go func() { ran <- w.Run(ctx) }()
			streamtest.WaitFor(t, "two units are generated and two are ready", func(context.Context) (bool, error) {
				return len(e.requests()) == 2 && w.Pulse.Ready.Load() == 2, nil
			})
			proxy.Hold(true)
			close(release)
			streamtest.WaitFor(t, "the engine was asked for more", func(context.Context) (bool, error) {
				return len(e.requests()) == tt.calls, nil
			})
			if lag, err := env.Queue.Lag(t.Context(), stream.Evaluate); err != nil || lag.Stored != 0 {
				t.Errorf("EVALUATE holds %d units, %v, want none: the queue does not answer", lag.Stored, err)
			}
			streamtest.WaitFor(t, "its samples are on their way", func(context.Context) (bool, error) { return w.Pulse.Publishing.Load() > 0, nil })
			proxy.Hold(false)
			env.WaitEmpty(t, stream.Generate)
			cancel()
			if err := <-ran; err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
			if lag, err := env.Queue.Lag(t.Context(), stream.Evaluate); err != nil || lag.Stored != 4 {
				t.Errorf("EVALUATE holds %d units, %v, want four", lag.Stored, err)
			}
			if blocked := w.Pulse.Blocked.Load() > 0; blocked != tt.blocked || w.Pulse.Publishing.Load() != 0 || w.Pulse.Ready.Load() != 0 {
				t.Errorf("blocked %t, %d bytes on their way, %d units ready; want %t and none", blocked, w.Pulse.Publishing.Load(), w.Pulse.Ready.Load(), tt.blocked)
			}
		})
	}
}

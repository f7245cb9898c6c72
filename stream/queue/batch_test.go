package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// batchHeader is what the server keeps of a message that came in a batch.
const batchHeader = "Nats-Batch-Id"

func tasks(n int) []stream.Task {
	all := make([]stream.Task, n)
	for i := range all {
		all[i] = stream.Task{Unit: unit(0, i), First: 10 * i, N: 10}
	}
	return all
}

// batched returns of the tasks how many are stored, and how many of these came in a batch.
func batched(t *testing.T, env *streamtest.Env, all []stream.Task) (stored, inBatch int) {
	t.Helper()
	s, err := env.JS.Stream(t.Context(), stream.Generate.Stream())
	if err != nil {
		t.Fatal(err)
	}
	for i, task := range all {
		msg, err := s.GetLastMsgForSubject(t.Context(), task.Subject(stream.Generate))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var got stream.Task
		if err := stream.Decode(msg.Data, &got); err != nil || got.First != 10*i {
			t.Fatalf("task %d = %+v, %v", i, got, err)
		}
		stored++
		if msg.Header.Get(batchHeader) != "" {
			inBatch++
		}
	}
	return stored, inBatch
}

func TestPublishTasks(t *testing.T) {
	t.Parallel()
	n := queue.MaxBatch + 3 // a full batch and a small one
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, env *streamtest.Env, all []stream.Task)
		inBatch int
	}{
		{"fresh", func(*testing.T, *streamtest.Env, []stream.Task) {}, n},
		{"one is there", func(t *testing.T, env *streamtest.Env, all []stream.Task) {
			t.Helper()
			if _, err := env.Queue.Publish(t.Context(), stream.Generate, all[5].Unit, all[5]); err != nil {
				t.Fatal(err)
			}
		}, 3},
		{"all are there", func(t *testing.T, env *streamtest.Env, all []stream.Task) {
			t.Helper()
			if err := env.Queue.PublishTasks(t.Context(), all); err != nil {
				t.Fatal(err)
			}
		}, n},
		{"a stream without batches", func(t *testing.T, env *streamtest.Env, _ []stream.Task) {
			t.Helper()
			refuseBatches(t, env)
			*env.Queue = *queue.New(env.JS) // it asks anew what the stream takes
		}, 0},
		{"a stream that takes batches no more", func(t *testing.T, env *streamtest.Env, _ []stream.Task) {
			t.Helper()
			if err := env.Queue.Check(t.Context()); err != nil { // it knows the stream by now
				t.Fatal(err)
			}
			refuseBatches(t, env)
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := streamtest.New(t)
			all := tasks(n)
			tt.prepare(t, env, all)
			if err := env.Queue.PublishTasks(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			if stored, inBatch := batched(t, env, all); stored != n || inBatch != tt.inBatch {
				t.Errorf("%d of %d tasks are stored, %d came in batches, want all and %d", stored, n, inBatch, tt.inBatch)
			}
			if lag, err := env.Queue.Lag(t.Context(), stream.Generate); err != nil || lag.Stored != uint64(n) {
				t.Errorf("GENERATE holds %d messages, %v, want %d", lag.Stored, err, n)
			}
		})
	}
}

// refuseBatches has the stream be what a server older than batches makes of it.
func refuseBatches(t *testing.T, env *streamtest.Env) {
	t.Helper()
	s, err := env.JS.Stream(t.Context(), stream.Generate.Stream())
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.AllowAtomicPublish = false
	if _, err := env.JS.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

// TestOldStreamTakesBatches declares the streams where an earlier version did, without
// batches.
func TestOldStreamTakesBatches(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	refuseBatches(t, env)
	q := queue.New(env.JS)
	if err := q.Declare(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	all := tasks(3)
	if err := q.PublishTasks(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if _, inBatch := batched(t, env, all); inBatch != len(all) {
		t.Errorf("%d of %d tasks came in a batch", inBatch, len(all))
	}
}

// TestPublishTasksOverCutConnection loses the connection with a batch on its way.
func TestPublishTasksOverCutConnection(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	p := streamtest.NewProxy(t)
	p.Target(strings.TrimPrefix(env.Server.URL(), "nats://"))
	nc, err := nats.Connect(p.URL(), nats.Timeout(time.Minute), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	q := queue.New(js)
	if err := q.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := tasks(queue.MaxBatch)
	before := nc.Stats().OutMsgs
	p.Hold(true)
	done := make(chan error, 1)
	go func() { done <- q.PublishTasks(t.Context(), all) }()
	streamtest.WaitFor(t, "the batch to be sent", func(context.Context) (bool, error) {
		return nc.Stats().OutMsgs >= before+uint64(len(all)), nil
	})
	p.Cut()
	p.Hold(false)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if stored, _ := batched(t, env, all); stored != len(all) {
		t.Errorf("%d of %d tasks are stored", stored, len(all))
	}
	// One that is told to stop says so, and where it was.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.PublishTasks(ctx, all); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), all[0].Subject(stream.Generate)) {
		t.Errorf("PublishTasks of a caller who left = %v", err)
	}
}

// BenchmarkPublishTasks publishes 28,000 units to a server that syncs: in batches, and
// one by one as to a server without batches. ratio is the second to the first.
func BenchmarkPublishTasks(b *testing.B) {
	const n = 28_000
	var took [2]time.Duration
	for b.Loop() {
		for way := range took {
			env := streamtest.New(b)
			all := make([]stream.Task, n)
			for i := range all {
				all[i] = stream.Task{Unit: stream.Unit{Cell: stream.Cell{Run: fmt.Sprint("r", way), Question: i / 1600, Temperature: stream.Temperature(i / 100 % 16 * 100)}, Index: i % 100}, N: 100}
			}
			began := time.Now()
			if way == 0 {
				if err := env.Queue.PublishTasks(b.Context(), all); err != nil {
					b.Fatal(err)
				}
			} else if err := env.Queue.PublishEach(b.Context(), all); err != nil {
				b.Fatal(err)
			}
			took[way] += time.Since(began)
			if lag, err := env.Queue.Lag(b.Context(), stream.Generate); err != nil || lag.Stored != n {
				b.Fatalf("GENERATE holds %d messages, %v, want %d", lag.Stored, err, n)
			}
		}
	}
	b.ReportMetric(took[0].Seconds()/float64(b.N), "batches-s")
	b.ReportMetric(took[1].Seconds()/float64(b.N), "singly-s")
	b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "ratio")
}

package queue_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// TestPublishWhileTheLeaderEnds has units published to a cluster by several while the server that leads the stream is
// stopped: each is stored, once, and nobody waits for an answer that does not come.
func TestPublishWhileTheLeaderEnds(t *testing.T) {
	t.Parallel()
	c := streamtest.NewCluster(t)
	q := queue.New(streamtest.Lossy(t, c.URLs(), "$JS.API.CONSUMER.CREATE.COMBINE.combiner.combine.>"))
	if err := q.Declare(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	s, err := store.Declare(t.Context(), c.JS(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for name, copies := range c.Copies(t) {
		if copies != 3 {
			t.Errorf("%s has %d copies, want 3", name, copies)
		}
	}
	if n, err := q.Copies(t.Context()); err != nil || n != 3 {
		t.Errorf("Copies = %d, %v, want 3", n, err)
	}
	const publishers, each = 4, 50
	var fresh atomic.Int64
	var going sync.WaitGroup
	half := make(chan struct{})
	for p := range publishers {
		going.Go(func() {
			for i := range each {
				stored, err := q.Publish(t.Context(), stream.Evaluate, unit(p, i), stream.Batch{})
				if err != nil {
					t.Error(err)
				}
				if stored {
					fresh.Add(1)
				}
				if p == 0 && i == each/2 {
					close(half)
				}
			}
		})
	}
	<-half
	c.StopLeader(t, stream.Evaluate.Stream())
	going.Wait()
	lag, err := q.Lag(t.Context(), stream.Evaluate)
	if err != nil || lag.Stored != publishers*each || fresh.Load() > publishers*each {
		t.Errorf("EVALUATE holds %d units, %v, and %d publishes were the first, want %d", lag.Stored, err, fresh.Load(), publishers*each)
	}
	if _, _, err := s.Run(t.Context(), "none"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Run = %v, want ErrNotFound", err)
	}
}

// TestNoCluster: a server alone keeps no three copies.
func TestNoCluster(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	if n, err := env.Queue.Copies(t.Context()); err != nil || n != 1 {
		t.Errorf("Copies = %d, %v, want 1", n, err)
	}
	var names []string
	for _, stage := range stream.Stages {
		names = append(names, stage.Stream())
	}
	// Where one was removed the others say it, so that it can be made anew.
	if err := env.JS.DeleteStream(t.Context(), stream.Evaluate.Stream()); err != nil {
		t.Fatal(err)
	}
	if n, err := queue.New(env.JS).Copies(t.Context()); err != nil || n != 1 {
		t.Errorf("Copies without EVALUATE = %d, %v, want 1", n, err)
	}
	for _, name := range names {
		if err := env.JS.DeleteStream(t.Context(), name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Fatal(err)
		}
	}
	if _, err := queue.New(env.JS).Copies(t.Context()); !errors.Is(err, queue.ErrNotDeclared) {
		t.Errorf("Copies without streams = %v, want ErrNotDeclared", err)
	}
	if err := queue.New(env.JS).Declare(t.Context(), 3); !errors.Is(err, queue.ErrCopies) {
		t.Errorf("Declare with three copies = %v, want ErrCopies", err)
	}
}

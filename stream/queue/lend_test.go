package queue_test

import (
	"context"
	"errors"
	"testing"

	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// TestOneLender has a second lender refused while the first one waits for claims, and let in once it has gone.
func TestOneLender(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	if err := env.Queue.DeclareLending(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- env.Queue.Claims(ctx, func(*queue.Claimed) {}) }()
	streamtest.WaitFor(t, "a lender that waits for claims", func(ctx context.Context) (bool, error) {
		c, err := env.JS.Consumer(ctx, "CLAIMS", "lender")
		return err == nil && c.CachedInfo().NumWaiting > 0, err
	})
	if err := env.Queue.DeclareLending(t.Context(), 1); !errors.Is(err, queue.ErrLending) {
		t.Errorf("a second lender: %v, want ErrLending", err)
	}
	stop()
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("Claims = %v", err)
	}
	if err := env.Queue.DeclareLending(t.Context(), 1); err != nil {
		t.Errorf("a lender after the first: %v", err)
	}
}

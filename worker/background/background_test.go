package background

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	began, last := make(chan struct{}), ""
	stop := Start(ctx, func(ctx context.Context) {
		close(began)
		<-ctx.Done()
		last = "ended"
	})
	<-began // the caller goes on while f runs
	stop()
	if last != "ended" || ctx.Err() != nil {
		t.Errorf("after stop f is %q and the caller's context %v, want f ended and the context open", last, ctx.Err())
	}
	stop()

	ended := make(chan struct{})
	stop = Start(ctx, func(ctx context.Context) {
		defer close(ended)
		<-ctx.Done()
	})
	cancel()
	<-ended // with ctx, before stop
	stop()
}

func TestUntil(t *testing.T) {
	t.Parallel()
	over, gone := make(chan struct{}), errors.New("gone")
	ctx, cancel := Until(t.Context(), over, func() error { return gone })
	if ctx.Err() != nil {
		t.Fatalf("the context has ended before its time: %v", context.Cause(ctx))
	}
	close(over)
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), gone) {
		t.Errorf("cause = %v, want %v", context.Cause(ctx), gone)
	}
	cancel()

	ctx, cancel = Until(t.Context(), make(chan struct{}), func() error { return gone })
	cancel()
	if !errors.Is(context.Cause(ctx), context.Canceled) {
		t.Errorf("cause after cancel = %v, want %v", context.Cause(ctx), context.Canceled)
	}
}

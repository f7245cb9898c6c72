// Package background runs a function beside its caller. It knows nothing of what the
// function does.
package background

import "context"

// Start calls f in a goroutine of its own and returns at once. The context that f gets has
// the values of ctx and ends with it; pass context.WithoutCancel(ctx) where f is to outlive
// ctx. stop ends that context and waits until f has returned. What f wrote can be read then.
// Every start needs its stop, and a second stop does no harm.
func Start(ctx context.Context, f func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// Until returns a context that also ends, with the cause, when over is closed. The caller
// calls cancel when it needs the context no more.
func Until(ctx context.Context, over <-chan struct{}, cause func() error) (_ context.Context, cancel func()) {
	ctx, end := context.WithCancelCause(ctx)
	stop := Start(ctx, func(ctx context.Context) {
		select {
		case <-over:
			end(cause())
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		stop()
		end(nil)
	}
}

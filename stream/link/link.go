// Package link makes requests that end when their connection is lost. The client library
// would wait for the reply until its time limit, though it cannot come any more. The package
// does not know what is requested.
package link

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// Queue is the option of a connection that has each page of answers wait in a queue of about
// its own size, twice the 512 messages that a page has. The client library makes one of half a
// megabyte for each page otherwise, which is a third of what a look at a run costs.
func Queue() nats.Option { return nats.SyncQueueLen(1024) }

// ErrLost says that the connection went away before the reply came. Whether the server did
// what it was asked is not known.
var ErrLost = errors.New("connection lost before the reply")

// Once makes one request and returns an error that wraps ErrLost as soon as the
// connection is lost.
func Once[T any](ctx context.Context, nc *nats.Conn, request func(ctx context.Context) (T, error)) (T, error) {
	lost := nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	defer nc.RemoveStatusListener(lost)
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-lost:
			cancel(ErrLost)
		case <-done:
		}
	}()
	v, err := request(limited)
	close(done)
	<-watched
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(limited), ErrLost) {
		return v, fmt.Errorf("%w: %w", ErrLost, err)
	}
	return v, err
}

// Repeat makes a request, and makes it again whenever the connection comes back after a loss.
// The request must be harmless when it is made twice.
func Repeat[T any](ctx context.Context, nc *nats.Conn, request func(ctx context.Context) (T, error)) (T, error) {
	for {
		v, err := Once(ctx, nc, request)
		if !errors.Is(err, ErrLost) {
			return v, err
		}
		if connected(ctx, nc) != nil {
			return v, err
		}
	}
}

// connected waits until there is a connection. It returns an error if ctx is done or if the
// connection was closed and will not come back.
func connected(ctx context.Context, nc *nats.Conn) error {
	changed := nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(changed)
	for {
		switch {
		case nc.IsConnected():
			return nil
		case nc.IsClosed():
			return nats.ErrConnectionClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

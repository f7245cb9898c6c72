// Package link is about requests whose reply went down with the connection: the
// client waits for it for the whole of its time limit, though it cannot come any
// more. It knows connections, not what is asked over them.
package link

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

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

// Repeat makes a request that does no harm when it is made twice, and makes it
// again whenever the connection comes back after a loss.
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

// connected waits until the connection stands. It returns an error if ctx is done
// or the connection was closed for good.
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

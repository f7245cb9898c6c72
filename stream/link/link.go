// Package link makes requests that end when their connection is lost, or when the server of a
// cluster that would have answered is gone. The client library would wait for the reply until its
// time limit, though it cannot come any more. The package does not know what is requested.
package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// firstTry is how long the first try of a request may take, and each next one twice as long, up to
	// mostTry. The leader of a cluster may end between a request and its answer, which then never
	// comes; a disk that is busy makes one that lives slow.
	firstTry = 2 * time.Second
	mostTry  = 16 * time.Second
	// allTries bounds all tries of one request together.
	allTries = 45 * time.Second
	// askAgain is how long a request to a cluster may be silent before it is made once more, beside the one that
	// is open. Its leader may have ended, and a next one be elected at any moment: without this a try that began
	// a moment earlier would be waited for to its end. A slow server still has the whole try to answer in.
	askAgain = 2 * time.Second
	// leaderless is the pause before a request that a cluster could not answer just then: it elects a
	// leader.
	leaderless = 250 * time.Millisecond
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

// Repeat makes a request, and makes it again whenever the connection comes back after a loss, when
// no answer has come for a while, and while a cluster has nobody to answer. The request must be
// harmless when it is made twice, also at the same time, and still be answered when its first try
// was done.
func Repeat[T any](ctx context.Context, nc *nats.Conn, request func(ctx context.Context) (T, error)) (T, error) {
	end, most := time.Now().Add(allTries), firstTry
	for {
		try, cancel := context.WithTimeout(ctx, max(most, 0))
		v, err := several(try, nc, request)
		silent := err != nil && try.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case errors.Is(err, ErrLost):
			if connected(ctx, nc) != nil {
				return v, err
			}
			end, most = time.Now().Add(allTries), firstTry
			continue
		case silent:
			most = min(2*most, mostTry)
		case err != nil && ctx.Err() == nil && Clustered(nc) && passing(err):
			select {
			case <-time.After(leaderless):
			case <-ctx.Done():
				return v, err
			}
		default:
			return v, err
		}
		left := time.Until(end)
		if left <= 0 {
			return v, err
		}
		most = min(most, left)
	}
}

// several makes one request, and to a cluster the same again beside it whenever no answer has come for a while. The
// first answer counts. No request is open any more when it returns.
func several[T any](ctx context.Context, nc *nats.Conn, request func(ctx context.Context) (T, error)) (T, error) {
	if !Clustered(nc) {
		return Once(ctx, nc, request)
	}
	type answer struct {
		v   T
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	var open sync.WaitGroup
	defer open.Wait()
	defer cancel()
	first := make(chan answer, 1)
	ask := func() {
		open.Go(func() {
			v, err := Once(ctx, nc, request)
			select {
			case first <- answer{v, err}:
			default: // another was sooner
			}
		})
	}
	ask()
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		select {
		case a := <-first:
			return a.v, a.err
		case <-again.C:
			ask()
		}
	}
}

// Clustered reports whether the server of a connection is one of a cluster.
func Clustered(nc *nats.Conn) bool { return nc.ConnectedClusterName() != "" }

// passing reports whether err is a cluster's word that it cannot answer now, or its silence where a
// stream has no leader. It passes when one is elected.
func passing(err error) bool {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) {
		return true
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case codeNotActive, codeNotAssigned, codeNotAvailable, codeNotLeader, codeStreamOffline, codeConsumerOffline, codeTooMany, codeNotEnabled:
		return true
	default:
		return false
	}
}

// The server's codes for what a cluster cannot do at the moment.
const (
	codeNotActive       jetstream.ErrorCode = 10006
	codeNotAssigned     jetstream.ErrorCode = 10007
	codeNotAvailable    jetstream.ErrorCode = 10008
	codeNotLeader       jetstream.ErrorCode = 10009
	codeNotEnabled      jetstream.ErrorCode = 10076 // of a server whose disk is full: another one answers
	codeStreamOffline   jetstream.ErrorCode = 10118
	codeConsumerOffline jetstream.ErrorCode = 10119
	codeTooMany         jetstream.ErrorCode = 10167
)

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

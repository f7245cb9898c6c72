// Package streamtest gives tests a real JetStream: a server of their own, in the
// test's temporary directory, gone when the test ends. It is not for the binary.
package streamtest

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
)

// Leaks returns what goleak must not count against a package that stores objects. At the
// end of a put nats.go takes the channel away on which a goroutine of the put's own
// waits for the connection's end; where that has not looked for its channel yet, it waits
// for ever on none.
func Leaks() goleak.Option {
	return goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect")
}

// An Env is a server with lcbq's streams and buckets declared.
type Env struct {
	Dir    string // the server's store
	Server *embed.Server
	Conn   *nats.Conn
	JS     jetstream.JetStream
	Queue  *queue.Queue
	Store  *store.Store
}

// New starts a server of the test's own.
func New(tb testing.TB) *Env {
	tb.Helper()
	dir := tb.TempDir()
	srv, err := embed.Start(embed.Config{Dir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := srv.Close(); err != nil {
			tb.Error(err)
		}
	})
	nc, err := srv.Connect()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute)) // other tests keep the disk busy
	if err != nil {
		tb.Fatal(err)
	}
	env := &Env{Dir: dir, Server: srv, Conn: nc, JS: js, Queue: queue.New(js)}
	if err := env.Queue.Declare(tb.Context(), 1); err != nil {
		tb.Fatal(err)
	}
	if env.Store, err = store.Declare(tb.Context(), js, 1); err != nil {
		tb.Fatal(err)
	}
	return env
}

// NewBare starts a NATS server without JetStream and returns its address: one that
// lcbq has to refuse.
func NewBare(tb testing.TB) string {
	tb.Helper()
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		tb.Fatal(err)
	}
	ns.Start()
	tb.Cleanup(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	if !ns.ReadyForConnections(time.Minute) {
		tb.Fatal("the server without JetStream does not accept connections")
	}
	return ns.ClientURL()
}

// WaitFor waits until ok reports true, and fails the test after a minute.
func WaitFor(tb testing.TB, what string, ok func(ctx context.Context) (bool, error)) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok(ctx)
		if err != nil {
			tb.Fatalf("wait for %s: %v", what, err)
		}
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("wait for %s: still not after a minute", what)
		}
	}
}

// WaitEmpty waits until the stage's stream holds no message.
func (e *Env) WaitEmpty(tb testing.TB, stage stream.Stage) {
	tb.Helper()
	WaitFor(tb, stage.Stream()+" to be empty", func(ctx context.Context) (bool, error) {
		lag, err := e.Queue.Lag(ctx, stage)
		return lag.Stored == 0, err
	})
}

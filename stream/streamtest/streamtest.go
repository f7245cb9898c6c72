// Package streamtest gives tests a real JetStream: a server of their own, in the
// test's temporary directory, gone when the test ends. It is not for the binary.
package streamtest

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/link"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// Leaks returns what goleak must not count against a package that stores objects or runs servers. At the
// end of a put nats.go takes the channel away on which a goroutine of the put's own
// waits for the connection's end; where that has not looked for its channel yet, it waits
// for ever on none. A server that ends just when it makes a stream, as one of a cluster whose others have
// ended does, can leave the store of that stream open. A server that was not ended has many other goroutines.
func Leaks() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*msgBlock).flushLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
	}
}

// Main is the TestMain of a package whose tests wait for their servers for the most part:
// eight run at once, however few the processors, and none may leave a goroutine behind.
func Main(m *testing.M) {
	patience.AtOnce(8)
	goleak.VerifyTestMain(m, Leaks()...)
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
	dir := storeDir(tb)
	srv, err := embed.Start(embed.Config{Dir: dir, Open: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := srv.Close(); err != nil {
			tb.Error(err)
		}
	})
	nc, err := srv.Connect(link.Queue())
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
	return external(tb, &server.Options{}).ClientURL()
}

// NewGuarded starts a NATS server of somebody's own, with JetStream in dir, that wants a user and a
// password, and returns its HOST:PORT.
func NewGuarded(tb testing.TB, dir, user, password string) string {
	tb.Helper()
	return external(tb, &server.Options{JetStream: true, StoreDir: dir, Username: user, Password: password}).Addr().String()
}

// A Guard is how a NATS server of somebody's own knows its clients. What is not set is not asked for.
type Guard struct {
	User, Password string
	NKey           string // public key
	Token          string
	TLS            *tls.Config

	Operator *jwt.OperatorClaims
	System   string            // ID of the system account
	Accounts map[string]string // JWT by ID
}

// NewOwn starts a NATS server of somebody's own, with JetStream, and returns its HOST:PORT.
func NewOwn(tb testing.TB, g Guard) string {
	tb.Helper()
	o := &server.Options{JetStream: true, StoreDir: storeDir(tb), Authorization: g.Token}
	if g.User != "" {
		o.Users = []*server.User{{Username: g.User, Password: g.Password}}
	}
	if g.NKey != "" {
		o.Nkeys = []*server.NkeyUser{{Nkey: g.NKey}}
	}
	if g.TLS != nil {
		o.TLS, o.TLSConfig, o.TLSTimeout, o.TLSVerify = true, g.TLS, time.Minute.Seconds(), g.TLS.ClientCAs != nil
	}
	if g.Operator != nil {
		known := &server.MemAccResolver{}
		for id, text := range g.Accounts {
			if err := known.Store(id, text); err != nil {
				tb.Fatal(err)
			}
		}
		o.TrustedOperators, o.SystemAccount, o.AccountResolver = []*jwt.OperatorClaims{g.Operator}, g.System, known
	}
	return external(tb, o).Addr().String()
}

// external starts a NATS server that is not lcbq's.
func external(tb testing.TB, opts *server.Options) *server.Server {
	tb.Helper()
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog = "127.0.0.1", server.RANDOM_PORT, true, true
	ns, err := server.NewServer(opts)
	if err != nil {
		tb.Fatal(err)
	}
	ns.Start()
	tb.Cleanup(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	if !ns.ReadyForConnections(time.Minute) {
		tb.Fatal("the server does not accept connections")
	}
	return ns
}

// Serve gives the runs their consumers, as a submission does, and takes those of all
// others away.
func (e *Env) Serve(tb testing.TB, runs ...string) {
	tb.Helper()
	list := make([]queue.Run, len(runs))
	for i, id := range runs {
		list[i].ID = id
	}
	if err := e.Queue.Serve(tb.Context(), list); err != nil {
		tb.Fatal(err)
	}
}

// Consumer returns the durable consumer that serves a run at a stage, to pull from as a
// worker does.
func (e *Env) Consumer(tb testing.TB, stage stream.Stage, run string) jetstream.Consumer {
	tb.Helper()
	c, err := e.JS.Consumer(tb.Context(), stage.Stream(), queue.ConsumerName(stage, run))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

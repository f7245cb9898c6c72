package streamtest

import (
	"bytes"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Lossy connects to a server to which the first request on each of the subjects does not come, as where a cluster's leader
// ends before it has read it. Each must be made after one on another subject. The test fails if one is not made.
func Lossy(tb testing.TB, url string, subjects ...string) jetstream.JetStream {
	tb.Helper()
	l := &lossy{lose: slices.Clone(subjects)}
	nc, err := nats.Connect(url, nats.SetCustomDialer(l), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		nc.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.lose) > 0 {
			tb.Errorf("no request was made on %v", l.lose)
		}
	})
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

type lossy struct {
	mu   sync.Mutex
	lose []string
}

// Dial is how the client reaches the server.
func (c *lossy) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address) //nolint:noctx // the client's interface has none
	return &lossyConn{conn, c}, err
}

// loses reports whether what is written is lost.
func (c *lossy) loses(b []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.lose, func(subject string) bool { return bytes.Contains(b, []byte("PUB "+subject+" ")) })
	if i < 0 {
		return false
	}
	c.lose = slices.Delete(c.lose, i, i+1)
	return true
}

type lossyConn struct {
	net.Conn
	*lossy
}

func (c *lossyConn) Write(b []byte) (int, error) {
	if c.loses(b) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

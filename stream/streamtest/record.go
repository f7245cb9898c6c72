package streamtest

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
)

// A Recorder is a connection that tells what its client sends, message by message,
// before the server gets it.
type Recorder struct {
	Queue *queue.Queue
	Store *store.Store

	sent func(subject string)
}

// Record opens a connection of its own to the server. sent is called with the
// subject of everything that the client sends, requests included, in order; what
// the client did before is done when it is called, and what it does next is not.
func (e *Env) Record(tb testing.TB, sent func(subject string)) *Recorder {
	tb.Helper()
	r := &Recorder{sent: sent}
	nc, err := nats.Connect(e.Server.URL(), nats.SetCustomDialer(r))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	r.Queue = queue.New(js)
	if r.Store, err = store.Open(tb.Context(), js); err != nil {
		tb.Fatal(err)
	}
	return r
}

// Dial is how the client reaches the server.
func (r *Recorder) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address) //nolint:noctx // the client's interface has none
	if err != nil {
		return nil, err
	}
	return &recorded{Conn: c, sent: r.sent}, nil
}

type recorded struct {
	net.Conn

	mu   sync.Mutex
	sent func(subject string)
	rest []byte // of a command that is not complete yet
	skip int    // bytes of payload to come
}

func (c *recorded) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest = append(c.rest, b...)
	for c.next() {
	}
	return c.Conn.Write(b)
}

// next reads a command off what was written: lines, of which PUB and HPUB are
// followed by as many bytes as their last word says.
func (c *recorded) next() bool {
	if c.skip > 0 {
		n := min(c.skip, len(c.rest))
		c.skip, c.rest = c.skip-n, c.rest[n:]
		return n > 0
	}
	line, rest, ok := bytes.Cut(c.rest, []byte("\r\n"))
	if !ok {
		return false
	}
	c.rest = rest
	words := strings.Fields(string(line))
	if len(words) > 2 && (words[0] == "PUB" || words[0] == "HPUB") {
		if n, err := strconv.Atoi(words[len(words)-1]); err == nil {
			c.skip = n + len("\r\n")
		}
		c.sent(words[1])
	}
	return true
}

package link_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream/link"
	"github.com/lcbq/lcbq/stream/streamtest"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

// connect goes through a proxy to a service that says nothing to its first
// question and answers the others.
func connect(t *testing.T) (nc *nats.Conn, p *streamtest.Proxy, asked <-chan struct{}) {
	t.Helper()
	env := streamtest.New(t)
	questions := make(chan struct{}, 8)
	n := 0
	sub, err := env.Conn.Subscribe("question", func(m *nats.Msg) {
		if n++; n > 1 {
			if err := m.Respond([]byte("answer")); err != nil {
				t.Error(err)
			}
		}
		questions <- struct{}{}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sub.Unsubscribe(); err != nil {
			t.Error(err)
		}
	})
	if err := env.Conn.Flush(); err != nil { // the server knows it before the first question
		t.Fatal(err)
	}
	p = streamtest.NewProxy(t)
	p.Target(strings.TrimPrefix(env.Server.URL(), "nats://"))
	nc, err = nats.Connect(p.URL(), nats.Timeout(time.Minute), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, p, questions
}

// answerLimit is longer than any loss takes to be noticed, at any load.
const answerLimit = 5 * time.Minute

func ask(nc *nats.Conn) func(ctx context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, answerLimit)
		defer cancel()
		m, err := nc.RequestWithContext(ctx, "question", nil)
		if err != nil {
			return "", err
		}
		return string(m.Data), nil
	}
}

func TestLostReplies(t *testing.T) {
	t.Parallel()
	type request func(context.Context, *nats.Conn, func(context.Context) (string, error)) (string, error)
	for _, tt := range []struct {
		name    string
		request request
		want    string
		err     error
	}{
		{"once", link.Once[string], "", link.ErrLost},
		{"repeat", link.Repeat[string], "answer", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nc, p, asked := connect(t)
			go func() {
				<-asked
				p.Cut()
			}()
			began := time.Now()
			got, err := tt.request(t.Context(), nc, ask(nc))
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("request = %q, %v, want %q, %v", got, err, tt.want, tt.err)
			}
			if took := time.Since(began); took >= answerLimit {
				t.Errorf("the loss was noticed after %v, no sooner than the time limit", took)
			}
		})
	}
}

// TestRepeatEnds: neither a connection that never comes back nor one that is
// closed holds a caller that gives up.
func TestRepeatEnds(t *testing.T) {
	t.Parallel()
	nc, p, asked := connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		p.Target("")
		p.Cut()
		cancel()
	}()
	if _, err := link.Repeat(ctx, nc, ask(nc)); err == nil {
		t.Error("a request without a server was answered")
	}
	nc.Close()
	if _, err := link.Repeat(t.Context(), nc, ask(nc)); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("request on a closed connection = %v, want ErrConnectionClosed", err)
	}
}

// TestRepeatAsksAgain: where an answer does not come although the connection stays, as when the leader of a cluster
// ends, the request is made again. A caller that waits no longer is not held.
func TestRepeatAsksAgain(t *testing.T) {
	t.Parallel()
	nc, _, asked := connect(t)
	began := time.Now()
	got, err := link.Repeat(t.Context(), nc, ask(nc))
	if got != "answer" || err != nil || time.Since(began) < time.Second {
		t.Errorf("request = %q, %v after %v, want the answer to the second try", got, err, time.Since(began))
	}
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := link.Repeat(ctx, nc, func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("request of a caller that waits no longer = %v, want its time limit", err)
	}
}

// TestRepeatBesideSilence: to a cluster a request is made again while the one before is still open, because its
// leader may be another by now; and one that is answered late is not given up for the next. The request here is
// answered only while two are open, and none is left open.
func TestRepeatBesideSilence(t *testing.T) {
	t.Parallel()
	nc := streamtest.NewCluster(t).JS().Conn()
	if !link.Clustered(nc) {
		t.Fatal("the connection is not to a cluster")
	}
	var mu sync.Mutex
	open := 0
	two := make(chan struct{})
	late, err := link.Repeat(t.Context(), nc, func(ctx context.Context) (int, error) {
		mu.Lock()
		open++
		mine := open
		if open == 2 {
			close(two)
		}
		mu.Unlock()
		defer func() {
			mu.Lock()
			open--
			mu.Unlock()
		}()
		if mine == 2 {
			<-ctx.Done()
			return mine, ctx.Err()
		}
		select {
		case <-two:
			return mine, nil
		case <-ctx.Done():
			return mine, ctx.Err()
		}
	})
	if late != 1 || err != nil || open != 0 {
		t.Errorf("request = %d, %v with %d left open, want the answer to the first of two", late, err, open)
	}
}

// hello connects to something that says it is a server, of a cluster if one is named, and that answers nothing but
// pings.
func hello(t *testing.T, cluster string) *nats.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it binds, and waits for nothing
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		fmt.Fprintf(c, "INFO {\"server_id\":\"x\",\"version\":\"2.15.0\",\"headers\":true,\"max_payload\":1048576,\"cluster\":%q}\r\n", cluster)
		for lines := bufio.NewScanner(c); lines.Scan(); {
			if lines.Text() == "PING" {
				fmt.Fprintf(c, "PONG\r\n")
			}
		}
	}()
	nc, err := nats.Connect("nats://"+l.Addr().String(), nats.NoReconnect(), nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(errors.Join(err, l.Close()))
	}
	t.Cleanup(func() {
		nc.Close()
		_ = l.Close()
		<-over
	})
	return nc
}

// TestRepeatWhatPasses: what a cluster cannot answer while it elects a leader is asked again. What is wrong with the
// request is not, and a server alone is not asked again either: its word is its last.
func TestRepeatWhatPasses(t *testing.T) {
	t.Parallel()
	code := func(n jetstream.ErrorCode) error {
		return fmt.Errorf("publish: %w", &jetstream.APIError{Code: 503, ErrorCode: n})
	}
	again := []error{nats.ErrNoResponders, jetstream.ErrNoStreamResponse}
	for _, n := range []jetstream.ErrorCode{10006, 10007, 10008, 10009, 10076, 10118, 10119, 10167} {
		again = append(again, code(n))
	}
	final := []error{errors.New("no"), nats.ErrBadSubject, jetstream.ErrMsgNotFound, code(10071), code(10059), code(10074), code(0)}
	alone, one := hello(t, ""), hello(t, "three")
	for _, nc := range []*nats.Conn{alone, one} {
		for _, said := range append(append([]error{}, again...), final...) {
			passes := nc == one && slices.Contains(again, said)
			t.Run(fmt.Sprintf("%v clustered %v", said, nc == one), func(t *testing.T) {
				t.Parallel()
				tries := 0
				_, err := link.Repeat(t.Context(), nc, func(context.Context) (struct{}, error) {
					if tries++; tries == 1 {
						return struct{}{}, said
					}
					return struct{}{}, nil
				})
				if passes && (err != nil || tries != 2) || !passes && (!errors.Is(err, said) || tries != 1) {
					t.Errorf("asked %d times, %v; want another try: %v", tries, err, passes)
				}
			})
		}
	}
}

// TestRepeatIsLeft: who waits no longer is not held by a cluster that cannot answer.
func TestRepeatIsLeft(t *testing.T) {
	t.Parallel()
	nc := hello(t, "three")
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := link.Repeat(ctx, nc, func(context.Context) (struct{}, error) {
		cancel()
		return struct{}{}, nats.ErrNoResponders
	}); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("Repeat of a caller that is gone = %v, want the cluster's word", err)
	}
}

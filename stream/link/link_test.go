package link_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/stream/link"
	"github.com/lcbq/lcbq/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, streamtest.Leaks()) }

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
	p = streamtest.NewProxy(t)
	p.Target(strings.TrimPrefix(env.Server.URL(), "nats://"))
	nc, err = nats.Connect(p.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, p, questions
}

func ask(nc *nats.Conn) func(ctx context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
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
			if took := time.Since(began); took > 30*time.Second {
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

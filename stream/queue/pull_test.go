package queue_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// TestLostPullIsGivenUp has the server lose a pull, as it does when the consumer is made anew just then: the pull
// ends long before its time, and what comes for it at the last moment is not lost.
func TestLostPullIsGivenUp(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	serveRuns(t, env, queue.Run{ID: "r1"})
	c := consumerOf(t, env, "r1")
	if err := env.JS.DeleteConsumer(t.Context(), stream.Generate.Stream(), c.CachedInfo().Name); err != nil {
		t.Fatal(err)
	}
	asked := make(chan *nats.Msg, 10)
	sub, err := env.Conn.ChanSubscribe("$JS.API.CONSUMER.MSG.NEXT."+stream.Generate.Stream()+"."+c.CachedInfo().Name, asked)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	within, cancel := context.WithTimeout(t.Context(), patience.Now(20*time.Second))
	defer cancel()
	if msg, err := c.Pull(within, time.Hour); !errors.Is(err, nats.ErrTimeout) || msg != nil {
		t.Errorf("a pull that nobody answers = %v, %v, want a timeout", msg, err)
	}
	<-asked
	ctx, stop := context.WithCancel(t.Context())
	var answers sync.WaitGroup
	defer answers.Wait()
	answers.Go(func() {
		pull := <-asked
		for range 2 { // signs of life, then the unit
			m := nats.NewMsg(pull.Reply)
			m.Header.Set("Status", "100")
			_ = env.Conn.PublishMsg(m)
		}
		_ = env.Conn.Publish(pull.Reply, []byte("unit"))
		_ = env.Conn.Flush()
		stop()
	})
	if msg, err := c.Pull(ctx, time.Hour); msg == nil || string(msg.Data) != "unit" || err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("a pull that is interrupted as its unit comes = %v, %v, want the unit", msg, err)
	}
}

// TestPullWaits wants a pull that the server has to wait for a unit longer than the server may be silent.
func TestPullWaits(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	serveRuns(t, env, queue.Run{ID: "r1"})
	c := consumerOf(t, env, "r1")
	beats := make(chan *nats.Msg, 100)
	other, err := env.Server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for try := range 5 { // where nothing runs for seconds, a pull is given up although the server has it
		sub, err := other.ChanSubscribe("_INBOX.*", beats)
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Flush(); err != nil {
			t.Fatal(err)
		}
		type pulled struct {
			msg *nats.Msg
			err error
		}
		got := make(chan pulled, 1)
		go func() {
			msg, err := c.Pull(t.Context(), time.Minute)
			got <- pulled{msg, err}
		}()
		var end *pulled
		for n := 0; n < 4 && end == nil; {
			select {
			case m := <-beats:
				if m.Header.Get("Status") == "100" {
					n++
				}
			case p := <-got:
				end = &p
			}
		}
		_ = sub.Unsubscribe()
		if end != nil {
			if !errors.Is(end.err, nats.ErrTimeout) {
				t.Fatalf("Pull = %v, %v", end.msg, end.err)
			}
			continue
		}
		publishUnits(t, env, "r1", try+1)
		if p := streamtest.Receive(t, "the unit", got); p.err != nil || p.msg == nil {
			t.Errorf("Pull = %v, %v, want the unit", p.msg, p.err)
		}
		return
	}
	t.Error("no pull outlived the server's first signs of life")
}

// consumerOf returns the consumer of a run's units to be generated.
func consumerOf(t *testing.T, env *streamtest.Env, run string) queue.Consumer {
	t.Helper()
	all, err := env.Queue.Consumers(t.Context(), stream.Generate, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Run == run {
			return c
		}
	}
	t.Fatalf("no consumer of run %s", run)
	return queue.Consumer{}
}

package steer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/steer"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

// TestOrders gives orders to a worker that obeys, to one that refuses, and to those that are not there.
func TestOrders(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	now := 2
	leave, err := steer.Listen(env.Conn, stream.Evaluate, "eval0_h-1", func(o steer.Order) (steer.Answer, error) {
		if o.Drain {
			return steer.Answer{}, errors.New("not this one\nremedy")
		}
		a := steer.Answer{Before: now, Now: o.Slots, Why: "room"}
		now = o.Slots
		return a, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := steer.Ask(t.Context(), env.Conn, stream.Evaluate, "eval0_h-1", steer.Order{Slots: 24}); err != nil || got != (steer.Answer{Before: 2, Now: 24, Why: "room"}) {
		t.Errorf("Ask = %+v, %v", got, err)
	}
	if _, err := steer.Ask(t.Context(), env.Conn, stream.Evaluate, "eval0_h-1", steer.Order{Drain: true}); err == nil || err.Error() != "eval0_h-1 refuses: not this one\nremedy" {
		t.Errorf("Ask for a drain = %v", err)
	}
	for name, stage := range map[string]stream.Stage{"eval0_h-2": stream.Evaluate, "eval0_h-1": stream.Combine, "": stream.Evaluate, "a b": stream.Evaluate} {
		if _, err := steer.Ask(t.Context(), env.Conn, stage, name, steer.Order{Slots: 1}); !errors.Is(err, steer.ErrGone) {
			t.Errorf("Ask %q of %s = %v, want ErrGone", name, stage, err)
		}
	}
	leave()
	if _, err := steer.Ask(t.Context(), env.Conn, stream.Evaluate, "eval0_h-1", steer.Order{Slots: 1}); !errors.Is(err, steer.ErrGone) || now != 24 {
		t.Errorf("Ask after the end = %v, %d at once, want ErrGone and 24", err, now)
	}
}

// TestNonsense wants orders that say nothing, or too much, refused by who gives them and by who hears them.
func TestNonsense(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	leave, err := steer.Listen(env.Conn, stream.Evaluate, "e", func(o steer.Order) (steer.Answer, error) {
		t.Errorf("obeyed %+v", o)
		return steer.Answer{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	for _, o := range []steer.Order{{}, {Slots: -1}, {Slots: steer.Most + 1}, {Slots: 1, Auto: true}, {Auto: true, Drain: true}} {
		if _, err := steer.Ask(t.Context(), env.Conn, stream.Evaluate, "e", o); err == nil {
			t.Errorf("%+v was not refused", o)
		}
	}
	for _, body := range []string{"", "{", `{"slots":-3}`, `{"slots":1,"drain":true}`, `{}`} {
		msg, err := env.Conn.Request("lcbq_steer.evaluate.e", []byte(body), time.Minute)
		if err != nil || !strings.Contains(string(msg.Data), `"refused"`) {
			t.Errorf("%q was answered %v, %v", body, msg, err)
		}
	}
}

// TestOrdersThatAreLeft gives orders to a worker that looks for them, and to those that do not.
func TestOrdersThatAreLeft(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	w := store.Worker{Stage: stream.Evaluate, Name: "eval0_h-1", Started: 1000, OrdersAt: "mine"}
	me := w
	beat := func(w store.Worker) {
		if err := env.Store.PutWorker(t.Context(), w); err != nil {
			t.Error(err)
		}
	}
	beat(w)
	beat(store.Worker{Stage: stream.Evaluate, Name: "eval0_h-2"})
	obeyed := make(chan steer.Order, 10)
	stop := during(t, func(ctx context.Context) {
		steer.Follow(ctx, env.Store, &me, 0, func(o steer.Order) (steer.Answer, error) {
			obeyed <- o
			if o.Drain {
				return steer.Answer{}, errors.New("not this one\x1b[2J")
			}
			return steer.Answer{Before: 2, Now: o.Slots, Why: "room"}, nil
		}, func(o store.Obeyed) {
			w.Obeyed = &o
			beat(w)
		})
	})
	defer stop()
	if got, err := steer.Leave(t.Context(), env.Store, w.Stage, w.Name, steer.Order{Slots: 24}); err != nil || got != (steer.Answer{Before: 2, Now: 24, Why: "room"}) {
		t.Errorf("Leave = %+v, %v", got, err)
	}
	if _, err := steer.Leave(t.Context(), env.Store, w.Stage, w.Name, steer.Order{Drain: true}); err == nil || err.Error() != "eval0_h-1 refuses: not this one?[2J" {
		t.Errorf("Leave for a drain = %v", err)
	}
	if n := len(obeyed); n != 2 {
		t.Errorf("%d orders were obeyed, want 2", n)
	}
	for name, stage := range map[string]stream.Stage{"eval0_h-2": stream.Evaluate, "eval0_h-1": stream.Combine, "eval0_h-3": stream.Evaluate, "a b": stream.Evaluate} {
		if _, err := steer.Leave(t.Context(), env.Store, stage, name, steer.Order{Slots: 1}); !errors.Is(err, steer.ErrGone) {
			t.Errorf("Leave for %q of %s = %v, want ErrGone", name, stage, err)
		}
	}
	if _, err := steer.Leave(t.Context(), env.Store, w.Stage, w.Name, steer.Order{}); err == nil {
		t.Error("an order that says nothing was left")
	}
	// A worker that starts to look again does not obey what it has obeyed.
	_, last, err := env.Store.Order(t.Context(), &me)
	if err != nil || w.Obeyed.Order != last {
		t.Fatalf("order %d, %v; the heartbeat says %d", last, err, w.Obeyed.Order)
	}
	stop()
	next := make(chan steer.Order, 10)
	defer during(t, func(ctx context.Context) {
		steer.Follow(ctx, env.Store, &me, last, func(o steer.Order) (steer.Answer, error) {
			next <- o
			return steer.Answer{}, nil
		}, func(o store.Obeyed) {
			w.Obeyed = &o
			beat(w)
		})
	})()
	if _, err := steer.Leave(t.Context(), env.Store, w.Stage, w.Name, steer.Order{Auto: true}); err != nil {
		t.Errorf("Leave = %v", err)
	}
	if o := <-next; !o.Auto || len(next) > 0 {
		t.Errorf("it obeyed %+v again", o)
	}
}

// TestOrdersAreOfOneProcess: a worker that begins under the name of one that was told to end, as in a container, obeys
// nothing that was left for that one; and nobody waits for an answer of the one that is gone.
func TestOrdersAreOfOneProcess(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	first := store.Worker{Stage: stream.Evaluate, Name: "eval0_box-1", Started: 1000, OrdersAt: "mine"}
	second := first
	second.Started = 2000
	if err := env.Store.PutWorker(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go func() {
		_, err := steer.Leave(t.Context(), env.Store, first.Stage, first.Name, steer.Order{Drain: true})
		told <- err
	}()
	streamtest.WaitFor(t, "the order", func(ctx context.Context) (bool, error) {
		_, _, err := env.Store.Order(ctx, &first)
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	})
	if err := env.Store.PutWorker(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if err := streamtest.Receive(t, "an answer for whoever told the first to end", told); err != nil {
		t.Errorf("Leave for a drain = %v, want it done: that one has ended", err)
	}
	if _, _, err := env.Store.Order(t.Context(), &second); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the second process finds an order: %v, want ErrNotFound", err)
	}
	other := second
	other.OrdersAt = "another's"
	if _, _, err := env.Store.Order(t.Context(), &other); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("under another token's name there is an order: %v, want ErrNotFound", err)
	}
}

// during calls f until the returned function is called, which waits for it.
func during(t *testing.T, f func(ctx context.Context)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// Package steer carries orders to workers that live and their answers. An order goes by a plain
// request, which no stream keeps: it is for the worker that hears it now, and a worker that starts
// later knows nothing of it. A worker in an account of its own hears no requests, so that nobody who holds a
// token of its role hears them or answers in its name: an order is left for it in the store, where it looks,
// and its heartbeats answer. The package does not know how a worker obeys.
package steer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// An Order is what a worker is to do. Exactly one field is set.
type Order struct {
	Slots int  `json:"slots,omitempty"` // programs at once, 1 or more
	Auto  bool `json:"auto,omitempty"`  // as many programs at once as it began with
	Drain bool `json:"drain,omitempty"` // finish what is in hand and end
}

// Most is how many programs at once may be ordered.
const Most = 1024

// Check refuses an order that says nothing, or two things.
func (o Order) Check() error {
	said := 0
	for _, is := range []bool{o.Slots != 0, o.Auto, o.Drain} {
		if is {
			said++
		}
	}
	switch {
	case said != 1:
		return fmt.Errorf("order says %d things, want one", said)
	case o.Slots < 0 || o.Slots > Most:
		return fmt.Errorf("order wants %d programs at once: want 1 to %d", o.Slots, Most)
	}
	return nil
}

// An Answer is what a worker did.
type Answer struct {
	Before int    `json:"before"`        // programs at once
	Now    int    `json:"now"`           // the same, after the order
	Why    string `json:"why,omitempty"` // it did less than was ordered
}

// reply is an answer or why there is none.
type reply struct {
	Answer

	Refused string `json:"refused,omitempty"`
}

// ErrGone says that no worker with the name hears orders.
var ErrGone = errors.New("no worker of this name hears orders: it has ended, or it, its token or the server is of an older lcbq")

// subject is where a worker of a stage hears its orders. No stream has it.
func subject(stage stream.Stage, worker string) string {
	return "lcbq_steer." + string(stage) + "." + worker
}

// Ask gives one order to one worker and returns what it did. It waits for the answer until ctx is done.
func Ask(ctx context.Context, nc *nats.Conn, stage stream.Stage, worker string, o Order) (Answer, error) {
	if err := o.Check(); err != nil {
		return Answer{}, err
	}
	body, err := json.Marshal(o)
	if err != nil {
		return Answer{}, fmt.Errorf("encode order: %w", err)
	}
	msg, err := nc.RequestWithContext(ctx, subject(stage, worker), body)
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrBadSubject):
		return Answer{}, fmt.Errorf("order to %s: %w", worker, ErrGone)
	case err != nil:
		return Answer{}, fmt.Errorf("order to %s: %w", worker, err)
	}
	return read(worker, msg.Data)
}

// read returns what a worker says that it did.
func read(worker string, text []byte) (Answer, error) {
	var r reply
	if err := json.Unmarshal(text, &r); err != nil {
		return Answer{}, fmt.Errorf("read answer of %s: %w", worker, err)
	}
	r.Why = plain(r.Why)
	if r.Refused != "" {
		return r.Answer, fmt.Errorf("%s refuses: %s", worker, plain(r.Refused))
	}
	return r.Answer, nil
}

// plain returns what a worker says, which may be a stranger's, as text for a terminal.
func plain(text string) string {
	const most = 500
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' {
			return r
		}
		return '?'
	}, text)
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

// followEvery is how often a worker looks for an order, and whoever left one for an answer.
const (
	followEvery = 2 * time.Second
	answerEvery = 300 * time.Millisecond
)

// Leave leaves one order for a worker that does not hear requests, and returns what it did. It waits for the answer
// until ctx is done.
func Leave(ctx context.Context, s *store.Store, stage stream.Stage, worker string, o Order) (Answer, error) {
	if err := o.Check(); err != nil {
		return Answer{}, err
	}
	body, err := json.Marshal(o)
	if err != nil {
		return Answer{}, fmt.Errorf("encode order: %w", err)
	}
	number := uint64(0)
	var to store.Worker // to whom the order went
	for {
		all, err := s.Workers(ctx)
		if err != nil {
			return Answer{}, fmt.Errorf("order to %s: %w", worker, err)
		}
		i := slices.IndexFunc(all, func(w store.Worker) bool {
			return w.Stage == stage && w.Name == worker && (number == 0 || w.Started == to.Started)
		})
		switch {
		case i < 0 && number > 0 && o.Drain: // it has ended
			return Answer{}, nil
		case i < 0, all[i].OrdersAt == "":
			return Answer{}, fmt.Errorf("order to %s: %w", worker, ErrGone)
		case number == 0:
			to = all[i]
			number, err = s.PutOrder(ctx, &to, body)
			if errors.Is(err, store.ErrNotFound) {
				return Answer{}, fmt.Errorf("order to %s: %w", worker, ErrGone)
			}
			if err != nil {
				return Answer{}, fmt.Errorf("order to %s: %w", worker, err)
			}
		case all[i].Obeyed == nil || all[i].Obeyed.Order < number:
		case all[i].Obeyed.Order > number:
			return Answer{}, fmt.Errorf("order to %s: another order came after it", worker)
		default:
			return read(worker, all[i].Obeyed.Reply)
		}
		select {
		case <-time.After(answerEvery):
		case <-ctx.Done():
			return Answer{}, fmt.Errorf("order to %s: no answer: %w", worker, ctx.Err())
		}
	}
}

// Follow has obey carry out the orders that are left for a worker, one after the other, until ctx is done. Those up to
// the number done are old. answer says in the worker's heartbeats what came of one.
func Follow(ctx context.Context, s *store.Store, w *store.Worker, done uint64, obey func(Order) (Answer, error), answer func(store.Obeyed)) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		if body, number, err := s.Order(ctx, w); err == nil && number > done { // what fails is asked again
			done = number
			answer(store.Obeyed{Order: number, Reply: carry(body, obey)})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// carry has an order carried out and returns the answer.
func carry(body []byte, obey func(Order) (Answer, error)) []byte {
	var o Order
	var r reply
	err := json.Unmarshal(body, &o)
	if err == nil {
		err = o.Check()
	}
	if err == nil {
		r.Answer, err = obey(o)
	}
	if err != nil {
		r.Refused = err.Error()
	}
	text, err := json.Marshal(r)
	if err != nil { // of numbers and texts: never
		panic(err)
	}
	return text
}

// Listen has obey carry out the orders for a worker, one after the other, until the returned
// function is called. An error of obey goes to whoever gave the order.
func Listen(nc *nats.Conn, stage stream.Stage, worker string, obey func(Order) (Answer, error)) (leave func(), err error) {
	sub, err := nc.Subscribe(subject(stage, worker), func(msg *nats.Msg) {
		_ = msg.Respond(carry(msg.Data, obey)) // who asked may be gone; what was done shows in the heartbeat
	})
	if err != nil {
		return nil, fmt.Errorf("listen for orders to %s: %w", worker, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil // fails only with the connection
}

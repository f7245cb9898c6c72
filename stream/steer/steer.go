// Package steer carries orders to workers that live and their answers. An order goes by a plain
// request, which no stream keeps: it is for the worker that hears it now, and a worker that starts
// later knows nothing of it. The package does not know how a worker obeys.
package steer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/stream"
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
var ErrGone = errors.New("no worker of this name hears orders: it has ended, works with a token of a role, or is of an older lcbq")

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
	var r reply
	if err := json.Unmarshal(msg.Data, &r); err != nil {
		return Answer{}, fmt.Errorf("read answer of %s: %w", worker, err)
	}
	if r.Refused != "" {
		return r.Answer, fmt.Errorf("%s refuses: %s", worker, r.Refused)
	}
	return r.Answer, nil
}

// Listen has obey carry out the orders for a worker, one after the other, until the returned
// function is called. An error of obey goes to whoever gave the order.
func Listen(nc *nats.Conn, stage stream.Stage, worker string, obey func(Order) (Answer, error)) (leave func(), err error) {
	sub, err := nc.Subscribe(subject(stage, worker), func(msg *nats.Msg) {
		var o Order
		var r reply
		err := json.Unmarshal(msg.Data, &o)
		if err == nil {
			err = o.Check()
		}
		if err == nil {
			r.Answer, err = obey(o)
		}
		if err != nil {
			r.Refused = err.Error()
		}
		if body, err := json.Marshal(r); err == nil {
			_ = msg.Respond(body) // who asked may be gone; what was done shows in the heartbeat
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listen for orders to %s: %w", worker, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil // fails only with the connection
}

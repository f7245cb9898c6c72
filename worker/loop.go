// Package worker is the part of every lcbq worker that is the same: it pulls a
// unit, hands it to a Handler, settles it, and drains when told to stop. It does
// not know what a unit's work is: generate, evaluate and combine do.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
)

// ErrDrained is the cancellation cause that a handler sees when the grace period
// ended before it did. Its unit goes back at once, to a worker that stays; so does one
// whose handler returns it, because it had not begun when the end came.
var ErrDrained = errors.New("shutdown grace period over")

// ErrUnfit marks a worker that must not serve the unit it was given, nor any
// other: its environment is not the run's. The unit goes back at once, and Run
// ends with the error, so that the unit is not handed to the same worker again
// until it counts as dead.
var ErrUnfit = errors.New("worker is unfit for the run")

// A Message is one delivery of a unit.
type Message struct {
	Unit       stream.Unit
	Body       []byte
	Deliveries uint64 // how often the unit was handed out, this time included
}

// A Handler does the work of one message. Its error settles the message: nil acks
// it; one that wraps stream.ErrPoison or queue.ErrTooLarge gives the unit up; any
// other asks for another try, later. A Handler must publish its output before it
// returns nil, and must return soon after ctx is done.
type Handler func(ctx context.Context, msg Message) error

// A Loop pulls units of one stage and handles up to Slots at a time.
type Loop struct {
	Stage  stream.Stage
	Queue  *queue.Queue
	Handle Handler
	Serves func(ctx context.Context, run string) (bool, error) // whether this worker can do the run's units; nil for all
	Slots  int                                                 // units in flight; at least 1
	Gate   *Gate                                               // for units in flight, where their number changes; nil for Slots at all times
	Grace  time.Duration                                       // how long handlers may go on once Run's ctx is done
	Pulse  *Pulse
	Log    *slog.Logger

	stop context.CancelCauseFunc // set by Run before any handler starts
}

// Run pulls and handles until ctx is done, then stops pulling, waits up to Grace, or
// until the Hurry that ctx carries is called, for the handlers, cancels those still
// running, and waits for them. It returns nil after such a shutdown, and an error if
// the connection was closed for good or a handler returned ErrUnfit. No goroutine
// outlives it.
func (l *Loop) Run(ctx context.Context) error {
	hurried := Hurried(ctx)
	ctx, l.stop = context.WithCancelCause(ctx)
	defer l.stop(nil)
	// Two contexts: ctx ends the pulling, work ends the handling. One context for
	// both would kill every unit in flight at the first SIGTERM.
	work, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)

	var flight sync.WaitGroup
	err := l.pull(ctx, work, &flight)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		flight.Wait()
	}()
	t := time.NewTimer(l.Grace)
	defer t.Stop()
	select {
	case <-drained:
	case <-t.C:
	case <-hurried:
	}
	kill(ErrDrained)
	<-drained
	if cause := context.Cause(ctx); err == nil && errors.Is(cause, ErrUnfit) {
		return cause
	}
	return err
}

// pull hands messages to handlers until ctx is done or the connection is closed.
func (l *Loop) pull(ctx, work context.Context, flight *sync.WaitGroup) error {
	gate := l.Gate
	if gate == nil {
		gate = NewGate(l.Slots)
	}
	pull := puller{loop: l}
	for {
		if !gate.Enter(ctx) {
			return nil
		}
		// A slot first, a message second: a message pulled ahead of its slot
		// would spend its ack wait in our memory.
		msg, err := pull.next(ctx)
		if ctx.Err() != nil {
			if msg != nil { // it came with the interruption
				_ = msg.Nak() // best effort: it comes again after the ack wait
			}
			return nil // the pull was interrupted, as asked
		}
		if err != nil {
			return err
		}
		beat := pull.beat
		flight.Go(func() {
			defer gate.Leave()
			l.handle(work, msg, beat)
		})
	}
}

// handle works on one message and settles it. Settling uses no context of the
// work's: work that is done must be acked however late it is.
func (l *Loop) handle(ctx context.Context, msg jetstream.Msg, interval time.Duration) {
	log := l.Log.With("subject", msg.Subject())
	beat := time.NewTicker(interval)
	defer beat.Stop()
	done := make(chan error, 1)
	m, err := read(msg)
	if m.Deliveries > 1 {
		log.Debug("unit was handed out before", "deliveries", m.Deliveries)
	}
	go func() {
		if err == nil {
			err = l.Handle(ctx, m)
		}
		done <- err
	}()
	for {
		select {
		case <-beat.C:
			if err := msg.InProgress(); err != nil {
				log.Warn("progress signal lost", "err", err)
			}
		case err := <-done:
			l.settle(ctx, log, msg, m, err)
			return
		}
	}
}

// read takes a delivery apart.
func read(msg jetstream.Msg) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, fmt.Errorf("read delivery of %s: %w", msg.Subject(), err)
	}
	m := Message{Body: msg.Data(), Deliveries: meta.NumDelivered}
	if _, m.Unit, err = stream.ParseSubject(msg.Subject()); err != nil {
		return m, fmt.Errorf("%w: %w", stream.ErrPoison, err)
	}
	return m, nil
}

// settleWait bounds what settling may wait for: burying a unit is one publish.
const settleWait = 30 * time.Second

// settle tells the server what became of msg. A failure to tell it is logged and
// no more: the unit comes again, and its output is found.
func (l *Loop) settle(ctx context.Context, log *slog.Logger, msg jetstream.Msg, m Message, err error) {
	var serr error
	switch {
	case err == nil:
		l.Pulse.units.Add(1)
		serr = msg.Ack()
	case errors.Is(err, ErrCancelled):
		log.Debug("unit dropped", "err", err)
		serr = msg.Ack()
	case errors.Is(err, ErrUnfit):
		serr = msg.Nak()
		l.stop(err)
	case ctx.Err() != nil, errors.Is(err, ErrDrained):
		log.Info("unit given back", "err", err)
		serr = msg.Nak() // at once: others are waiting for work
	case errors.Is(err, stream.ErrPoison), errors.Is(err, queue.ErrTooLarge), m.Deliveries >= queue.MaxDeliver:
		l.Pulse.faults.Add(1)
		log.Error("unit given up", "err", err, "deliveries", m.Deliveries)
		serr = l.bury(ctx, msg, m, err)
	default:
		l.Pulse.faults.Add(1)
		pause := retryPause(m.Deliveries)
		log.Warn("unit failed, it will be tried again", "err", err, "deliveries", m.Deliveries, "retry_in", pause)
		serr = msg.NakWithDelay(pause)
	}
	if serr != nil {
		log.Warn("unit not settled, it will come again", "err", serr)
	}
}

// bury moves the unit to the dead ones. The dead letter is stored before the unit
// leaves its queue; a crash between the two buries it twice, which is once.
func (l *Loop) bury(ctx context.Context, msg jetstream.Msg, m Message, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
	defer cancel()
	d := stream.Dead{
		Subject: msg.Subject(), Reason: stream.Exhausted, Error: cause.Error(), Worker: l.Pulse.Name(),
		Deliveries: m.Deliveries, At: time.Now().UnixMilli(), Body: msg.Data(),
	}
	switch {
	case errors.Is(cause, stream.ErrPoison):
		d.Reason = stream.Poison
	case errors.Is(cause, queue.ErrTooLarge):
		d.Reason = stream.TooLarge
	}
	if err := l.Queue.Bury(ctx, d); err != nil {
		return err
	}
	// Acked, not terminated: an advisory of a termination is then always about
	// another program's.
	return msg.Ack()
}

// retryPause grows from one second to a minute: a fault that a second cures costs
// a second, one that needs a person is not asked about a thousand times.
func retryPause(deliveries uint64) time.Duration {
	return min(time.Second<<min(deliveries-1, 6), time.Minute)
}

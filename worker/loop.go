// Package worker is the part of every lcbq worker that is the same: it pulls a
// unit, hands it to a Handler, settles it, and drains when told to stop. It does
// not know what a unit's work is: generate, evaluate and combine do.
package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
)

// ErrDrained is the cancellation cause that a handler sees when the grace period ends
// before the handler does. Its unit goes back to the queue at once. So does the unit of a
// handler that returns ErrDrained because it had not begun when the drain did.
var ErrDrained = errors.New("shutdown grace period over")

// ErrUnfit marks a worker that must not serve the unit it was given, nor any
// other: its environment is not the run's. The unit goes back at once, and Run
// ends with the error. Otherwise the same worker would get the unit again and again
// until it counts as dead.
var ErrUnfit = errors.New("worker is unfit for the run")

// ErrHalt marks work that cannot go on until a person acts: the server that it needs
// refuses everything, or answers nothing. The unit and all others in hand go back at
// once, and Run ends with the error.
var ErrHalt = errors.New("work cannot go on")

// A Message is one delivery of a unit.
type Message struct {
	Unit       stream.Unit
	Body       []byte
	Deliveries uint64    // how often the unit was handed out, this time included
	Since      time.Time // when it came to this worker: older units come first
	Sequence   uint64    // of the message in its stream
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
	// Serves returns nil if this worker can do the run's units, and otherwise an error that
	// wraps ErrUnfit: the run is left to other workers. A nil Serves serves every run.
	Serves func(ctx context.Context, run string) error
	Slots  int           // units in flight; at least 1
	Gate   Door          // limits the units in flight instead of Slots, where that number changes; may be nil
	Grace  time.Duration // how long handlers may go on once Run's ctx is done
	Hurry  *Hurry        // cuts Grace short; may be nil
	Pulse  *Pulse
	Log    *slog.Logger

	// Samples returns how many samples a unit holds, for the log; nil if nobody knows.
	Samples func(u stream.Unit) int
	// Again says in the log what happens again to units that are given back: "generated"
	// or "judged".
	Again string

	stop  context.CancelCauseFunc // set by Run before any handler starts
	tally tally
}

// newsAfter is how long a drain may take before its log says what is waited for.
const newsAfter = 500 * time.Millisecond

// Run pulls and handles units until ctx is done. Then it stops pulling and waits for the
// handlers, up to Grace or until Hurry is called. It cancels those still running and waits
// for them. It returns nil after such a shutdown. It returns an error if the connection was
// closed and will not come back, if a handler returned ErrUnfit or ErrHalt, or if Serves
// refuses every run that is there at the start. No goroutine outlives it.
func (l *Loop) Run(ctx context.Context) error {
	hurried := l.Hurry.Wait()
	ctx, l.stop = context.WithCancelCause(ctx)
	defer l.stop(nil)
	// Two contexts: ctx ends the pulling, work ends the handling. One context for
	// both would kill every unit in flight at the first SIGTERM.
	work, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)

	l.tally.samples = l.Samples
	var flight sync.WaitGroup
	err := l.pull(ctx, work, &flight)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		flight.Wait()
	}()
	t := time.NewTimer(l.Grace)
	defer t.Stop()
	// A run's natural end leaves little in hand for a moment, and is no news.
	say := time.NewTimer(newsAfter)
	defer say.Stop()
	for draining := true; draining; {
		select {
		case <-say.C:
			hand := l.tally.inHand()
			says := []any{"stage", l.Stage, "units", hand.units}
			if l.Samples != nil {
				says = append(says, "samples", hand.samples)
			}
			l.Log.Info("finishing what is in hand; what is not done within the grace is given back", append(says, "grace", l.Grace.String())...)
			continue
		case <-drained:
		case <-t.C:
		case <-hurried:
		case <-halted(ctx):
		}
		draining = false
	}
	kill(ErrDrained)
	<-drained
	if back := l.tally.givenBack(); back.units > 0 {
		l.Log.Info("units given back", "stage", l.Stage, "units", back.units, "samples", back.samples, "will_be", cmp.Or(l.Again, "done")+" again")
	}
	if cause := context.Cause(ctx); err == nil && (errors.Is(cause, ErrUnfit) || errors.Is(cause, ErrHalt)) {
		return cause
	}
	return err
}

// halted returns a channel that is closed if ctx ended with ErrHalt, and nil if not.
func halted(ctx context.Context) <-chan struct{} {
	if errors.Is(context.Cause(ctx), ErrHalt) {
		return ctx.Done()
	}
	return nil
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
		l.Pulse.lately.wants(true, time.Now())
		msg, err := pull.next(ctx)
		l.Pulse.lately.wants(false, time.Now())
		if ctx.Err() != nil {
			if msg != nil { // it came with the interruption
				_ = msg.Nak() // best effort: it comes again after the ack wait
			}
			return nil // the pull was interrupted, as asked
		}
		if err != nil {
			return err
		}
		l.Pulse.took()
		flight.Go(func() {
			defer gate.Leave()
			defer l.Pulse.gave()
			l.handle(work, msg)
		})
	}
}

// handle works on one message and settles it. Settling uses no context of the
// work's: work that is done must be acked however late it is.
func (l *Loop) handle(ctx context.Context, msg *delivery) {
	log := l.Log.With("subject", msg.Subject)
	beat := time.NewTicker(msg.beat)
	defer beat.Stop()
	done := make(chan error, 1)
	m, err := read(msg)
	l.tally.take(m.Unit)
	defer l.tally.drop(m.Unit)
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
func read(msg *delivery) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, fmt.Errorf("read delivery of %s: %w", msg.Subject, err)
	}
	m := Message{Body: msg.Data, Deliveries: meta.NumDelivered, Since: msg.since, Sequence: meta.Sequence.Stream}
	if _, m.Unit, err = stream.ParseSubject(msg.Subject); err != nil {
		return m, fmt.Errorf("%w: %w", stream.ErrPoison, err)
	}
	return m, nil
}

// settleWait bounds what settling may wait for: burying a unit is one publish.
const settleWait = 30 * time.Second

// settle acknowledges msg or gives it back. A failure is only logged: the unit comes
// again, and its output is found.
func (l *Loop) settle(ctx context.Context, log *slog.Logger, msg *delivery, m Message, err error) {
	var serr error
	switch {
	case err == nil:
		l.Pulse.settled(m.Unit.Run)
		serr = msg.Ack()
	case errors.Is(err, ErrCancelled):
		log.Debug("unit dropped", "err", err)
		serr = msg.Ack()
	case errors.Is(err, ErrUnfit), errors.Is(err, ErrHalt):
		l.tally.giveBack(m.Unit)
		serr = msg.Nak()
		l.stop(err)
	case ctx.Err() != nil, errors.Is(err, ErrDrained):
		log.Debug("unit goes back", "err", err)
		l.tally.giveBack(m.Unit)
		serr = msg.Nak() // at once: other workers wait for units
	case errors.Is(err, stream.ErrPoison), errors.Is(err, queue.ErrTooLarge), m.Deliveries >= uint64(msg.most): //nolint:gosec // at least 1
		l.Pulse.faults.Add(1)
		log.Error("unit given up", "err", err, "deliveries", m.Deliveries)
		serr = l.bury(ctx, msg, m, err)
	default:
		l.Pulse.faults.Add(1)
		pause := retryPause(m.Deliveries)
		log.Warn("unit failed, it will be tried again", "err", err, "deliveries", m.Deliveries, "retry_in", pause.String())
		serr = msg.NakWithDelay(pause)
	}
	if serr != nil {
		log.Warn("unit not settled, it will come again", "err", serr)
	}
}

// bury moves the unit to DEAD. The dead letter is stored before the unit leaves its
// queue. A crash between the two buries the unit twice under one name, which stores it once.
func (l *Loop) bury(ctx context.Context, msg *delivery, m Message, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
	defer cancel()
	d := stream.Dead{
		Subject: msg.Subject, Reason: stream.Exhausted, Error: cause.Error(), Worker: l.Pulse.Name(),
		Deliveries: m.Deliveries, At: time.Now().UnixMilli(), Body: msg.Data,
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
	// Acknowledged, not terminated: so an advisory of a termination always comes from
	// another program.
	return msg.Ack()
}

// retryPause grows from one second to a minute. A short fault costs a second, and a
// lasting one does not flood the log.
func retryPause(deliveries uint64) time.Duration {
	return min(time.Second<<min(deliveries-1, 6), time.Minute)
}

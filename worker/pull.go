package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
)

// A puller asks the server for one message at a time, from one run's consumer after
// the other. It survives restarts of the server. One goroutine uses it.
type puller struct {
	loop   *Loop
	known  []queue.Consumer // of all runs, as last looked up
	open   []queue.Consumer // those this worker may pull from
	looked time.Time
	served bool            // a unit has been pulled
	turn   int             // index into open of the consumer that comes next
	idle   string          // why there is nothing to pull, as last logged; "" while there is something
	pause  time.Duration   // before the next attempt, while attempts fail
	warned bool            // the failing attempts have been logged
	bad    map[string]bool // runs that cannot be read and have been logged
}

// A delivery is a message with the settings of its consumer.
type delivery struct {
	*nats.Msg

	beat  time.Duration // interval of progress signals
	most  int           // deliveries that the server allows
	since time.Time     // when it came
}

// Pauses between attempts to pull while the server does not answer. The client
// reconnects by itself; this only keeps the log and the CPU quiet meanwhile.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
	// gonePause is the pause from which a missing consumer counts as a fault. Before that
	// the run may just have ended: its consumers are then removed, and pulls from them fail.
	gonePause = 500 * time.Millisecond
)

const (
	// consumersAge is how old the list of consumers may get. A worker notices a second run
	// after that time. A pull from the only consumer waits as long.
	consumersAge = 5 * time.Second
	// closedAge is the same while there is nothing to pull. A submitted or resumed run waits
	// that long for a worker.
	closedAge = time.Second
	// emptyWait is how long a pull waits when all of several consumers are empty. Then the
	// others are asked again.
	emptyWait = 500 * time.Millisecond
)

// errNothing: no message came in time.
var errNothing = errors.New("no unit is waiting")

// next returns the next message. It returns an error only when ctx is done or
// the connection is closed and will not come back.
func (p *puller) next(ctx context.Context) (*delivery, error) {
	for {
		d, err := p.try(ctx)
		switch {
		case err == nil:
			p.answered()
			p.served = true
			return d, nil
		case errors.Is(err, ErrUnfit):
			return nil, fmt.Errorf("pull from %s: %w", p.loop.Stage.Stream(), err)
		case ctx.Err() != nil:
			return d, ctx.Err()
		case errors.Is(err, nats.ErrConnectionClosed):
			return nil, fmt.Errorf("pull from %s: %w", p.loop.Stage.Stream(), err)
		case nothingYet(err):
			p.answered()
			continue
		}
		// The server restarts, or the consumers were created again.
		p.known, p.open, p.looked = nil, nil, time.Time{}
		switch gone := consumerGone(err) && p.pause < gonePause; {
		case gone && p.pause == 0:
			p.loop.Log.Debug("consumer is gone, looking for the others", "stage", p.loop.Stage, "err", err)
		case !gone && !p.warned:
			p.warned = true
			p.loop.Log.Warn("units not pulled, trying again", "stage", p.loop.Stage, "why", reason(p.loop.Stage, err), "err", err)
		}
		p.pause = min(max(firstPause, 2*p.pause), mostPause)
		if err := wait(ctx, p.pause); err != nil {
			return nil, err
		}
	}
}

// reason says what keeps a worker from pulling. Only silence means that the server does
// not answer. A refusal has its own words.
func reason(stage stream.Stage, err error) string {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, queue.ErrNotDeclared) && stage == stream.Lent:
		return "nobody lends units here yet: 'lcbq evaluate --lend' on the server's machine does"
	case errors.Is(err, queue.ErrNotDeclared):
		return "a stream of lcbq's is gone from the server: 'lcbq submit' of the same run makes it anew"
	case errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrConsumerNotFound):
		return "the consumers of runs are made anew, or were removed: looking for them"
	case errors.As(err, &api), errors.Is(err, store.ErrUnreadable):
		return "the server refuses"
	default:
		return "server does not answer, waiting for it"
	}
}

// answered resets the pause: an attempt has succeeded.
func (p *puller) answered() {
	if p.warned {
		p.loop.Log.Info("pulling again", "stage", p.loop.Stage)
	}
	p.pause, p.warned = 0, false
}

// try asks the consumers in turn for one unit each. So every run gets the same number of
// turns, however many units it has waiting.
func (p *puller) try(ctx context.Context) (*delivery, error) {
	if err := p.look(ctx); err != nil {
		return nil, err
	}
	switch len(p.open) {
	case 0:
		if err := wait(ctx, closedAge); err != nil {
			return nil, err
		}
		return nil, errNothing
	case 1:
		return pull(ctx, p.open[0], consumersAge)
	}
	for range p.open {
		c := p.open[p.turn%len(p.open)]
		p.turn++
		if d, err := pull(ctx, c, 0); err == nil || !nothingYet(err) || ctx.Err() != nil {
			return d, err
		}
	}
	return pull(ctx, p.open[p.turn%len(p.open)], emptyWait)
}

// pull returns a message also with ctx's error, if it came with the interruption.
func pull(ctx context.Context, c queue.Consumer, most time.Duration) (*delivery, error) {
	msg, err := c.Pull(ctx, most)
	if msg == nil {
		return nil, err
	}
	return &delivery{Msg: msg, beat: c.Beat(), most: cmp.Or(max(c.MaxDeliver, 0), queue.MaxDeliver), since: time.Now()}, err
}

// look refreshes the list of consumers when it is too old.
func (p *puller) look(ctx context.Context) error {
	old := consumersAge
	if len(p.open) == 0 {
		old = closedAge
	}
	if !p.looked.IsZero() && time.Since(p.looked) < old {
		return nil
	}
	known, err := p.loop.Queue.Consumers(ctx, p.loop.Stage, p.known)
	if err != nil {
		return err
	}
	var open []queue.Consumer
	paused := 0
	var unfit []error
	for _, c := range known {
		err := p.serves(ctx, c.Run)
		switch {
		case c.Paused:
			paused++
		case err == nil:
			open = append(open, c)
		case errors.Is(err, ErrUnfit):
			unfit = append(unfit, err)
		case errors.Is(err, errLeaveAlone):
		default:
			return err
		}
	}
	if len(open)+paused == 0 && len(unfit) > 0 && !p.served {
		return errors.Join(unfit...) // the worker was just started: its user must see why it cannot work
	}
	p.known, p.open, p.looked = known, open, time.Now()
	idle := ""
	switch {
	case len(open) > 0:
	case len(known) == 0:
		idle = "no run is there yet, or all have ended"
	case len(unfit) > 0:
		idle = fmt.Sprintf("%d runs are paused, %d want another worker: %v", paused, len(unfit), unfit[0])
	default:
		idle = fmt.Sprintf("%d runs are paused", paused)
	}
	switch was := p.idle; {
	case idle == was:
	case idle != "":
		p.loop.Log.Info("nothing to pull, waiting", "stage", p.loop.Stage, "why", idle)
	default:
		p.loop.Log.Info("pulling again", "stage", p.loop.Stage)
	}
	p.idle = idle
	return nil
}

// errLeaveAlone says that no worker can work for the run now.
var errLeaveAlone = errors.New("run is left alone")

// serves returns nil if this worker can do the run's units. A run whose manifest cannot
// be read is logged once and left alone. Other runs go on.
func (p *puller) serves(ctx context.Context, run string) error {
	if run == "" || p.loop.Serves == nil {
		return nil
	}
	err := p.loop.Serves(ctx, run)
	switch {
	case errors.Is(err, store.ErrUnreadable):
		if !p.bad[run] {
			p.loop.Log.Error("run is left alone: its manifest cannot be read", "run", run, "err", err)
		}
		if p.bad == nil {
			p.bad = make(map[string]bool)
		}
		p.bad[run] = true
		return errLeaveAlone
	case errors.Is(err, stream.ErrPoison): // removed since the consumers were listed
		return errLeaveAlone
	}
	return err
}

// wait waits for d or until ctx is done.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// nothingYet reports whether err only says that no message came in time.
func nothingYet(err error) bool {
	return errors.Is(err, errNothing) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages)
}

// consumerGone reports whether err says that the consumer does not exist. It may have been
// removed before the pull, which then has no responder, or while the pull waited.
func consumerGone(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, nats.ErrNoResponders)
}

package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
)

// A puller asks the server for one message at a time, from one lane after the
// other, and outlives the server's restarts.
type puller struct {
	loop   *Loop
	known  []queue.Outlet // all lanes, as last looked up
	open   []queue.Outlet // those this worker may pull from
	looked time.Time
	turn   int           // index into open of the lane that comes next
	beat   time.Duration // interval of progress signals for the message that came last
	idle   bool
	pause  time.Duration
	warned bool // of a server that does not answer, since it last did
}

// Pauses between attempts to pull while the server does not answer. The client
// reconnects by itself; this only keeps the log and the CPU quiet meanwhile.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
	// movePause is how long the pause grows before a lane that is gone is a fault: when a run
	// begins or ends, lanes are removed and made anew, and pulls end meanwhile.
	movePause = 500 * time.Millisecond
)

const (
	// laneLook is how old the list of lanes may get: how long a worker takes to
	// notice a second run. It is also how long a pull from the only lane waits.
	laneLook = 5 * time.Second
	// closedLook is the same while no lane is open: how long a resumed run waits.
	closedLook = time.Second
	// laneWait is how long a pull from one of several lanes that are all empty
	// waits before the others are asked again.
	laneWait = 500 * time.Millisecond
)

// errNothing: no message came in time.
var errNothing = errors.New("no unit is waiting")

// next returns the next message. It returns an error only when ctx is done or
// the connection is closed for good.
func (p *puller) next(ctx context.Context) (jetstream.Msg, error) {
	for {
		msg, err := p.try(ctx)
		switch {
		case err == nil:
			p.answered()
			return msg, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, nats.ErrConnectionClosed):
			return nil, fmt.Errorf("pull from %s: %w", p.loop.Stage.Stream(), err)
		case nothingYet(err):
			p.answered()
			continue
		}
		// The server restarts, or its owner made the consumers anew.
		p.known, p.open, p.looked = nil, nil, time.Time{}
		switch moving := laneGone(err) && p.pause < movePause; {
		case moving && p.pause == 0:
			p.loop.Log.Debug("lane is gone, looking for the others", "stage", p.loop.Stage, "err", err)
		case !moving && !p.warned:
			p.warned = true
			p.loop.Log.Warn("server does not answer, waiting for it", "stage", p.loop.Stage, "err", err)
		}
		p.pause = min(max(firstPause, 2*p.pause), mostPause)
		if err := wait(ctx, p.pause); err != nil {
			return nil, err
		}
	}
}

// answered ends a time in which the server did not answer.
func (p *puller) answered() {
	if p.warned {
		p.loop.Log.Info("pulling again", "stage", p.loop.Stage)
	}
	p.pause, p.warned = 0, false
}

// try asks the lanes in turn, each for one unit, so that every run gets the same
// number of turns however much it has waiting.
func (p *puller) try(ctx context.Context) (jetstream.Msg, error) {
	if err := p.look(ctx); err != nil {
		return nil, err
	}
	switch len(p.open) {
	case 0:
		if err := wait(ctx, closedLook); err != nil {
			return nil, err
		}
		return nil, errNothing
	case 1:
		return p.pull(ctx, p.open[0].Consumer, laneLook)
	}
	for range p.open {
		lane := p.open[p.turn%len(p.open)]
		p.turn++
		batch, err := lane.Consumer.FetchNoWait(1)
		if err != nil {
			return nil, err
		}
		if msg := <-batch.Messages(); msg != nil {
			p.beat = queue.BeatOf(lane.Consumer)
			return msg, nil
		}
		if err := batch.Error(); err != nil && !nothingYet(err) {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return p.pull(ctx, p.open[p.turn%len(p.open)].Consumer, laneWait)
}

func (p *puller) pull(ctx context.Context, c jetstream.Consumer, most time.Duration) (jetstream.Msg, error) {
	p.beat = queue.BeatOf(c)
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return c.Next(jetstream.FetchContext(ctx))
}

// look brings the list of lanes up to date when it is too old.
func (p *puller) look(ctx context.Context) error {
	old := laneLook
	if len(p.open) == 0 {
		old = closedLook
	}
	if !p.looked.IsZero() && time.Since(p.looked) < old {
		return nil
	}
	known, err := p.loop.Queue.Outlets(ctx, p.loop.Stage, p.known)
	if err != nil {
		return err
	}
	var open []queue.Outlet
	paused, unfit := 0, 0
	for _, o := range known {
		serves := true
		if o.Run != "" && p.loop.Serves != nil {
			if serves, err = p.loop.Serves(ctx, o.Run); err != nil && !errors.Is(err, stream.ErrPoison) {
				return err
			}
		}
		switch {
		case o.Paused:
			paused++
		case !serves:
			unfit++
		default:
			open = append(open, o)
		}
	}
	p.known, p.open, p.looked = known, open, time.Now()
	if idle := len(open) == 0; idle != p.idle {
		p.idle = idle
		if idle {
			p.loop.Log.Warn("nothing to pull: every run is paused, or wants another worker", "stage", p.loop.Stage, "paused", paused, "unfit", unfit)
		} else {
			p.loop.Log.Info("pulling again", "stage", p.loop.Stage)
		}
	}
	return nil
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

// laneGone reports whether err says that the consumer is not there, be it removed while a
// pull waited or before: then nobody hears the request.
func laneGone(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, nats.ErrNoResponders)
}

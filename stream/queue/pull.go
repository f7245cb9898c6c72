package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream/link"
)

// A server that has lost a pull, as one does that is asked just when the consumer is made anew, never answers it. So
// it is asked for a sign of life each beat, where it may wait longer than quiet, and is given up when none came for quiet.
const (
	beat  = time.Second
	quiet = 3 * time.Second
)

// lateAnswer is how long a pull may last beyond its time, and how long the answer to one that was given up may be on its
// way. A message that comes when nobody waits for it any more is handed out again after the ack wait only.
const lateAnswer = 10 * time.Second

// errQuiet says that the server gave no sign for quiet.
var errQuiet = errors.New("no sign of the server")

// lastLook bounds what an interrupted pull waits for the server to forget it.
const lastLook = time.Second

// Pull asks for one message, and lets the server wait for one as long as most, or not at all if that is 0. It returns
// jetstream.ErrNoMessages or nats.ErrTimeout if there is none. A message that was on its way when ctx ended is returned
// with ctx's error: it is the caller's to give back. When Pull has returned, the server sends nothing more for it, so
// that what the caller gives back then goes to others.
//
// The client library's own pulls wait for a late answer a tenth of their time, or a second, and may still be known to
// the server when they have returned.
func (c Consumer) Pull(ctx context.Context, most time.Duration) (*nats.Msg, error) {
	inbox := c.conn.NewInbox()
	answers := make(chan *nats.Msg, 4) // one is due
	sub, err := c.conn.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, fmt.Errorf("pull: %w", err)
	}
	info := c.CachedInfo()
	body := `{"batch":1,"no_wait":true}`
	silence := quiet
	switch {
	case most > quiet:
		body = fmt.Sprintf(`{"batch":1,"expires":%d,"idle_heartbeat":%d}`, most.Nanoseconds(), beat.Nanoseconds())
	case most > 0:
		body = fmt.Sprintf(`{"batch":1,"expires":%d}`, most.Nanoseconds())
		silence += most
	}
	if err := c.conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+info.Stream+"."+info.Name, inbox, []byte(body)); err != nil {
		return nil, errors.Join(fmt.Errorf("pull: %w", err), sub.Unsubscribe())
	}
	limited, cancel := context.WithTimeout(ctx, most+lateAnswer)
	defer cancel()
	msg, err := link.Once(limited, c.conn, func(ctx context.Context) (*nats.Msg, error) {
		return answer(ctx, answers, silence)
	})
	switch {
	case err == nil:
		_ = sub.Unsubscribe() // a connection that is closed has none
		return handedOut(msg)
	case limited.Err() == nil && !errors.Is(err, errQuiet): // the connection is lost, and the pull with it
		return nil, errors.Join(nats.ErrTimeout, sub.Unsubscribe())
	}
	last, forget := context.WithTimeout(context.WithoutCancel(ctx), lateAnswer)
	defer forget()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastLook, forget) })()
	// What the server sends before it forgets the pull comes before the answer to the flush.
	if sub.Drain() == nil && c.conn.IsConnected() && c.conn.FlushWithContext(last) == nil {
		for len(answers) > 0 {
			if late, err := handedOut(<-answers); err == nil {
				return late, ctx.Err()
			}
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, nats.ErrTimeout
}

// answer waits for the first message that is more than a sign of life, as long as one or the other comes within silence.
func answer(ctx context.Context, answers <-chan *nats.Msg, silence time.Duration) (*nats.Msg, error) {
	for {
		select {
		case msg := <-answers:
			if !isBeat(msg) {
				return msg, nil
			}
		case <-time.After(silence):
			return nil, errQuiet
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// isBeat reports whether a message only says that the server still has the pull.
func isBeat(msg *nats.Msg) bool { return len(msg.Data) == 0 && msg.Header.Get("Status") == "100" }

// handedOut returns a message, or what the server says in place of one.
func handedOut(msg *nats.Msg) (*nats.Msg, error) {
	status, says := msg.Header.Get("Status"), msg.Header.Get("Description")
	switch {
	case len(msg.Data) > 0 || status == "":
		return msg, nil
	case status == "404":
		return nil, jetstream.ErrNoMessages
	case status == "408":
		return nil, nats.ErrTimeout
	case status == "503":
		return nil, nats.ErrNoResponders
	case strings.EqualFold(says, "Consumer Deleted"):
		return nil, jetstream.ErrConsumerDeleted
	}
	return nil, fmt.Errorf("the server refuses a pull: %s %s", status, says)
}

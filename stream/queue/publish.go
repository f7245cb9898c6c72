package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/link"
)

// Publish stores v under the unit's subject at stage. It reports false if a
// message is there already, which is success: the unit's output exists. When it
// returns without error the message is on disk.
func (q *Queue) Publish(ctx context.Context, stage stream.Stage, u stream.Unit, v any) (fresh bool, err error) {
	body, err := stream.Encode(v)
	if err != nil {
		return false, fmt.Errorf("publish %s: %w: %w", u.Subject(stage), ErrEncode, err)
	}
	return q.put(ctx, stage.Stream(), u.Subject(stage), body)
}

func (q *Queue) put(ctx context.Context, streamName, subject string, body []byte) (fresh bool, err error) {
	if limit := q.js.Conn().MaxPayload(); int64(len(body)) > limit {
		return false, fmt.Errorf("publish %s: %d bytes, the server takes %d: %w\nuse a smaller --unit-size", subject, len(body), limit, ErrTooLarge)
	}
	end, err := q.room(ctx, streamName, len(body))
	if err != nil {
		if _, lost := q.last(ctx, streamName, subject); lost == nil {
			return false, nil // it needs no room
		}
		return false, fmt.Errorf("publish %s: %w", subject, err)
	}
	_, err = link.Repeat(ctx, q.js.Conn(), func(ctx context.Context) (*jetstream.PubAck, error) {
		return q.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: body},
			jetstream.WithExpectLastSequencePerSubject(0), jetstream.WithExpectStream(streamName))
	})
	end(err == nil)
	switch {
	case alreadyThere(err):
		return false, nil
	case full(err):
		return false, fmt.Errorf("publish %s: %w (%w)\n%s", subject, ErrFull, err, fullRemedy)
	case err != nil:
		return false, fmt.Errorf("publish %s: %w", subject, err)
	}
	return true, nil
}

// alreadyThere reports whether err says that the subject holds a message. Only
// the sequence check says so: the server's "maximum messages per subject" shares
// its code with a full disk.
func alreadyThere(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

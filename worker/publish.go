package worker

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
)

// Pauses between attempts to publish an output that the server does not take now.
const (
	firstRetry = 500 * time.Millisecond
	mostRetry  = 10 * time.Second
)

// Publish stores a unit's output, as queue.Publish does, and waits while the server
// has no room or does not answer: the work is done, and handing the unit back would
// only have it done again, until it counted as dead. It returns an error if ctx is
// done or no waiting would help.
func Publish(ctx context.Context, q *queue.Queue, log *slog.Logger, stage stream.Stage, u stream.Unit, v any) (fresh bool, err error) {
	waited := false
	for pause := firstRetry; ; pause = min(2*pause, mostRetry) {
		fresh, err = q.Publish(ctx, stage, u, v)
		switch {
		case err == nil:
			if waited {
				log.Info("output published after waiting", "unit", u.Subject(stage))
			}
			return fresh, nil
		case errors.Is(err, queue.ErrTooLarge), errors.Is(err, queue.ErrEncode), ctx.Err() != nil:
			return false, err
		case !waited:
			waited = true
			log.Warn("output not published, waiting: nothing is lost", "unit", u.Subject(stage), "err", err)
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)): // workers that wait for one server do not come back in step
		case <-ctx.Done():
			return false, err
		}
	}
}

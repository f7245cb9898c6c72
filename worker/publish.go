package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
)

// Pauses between attempts to publish while the server refuses or does not answer.
const (
	firstRetry = 500 * time.Millisecond
	mostRetry  = 10 * time.Second
)

// Publish stores a unit's output as queue.Publish does, and waits while the server has no
// room or does not answer. The work is done: giving the unit back would only repeat it
// until the unit counts as dead. Publish returns an error if ctx is done or if waiting
// cannot help.
//
// receipts is what the receipts of the unit's run are checked by. Where a message without the unit's receipt has its place
// Publish waits too, until the combiner, or an evaluator, has removed it.
func Publish(ctx context.Context, q *queue.Queue, log *slog.Logger, stage stream.Stage, u stream.Unit, receipts string, v any) (fresh bool, err error) {
	return (*Pulse)(nil).Publish(ctx, q, log, stage, u, receipts, v)
}

// errTaken says that a message which is none of the unit's has its place.
var errTaken = errors.New("a message without the unit's receipt has its place: somebody who was not handed the unit put it there\nit is removed when a combiner, or of completions an evaluator, looks at it")

// Publish is the function Publish, and says in heartbeats that the worker waits.
func (p *Pulse) Publish(ctx context.Context, q *queue.Queue, log *slog.Logger, stage stream.Stage, u stream.Unit, receipts string, v any) (fresh bool, err error) {
	waited := false
	for pause := firstRetry; ; pause = min(2*pause, mostRetry) {
		fresh, err = q.Publish(ctx, stage, u, v)
		if err == nil && !fresh && receipts != "" {
			var there bool
			if there, err = q.Holds(ctx, stage, u, receipts); err == nil && !there {
				err = fmt.Errorf("publish %s: %w", u.Subject(stage), errTaken)
			}
		}
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
			defer p.Waits(trouble(err))()
			log.Warn("output not published, waiting: nothing is lost", "unit", u.Subject(stage), "err", err)
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)): // workers that wait for one server do not come back in step
		case <-ctx.Done():
			return false, err
		}
	}
}

// trouble describes an output that the server does not take, for a heartbeat.
func trouble(err error) (code, text, remedy string) {
	code = store.TroubleWaits
	if errors.Is(err, queue.ErrFull) {
		code = store.TroubleDisk
	}
	text, remedy, _ = strings.Cut(err.Error(), "\n")
	return code, text, remedy
}

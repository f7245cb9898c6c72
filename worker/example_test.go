package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/worker"
)

// A worker of one's own: it takes units to generate, and publishes its output before it
// returns, so that the unit is acknowledged only when the output is stored.
func ExampleLoop() {
	generate := func(ctx context.Context, q *queue.Queue) error {
		loop := &worker.Loop{
			Stage: stream.Generate,
			Queue: q,
			Slots: 4,
			Grace: 30 * time.Second,
			Pulse: worker.NewPulse(stream.Generate, "mine", 4),
			Log:   slog.Default(),
			Handle: func(ctx context.Context, msg worker.Message) error {
				var task stream.Task
				if err := stream.Decode(msg.Body, &task); err != nil {
					return errors.Join(stream.ErrPoison, err) // no other try would help
				}
				out := stream.Batch{Unit: msg.Unit, Samples: make([]stream.Sample, task.N)}
				if _, err := q.Publish(ctx, stream.Evaluate, msg.Unit, out); err != nil {
					return fmt.Errorf("publish %v: %w", msg.Unit, err) // tried again
				}
				return nil
			},
		}
		return loop.Run(ctx)
	}
	_ = generate
}

package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/link"
)

// MaxBatch is the largest batch of PublishTasks. A server takes no larger ones unless it is
// configured to.
const MaxBatch = 1000

// batchWait bounds the wait for a batch. What is not known to be stored then goes one by one.
const batchWait = 20 * time.Second

// publishers is how many tasks are published at once where they go one by one. Each waits
// for the disk, and together they share its syncs.
const publishers = 32

// PublishTasks stores each task under its unit's subject in GENERATE, unless a message
// is there already. Up to MaxBatch tasks at a time go as one atomic batch, which costs
// one sync of the disk. A batch that the server refuses, because a subject is taken or
// because it knows no batches, goes task by task. When PublishTasks returns without
// error all tasks are on disk; after an error some may be, and it may be called again.
func (q *Queue) PublishTasks(ctx context.Context, tasks []stream.Task) error {
	batches, err := q.takesBatches(ctx)
	if err != nil {
		return err
	}
	for len(tasks) > 0 {
		n := min(MaxBatch, len(tasks))
		part := tasks[:n]
		tasks = tasks[n:]
		if batches && n > 1 {
			if err = q.publishBatch(ctx, part); err == nil {
				continue
			}
			if ctx.Err() != nil {
				return fmt.Errorf("publish %d units from %s on: %w", n, part[0].Subject(stream.Generate), err)
			}
		}
		if err := q.publishEach(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// takesBatches reports whether the stream was declared to take batches. A server older
// than these ignores the wish and stores their messages one by one.
func (q *Queue) takesBatches(ctx context.Context) (bool, error) {
	s, err := q.stream(ctx, stream.Generate.Stream())
	if err != nil {
		return false, err
	}
	return s.CachedInfo().Config.AllowAtomicPublish, nil
}

// publishBatch stores all tasks, or none and returns an error: the stream takes no second
// message of a subject. If the reply is lost, the error does not say which.
func (q *Queue) publishBatch(ctx context.Context, tasks []stream.Task) error {
	msgs := make([]*nats.Msg, len(tasks))
	for i, task := range tasks {
		body, err := stream.Encode(task)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrEncode, err)
		}
		msgs[i] = nats.NewMsg(task.Subject(stream.Generate))
		msgs[i].Data = body
		msgs[i].Header.Set(jetstream.ExpectedStreamHeader, stream.Generate.Stream())
	}
	// The commit alone is waited for. The wait for the first message would not end with ctx
	// or with the connection. Where the leader of a cluster ends meanwhile no answer comes.
	ctx, cancel := context.WithTimeout(ctx, batchWait)
	defer cancel()
	_, err := link.Once(ctx, q.js.Conn(), func(ctx context.Context) (*jetstreamext.BatchAck, error) {
		return jetstreamext.PublishMsgBatch(ctx, q.js, msgs, jetstreamext.BatchFlowControl{})
	})
	return err
}

// publishEach stores the tasks one by one.
func (q *Queue) publishEach(ctx context.Context, tasks []stream.Task) error {
	group, publishing := errgroup.WithContext(ctx)
	group.SetLimit(publishers)
	for _, task := range tasks {
		group.Go(func() error {
			_, err := q.Publish(publishing, stream.Generate, task.Unit, task)
			return err
		})
	}
	return group.Wait()
}

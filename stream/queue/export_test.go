package queue

import (
	"context"

	"github.com/lcbq/lcbq/stream"
)

// PublishEach is what PublishTasks does where there are no batches.
func (q *Queue) PublishEach(ctx context.Context, tasks []stream.Task) error {
	return q.publishEach(ctx, tasks)
}

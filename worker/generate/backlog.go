package generate

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/lcbq/lcbq/stream"
)

// defaultBacklog is the bytes of completions that may wait to be published, unless
// Worker.Backlog says otherwise: minutes of a fast GPU, and little beside the engine's
// own memory.
const defaultBacklog = 256 << 20

// A backlog bounds the bytes of completions that wait to be published. It is safe for
// concurrent use.
type backlog struct {
	most int64
	room *semaphore.Weighted
}

func newBacklog(most int64) backlog { return backlog{most, semaphore.NewWeighted(most)} }

// enter takes room for a batch of so many bytes and returns what gives it back, and how
// long it had to wait. A batch that is larger than the whole waits for all of it.
func (b *backlog) enter(ctx context.Context, bytes int64) (leave func(), waited time.Duration, err error) {
	bytes = min(bytes, b.most)
	if !b.room.TryAcquire(bytes) {
		began := time.Now()
		if b.room.Acquire(ctx, bytes) != nil {
			return nil, time.Since(began), context.Cause(ctx)
		}
		waited = time.Since(began)
	}
	return func() { b.room.Release(bytes) }, waited, nil
}

// weight returns about how many bytes a batch takes in memory.
func weight(b *stream.Batch) int64 {
	n := int64(0)
	for i := range b.Samples {
		n += int64(len(b.Samples[i].Completion) + len(b.Samples[i].Code))
	}
	return n
}

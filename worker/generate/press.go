package generate

import (
	"context"
	"sync"
	"time"

	"github.com/lcbq/lcbq/stream"
)

// defaultBacklog is the completions that may wait to be published, unless Worker.Backlog says otherwise:
// minutes of a fast GPU, and little beside the engine's own memory.
const defaultBacklog = 256 << 20

// A press bounds the bytes that wait to be published. One batch always fits, however large.
type press struct {
	most int64

	mu    sync.Mutex
	used  int64
	freed chan struct{} // closed and replaced when bytes become free; nil while nobody waits
}

// enter takes room for so many bytes, and returns how long it had to wait for it.
func (p *press) enter(ctx context.Context, bytes int64) (waited time.Duration, err error) {
	began := time.Now()
	for {
		p.mu.Lock()
		if p.used == 0 || p.used+bytes <= p.most {
			p.used += bytes
			p.mu.Unlock()
			if waited > 0 {
				waited = time.Since(began)
			}
			return waited, nil
		}
		if p.freed == nil {
			p.freed = make(chan struct{})
		}
		freed := p.freed
		p.mu.Unlock()
		waited = 1 // more than none; how long is known at the end
		select {
		case <-ctx.Done():
			return time.Since(began), context.Cause(ctx)
		case <-freed:
		}
	}
}

// leave gives the room back.
func (p *press) leave(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= bytes
	if p.freed != nil {
		close(p.freed)
		p.freed = nil
	}
}

// weight returns about how many bytes a batch takes in memory.
func weight(b *stream.Batch) int64 {
	n := int64(0)
	for i := range b.Samples {
		n += int64(len(b.Samples[i].Completion) + len(b.Samples[i].Code))
	}
	return n
}

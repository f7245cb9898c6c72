package evaluate

import (
	"context"
	"fmt"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A program whose slowest test took between nearFrom and nearTo of the CPU limit
// is run once more with nothing beside it, and the second result counts: caches
// and hyperthreads shared with other programs cost up to a third of the speed.
const (
	nearFrom = 0.7
	nearTo   = 1.3
)

// Slack returns how far beyond a CPU limit a test must be let run for a Grader to
// know that a program ends near it.
func Slack(limit time.Duration) time.Duration {
	return time.Duration(float64(limit) * (nearTo - 1))
}

// run judges a program in a slot, twice if its time leaves the verdict to chance.
func (g *Grader) run(ctx context.Context, q *Question, code string) (stream.Judgement, error) {
	slot, err := g.pool.acquire(ctx, q.Digest)
	if err != nil {
		return stream.Judgement{}, err
	}
	defer g.pool.release(slot)
	g.ran.Add(1)
	g.quiet.RLock()
	res, failed, err := once(ctx, slot, q, code)
	g.quiet.RUnlock()
	if err == nil && near(res, g.host.Environment().Limits.CPU) {
		g.near.Add(1)
		g.quiet.Lock()
		res, failed, err = once(ctx, slot, q, code)
		g.quiet.Unlock()
	}
	if err != nil {
		return stream.Judgement{}, err
	}
	return judgement(q, res, failed), nil
}

// near reports whether the slowest test's time is too close to the limit.
func near(r sandbox.Result, limit time.Duration) bool {
	share := float64(r.TestCPU) / float64(limit)
	return share > nearFrom && share < nearTo
}

// once runs a program to its end or its first failing test.
func once(ctx context.Context, slot *pooled, q *Question, code string) (sandbox.Result, comparison, error) {
	var failed comparison
	res, err := slot.Run(ctx, &q.sandbox, code, func(test int, out sandbox.Output) bool {
		failed = q.compare(test, out)
		return failed.equal()
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return res, failed, ctx.Err()
	case err != nil:
		return res, failed, fmt.Errorf("%w: run program on question %s: %w", ErrFault, q.ID, err)
	}
	return res, failed, nil
}

package evaluate

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb"
)

// keepQuestions bounds the decoded questions in memory. Units come in order of
// questions, so two neighbours are in use at a time; a decoded suite takes up to
// tens of megabytes.
const keepQuestions = 4

// questions decodes problems when a unit needs them and forgets the one that was
// not used for longest.
type questions struct {
	mu    sync.Mutex
	ready []readyQuestion // most recently used last
}

type readyQuestion struct {
	set   string
	index int
	q     *Question
}

// get returns a question of a problem set. Holding the lock while decoding keeps
// several units of one question from decoding it several times.
func (c *questions) get(ctx context.Context, from *store.Store, set string, index int) (*Question, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range c.ready {
		if r.set == set && r.index == index {
			c.ready = append(append(c.ready[:i:i], c.ready[i+1:]...), r)
			return r.q, nil
		}
	}
	q, err := load(ctx, from, set, index)
	if err != nil {
		return nil, err
	}
	if len(c.ready) >= keepQuestions {
		c.ready = c.ready[1:]
	}
	c.ready = append(c.ready, readyQuestion{set, index, q})
	return q, nil
}

func load(ctx context.Context, from *store.Store, set string, index int) (*Question, error) {
	row, err := from.Problem(ctx, set, index)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", stream.ErrPoison, err)
	}
	if err != nil {
		return nil, err
	}
	p, err := lcb.ParseProblem(row)
	if err != nil {
		return nil, fmt.Errorf("question %d of set %.12s: %w: %w", index, set, stream.ErrPoison, err)
	}
	q, err := NewQuestion(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stream.ErrPoison, err)
	}
	return q, nil
}

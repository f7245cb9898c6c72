package generate

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb"
)

// prompts remembers the rendered prompt of each question: a few kilobytes, used
// by every unit of sixteen cells. The problem itself, with its megabytes of
// tests, is not kept. It is safe for concurrent use.
type prompts struct {
	store   *store.Store
	fetches singleflight.Group // one fetch a question, which holds up no other question's units

	mu    sync.Mutex
	known map[promptKey]lcb.Prompt // under mu
}

type promptKey struct {
	run      string
	question int
}

func (p *prompts) get(ctx context.Context, m *store.Manifest, question int) (lcb.Prompt, error) {
	key := promptKey{m.ID, question}
	p.mu.Lock()
	prompt, ok := p.known[key]
	p.mu.Unlock()
	if ok {
		return prompt, nil
	}
	v, err, _ := p.fetches.Do(fmt.Sprint(key), func() (any, error) {
		prompt, err := p.render(ctx, m, question)
		if err != nil {
			return lcb.Prompt{}, err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.known == nil {
			p.known = make(map[promptKey]lcb.Prompt)
		}
		p.known[key] = prompt
		return prompt, nil
	})
	prompt, _ = v.(lcb.Prompt) // the function above returns nothing else
	return prompt, err
}

func (p *prompts) render(ctx context.Context, m *store.Manifest, question int) (lcb.Prompt, error) {
	row, err := p.store.Problem(ctx, m.Problems.Digest, question)
	if errors.Is(err, store.ErrNotFound) {
		return lcb.Prompt{}, fmt.Errorf("%w: %w", stream.ErrPoison, err)
	}
	if err != nil {
		return lcb.Prompt{}, err
	}
	problem, err := lcb.ParseProblem(row)
	if err != nil {
		return lcb.Prompt{}, fmt.Errorf("question %d: %w: %w", question, stream.ErrPoison, err)
	}
	if m.Model.Template != "" {
		t, err := lcb.ParseTemplate("prompt template of run "+m.ID, m.Model.Template)
		if err != nil {
			return lcb.Prompt{}, fmt.Errorf("%w: %w", stream.ErrPoison, err)
		}
		prompt, err := t.Render(problem)
		if err != nil { // the same text and the same question will not render the next time
			return lcb.Prompt{}, fmt.Errorf("question %d: %w: %w", question, stream.ErrPoison, err)
		}
		return prompt, nil
	}
	style, err := lcb.ParsePromptStyle(m.Model.Prompt)
	if err != nil {
		return lcb.Prompt{}, fmt.Errorf("%w: %w", stream.ErrPoison, err)
	}
	return style.Render(problem), nil
}

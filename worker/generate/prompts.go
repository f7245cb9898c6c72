package generate

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb"
)

// prompts remembers the rendered prompt of each question: a few kilobytes, used
// by every unit of sixteen cells. The problem itself, with its megabytes of
// tests, is not kept.
type prompts struct {
	store *store.Store

	mu    sync.Mutex
	known map[promptKey]lcb.Prompt
}

type promptKey struct {
	run      string
	question int
}

func (p *prompts) get(ctx context.Context, m *store.Manifest, question int) (lcb.Prompt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := promptKey{m.ID, question}
	if prompt, ok := p.known[key]; ok {
		return prompt, nil
	}
	prompt, err := p.render(ctx, m, question)
	if err != nil {
		return lcb.Prompt{}, err
	}
	if p.known == nil {
		p.known = make(map[promptKey]lcb.Prompt)
	}
	p.known[key] = prompt
	return prompt, nil
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

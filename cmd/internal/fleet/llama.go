package fleet

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/lcbq/lcbq/worker/engine/llama"
	"github.com/lcbq/lcbq/worker/engine/supervise"
)

// openLlama makes the fleet of one server of llama.cpp, which uses the devices that it was built
// for. It has no cards to wait for: what the driver says of them is not asked.
func (f *Fleet) openLlama(ctx context.Context) error {
	c := f.cfg.Llama
	digest, err := llama.Digest(c.File)
	if err != nil {
		return err
	}
	if want := f.cfg.Digest; want != "" && digest != want {
		return fmt.Errorf("use model %s: it is not the file that the run was submitted with: its digest is %s, the run's %s\nname the right file with --llama-file", c.File, digest, want)
	}
	if c.Program, err = llama.Find(c.Program); err != nil {
		return err
	}
	p := f.place(0, nil, 1)
	m := p.members[0]
	if err := supervise.Reclaim(ctx, f.state(m)); err != nil {
		return fmt.Errorf("use llama.cpp: %w", err)
	}
	return c.Validate()
}

// llama makes the engine of the member.
func (f *Fleet) llama(m *Member, logs string) (*supervise.Engine, error) {
	c := *f.cfg.Llama
	c.Title, c.Log, c.State = "llama.cpp's server", f.cfg.Log.With("engine", "llama"), f.state(m)
	c.Hurry = f.cfg.Engine.Hurry
	if logs != "" {
		c.LogFile = filepath.Join(logs, fmt.Sprintf("llama%d.log", m.Index))
	}
	return llama.New(c)
}

package cli

import (
	"context"
	"fmt"
	"math"

	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/combine/summary"
)

// firstLook is how many samples of a cell are drawn before the first look at their width.
const firstLook = 16

// stepwise reads --until-width.
func (p *pipeline) stepwise() error {
	half, set, err := p.cfg.Half()
	if err != nil || !set {
		return err
	}
	if p.def.source.recorded != nil {
		return usageError{fmt.Errorf("--until-width = %s: recorded completions are as many as they are\nleave it out; 'lcbq report' shows how well they are known", p.cfg.UntilWidth)}
	}
	p.until = &store.Until{Half: half, K: p.cfg.K, Most: p.cfg.N}
	p.def.manifest.Until = p.until
	return nil
}

// begin makes the definition that of the first samples, where --until-width asks for more by
// what these show. A run only ever grows: what is not needed was never defined, so there is
// nothing to give up, and a run that is interrupted goes on from what its folder has.
func (p *pipeline) begin() {
	if p.until != nil {
		p.ask(p.def.manifest, min(p.until.Most, max(firstLook, 4*p.until.K)))
	}
}

// ask makes n samples of every question those that m wants.
func (p *pipeline) ask(m *store.Manifest, n int) {
	questions := make([]store.Question, len(m.Questions))
	for i, q := range m.Questions {
		questions[i] = q
		questions[i].Cuts = []int{n}
	}
	m.Questions = questions
}

// noteRule writes the rule into a run that was there before it.
func (p *pipeline) noteRule(ctx context.Context) error {
	if p.until == nil {
		return nil
	}
	_, err := p.host.store.UpdateRun(ctx, p.def.manifest.ID, func(m *store.Manifest) bool {
		if m.Until != nil && *m.Until == *p.until {
			return false
		}
		m.Until = p.until
		return true
	})
	return err
}

// goOn reports whether a run whose cells are all there has been given more of them: pass@k is
// not known as well as --until-width wants, and --n allows it.
func (p *pipeline) goOn(ctx context.Context, run string) (bool, error) {
	if p.until == nil {
		return false, nil
	}
	m, _, err := p.host.store.Run(ctx, run)
	if err != nil {
		return false, err
	}
	cells, err := p.host.store.Cells(ctx, run, -1)
	if err != nil {
		return false, err
	}
	u, err := summary.UntilOf(m, cells)
	if err != nil {
		return false, err
	}
	have := 0 // wanted of a question so far; where samples could not be judged fewer count
	for _, q := range m.Questions {
		have = max(have, q.N())
	}
	// Without an interval somewhere (what was drawn could not be judged) more would be drawn blindly.
	if u == nil || u.Reached || have >= p.until.Most {
		return false, nil
	}
	n := nextLook(have, u)
	want := *p.def.manifest
	p.ask(&want, n)
	sub, err := p.host.sweeper().Define(ctx, &want, p.def.row)
	if err != nil {
		return false, err
	}
	if err := p.host.sweeper().Publish(ctx, &sub); err != nil {
		return false, err
	}
	p.log.Info("not known well enough: more samples are drawn", "samples_of_a_cell", have, "now", n, "at_most", p.until.Most,
		"half_width_points", math.Round(1e4*u.Widest)/100, "wanted", p.cfg.UntilWidth, "temperature", u.At)
	return true, nil
}

// nextLook is after how many samples of a cell to look again: about as many as the width so far
// says will do, a quarter more at least and four times as many at most.
func nextLook(n int, u *summary.Until) int {
	ratio := u.Widest / u.Half
	next := int(math.Ceil(float64(n) * min(4, max(1.25, 1.05*ratio*ratio))))
	return min(u.Most, max(n+1, next))
}

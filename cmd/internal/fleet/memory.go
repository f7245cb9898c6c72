package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lcbq/lcbq/worker/engine/supervise"
	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/gpu"
)

// lookFor is how long available waits for memory that nobody alive holds: that of killed
// processes takes a moment to come back.
const lookFor = 10 * time.Second

// available ends what earlier engines left on the cards, takes the baseline of their
// memory and wants what vLLM will claim to be free.
func (f *Fleet) available(ctx context.Context) error {
	for _, p := range f.places {
		// Those of a run that had more engines on the card, too.
		for slot := range MostPerCard {
			m := &Member{Index: p.index, Slot: slot, Cards: p.cards}
			if err := supervise.Reclaim(ctx, f.state(m)); err != nil {
				return fmt.Errorf("use GPU %d: %w", p.index, err)
			}
		}
	}
	if f.source == nil {
		return nil
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(lookFor); ; {
		all, err := f.source.Read(ctx)
		if err != nil {
			return fmt.Errorf("read GPU memory: %w", err)
		}
		short, mayPass := f.short(all)
		if short == nil {
			f.base = gpu.Kernel{}.Base(all)
			return nil
		}
		if !mayPass || time.Now().After(deadline) {
			return short
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// short returns an error that names the cards whose memory does not suffice and who
// holds it, and whether waiting may help.
func (f *Fleet) short(all []gpu.Reading) (short error, mayPass bool) {
	share := f.share()
	var errs []error
	for _, p := range f.places {
		for _, card := range p.cards {
			now := reading(all, card.UUID)
			if now == nil {
				errs = append(errs, fmt.Errorf("GPU %d is not there any more", card.Index))
				continue
			}
			want := uint64(share * float64(now.Total))
			if now.Total-now.Used >= want {
				continue
			}
			err := fmt.Errorf("GPU %d (%s): %.1f of %.1f GiB are free, vllm wants %.1f", card.Index, card.Name,
				gib(now.Total-now.Used), gib(now.Total), gib(want))
			for _, h := range (gpu.Kernel{}).Holders([]gpu.Reading{*now}, nil, nil) {
				mayPass = mayPass || h.State == gpu.Zombie || h.State == gpu.Gone || h.State == gpu.Unlisted
				err = fmt.Errorf("%w\n  %s", err, h)
			}
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return nil, false
	}
	return fmt.Errorf("GPU memory does not suffice:\n%w\nfree it, choose other cards with --gpus, or claim less with --gpu-memory-utilization", errors.Join(errs...)), mayPass
}

// share returns the share of a card's memory that all its engines claim.
func (f *Fleet) share() float64 {
	if f.cfg.Engine.MemoryShare == 0 {
		return vllm.DefaultMemoryShare
	}
	return f.cfg.Engine.MemoryShare
}

// awaitRoom waits until as much memory of the member's card is free as its engine claims. Other
// engines of the fleet hold some of the card: it does not come back to the baseline.
func (f *Fleet) awaitRoom(ctx context.Context, m *Member) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := f.source.Read(context.WithoutCancel(ctx))
		if err != nil {
			return fmt.Errorf("read GPU memory: %w", err)
		}
		card := m.Cards[0]
		now := reading(all, card.UUID)
		if now == nil {
			return fmt.Errorf("GPU %d is not there any more", card.Index)
		}
		if free(*now) >= m.place.need(now.Total) {
			return nil
		}
		select {
		case <-ctx.Done():
			err := fmt.Errorf("GPU %d: %.1f of %.1f GiB are free, another engine wants %.1f", card.Index, gib(free(*now)), gib(now.Total), gib(m.place.need(now.Total)))
			for _, h := range (gpu.Kernel{}).Holders([]gpu.Reading{*now}, f.base, m.place.owns) {
				err = fmt.Errorf("%w\n  %s", err, h)
			}
			return err
		case <-tick.C:
		}
	}
}

// free returns the bytes of a card that nobody uses.
func free(r gpu.Reading) uint64 { return r.Total - min(r.Used, r.Total) }

// reading returns the reading of a card, nil if it is not there.
func reading(all []gpu.Reading, uuid string) *gpu.Reading {
	for i := range all {
		if all[i].UUID == uuid {
			return &all[i]
		}
	}
	return nil
}

func gib(bytes uint64) float64 { return float64(bytes) / (1 << 30) }

// awaitFree waits until the memory of the member's cards is back at the baseline, and says
// how it falls.
func (f *Fleet) awaitFree(ctx context.Context, m *Member) error {
	if m.place.others(m) {
		return f.awaitRoom(ctx, m)
	}
	for _, card := range m.Cards {
		var first, shown uint64
		began := time.Now()
		show := func(r gpu.Reading) {
			if first == 0 {
				first, shown = r.Used+1, r.Used
			}
			const step = 1 << 30
			if r.Used+step < shown || r.Used > shown+step {
				f.cfg.Log.Info("waiting for GPU memory", "gpu", r.Index, "used_gib", round(gib(r.Used)), "baseline_gib", round(gib(f.base[r.UUID])))
				shown = r.Used
			}
		}
		var last gpu.Reading
		err := gpu.Kernel{}.AwaitFree(ctx, f.source, card.UUID, f.base, m.Owns, func(r gpu.Reading) { show(r); last = r })
		if err != nil {
			return err
		}
		f.cfg.Log.Info("GPU memory is free", "gpu", card.Index, "used_gib", round(gib(last.Used)), "total_gib", round(gib(last.Total)),
			"waited", time.Since(began).Round(10*time.Millisecond))
	}
	return nil
}

func round(x float64) float64 { return float64(int(x*10+0.5)) / 10 }

package evaluate

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker"
)

// holds takes slots until there is none for a moment, and returns them.
func holds(t *testing.T, g *Grader) []*pooled {
	t.Helper()
	var got []*pooled
	for {
		ctx, cancel := context.WithTimeout(t.Context(), patience.Now(20*time.Millisecond))
		s, err := g.pool.acquire(ctx, "q", 0)
		cancel()
		if err != nil {
			return got
		}
		got = append(got, s)
	}
}

// TestSet changes the number of programs beyond what the grader began with and back, with some in use,
// and wants what a person has said to stand against what the machine's governor says.
func TestSet(t *testing.T) {
	t.Parallel()
	g := newGrader(t, 1)
	w := &Worker{Grader: g, Slots: 1, Units: NewUnits(1), Pulse: worker.NewPulse(stream.Evaluate, "eval0", 1)}
	var held []*pooled
	free := func() {
		for _, s := range held {
			g.pool.release(s)
		}
		held = nil
	}
	check := func(what string, want int) {
		t.Helper()
		held = append(held, holds(t, g)...)
		ids := map[*pooled]bool{}
		for _, s := range held {
			ids[s] = true
		}
		if len(held) != want || len(ids) != want || g.AtOnce() != want {
			t.Errorf("%s: %d programs at once in %d slots, AtOnce = %d, want %d", what, len(held), len(ids), g.AtOnce(), want)
		}
		units := 0
		for ; units <= want+1; units++ {
			ctx, cancel := context.WithTimeout(t.Context(), patience.Now(20*time.Millisecond))
			in := w.Units.Enter(ctx)
			cancel()
			if !in {
				break
			}
		}
		if units != unitsFor(want) {
			t.Errorf("%s: %d units in hand, want %d", what, units, unitsFor(want))
		}
		for range units {
			w.Units.Leave()
		}
	}
	set := func(n, before, now int) {
		t.Helper()
		if b, c, why, err := w.Set(n); b != before || c != now || why != "" || err != nil {
			t.Errorf("Set(%d) = %d, %d, %q, %v, want %d, %d", n, b, c, why, err, before, now)
		}
	}
	if next := g.pool.next; next < g.quiet.first+len(g.quiet.machine.CPUs) || g.forms != nil && next <= g.forms.id {
		t.Errorf("slots that come later are numbered from %d, as others may be", next)
	}
	check("at first", 1)
	set(3, 1, 3) // while one is in use
	check("raised", 3)
	free()
	set(2, 3, 2)
	check("lowered", 2)
	free()
	w.Limit(1, nil)
	check("a governor that wants fewer", 2)
	free()
	set(0, 2, 1)
	check("taken back", 1)
	free()
	w.Limit(3, nil)
	check("a governor that wants as many as there is room for", 3)
	free()
	for _, n := range []int{-1, mostAtOnce + 1} {
		if _, now, _, err := w.Set(n); err == nil || now != 3 {
			t.Errorf("Set(%d) = %d, %v, want an error and 3", n, now, err)
		}
	}
}

// TestSetWhileJudging raises and lowers the number while units are judged, and wants each judged once, by
// slots that can judge.
func TestSetWhileJudging(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.worker(newGrader(t, 1))
	w.Slots, w.Units = 1, NewUnits(1)
	for _, q := range b.m.Questions {
		for u := range 2 {
			unit := stream.Unit{Cell: stream.Cell{Run: "r1", Question: q.Index, Temperature: 700}, Index: u}
			_, task, ok := b.m.Task(unit)
			if !ok {
				t.Fatalf("no unit %v", unit)
			}
			batch := batchOf(task, task.N, "")
			for i := range batch.Samples { // each another program
				batch.Samples[i].Code = fmt.Sprintf("print(%d)", batch.Samples[i].Index)
			}
			b.publish(t, unit, batch)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	for i := 0; ; i++ {
		info, err := b.JS.Stream(t.Context(), stream.Evaluate.Stream())
		if err != nil {
			t.Fatal(err)
		}
		if info.CachedInfo().State.Msgs == 0 {
			break
		}
		if _, _, _, err := w.Set(1 + i%4); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v", err)
	}
	s, err := b.JS.Stream(t.Context(), stream.Combine.Stream())
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 4 {
		t.Errorf("%d judged units, want 4", n)
	}
	if d := b.dead(t); len(d) != 0 {
		t.Errorf("units given up: %v", d)
	}
	if w.Pulse.Samples.Load() != 40 {
		t.Errorf("%d samples judged, want 40", w.Pulse.Samples.Load())
	}
}

// TestWidenRefused wants a pool that cannot open a slot to keep those that it has.
func TestWidenRefused(t *testing.T) {
	t.Parallel()
	g := newGrader(t, 1)
	g.pool.next = -1 // no slot has such a number
	if room, _, err := g.Widen(2); room != 1 || err == nil || !strings.Contains(err.Error(), "judge 2 programs at once") {
		t.Errorf("Widen = %d, %v", room, err)
	}
	if s := holds(t, g); len(s) != 1 {
		t.Errorf("%d slots, want 1", len(s))
	} else {
		g.pool.release(s[0])
	}
}

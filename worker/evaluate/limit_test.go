package evaluate

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// slotless returns a pool of n slots without sandboxes.
func slotless(n int) *pool {
	p := &pool{free: make(chan struct{}, n)}
	for range n {
		s := new(pooled)
		p.all, p.idle = append(p.all, s), append(p.idle, s)
		p.free <- struct{}{}
	}
	return p
}

// out takes slots until there is none for a moment, and returns them.
func out(t *testing.T, p *pool) []*pooled {
	t.Helper()
	var got []*pooled
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		s, err := p.acquire(ctx, "q")
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, s)
	}
}

// TestLimit wants as many slots handed out as the last limit says, whatever was out when it changed.
func TestLimit(t *testing.T) {
	t.Parallel()
	p := slotless(4)
	for _, c := range []struct{ first, then, busy, want int }{
		{2, 2, 0, 2}, {4, 4, 0, 4}, {4, 1, 4, 1}, {1, 4, 1, 4}, {4, 3, 2, 3}, {3, 1, 3, 1}, {0, 0, 0, 1}, {99, 99, 0, 4}, {4, 2, 4, 2}, {4, 4, 0, 4},
	} {
		p.limit(c.first)
		held := out(t, p)
		for len(held) > c.busy {
			p.release(held[0])
			held = held[1:]
		}
		p.limit(c.then)
		for _, s := range held {
			p.release(s)
		}
		held = out(t, p)
		if len(held) != c.want {
			t.Errorf("limit %d, then %d with %d busy: %d slots, want %d", c.first, c.then, c.busy, len(held), c.want)
		}
		for _, s := range held {
			p.release(s)
		}
	}
	t.Run("raised again before one came back", func(t *testing.T) {
		t.Parallel()
		p := slotless(4)
		held := out(t, p)
		p.limit(1)
		p.limit(4)
		for _, s := range held {
			p.release(s)
		}
		if got := len(out(t, p)); got != 4 {
			t.Errorf("%d slots, want 4", got)
		}
	})
}

// TestLimitOfGrader wants a limited grader to run one program at once, on the one processor that it
// was given.
func TestLimitOfGrader(t *testing.T) {
	t.Parallel()
	g, err := NewGrader(t.Context(), Config{Sandbox: sandbox.Config{Python: python(t), Limits: limits}, Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	m, err := cores.Here()
	if err != nil {
		t.Fatal(err)
	}
	last := m.CPUs[len(m.CPUs)-1]
	g.Limit(1, []int{last})
	held := out(t, g.pool)
	if len(held) != 1 {
		t.Fatalf("%d slots, want 1", len(held))
	}
	defer g.pool.release(held[0])
	on := ""
	r, err := held[0].Run(t.Context(), &sandbox.Question{ID: "q", Inputs: []string{""}}, "import os\nprint(*os.sched_getaffinity(0))", func(_ int, o sandbox.Output) bool {
		on = strings.TrimSpace(string(o.Text))
		return true
	})
	if err != nil || r.Outcome != sandbox.Accepted || on != strconv.Itoa(last) {
		t.Errorf("Run = %+v, %v on processors %q, want %d", r, err, on, last)
	}
}

// TestLimitWhileBusy changes the limit while slots come and go, and wants no slot twice, none lost,
// and no more at once than there are.
func TestLimitWhileBusy(t *testing.T) {
	t.Parallel()
	p := slotless(6)
	var busy atomic.Int64
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			for range 300 {
				s, err := p.acquire(t.Context(), "q")
				if err != nil {
					t.Error(err)
					return
				}
				if n := busy.Add(1); n > 6 {
					t.Errorf("%d slots are out of 6", n)
				}
				busy.Add(-1)
				p.release(s)
			}
		})
	}
	for i := range 2000 {
		p.limit(1 + i*7%6)
	}
	p.limit(3)
	all.Wait()
	if got := len(out(t, p)); got != 3 {
		t.Errorf("%d slots, want 3", got)
	}
	if p.withheld != 3 || p.surplus != 0 || len(p.idle) != 3 {
		t.Errorf("%d withheld, %d to be, %d idle, want 3, 0, 3", p.withheld, p.surplus, len(p.idle))
	}
}

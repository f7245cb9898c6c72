package evaluate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/pythontest"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A placed is a program of a test: it has a place, and has taken as long as the test says.
type placed struct {
	*stay
	took atomic.Int64
}

// spends has the program have taken d, and looks at it.
func (p *placed) spends(d time.Duration) {
	p.took.Store(int64(d))
	p.look()
}

// place takes a place for a program, and reports whether there is one.
func place(t *testing.T, p *places, turn turn) (*placed, bool) {
	t.Helper()
	p.mu.Lock()
	free := p.in < p.now() && len(p.waiting) == 0
	p.mu.Unlock()
	if !free {
		return nil, false
	}
	if !p.enter(t.Context(), turn) {
		t.Fatal("a place that is free is refused")
	}
	one := &placed{}
	one.stay = p.stays(func() time.Duration { return time.Duration(one.took.Load()) })
	return one, true
}

// placesOf takes all places, and wants there to be so many.
func placesOf(t *testing.T, p *places, want int, what string) []*placed {
	t.Helper()
	var all []*placed
	for {
		one, ok := place(t, p, 0)
		if !ok {
			break
		}
		all = append(all, one)
	}
	if len(all) != want {
		t.Errorf("%s: %d places are free, want %d", what, len(all), want)
	}
	return all
}

// TestSlowProgramsGoBeside wants one place more for each slow program beyond half of the slots, up to half as
// many, and none once they have ended.
func TestSlowProgramsGoBeside(t *testing.T) {
	t.Parallel()
	p := newPlaces(4)
	running := placesOf(t, p, 4, "at first")
	for i, s := range running[:2] {
		s.spends(slowAfter)
		running = append(running, placesOf(t, p, 0, fmt.Sprintf("with %d slow ones", i+1))...)
	}
	running[2].spends(slowAfter - 1)
	placesOf(t, p, 0, "beside one that is not slow yet")
	running[2].spends(slowAfter)
	running[2].look() // a second look counts it once
	running = append(running, placesOf(t, p, 1, "with three slow ones")...)
	running[3].spends(slowAfter)
	running = append(running, placesOf(t, p, 1, "with four slow ones")...)
	running[4].spends(slowAfter)
	running[5].spends(slowAfter)
	placesOf(t, p, 0, "with the lane full")
	running[0].end()
	running[0].look() // its timer may be late
	placesOf(t, p, 1, "after one of the lane")[0].end()
	if p.slow != 5 || p.suspect != 5 {
		t.Errorf("%d are slow, %d may be, want 5", p.slow, p.suspect)
	}
	for _, s := range running[1:] {
		s.end()
	}
	if p.in != 0 || p.slow != 0 || p.suspect != 0 {
		t.Errorf("%d programs, %d slow, %d that may be, are left", p.in, p.slow, p.suspect)
	}
	if one := newPlaces(1); one.room != 0 || one.least != 0 {
		t.Error("a single slot has a lane beside it")
	}
	if !p.close() || p.close() {
		t.Error("the lane is not closed once")
	}
	p.limit(6) // which does not open it again
	for _, s := range placesOf(t, p, 6, "with a lane that has no slots") {
		s.spends(slowAfter)
	}
	placesOf(t, p, 0, "with a lane that has no slots and slow programs")
}

// TestPlacesByTurn wants programs of the unit that came first to go first, in the order in which they came, and
// one that waits no more to be left out.
func TestPlacesByTurn(t *testing.T) {
	t.Parallel()
	p := newPlaces(1)
	first := placesOf(t, p, 1, "at first")[0]
	var order []string
	in := make(chan string)
	waits := 0
	wait := func(ctx context.Context, turn turn, name string) {
		t.Helper()
		go func() {
			if p.enter(ctx, turn) {
				in <- name
			} else {
				in <- "left " + name
			}
		}()
		waits++
		for wait := patience.Begin(patience.Base); ; <-time.After(time.Millisecond) {
			p.mu.Lock()
			n := len(p.waiting)
			p.mu.Unlock()
			if n == waits {
				break
			}
			if wait.Over() {
				t.Fatalf("%d wait, want %d", n, waits)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	wait(t.Context(), 7, "c1")
	wait(t.Context(), 7, "c2")
	wait(t.Context(), 3, "a")
	wait(ctx, 4, "gone")
	wait(t.Context(), 5, "b")
	cancel()
	order = append(order, <-in)
	first.end()
	for range 4 {
		order = append(order, <-in)
		p.leave()
	}
	if want := []string{"left gone", "a", "b", "c1", "c2"}; !slices.Equal(order, want) {
		t.Errorf("order = %v, want %v", order, want)
	}
	if p.in != 0 || len(p.waiting) != 0 {
		t.Errorf("%d are in, %d wait", p.in, len(p.waiting))
	}
	placesOf(t, p, 1, "at the end")
	if p.enter(ctx, 0) {
		t.Error("a program whose context is done waited for a place")
	}
}

// TestUnitsAreTakenAsProgramsAreWanted wants no unit more in hand while as many programs wait as there are slots,
// or as many are slow, or nobody knows yet what the last one brings.
func TestUnitsAreTakenAsProgramsAreWanted(t *testing.T) {
	t.Parallel()
	p := newPlaces(2)
	d := door{NewUnits(3), p}
	// taken takes units, whose programs wait in line if lined, and wants so many to be let in.
	taken := func(what string, want int, lined bool) {
		t.Helper()
		for n := range want + 1 {
			p.mu.Lock()
			crowded := p.crowded()
			p.mu.Unlock()
			if crowded != (n == want) {
				t.Fatalf("%s: after %d units crowded = %v", what, n, crowded)
			}
			if crowded {
				return
			}
			if !d.Enter(t.Context()) {
				t.Fatal("a unit is refused")
			}
			if lined {
				p.line()
				return
			}
		}
	}
	taken("at first", 1, false)
	end := p.line()
	running := placesOf(t, p, 2, "at first")
	taken("with all places taken", 1, true)
	for _, s := range running {
		s.spends(suspectAfter)
	}
	taken("with programs that may be slow", 1, true)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan bool)
	go func() { left <- p.enter(ctx, 0) }()
	for wait := patience.Begin(patience.Base); ; <-time.After(time.Millisecond) {
		p.mu.Lock()
		n := len(p.waiting)
		p.mu.Unlock()
		if n == 1 {
			break
		}
		if wait.Over() {
			t.Fatal("nobody waits")
		}
	}
	taken("with programs that may be slow, and one that waits", 0, false)
	cancel()
	if <-left {
		t.Error("one that waits no more has a place")
	}
	for _, s := range running {
		s.spends(slowAfter)
	}
	taken("with slow programs", 0, false)
	if d.Enter(ctx) {
		t.Error("a unit is taken when nobody wants one any more")
	}
	entered := make(chan bool)
	go func() { entered <- d.Enter(t.Context()) }()
	running[0].end()
	if !<-entered {
		t.Error("no unit is taken when a slow program has ended")
	}
	running[1].end()
	end()
	for range 4 {
		d.Leave()
	}
	if p.units != 0 {
		t.Errorf("%d units are in hand", p.units)
	}
}

// TestSlowProgramsHoldUpNobody judges quick programs on two slots while programs sleep in both, and in the lane
// beside these: they end while all sleep on.
func TestSlowProgramsHoldUpNobody(t *testing.T) {
	t.Parallel()
	g, err := NewGrader(t.Context(), Config{Sandbox: sandbox.Config{Python: pythontest.Find(t), Limits: sandbox.Limits{Wall: time.Hour, Hard: 2 * time.Hour}}, Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	q := question(t, fog)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for i := range 2 {
		go func() {
			_, _, err := g.Judge(ctx, q, code(fmt.Sprintf("import time\ntime.sleep(3000)\nprint(%d)", i)))
			ended <- err
		}()
	}
	slow := func() int {
		g.pool.who.mu.Lock()
		defer g.pool.who.mu.Unlock()
		return g.pool.who.slow
	}
	for wait := patience.Begin(patience.Base); slow() < 2; <-time.After(time.Millisecond) {
		if wait.Over() {
			t.Fatalf("%d programs are slow, want both that sleep", slow())
		}
	}
	for i := range 3 {
		if j := judge1(t, g, q, code(fmt.Sprintf("%s# %d\n", solution, i))); j.Verdict != stream.Passed {
			t.Errorf("a program beside slow ones: %+v", j)
		}
	}
	if g.AtOnce() != 2 {
		t.Errorf("%d programs at once, want what was asked for", g.AtOnce())
	}
	if n := slow(); n != 2 || len(ended) > 0 {
		t.Errorf("%d programs are slow, %d have ended, want both to sleep", n, len(ended))
	}
	cancel()
	for range 2 {
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "canceled") {
			t.Errorf("Judge = %v", err)
		}
	}
}

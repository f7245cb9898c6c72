package evaluate

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/pythontest"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// TestLimit wants a limited worker to run one program at once, on the one processor that it was
// given, and to take one unit more than that.
func TestLimit(t *testing.T) {
	t.Parallel()
	g, err := NewGrader(t.Context(), Config{Sandbox: sandbox.Config{Python: pythontest.Find(t), Limits: limits}, Slots: 2})
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
	w := &Worker{Grader: g, Slots: 2, Units: NewUnits(2), Pulse: worker.NewPulse(stream.Evaluate, "eval0", 2)}
	w.Limit(1, []int{last})
	slot, err := g.pool.acquire(t.Context(), "q", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer g.pool.release(slot)
	brief := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	if _, err := g.pool.acquire(brief(), "q", 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second slot: %v, want none", err)
	}
	for i := range 2 {
		if !w.Units.Enter(t.Context()) {
			t.Errorf("unit %d is refused", i)
		}
	}
	if w.Units.Enter(brief()) {
		t.Error("a third unit is taken, want none")
	}
	on := ""
	r, err := slot.Run(t.Context(), &sandbox.Question{ID: "q", Inputs: []string{""}}, "import os\nprint(*os.sched_getaffinity(0))", func(_ int, o sandbox.Output) bool {
		on = strings.TrimSpace(string(o.Text))
		return true
	})
	if err != nil || r.Outcome != sandbox.Accepted || on != strconv.Itoa(last) {
		t.Errorf("Run = %+v, %v on processors %q, want %d", r, err, on, last)
	}
}

package generate_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/health"
)

// units makes a run of two questions with units of one sample, so many of each.
func units(each int) func(*store.Manifest) {
	return func(m *store.Manifest) {
		m.Model.Engine, m.Model.Name, m.UnitSize = stream.EngineOpenAI, "m", 1
		for i := range m.Questions {
			m.Questions[i].Cuts = []int{each}
		}
	}
}

func halts(f health.Finding) error { return fmt.Errorf("%w: %s", worker.ErrHalt, f) }

func rejected() error {
	return fmt.Errorf("%w: status 400: the context holds 4096 tokens", engine.ErrRejected)
}

// stored returns how many units wait for a generator, and how many were given up.
func stored(t *testing.T, env *streamtest.Env) (queued, given int) {
	t.Helper()
	lag, err := env.Queue.Lag(t.Context(), stream.Generate)
	if err != nil {
		t.Fatal(err)
	}
	return int(lag.Stored), len(dead(t, env))
}

// TestRefusedFromTheStart ends a generator whose server refuses everything: with the
// server's words, and with every unit in its queue.
func TestRefusedFromTheStart(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	m := submit(t, env, units(300))
	asked := new(atomic.Int64)
	w := newWorker(env, attached{&fake{answer: func(int, engine.Request) ([]engine.Completion, error) {
		asked.Add(1)
		return nil, rejected()
	}}})
	w.Slots, w.Unhealthy = 1, halts
	err := w.Run(t.Context())
	if !errors.Is(err, worker.ErrHalt) {
		t.Fatalf("Run = %v, want ErrHalt", err)
	}
	for _, word := range []string{"the first 2", "the context holds 4096 tokens", "--max-tokens"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("Run = %v\nwant %q in it", err, word)
		}
	}
	if queued, given := stored(t, env); queued != m.Units() || given != 0 {
		t.Errorf("%d of %d units are queued and %d given up, want all and none", queued, m.Units(), given)
	}
	if n := asked.Load(); n < 20 || n > 22 {
		t.Errorf("the server was asked %d times, want about 20", n)
	}
}

// TestRefusedLater ends it after 200 refusals in a row that are about two questions. The units of the first 19 are
// given up: until then the reason may lie in them.
func TestRefusedLater(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	m := submit(t, env, units(105))
	row, about, end := 0, map[int]bool{}, 0 // one unit at a time is asked for
	w := newWorker(env, attached{&fake{answer: func(k int, r engine.Request) ([]engine.Completion, error) {
		if k < 5 {
			return texts(r.N), nil
		}
		row++
		about[r.Question] = true
		if end == 0 && row >= 200 && len(about) == 2 { // those of the first question may come again before
			end = row
		}
		return nil, rejected()
	}}})
	w.Slots, w.Unhealthy = 1, halts
	err := w.Run(t.Context())
	last := 0
	if said := lastUnits.FindStringSubmatch(fmt.Sprint(err)); said != nil {
		last, _ = strconv.Atoi(said[1])
	}
	if !errors.Is(err, worker.ErrHalt) || last < end || last > end+2 || end == 0 {
		t.Fatalf("Run = %v, want ErrHalt after %d units and the two in hand", err, end)
	}
	queued, given := stored(t, env)
	if given != 19 || queued < m.Units()-19-10 {
		t.Errorf("%d of %d units are queued and %d given up, want 19 given up", queued, m.Units(), given)
	}
}

var lastUnits = regexp.MustCompile(`the last (\d+) units`)

// TestRefusedQuestion goes on where all the refusals are about one question: its prompt is
// too long, and others are not.
func TestRefusedQuestion(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	m := submit(t, env, func(m *store.Manifest) {
		units(5)(m)
		m.Questions[1].Cuts = []int{250}
	})
	long := m.Questions[1].Index
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked, row, want, accepted := 0, 0, 0, false // one unit at a time is asked for
	w := newWorker(env, attached{&fake{answer: func(_ int, r engine.Request) ([]engine.Completion, error) {
		if r.Question != long { // one that is looked up slowly comes late
			accepted, row = true, 0
			return texts(r.N), nil
		}
		if asked++; asked == 240 {
			cancel()
		}
		if row++; accepted && row < 20 {
			want++
		}
		return nil, rejected()
	}}})
	w.Slots, w.Unhealthy = 1, halts
	if err := w.Run(ctx); err != nil {
		t.Errorf("Run = %v, want nil after cancellation", err)
	}
	if _, given := stored(t, env); given != want || want < 19 {
		t.Errorf("%d units were given up, want %d, the first 19 of each row", given, want)
	}
}

// TestRefusedAndGoOn gives the units up where that is what was asked for.
func TestRefusedAndGoOn(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	m := submit(t, env, units(2))
	var told atomic.Int64
	w := newWorker(env, attached{&fake{answer: func(int, engine.Request) ([]engine.Completion, error) { return nil, rejected() }}})
	w.Slots, w.Unhealthy = 1, func(f health.Finding) error {
		if f.Code == health.Rejected && f.Grave {
			told.Add(1)
		}
		return nil
	}
	drain(t, env, w)
	if _, given := stored(t, env); given != m.Units() || told.Load() == 0 {
		t.Errorf("%d of %d units were given up, and it was told %d times", given, m.Units(), told.Load())
	}
}

// TestRefusedInPassing tries a unit again that was refused without a reason that lies in it,
// and gives up one that is refused every time.
func TestRefusedInPassing(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	m := submit(t, env, units(3))
	tries := map[int]int{} // by sample of the second question; one unit at a time is asked for
	w := newWorker(env, attached{&fake{answer: func(_ int, r engine.Request) ([]engine.Completion, error) {
		if r.Question != m.Questions[1].Index || r.First == 0 {
			return texts(r.N), nil
		}
		if tries[r.First]++; r.First == 1 && tries[r.First] == 3 {
			return texts(r.N), nil
		}
		return nil, fmt.Errorf("%w: status 400: bad luck", engine.ErrRefused)
	}}})
	w.Slots, w.Unhealthy = 1, halts
	drain(t, env, w)
	if tries[1] != 3 || tries[2] != 3 {
		t.Errorf("units were tried %v times, want 3 each", tries)
	}
	if given := dead(t, env); len(given) != 1 || given[0].Reason != stream.Poison || !strings.Contains(given[0].Error, "bad luck") {
		t.Errorf("given up: %+v, want the unit that is refused every time", given)
	}
}

// TestTheOnlyUnitIsRefused ends a run of one unit after three such refusals, not after one.
func TestTheOnlyUnitIsRefused(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	submit(t, env, func(m *store.Manifest) {
		units(1)(m)
		m.Questions = m.Questions[:1]
	})
	asked := 0
	w := newWorker(env, attached{&fake{answer: func(call int, _ engine.Request) ([]engine.Completion, error) {
		asked = call
		return nil, fmt.Errorf("%w: status 400: bad luck", engine.ErrRefused)
	}}})
	w.Slots, w.Unhealthy = 1, halts
	if err := w.Run(t.Context()); !errors.Is(err, worker.ErrHalt) || asked != 3 {
		t.Errorf("Run = %v after %d requests, want ErrHalt after 3", err, asked)
	}
}

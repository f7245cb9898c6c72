package cli

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/steer"
)

func TestOrderOf(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]steer.Order{"evaluators=24": {Slots: 24}, "evaluators=auto": {Auto: true}, "evaluators=1": {Slots: 1}, "evaluators=1024": {Slots: 1024}} {
		if got, err := orderOf(what); err != nil || got != want {
			t.Errorf("orderOf(%q) = %+v, %v, want %+v", what, got, err, want)
		}
	}
	for _, what := range []string{"", "evaluators", "evaluators=", "evaluators=0", "evaluators=-1", "evaluators=1025", "evaluators=1.5", "evaluators=many", "generators=2", "24"} {
		if o, err := orderOf(what); err == nil {
			t.Errorf("orderOf(%q) = %+v, want an error", what, o)
		}
	}
}

func TestEvaluatorsOf(t *testing.T) {
	t.Parallel()
	w := func(name, host string, state snapshot.State) snapshot.Worker {
		return snapshot.Worker{Stage: stream.Evaluate, Name: name, Host: host, State: state}
	}
	gen := snapshot.Worker{Stage: stream.Generate, Name: "gen0_a-1", Host: "a", State: snapshot.Working}
	two := []snapshot.Worker{gen, w("eval0_a-1", "a", snapshot.Working), w("eval0_b_x-2", "b_x", snapshot.Working), w("eval0_b_x-3", "b_x", snapshot.Working), w("eval0_c-4", "c", snapshot.Silent), w("eval0_a-5", "a", snapshot.Ended)}
	for _, c := range []struct {
		about      string
		all        []snapshot.Worker
		host, name string
		want       string // names of those that are meant, or a part of the error
	}{
		{"one host", two[:2], "", "", "eval0_a-1"},
		{"its name", two, "a", "", "eval0_a-1"},
		{"a name with dots, as its host has it", two, "b.x", "", "eval0_b_x-2 eval0_b_x-3"},
		{"every host", two, "all", "", "eval0_a-1 eval0_b_x-2 eval0_b_x-3"},
		{"one worker", two, "", "eval0_b_x-3", "eval0_b_x-3"},
		{"several hosts, none named", two, "", "", "evaluators work on 2 hosts: name one with --host"},
		{"a host that is gone", two, "c", "", "evaluator eval0_c-4 of host c is silent\nevaluators work on: a, b_x"},
		{"a worker that is gone", two, "", "eval0_a-5", "evaluator eval0_a-5 of host a is ended"},
		{"a host that never was", two, "d", "", "no evaluator works on host \"d\"\nevaluators work on: a, b_x"},
		{"a worker that never was", two, "", "x", "there is no evaluator \"x\""},
		{"another stage's worker", two, "", "gen0_a-1", "there is no evaluator"},
		{"a host, and nobody anywhere", two[:1], "d", "", "no evaluator works on host \"d\", nor on any other\nstart one with 'lcbq evaluate'"},
		{"a host that is gone for so long that nobody remembers it, while others live", two[:4], "c", "", "no evaluator works on host \"c\"\nevaluators work on: a, b_x"},
		{"nobody", two[:1], "", "", "no evaluator works here\nstart one with 'lcbq evaluate'"},
		{"all gone", two[4:5], "", "", "evaluator eval0_c-4 of host c is silent, and no other works here\nstart one"},
	} {
		got, err := evaluatorsOf(c.all, c.host, c.name)
		var names []string
		for _, w := range got {
			names = append(names, w.Name)
		}
		said := strings.Join(names, " ")
		if err != nil {
			said = err.Error()
		}
		if !strings.HasPrefix(said, c.want) || err == nil && said != c.want {
			t.Errorf("%s: %q, want %q", c.about, said, c.want)
		}
	}
}

// TestHelm wants an order to hold for the runs that come later in the life of a process, and refused while
// there is nothing that it could change.
func TestHelm(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	drained := 0
	h := &helm{drain: func() { drained++ }}
	if _, err := h.obey(steer.Order{Slots: 3}, log); !errors.Is(err, errNoPrograms) {
		t.Errorf("obey while starting = %v", err)
	}
	now := 2
	set := func(n int) (int, int, string, error) {
		before := now
		switch n {
		case 9:
			return now, now, "", errors.New("no")
		case 0:
			n = 2
		}
		now = n
		return before, now, "", nil
	}
	leave := h.steers(set, log)
	if now != 2 {
		t.Errorf("%d at once before any order, want 2", now)
	}
	if a, err := h.obey(steer.Order{Slots: 3}, log); err != nil || a != (steer.Answer{Before: 2, Now: 3}) {
		t.Errorf("obey = %+v, %v", a, err)
	}
	if _, err := h.obey(steer.Order{Slots: 9}, log); err == nil {
		t.Error("obey = nil where nothing was changed")
	}
	leave()
	if _, err := h.obey(steer.Order{Slots: 4}, log); !errors.Is(err, errNoPrograms) || now != 3 {
		t.Errorf("obey between runs = %v, %d at once", err, now)
	}
	now = 2 // the next run's grader
	leave = h.steers(set, log)
	if now != 3 {
		t.Errorf("%d at once in the next run, want the 3 that were ordered", now)
	}
	if a, err := h.obey(steer.Order{Auto: true}, log); err != nil || a.Now != 2 {
		t.Errorf("obey auto = %+v, %v", a, err)
	}
	leave()
	now = 5
	defer h.steers(set, log)()
	if now != 5 {
		t.Errorf("%d at once after auto, want what the grader began with", now)
	}
	if _, err := h.obey(steer.Order{Drain: true}, log); err != nil || drained != 1 {
		t.Errorf("obey drain = %v, drained %d times", err, drained)
	}
	if _, err := new(helm).obey(steer.Order{Drain: true}, log); !errors.Is(err, errNotDrained) {
		t.Errorf("drain of a worker of run = %v", err)
	}
}

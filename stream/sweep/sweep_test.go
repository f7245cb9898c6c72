package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/sweep"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

func rows(q int) []byte { return fmt.Appendf(nil, `{"question_id":"q%d"}`, q) }

// manifest is a run of the given questions and temperatures with n samples each,
// in units of ten.
func manifest(questions, n int, ts ...stream.Temperature) *store.Manifest {
	m := &store.Manifest{ID: "r1", UnitSize: 10, Temperatures: ts, Problems: store.ProblemSet{Digest: "d"}}
	for q := range questions {
		m.Questions = append(m.Questions, store.Question{Index: q, ID: fmt.Sprintf("q%d", q), Cuts: []int{n}})
	}
	return m
}

func submit(t *testing.T, s sweep.Sweeper, m *store.Manifest) sweep.Submission {
	t.Helper()
	sub, err := s.Submit(t.Context(), m, rows)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

func TestSubmitPublishesEachUnitOnce(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	if sub := submit(t, s, manifest(2, 25, 100, 200)); !sub.New || sub.Units != 2*2*3 {
		t.Errorf("Submit = %+v, want a new run of 12 units", sub)
	}
	if sub := submit(t, s, manifest(2, 25, 100, 200)); sub.New || sub.Grown || sub.Units != 0 {
		t.Errorf("Submit again = %+v, want nothing done", sub)
	}
	if sub := submit(t, s, manifest(1, 5, 100)); sub.Grown || sub.Units != 0 {
		t.Errorf("Submit of less = %+v, want nothing done", sub)
	}
	if row, err := env.Store.Problem(t.Context(), "d", 1); err != nil || string(row) != string(rows(1)) {
		t.Errorf("stored problem = %s, %v", row, err)
	}
	// More of everything: the third question, a temperature, samples.
	sub := submit(t, s, manifest(3, 40, 100, 200, 300))
	// The four old cells get two units each, their 15 new samples. The new cells of
	// the old questions keep those questions' cuts, five units; those of the new
	// question have four.
	if want := 4*2 + 2*5 + 3*4; !sub.Grown || sub.Units != want {
		t.Errorf("Submit of more = grown %v, %d units, want %d", sub.Grown, sub.Units, want)
	}
	lag, err := env.Queue.Lag(t.Context(), stream.Generate)
	if err != nil || int(lag.Stored) != 12+30 || sub.Manifest.Units() != 42 {
		t.Errorf("GENERATE holds %d units, %v, the manifest %d, want 42", lag.Stored, err, sub.Manifest.Units())
	}
}

// TestSubmitResumes makes the state of a submission that a crash interrupted:
// units in every stage, given up and done, the rest never published.
func TestSubmitResumes(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	m := manifest(1, 60, 100, 200)
	tasks := m.Tasks(m.Questions[0], 100)
	if _, err := env.Store.PutRun(ctx, m, 0); err != nil {
		t.Fatal(err)
	}
	for i, stage := range stream.Stages {
		if _, err := env.Queue.Publish(ctx, stage, tasks[i].Unit, tasks[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := env.Queue.Bury(ctx, stream.Dead{Subject: tasks[3].Subject(stream.Evaluate)}); err != nil {
		t.Fatal(err)
	}
	if err := env.Store.PutCell(ctx, stream.Cell{Run: "r1", Temperature: 200}, store.CellState{Counts: stream.Counts{N: 60}}, 0); err != nil {
		t.Fatal(err)
	}
	if sub := submit(t, s, manifest(1, 60, 100, 200)); sub.New || sub.Units != 2 || !sub.Manifest.Published {
		t.Errorf("Submit after a crash = %+v, want the two units that were nowhere", sub)
	}
	units, err := env.Queue.Units(ctx, stream.Generate, tasks[0].Cell)
	if err != nil || len(units) != 3 || !units[0] || !units[4] || !units[5] {
		t.Errorf("GENERATE holds %v, %v, want units 0, 4 and 5", units, err)
	}
}

func TestSubmitRefusesAnotherRun(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	served := func() *store.Manifest {
		m := manifest(1, 10, 100)
		m.Model.Serve = &store.Serve{DType: "half", Args: []string{}}
		return m
	}
	submit(t, s, served())
	submit(t, s, served()) // the same settings behind other pointers
	on := true
	for what, change := range map[string]func(*store.Manifest){
		"problems":    func(m *store.Manifest) { m.Problems.Digest = "other" },
		"unit size":   func(m *store.Manifest) { m.UnitSize = 20 },
		"temperature": func(m *store.Manifest) { m.Model.TopP = 0.5 },
		"thinking":    func(m *store.Manifest) { m.Model.Thinking = &on },
		"arguments":   func(m *store.Manifest) { m.Model.Serve = &store.Serve{DType: "half", Args: []string{"--x"}} },
		"judge":       func(m *store.Manifest) { m.Judge.Mode = "script" },
	} {
		m := served()
		change(m)
		if _, err := s.Submit(t.Context(), m, rows); !errors.Is(err, sweep.ErrConflict) {
			t.Errorf("Submit with other %s = %v, want ErrConflict", what, err)
		}
	}
	// A run keeps its time limit, and who asks for another is told both.
	m := served()
	m.Judge.TimeLimit, m.Judge.AuditShare = 6, 0.25
	if _, err := s.Submit(t.Context(), m, rows); !errors.Is(err, sweep.ErrConflict) || !strings.Contains(err.Error(), "is 0 s, and not 6 s, audited at a share of 0.25") {
		t.Errorf("Submit with an audited time limit = %v, want both limits", err)
	}
	m = served()
	m.Judge.Reference = "first"
	if _, err := s.Submit(t.Context(), m, rows); !errors.Is(err, sweep.ErrConflict) || !strings.Contains(err.Error(), "is 0 s, and not 0 s of reference speed first") {
		t.Errorf("Submit with a reference speed = %v, want both limits", err)
	}
	// The fingerprint is a finding, not a setting.
	if _, err := env.Store.UpdateRun(t.Context(), "r1", func(m *store.Manifest) bool { m.Judge.Fingerprint = "f"; return true }); err != nil {
		t.Fatal(err)
	}
	submit(t, s, served())
}

func TestStuck(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	m := submit(t, s, manifest(2, 20, 100)).Manifest
	stuck := func(want bool, when string) {
		t.Helper()
		if got, err := s.Stuck(ctx, "r1"); err != nil || got != want {
			t.Errorf("Stuck %s = %v, %v, want %v", when, got, err, want)
		}
	}
	stuck(false, "with units on their way")
	first := m.Tasks(m.Questions[0], 100)
	second := m.Tasks(m.Questions[1], 100)
	if err := env.Queue.Bury(ctx, stream.Dead{Subject: first[0].Subject(stream.Generate)}); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Queue.Publish(ctx, stream.Combine, first[1].Unit, stream.Scored{}); err != nil {
		t.Fatal(err)
	}
	stuck(false, "with the second question on its way")
	for _, task := range second {
		if _, err := env.Queue.Publish(ctx, stream.Combine, task.Unit, stream.Scored{}); err != nil {
			t.Fatal(err)
		}
	}
	stuck(false, "with a cell to be written")
	if err := env.Store.PutCell(ctx, second[0].Cell, store.CellState{Counts: stream.Counts{N: 20}}, 0); err != nil {
		t.Fatal(err)
	}
	stuck(true, "with nothing left but a dead unit")
}

func TestProgress(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	m := submit(t, s, manifest(2, 20, 100, 200)).Manifest
	if err := env.Store.PutCell(t.Context(), stream.Cell{Run: "r1", Question: 1, Temperature: 200}, store.CellState{Counts: stream.Counts{N: 20, Passed: 7}}, 0); err != nil {
		t.Fatal(err)
	}
	p, err := s.Progress(t.Context(), "r1")
	if err != nil {
		t.Fatal(err)
	}
	if p.Cells != 1 || p.Samples != 20 || p.Passed != 7 || p.Lag[stream.Generate].Waiting != 8 || p.Finished() || m.Samples() != 80 {
		t.Errorf("Progress = %+v of %d samples", p, m.Samples())
	}
	if _, err := s.Progress(context.WithoutCancel(t.Context()), "nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Progress of no run = %v, want ErrNotFound", err)
	}
}

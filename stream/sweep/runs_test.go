package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/sweep"
)

// paused says which runs' units the server holds back, by the consumers.
func paused(t *testing.T, env *streamtest.Env) map[string]bool {
	t.Helper()
	all, err := env.Queue.Consumers(t.Context(), stream.Generate, nil)
	if err != nil {
		t.Fatal(err)
	}
	held := make(map[string]bool)
	for _, c := range all {
		held[c.Run] = c.Paused
	}
	return held
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	submit(t, s, manifest(1, 30, 100))
	for range 2 { // the second is a no-op
		m, err := s.Pause(t.Context(), "r1")
		if err != nil || m.State() != "paused" || !paused(t, env)["r1"] {
			t.Errorf("Pause = %+v, %v, held %v", m, err, paused(t, env))
		}
	}
	// A submission of more leaves the pause.
	if sub := submit(t, s, manifest(1, 50, 100)); sub.Units != 2 || sub.Manifest.State() != "paused" || !paused(t, env)["r1"] {
		t.Errorf("Submit of a paused run = %+v, held %v", sub, paused(t, env))
	}
	for range 2 {
		m, err := s.Resume(t.Context(), "r1")
		if err != nil || m.State() != "running" || paused(t, env)["r1"] {
			t.Errorf("Resume = %+v, %v, held %v", m, err, paused(t, env))
		}
	}
	if _, err := s.Pause(t.Context(), "nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Pause of no run = %v, want ErrNotFound", err)
	}
	if _, err := env.Store.UpdateRun(t.Context(), "r1", func(m *store.Manifest) bool { m.Finished = 1; return true }); err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]func(context.Context, string) (*store.Manifest, error){"Pause": s.Pause, "Resume": s.Resume, "Cancel": s.Cancel} {
		if _, err := f(t.Context(), "r1"); !errors.Is(err, sweep.ErrOver) {
			t.Errorf("%s of a finished run = %v, want ErrOver", what, err)
		}
	}
}

// TestCancel: the units of the run go, those of another and the finished cells
// stay, and a submission brings back what was not finished.
func TestCancel(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	m := submit(t, s, manifest(1, 20, 100, 200)).Manifest
	other := manifest(1, 20, 100)
	other.ID = "r2"
	submit(t, s, other)
	tasks := m.Tasks(m.Questions[0], 200)
	if err := env.Store.PutCell(ctx, stream.Cell{Run: "r1", Temperature: 100}, store.CellState{Counts: stream.Counts{N: 20}}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Queue.Publish(ctx, stream.Combine, tasks[0].Unit, "x"); err != nil {
		t.Fatal(err)
	}
	got, err := s.Cancel(ctx, "r1")
	if err != nil || got.State() != "cancelled" {
		t.Fatalf("Cancel = %+v, %v", got, err)
	}
	for _, stage := range stream.Stages {
		if units, err := env.Queue.QuestionUnits(ctx, stage, "r1", 0); err != nil || len(units) > 0 {
			t.Errorf("%s holds %v, %v after the cancellation", stage, units, err)
		}
	}
	if units, err := env.Queue.QuestionUnits(ctx, stream.Generate, "r2", 0); err != nil || len(units) != 2 {
		t.Errorf("the other run has %v, %v, want its 2 units", units, err)
	}
	if held, served := paused(t, env)["r2"]; held || !served {
		t.Errorf("runs after the cancellation: %v, want the other run served", paused(t, env))
	}
	if _, err := s.Cancel(ctx, "r1"); !errors.Is(err, sweep.ErrOver) {
		t.Errorf("Cancel again = %v, want ErrOver", err)
	}
	if sub := submit(t, s, manifest(1, 20, 100, 200)); sub.Units != 2 || sub.Manifest.State() != "running" {
		t.Errorf("Submit of a cancelled run = %+v, want the 2 units of the unfinished cell", sub)
	}
	if cells, err := env.Store.Cells(ctx, "r1", -1); err != nil || len(cells) != 1 {
		t.Errorf("finished cells = %v, %v, want the one", cells, err)
	}
}

// TestServeSeesWhatChangedMeanwhile: pauses and resumptions from many processes end with
// consumers as the manifests say.
func TestServeSeesWhatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	for i := range 3 {
		m := manifest(1, 10, 100)
		m.ID = fmt.Sprint("r", i)
		submit(t, s, m)
	}
	for round := range 4 {
		group, ctx := errgroup.WithContext(t.Context())
		for i := range 3 {
			group.Go(func() error {
				f := s.Pause
				if (round+i)%2 == 0 {
					f = s.Resume
				}
				_, err := f(ctx, fmt.Sprint("r", i))
				return err
			})
			group.Go(func() error { return s.Serve(ctx) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		held := paused(t, env)
		for i := range 3 {
			if want := (round+i)%2 != 0; held[fmt.Sprint("r", i)] != want {
				t.Errorf("round %d: r%d held = %v, want %v", round, i, !want, want)
			}
		}
	}
}

// TestStuckWithACellThatCannotBeWritten: a unit that the combiner gave up is still
// in COMBINE, and no combiner will do better by itself.
func TestStuckWithACellThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	m := submit(t, s, manifest(1, 20, 100)).Manifest
	tasks := m.Tasks(m.Questions[0], 100)
	for _, task := range tasks {
		if _, err := env.Queue.Publish(t.Context(), stream.Combine, task.Unit, stream.Scored{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := env.Queue.Bury(t.Context(), stream.Dead{Subject: tasks[1].Subject(stream.Combine)}); err != nil {
		t.Fatal(err)
	}
	if stuck, err := s.Stuck(t.Context(), "r1"); err != nil || !stuck {
		t.Errorf("Stuck = %v, %v, want true", stuck, err)
	}
	if err := env.Queue.ForgiveCombine(t.Context(), "r1"); err != nil {
		t.Fatal(err)
	}
	if stuck, err := s.Stuck(t.Context(), "r1"); err != nil || stuck {
		t.Errorf("Stuck once the cell is looked at anew = %v, %v, want false", stuck, err)
	}
}

// TestRegenerate: a unit goes back to the start from wherever it was given up, and
// what was made of it before is gone.
func TestRegenerate(t *testing.T) {
	t.Parallel()
	for _, stage := range stream.Stages {
		t.Run(string(stage), func(t *testing.T) {
			t.Parallel()
			env := streamtest.New(t)
			ctx := t.Context()
			s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
			m := submit(t, s, manifest(1, 20, 100)).Manifest
			task := m.Tasks(m.Questions[0], 100)[1]
			if err := env.Queue.Remove(ctx, stream.Generate, task.Unit); err != nil {
				t.Fatal(err)
			}
			if stage == stream.Combine {
				if _, err := env.Queue.Publish(ctx, stage, task.Unit, "x"); err != nil {
					t.Fatal(err)
				}
			}
			d := stream.Dead{Subject: task.Subject(stage), Body: []byte("nonsense")}
			if err := env.Queue.Bury(ctx, d); err != nil {
				t.Fatal(err)
			}
			if err := s.Regenerate(ctx, d); err != nil {
				t.Fatal(err)
			}
			var back stream.Task
			err := env.Queue.Get(ctx, stream.Generate, task.Unit, &back)
			if !m.Issued(task.Unit, back.Receipt) {
				t.Errorf("the task comes back without its receipt: %+v", back)
			}
			if back.Receipt = ""; err != nil || back != task {
				t.Errorf("task = %+v, %v, want %+v", back, err, task)
			}
			if there, err := env.Queue.Has(ctx, stream.Combine, task.Unit); err != nil || there {
				t.Errorf("the unit is in COMBINE still: %v, %v", there, err)
			}
			if n, err := env.Queue.DeadCount(ctx, ""); err != nil || n != 0 {
				t.Errorf("%d dead units, %v, want none", n, err)
			}
		})
	}
	env := streamtest.New(t)
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	submit(t, s, manifest(1, 20, 100))
	for _, subject := range []string{"generate.no.unit", "generate.r1.q0.t0_1.u0002", "generate.r1.q1.t0_1.u0000", "generate.r1.q0.t0_2.u0000", "generate.r2.q0.t0_1.u0000"} {
		if err := s.Regenerate(t.Context(), stream.Dead{Subject: subject}); err == nil {
			t.Errorf("Regenerate of %s = nil, want an error", subject)
		}
	}
}

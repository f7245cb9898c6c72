package sweep_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/sweep"
)

func newSteward(env *streamtest.Env) *sweep.Steward {
	return &sweep.Steward{Sweeper: sweep.Sweeper{Queue: env.Queue, Store: env.Store}, Log: slog.New(slog.DiscardHandler), Every: 10 * time.Millisecond}
}

func runSteward(t *testing.T, s *sweep.Steward) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// exhaust hands the next unit of a stage to workers that die, until the server
// gives up. The server says so with its last attempt.
func exhaust(t *testing.T, env *streamtest.Env, stage stream.Stage) {
	t.Helper()
	cfg := env.Consumer(t, stage, "r1").CachedInfo().Config
	cfg.AckWait, cfg.MaxDeliver = 200*time.Millisecond, 2
	c, err := env.JS.UpdateConsumer(t.Context(), stage.Stream(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		streamtest.Next(t, c)
	}
	if msg, err := c.Next(jetstream.FetchMaxWait(time.Second)); !errors.Is(err, nats.ErrTimeout) {
		t.Fatalf("delivery beyond the last = %v, %v", msg, err)
	}
}

func waitDead(t *testing.T, env *streamtest.Env, n int) []stream.Dead {
	t.Helper()
	streamtest.WaitFor(t, "dead units", func(ctx context.Context) (bool, error) {
		got, err := env.Queue.DeadCount(ctx, "")
		return got == n, err
	})
	dead, err := env.Queue.DeadUnits(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return dead
}

// issued gives a task its receipt.
func issued(t *testing.T, env *streamtest.Env, m *store.Manifest, task stream.Task) stream.Task {
	t.Helper()
	issuer, err := env.Store.Issuer(t.Context(), m)
	if err != nil || issuer == nil {
		t.Fatalf("the run's units have no receipts: %v", err)
	}
	task.Receipt = issuer.Receipt(task.Unit)
	return task
}

// TestUnansweredUnitsDie: a unit whose workers all died, so that no handler could
// bury it, is among the dead, off its queue, and can be put back.
func TestUnansweredUnitsDie(t *testing.T) {
	t.Parallel()
	for _, stage := range []stream.Stage{stream.Generate, stream.Evaluate} {
		t.Run(string(stage), func(t *testing.T) {
			t.Parallel()
			env := streamtest.New(t)
			s := newSteward(env)
			m := submit(t, s.Sweeper, manifest(1, 10, 100)).Manifest
			task := issued(t, env, m, m.Tasks(m.Questions[0], 100)[0])
			if stage != stream.Generate {
				if err := env.Queue.Remove(t.Context(), stream.Generate, task.Unit); err != nil {
					t.Fatal(err)
				}
				if _, err := env.Queue.Publish(t.Context(), stage, task.Unit, task); err != nil {
					t.Fatal(err)
				}
			}
			exhaust(t, env, stage)
			runSteward(t, s)
			d := waitDead(t, env, 1)[0]
			if d.Reason != stream.Unanswered || d.Stage != stage || d.Deliveries != 2 || !strings.Contains(d.Error, "2 times") || d.Subject != task.Subject(stage) {
				t.Errorf("dead unit = %+v", d)
			}
			env.WaitEmpty(t, stage)
			if err := env.Queue.Requeue(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			var back stream.Task
			if err := env.Queue.Get(t.Context(), stage, task.Unit, &back); err != nil || back != task {
				t.Errorf("the unit put back = %+v, %v, want %+v", back, err, task)
			}
		})
	}
}

// TestAnsweredUnitsDoNotDie: the last worker published its output and died before
// it could ack. The unit is done, not dead, unless what is there is none of the unit's.
func TestAnsweredUnitsDoNotDie(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"in the next stage", "in a finished cell", "forged"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			env := streamtest.New(t)
			s := newSteward(env)
			m := submit(t, s.Sweeper, manifest(1, 10, 100)).Manifest
			task := issued(t, env, m, m.Tasks(m.Questions[0], 100)[0])
			exhaust(t, env, stream.Generate)
			var err error
			switch where {
			case "forged":
				forged := task
				forged.Receipt = ""
				_, err = env.Queue.Publish(t.Context(), stream.Evaluate, task.Unit, forged)
			case "in the next stage":
				_, err = env.Queue.Publish(t.Context(), stream.Evaluate, task.Unit, task)
			default:
				err = env.Store.PutCell(t.Context(), task.Cell, store.CellState{Counts: stream.Counts{N: 10}}, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			runSteward(t, s)
			env.WaitEmpty(t, stream.Generate)
			want := 0
			if where == "forged" { // what lies in the next stage is no answer
				want = 1
			}
			if n, err := env.Queue.DeadCount(t.Context(), ""); err != nil || n != want {
				t.Errorf("%d dead units, %v, want %d", n, err, want)
			}
		})
	}
}

// TestUnansweredUnitStaysInTheLedger: COMBINE keeps a unit that no combiner lived to
// note, for the cell that may yet be written.
func TestUnansweredUnitStaysInTheLedger(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := newSteward(env)
	m := submit(t, s.Sweeper, manifest(1, 10, 100)).Manifest
	task := issued(t, env, m, m.Tasks(m.Questions[0], 100)[0])
	if _, err := env.Queue.Publish(t.Context(), stream.Combine, task.Unit, task); err != nil {
		t.Fatal(err)
	}
	exhaust(t, env, stream.Combine)
	runSteward(t, s)
	waitDead(t, env, 1)
	if there, err := env.Queue.Has(t.Context(), stream.Combine, task.Unit); err != nil || !there {
		t.Errorf("the unit is in COMBINE: %v, %v, want true", there, err)
	}
}

// TestTerminatedUnitsDie: a unit that another program took off its queue is gone,
// message and all. It is found by what is missing, and can be generated anew.
func TestTerminatedUnitsDie(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := newSteward(env)
	m := submit(t, s.Sweeper, manifest(2, 30, 100)).Manifest
	msg, err := env.Consumer(t, stream.Generate, "r1").Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.TermWithReason("by hand"); err != nil {
		t.Fatal(err)
	}
	runSteward(t, s)
	d := waitDead(t, env, 1)[0]
	if d.Subject != msg.Subject() || d.Reason != stream.Terminated || !strings.Contains(d.Error, "by hand") {
		t.Errorf("dead unit = %+v, want %s", d, msg.Subject())
	}
	if err := env.Queue.Requeue(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	units, err := env.Queue.QuestionUnits(t.Context(), stream.Generate, m.ID, 0)
	if err != nil || len(units) != 3 {
		t.Errorf("units of the question = %v, %v, want all 3", units, err)
	}
	for _, u := range units {
		if there, err := env.Queue.Holds(t.Context(), stream.Generate, u, m.Receipts); !there || err != nil {
			t.Errorf("unit %d of %s is generated anew without its receipt, %v", u.Index, u.Key(), err)
		}
	}
}

// TestStraysDie: nobody is handed what belongs to no run. It is among the dead soon, and
// the runs' units are left alone.
func TestStraysDie(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := newSteward(env)
	for _, id := range []string{"r1", "r2", "r3"} {
		m := manifest(1, 20, 100)
		m.ID = id
		submit(t, s.Sweeper, m)
	}
	ghost := stream.Unit{Cell: stream.Cell{Run: "ghost", Temperature: 100}}
	late := stream.Unit{Cell: stream.Cell{Run: "r3", Temperature: 100}, Index: 1}
	for _, u := range []stream.Unit{ghost, late} {
		if _, err := env.Queue.Publish(t.Context(), stream.Evaluate, u, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := env.JS.Publish(t.Context(), "evaluate.no.unit", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Cancel(t.Context(), "r3"); err != nil { // takes late with it
		t.Fatal(err)
	}
	if _, err := env.Queue.Publish(t.Context(), stream.Evaluate, late, "x"); err != nil { // from a worker that held its unit
		t.Fatal(err)
	}
	runSteward(t, s)
	dead := waitDead(t, env, 2)
	if dead[0].Subject != ghost.Subject(stream.Evaluate) || dead[0].Reason != stream.Poison || dead[1].Subject != "evaluate.no.unit" || string(dead[1].Body) != "hello" {
		t.Errorf("dead units = %+v, want the ghost and the stranger", dead)
	}
	env.WaitEmpty(t, stream.Evaluate)
	env.WaitLag(t, stream.Generate, 4, 0)
	if lag, err := env.Queue.Lag(t.Context(), stream.Generate); err != nil || lag.Stored != 4 {
		t.Errorf("GENERATE = %+v, %v, want the 4 units of the two runs", lag, err)
	}
	if err := env.Queue.Requeue(t.Context(), dead[1]); err == nil || !strings.Contains(err.Error(), "no unit of lcbq") {
		t.Errorf("Requeue of a stranger = %v, want a refusal", err)
	}
}

// TestStewardKeepsTheConsumers: what the manifests say is done, whoever failed to do it.
func TestStewardKeepsTheConsumers(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := newSteward(env)
	submit(t, s.Sweeper, manifest(1, 20, 100))
	// A pause whose process died between the manifest and the consumers.
	if _, err := env.Store.UpdateRun(t.Context(), "r1", func(m *store.Manifest) bool { m.Paused = 1; return true }); err != nil {
		t.Fatal(err)
	}
	runSteward(t, s)
	streamtest.WaitFor(t, "the pause", func(ctx context.Context) (bool, error) {
		all, err := env.Queue.Consumers(ctx, stream.Generate, nil)
		return len(all) == 1 && all[0].Paused, err
	})
	if _, err := env.Queue.Advisories(t.Context(), 1); err != nil {
		t.Errorf("Advisories with none there = %v", err)
	}
	if _, _, err := env.Queue.At(t.Context(), stream.Generate, 1000); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("At of no message = %v, want ErrNotFound", err)
	}
}

package snapshot_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// TestNumbers takes units through the stages by hand and wants them counted where they are.
func TestNumbers(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3) // 12 units
	// Five are generated, one of them is judged, one more is in hand of a generator.
	gen := r.Consumer(t, stream.Generate, "r1")
	for i := range 6 {
		msg := streamtest.Next(t, gen)
		if i == 5 {
			break
		}
		_, u, err := stream.ParseSubject(msg.Subject())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Queue.Publish(t.Context(), stream.Evaluate, u, stream.Batch{}); err != nil {
			t.Fatal(err)
		}
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := streamtest.Next(t, r.Consumer(t, stream.Evaluate, "r1")).DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.finish(t, 0, 200) // whoever judged it
	r.beat(t, store.Worker{Stage: stream.Generate, Name: "gpu0_h1-1", Rates: []store.RunRate{{Run: "r1", Minute: 3, Quarter: 2}, {Run: "other", Minute: 9}}})
	r.beat(t, store.Worker{Stage: stream.Evaluate, Name: "eval0_h1-1", Slots: 8, Rates: []store.RunRate{{Run: "r1", Minute: 1, Quarter: 1}}})

	s := r.look(t)
	if want := (snapshot.Units{All: 12, Generated: 5, Judged: 2, Written: 2, Lost: s.Units.Lost}); s.Units != want {
		t.Errorf("units %+v, want %+v", s.Units, want)
	}
	g, e := s.Stage(stream.Generate), s.Stage(stream.Evaluate)
	if g.Waiting != 6 || g.InFlight != 1 || g.Rate != 3 || g.Rate15 != 2 || g.Samples != 30 || g.Trend != -3 || math.Abs(g.Backlog-7./3) > 1e-9 {
		t.Errorf("GENERATE %+v", g)
	}
	if e.Waiting != 4 || e.InFlight != 0 || e.Trend != 2 || e.Backlog != 4 || e.Workers != 1 {
		t.Errorf("EVALUATE %+v", e)
	}
	if c := s.Run.Cells; c.Done != 1 || c.All != 6 || s.Run.Samples != (snapshot.Share{Done: 20, All: 120}) || s.Run.Passed != 10 {
		t.Errorf("run %+v", s.Run)
	}
	cold, hot := s.Temperatures[0], s.Temperatures[1]
	if cold.PassAt1 != 0.5 || cold.Low >= 0.5 || cold.Low < 0.2 || cold.High <= 0.5 || cold.Complete || cold.Cells != (snapshot.Share{Done: 1, All: 3}) {
		t.Errorf("at 0.2 %+v", cold)
	}
	if hot.PassAt1 != -1 || hot.Cells.Done != 0 {
		t.Errorf("at 0.7 %+v, want nothing known", hot)
	}
	if c := s.Questions[0].Cells; c[0] != (snapshot.Cell{N: 20, Passed: 10}) || c[1] != (snapshot.Cell{}) {
		t.Errorf("grid %+v", c)
	}
	for q := range 3 {
		for _, at := range r.run.Temperatures {
			if q != 0 || at != 200 {
				r.finish(t, q, at)
			}
		}
	}
	if s = r.look(t); !s.Temperatures[0].Complete || s.Run.Cells.Done != 6 || s.Temperatures[1].PassAt1 != 0.5 {
		t.Errorf("all cells written: %+v, %+v", s.Run, s.Temperatures)
	}
}

// TestViewers subscribes more viewers than read, ends the server and wants the last numbers, marked as old.
func TestViewers(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.reader.Every = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.reader.Run(ctx) }()
	defer func() { cancel(); <-done }()
	_, leave := r.reader.Subscribe() // one that never reads
	defer leave()
	var seen []<-chan *snapshot.Snapshot
	for range 5 {
		c, leave := r.reader.Subscribe()
		defer leave()
		seen = append(seen, c)
	}
	for range 3 {
		for _, c := range seen {
			if s := <-c; s.Units.All != 4 {
				t.Fatalf("a viewer sees %+v", s.Units)
			}
		}
	}
	r.Conn.Close()
	streamtest.WaitFor(t, "the numbers to be marked as old", func(context.Context) (bool, error) {
		s, err := r.reader.Latest()
		return err != nil && s.Units.All == 4 && len(s.Findings) > 0 && s.Findings[0].Code == snapshot.StaleReading, nil
	})
}

func TestNoRun(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	r := &snapshot.Reader{Queue: env.Queue, Store: env.Store}
	if _, err := r.Look(t.Context()); !errors.Is(err, snapshot.ErrNoRun) {
		t.Errorf("Look at an empty server = %v, want ErrNoRun", err)
	}
}

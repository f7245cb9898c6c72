package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/sweep"
)

// spread submits a run of two questions at two temperatures, six units a cell, and puts
// its units where they are in mid-run: the first cell is finished, of the second one unit
// is in each stage, one is given up and one is in two places, the rest are in GENERATE.
func spread(t *testing.T, env *streamtest.Env) (sweep.Sweeper, *store.Manifest) {
	t.Helper()
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	m := submit(t, s, manifest(2, 60, 100, 200)).Manifest
	ctx := t.Context()
	first, second := m.Tasks(m.Questions[0], 100), m.Tasks(m.Questions[0], 200)
	var errs []error
	for _, task := range first {
		errs = append(errs, env.Queue.Remove(ctx, stream.Generate, task.Unit))
	}
	errs = append(errs, env.Store.PutCell(ctx, first[0].Cell, store.CellState{Counts: stream.Counts{N: 60}}, 0))
	move := func(task stream.Task, stage stream.Stage) {
		_, err := env.Queue.Publish(ctx, stage, task.Unit, "x")
		errs = append(errs, err, env.Queue.Remove(ctx, stream.Generate, task.Unit))
	}
	move(second[1], stream.Evaluate)
	move(second[2], stream.Combine)
	move(second[3], stream.Evaluate)
	move(second[3], stream.Combine)
	errs = append(errs, env.Queue.Bury(ctx, stream.Dead{Subject: second[4].Subject(stream.Generate)}), env.Queue.Remove(ctx, stream.Generate, second[4].Unit))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return s, m
}

func TestAuditFindsEveryUnit(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s, m := spread(t, env)
	ctx := t.Context()
	want := sweep.Audit{Run: "r1", Units: 24, Done: 6, Generate: 14, Evaluate: 2, Combine: 2, Dead: 1}
	if got, err := s.Audit(ctx, m, nil); err != nil || got != want {
		t.Errorf("Audit = %+v, %v, want %+v", got, err, want)
	}
	if n, err := s.Short(ctx, m); err != nil || n != 0 {
		t.Errorf("Short = %d, %v, want none", n, err)
	}
	// Somebody purges a part of EVALUATE and a part of GENERATE.
	gone := []stream.Unit{m.Tasks(m.Questions[0], 200)[1].Unit, m.Tasks(m.Questions[1], 100)[5].Unit, m.Tasks(m.Questions[1], 200)[0].Unit}
	for i, u := range gone {
		if err := env.Queue.Remove(ctx, []stream.Stage{stream.Evaluate, stream.Generate, stream.Generate}[i], u); err != nil {
			t.Fatal(err)
		}
	}
	var lost []stream.Unit
	got, err := s.Audit(ctx, m, func(task stream.Task) error { lost = append(lost, task.Unit); return nil })
	if err != nil || got.Lost != 3 || fmt.Sprint(lost) != fmt.Sprint(gone) {
		t.Errorf("Audit = %+v, %v, lost %v, want %v", got, err, lost, gone)
	}
	// One unit is in two places: the counts prove one less.
	if n, err := s.Short(ctx, m); err != nil || n != 2 {
		t.Errorf("Short = %d, %v, want 2 at least", n, err)
	}
	if n, err := s.Lost(ctx, m); err != nil || n != 3 {
		t.Errorf("Lost = %d, %v, want 3", n, err)
	}
}

// TestShortListsNothing: while consumers know all units of a run, the server is asked for no list of subjects of
// GENERATE and EVALUATE, however many units there are.
func TestShortListsNothing(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s, m := spread(t, env)
	ctx := t.Context()
	asked, err := env.Conn.SubscribeSync("$JS.API.STREAM.INFO.*")
	if err != nil {
		t.Fatal(err)
	}
	lists := func() int {
		t.Helper()
		n := 0
		there, _, err := asked.Pending() // what was asked comes to this connection before its answer
		if err != nil {
			t.Fatal(err)
		}
		for range there {
			msg, err := asked.NextMsgWithContext(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(msg.Data), "subjects_filter") && !strings.HasSuffix(msg.Subject, ".COMBINE") && !strings.HasSuffix(msg.Subject, ".DEAD") {
				n++
			}
		}
		return n
	}
	if n, err := s.Short(ctx, m); err != nil || n != 0 {
		t.Errorf("Short = %d, %v, want none", n, err)
	}
	if n := lists(); n != 0 {
		t.Errorf("%d lists were asked for, want none", n)
	}
	// Consumers do not know of a unit that is not served: only a list tells it from a lost one.
	if err := env.JS.DeleteConsumer(ctx, "EVALUATE", "evaluators-"+m.ID); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Short(ctx, m); err != nil || n != 0 {
		t.Errorf("Short = %d, %v, want none: no unit is gone", n, err)
	}
	if n := lists(); n == 0 {
		t.Error("no list was asked for, want one: or a list is nothing that this test sees")
	}
}

// TestSubmitHeals: the units of a stream that somebody removed are published again by the
// same submission, once, and those that are elsewhere stay where they are.
func TestSubmitHeals(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s, _ := spread(t, env)
	ctx := t.Context()
	if err := env.JS.DeleteStream(ctx, "GENERATE"); err != nil {
		t.Fatal(err)
	}
	if err := env.Queue.Declare(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if sub := submit(t, s, manifest(2, 60, 100, 200)); sub.Lost != 14 || sub.Units != 14 || sub.New || sub.Grown {
		t.Errorf("Submit = %+v, want the 14 units that were in GENERATE", sub)
	}
	if sub := submit(t, s, manifest(2, 60, 100, 200)); sub.Lost != 0 || sub.Units != 0 {
		t.Errorf("Submit again = %+v, want nothing done", sub)
	}
	env.WaitLag(t, stream.Generate, 14, 0)
	if lag, err := env.Queue.Lag(ctx, stream.Generate); err != nil || lag.Stored != 14 {
		t.Errorf("GENERATE = %+v, %v, want 14 units", lag, err)
	}
}

// TestStewardNamesLostUnits: it says how many and what to type, once.
func TestStewardNamesLostUnits(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s, m := spread(t, env)
	var said strings.Builder // one goroutine writes and reads
	steward := &sweep.Steward{Sweeper: s, Log: slog.New(slog.NewTextHandler(&said, nil))}
	round := func() {
		t.Helper()
		for range 13 { // units are counted in one of 12 rounds
			if err := steward.Round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	round()
	if said.Len() > 0 {
		t.Errorf("with nothing lost the steward says:\n%s", &said)
	}
	for _, task := range m.Tasks(m.Questions[1], 100)[:2] {
		if err := env.Queue.Remove(t.Context(), stream.Generate, task.Unit); err != nil {
			t.Fatal(err)
		}
	}
	round()
	round()
	if strings.Count(said.String(), "gone from every queue") != 1 || !strings.Contains(said.String(), "units=2") || !strings.Contains(said.String(), "lcbq submit") {
		t.Errorf("with two units lost the steward says:\n%s", &said)
	}
}

// TestBadManifestCostsItself: a key that no lcbq wrote, and one of a newer format, cost no
// other run anything. They are named once, and what they have is left alone.
func TestBadManifestCostsItself(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	newer := manifest(1, 20, 100)
	newer.ID = "newer"
	submit(t, s, newer)
	kv, err := env.JS.KeyValue(ctx, "lcbq_runs")
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"junk": "garbage", "newer": `{"id":"newer","format":99,"lcbq":"v9"}`, "other": `{"id":"r1","unit_size":10}`,
		"endless": `{"id":"endless","unit_size":0,"questions":[{"index":0,"cuts":[10]}]}`, "back": `{"id":"back","unit_size":1,"questions":[{"index":0,"cuts":[10,5]}]}`,
	} {
		if _, err := kv.Put(ctx, key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	m := submit(t, s, manifest(1, 20, 100)).Manifest
	runs, unread, err := env.Store.Runs(ctx)
	if err != nil || len(runs) != 1 || runs[0].ID != m.ID || len(unread) != 5 {
		t.Fatalf("Runs = %v, unread %v, %v; want r1 and five that cannot be read", runs, unread, err)
	}
	for _, u := range unread {
		if !errors.Is(u.Err, store.ErrUnreadable) || !strings.Contains(u.Err.Error(), u.Key) || errors.Is(u.Err, store.ErrNewer) != (u.Key == "newer") {
			t.Errorf("key %s: %v", u.Key, u.Err)
		}
		if _, _, err := env.Store.Run(ctx, u.Key); !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("Run(%s) = %v, want ErrUnreadable", u.Key, err)
		}
	}
	var said strings.Builder
	steward := &sweep.Steward{Sweeper: s, Log: slog.New(slog.NewTextHandler(&said, nil))}
	for range 2 {
		if err := steward.Round(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(said.String(), "cannot be read"); n != 5 {
		t.Errorf("the steward names %d keys, want each of 5 once:\n%s", n, &said)
	}
	all, err := env.Queue.Consumers(ctx, stream.Generate, nil)
	if err != nil || len(all) != 2 || all[0].Run != "newer" || all[0].Waiting != 2 || all[1].Run != "r1" || all[1].Waiting != 2 {
		t.Errorf("consumers = %+v, %v, want those of newer and r1 with their units", all, err)
	}
	if _, err := s.Pause(ctx, "r1"); err != nil {
		t.Errorf("Pause beside bad manifests = %v", err)
	}
}

// TestFailedSubmissionLeavesNothing: the problems cannot be stored, or the caller's own
// part fails before the first unit.
func TestFailedSubmissionLeavesNothing(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	nothing := func(when string) {
		t.Helper()
		runs, unread, err := env.Store.Runs(t.Context())
		all, err2 := env.Queue.Consumers(t.Context(), stream.Generate, nil)
		if err := errors.Join(err, err2); err != nil || len(runs)+len(unread)+len(all) > 0 {
			t.Errorf("%s: runs %v, unread %v, consumers %v, %v; want none", when, runs, unread, all, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Define(ctx, manifest(2, 10, 100), func(q int) []byte { cancel(); return rows(q) })
	if err == nil {
		t.Error("Define whose problems could not be stored = nil")
	}
	nothing("after the problems")
	sub, err := s.Define(t.Context(), manifest(1, 10, 100), rows)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Withdraw(t.Context(), sub); err != nil {
		t.Errorf("Withdraw = %v", err)
	}
	nothing("after the caller's part")
	// A run that somebody else has changed since, or that was there before, stays.
	sub, err = s.Define(t.Context(), manifest(1, 10, 100), rows)
	if err == nil {
		_, err = s.Pause(t.Context(), "r1")
	}
	if err == nil {
		err = s.Withdraw(t.Context(), sub)
	}
	if _, _, gone := env.Store.Run(t.Context(), "r1"); err != nil || gone != nil {
		t.Errorf("a paused run after Withdraw: %v, %v, want it there", err, gone)
	}
}

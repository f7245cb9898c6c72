package snapshot

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
)

// at returns what a server says at a moment of a run of which one unit waits for an evaluator and none moves.
func at(now time.Time, workers ...store.Worker) *raw {
	m := &store.Manifest{
		ID: "r1", OutputDir: "/out of it", UnitSize: 1, Published: true, Temperatures: []stream.Temperature{200}, Questions: []store.Question{{Cuts: []int{2}}},
		Model: store.Model{Engine: stream.EngineOpenAI},
	}
	return &raw{
		run: m, runs: []*store.Manifest{m}, now: now, workers: workers, cells: map[stream.Cell]store.CellState{},
		looks: map[stream.Stage]queue.Look{stream.Evaluate: {Runs: map[string]queue.RunLook{"r1": {Waiting: 1}}}},
	}
}

func told(s *Snapshot, code Code) string {
	for _, f := range s.Findings {
		if f.Code == code {
			return f.Text + "\n" + f.Command
		}
	}
	return ""
}

// TestTimePasses has a simulated clock tell what only time shows: a run that stands still, workers that fade, a server
// that stores no heartbeat, and a folder that nobody serves.
func TestTimePasses(t *testing.T) {
	t.Parallel()
	start := time.UnixMilli(1_800_000_000_000)
	beat := func(stage stream.Stage, name string, seen time.Time) store.Worker {
		return store.Worker{Stage: stage, Name: name, Host: "h1", Slots: 1, Seen: seen.UnixMilli()}
	}
	r := &Reader{Reach: "-o out"}
	r.run = "r1"
	now := start
	pass := func(d time.Duration) { now = now.Add(d) }
	alive := func() []store.Worker {
		return []store.Worker{beat(stream.Evaluate, "eval0", now), beat(stream.Combine, "combine0", now)}
	}
	s := r.make(at(now, alive()...))
	if len(s.Findings) != 0 {
		t.Fatalf("at first %+v", s.Findings)
	}
	pass(long - time.Second)
	if s = r.make(at(now, alive()...)); len(s.Findings) != 0 {
		t.Errorf("before it is long: %+v", s.Findings)
	}
	pass(2 * time.Second)
	if s = r.make(at(now, alive()...)); !strings.HasPrefix(told(s, Stalled), "nothing was judged for 10 minutes, though workers live") {
		t.Errorf("after it is long: %+v", s.Findings)
	}
	// The evaluator is killed: its heartbeat ages, fades from the store and is remembered for a while.
	killed := alive()[0]
	pass(20 * time.Second)
	s = r.make(at(now, killed, beat(stream.Combine, "combine0", now)))
	if !strings.HasPrefix(told(s, DeadWorker), "eval0 on h1 shows no sign of life for 20 s") || told(s, NoEvaluator) == "" {
		t.Errorf("20 s after a kill: %+v", s.Findings)
	}
	pass(time.Minute)
	s = r.make(at(now, beat(stream.Combine, "combine0", now)))
	if !strings.HasPrefix(told(s, DeadWorker), "eval0 on h1 shows no sign of life for 80 s") || len(s.Workers) != 2 {
		t.Errorf("after its heartbeat faded: %+v", s.Findings)
	}
	pass(remember)
	if s = r.make(at(now, beat(stream.Combine, "combine0", now))); len(s.Workers) != 1 {
		t.Errorf("it is never forgotten: %+v", s.Workers)
	}
	// One that ends in good order removes its heartbeat.
	r.make(at(now, alive()...))
	pass(5 * time.Second)
	if s = r.make(at(now, beat(stream.Combine, "combine0", now))); len(s.Workers) != 1 || told(s, DeadWorker) != "" {
		t.Errorf("one that ended in good order is called dead: %+v", s.Workers)
	}
	// The server's disk is full: it answers and stores nothing.
	old := alive()
	pass(20 * time.Second)
	if s = r.make(at(now, old...)); !strings.Contains(told(s, NoHeartbeats), "the server's disk is full, or they are cut off\ndf -h") || told(s, DeadWorker) != "" {
		t.Errorf("without any heartbeat: %+v", s.Findings)
	}
	r.Idle = true
	if s = r.make(at(now)); !strings.HasSuffix(told(s, NotRunning), "lcbq run --config '/out of it/run.toml' -o '/out of it'") || len(s.Findings) != 1 || s.Run.State != Stopped {
		t.Errorf("of a folder that nobody serves: %s, %+v", s.Run.State, s.Findings)
	}
	if old := stale(s, errors.New("no answer")); old.Run.State != Unknown || s.Run.State != Stopped {
		t.Errorf("a run out of reach is %s, before %s", old.Run.State, s.Run.State)
	}
	for _, x := range []struct {
		m    store.Manifest
		want string
	}{{store.Manifest{Published: true}, Stopped}, {store.Manifest{}, Stopped}, {store.Manifest{Published: true, Paused: 1}, "paused"}, {store.Manifest{Finished: 1}, "finished"}, {store.Manifest{Cancelled: 1}, "cancelled"}} {
		run := runOf(&x.m)
		if run.rest(&x.m); run.State != x.want {
			t.Errorf("a run that is %s and nobody serves is %s, want %s", x.m.State(), run.State, x.want)
		}
	}
}

func TestPick(t *testing.T) {
	t.Parallel()
	run := func(id string, paused, finished int64) *store.Manifest {
		return &store.Manifest{ID: id, Paused: paused, Finished: finished}
	}
	all := []*store.Manifest{run("over", 0, 1), run("paused", 1, 0), run("first", 0, 0), run("second", 0, 0), run("over2", 0, 1)}
	for _, tt := range []struct {
		runs []*store.Manifest
		id   string
		want string
	}{{all, "", "first"}, {all, "second", "second"}, {all[:2], "", "paused"}, {[]*store.Manifest{all[0], all[4]}, "", "over2"}} {
		if got := pick(tt.runs, tt.id); got == nil || got.ID != tt.want {
			t.Errorf("pick %q of %d = %+v, want %s", tt.id, len(tt.runs), got, tt.want)
		}
	}
	if got := pick(all, "none"); got != nil {
		t.Errorf("pick of a run that is not there = %+v", got)
	}
}

// TestArrivals: what a process said before its workers were there is no worker beside them, for as long as it lies there.
func TestArrivals(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	beat := func(stage stream.Stage, name, process string, slots int) store.Worker {
		return store.Worker{Stage: stage, Name: name, Host: "h", Process: process, Slots: slots, Seen: now.UnixMilli()}
	}
	s := (&Reader{}).make(at(now,
		beat(stream.Evaluate, "starting_h-1", "p1", 0), beat(stream.Evaluate, "eval0_h-1", "p1", 2), // its workers are there
		beat(stream.Generate, "starting_h-1", "p1", 0),                                          // those of this stage are not
		beat(stream.Evaluate, "starting_h-2", "p2", 0),                                          // another process
		beat(stream.Evaluate, "starting_h-3", "", 0), beat(stream.Evaluate, "eval0_h-4", "", 2), // they may be of two
	))
	var names []string
	for i := range s.Workers {
		names = append(names, string(s.Workers[i].Stage)+" "+s.Workers[i].Name)
	}
	if want := []string{"generate starting_h-1", "evaluate eval0_h-1", "evaluate eval0_h-4", "evaluate starting_h-2", "evaluate starting_h-3"}; !slices.Equal(names, want) {
		t.Errorf("workers %q, want %q", names, want)
	}
}

// TestForgedHeartbeats has heartbeats say what no worker says.
func TestForgedHeartbeats(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	long := strings.Repeat("\u00e4", 1<<20)
	workers := []store.Worker{
		{Stage: stream.Evaluate, Name: long, Host: long, Slots: -5, Process: "x", Seen: now.UnixMilli(), Lately: []store.Lately{{Seconds: 1e300, Slots: -1, Samples: -1 << 63, CPU: 1e300, Starved: -1e300}, {}, {Slots: 1e308}}, Rates: []store.RunRate{{Run: "r1", Minute: -1e300, Quarter: 1e300}}},
		{Stage: stream.Evaluate, Name: "eval0", Host: "h", Slots: 1 << 60, Seen: now.Add(time.Hour).UnixMilli(), Clock: -1 << 62, Trouble: &store.Trouble{Code: long, Text: long, Remedy: long, Since: -1 << 62}},
		{Stage: "no such stage", Name: "x", Seen: -1 << 62},
	}
	workers = append(workers, store.Worker{Stage: stream.Evaluate, Name: "eval1", Host: "h", Slots: 1, Seen: now.UnixMilli(), Rates: workers[0].Rates})
	for i := range 40 {
		workers = append(workers, store.Worker{Stage: stream.Evaluate, Name: string(rune('a' + i)), Host: "h", Slots: 1, Seen: now.Add(-20 * time.Second).UnixMilli()})
	}
	s := (&Reader{}).make(at(now, workers...))
	size := 0
	for _, f := range s.Findings {
		size += len(f.Text) + len(f.Remedy)
	}
	if size > 4000 || len(s.Findings) > 8 {
		t.Errorf("%d findings of %d bytes", len(s.Findings), size)
	}
	if text := told(s, DeadWorker); !strings.Contains(text, "a on h (and 39 more) shows no sign of life") {
		t.Errorf("40 silent workers of one host are %q", text)
	}
	row := s.Stage(stream.Evaluate)
	if row.Rate != 0 || row.Rate15 != mostRate || row.Workers != 2 {
		t.Errorf("EVALUATE %+v", row)
	}
	for _, w := range s.Workers {
		if w.Slots < 0 || w.Slots > mostSlots || len(w.Name) > longName || w.LastSign < 0 {
			t.Errorf("a worker with %d slots, a name of %d bytes, last seen %v s ago", w.Slots, len(w.Name), w.LastSign)
		}
		for _, l := range w.lately {
			if len(w.lately) > 2 || l.Samples < 0 || min(l.Seconds, l.Slots, l.CPU, l.Starved) < 0 || max(l.Seconds, l.Slots, l.CPU, l.Starved) > mostSpent {
				t.Errorf("a worker that lately did %+v", w.lately)
			}
		}
	}
	if _, err := json.Marshal(s); err != nil {
		t.Error(err)
	}
}

// TestWaitsForDead wants a run of which only units that were given up are left to be called so, and no time left.
func TestWaitsForDead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		about string
		run   Run
		units Units
		want  bool
	}{
		{"all others are judged", Run{}, Units{All: 10, Generated: 8, Judged: 8, Written: 6, Dead: 2}, true},
		{"one is to be judged", Run{}, Units{All: 10, Generated: 8, Judged: 7, Dead: 2}, false},
		{"none was given up", Run{}, Units{All: 10, Generated: 10, Judged: 10, Written: 5}, false},
		{"some are lost", Run{}, Units{All: 10, Generated: 8, Judged: 8, Dead: 2, Lost: 1}, false},
		{"it is over", Run{Finished: 1}, Units{All: 10, Generated: 8, Judged: 8, Dead: 2}, false},
	} {
		s := &Snapshot{Run: tt.run, Units: tt.units}
		if got := s.waitsForDead(); got != tt.want {
			t.Errorf("%s: waitsForDead = %t", tt.about, got)
		}
		f := finder{Reader: &Reader{}, s: s}
		f.deadUnits()
		if tt.units.Dead > 0 && (len(f.found) != 1 || f.found[0].Grave != tt.want || strings.Contains(f.found[0].Text, "the run waits for them") != tt.want) {
			t.Errorf("%s: %+v", tt.about, f.found)
		}
	}
}

// TestDiagnosedLater wants what is wrong with answers said within a few seconds of the cell that shows it, though no
// other cell comes after it, and at once when the run is complete.
func TestDiagnosedLater(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	r := &Reader{}
	in := func(after time.Duration, finished int) *raw {
		x := at(now.Add(after))
		x.run.Questions = []store.Question{{Index: 0, Cuts: []int{20}}, {Index: 1, Cuts: []int{20}}, {Index: 2, Cuts: []int{20}}}
		x.cells = make(map[stream.Cell]store.CellState)
		for q := range finished {
			a := &stream.Answers{Finish: map[string]int{stream.FinishStop: 20}, Empty: 20 * min(1, q), Texts: 20 - 19*min(1, q)}
			x.cells[stream.Cell{Run: x.run.ID, Question: q, Temperature: 200}] = store.CellState{Counts: stream.Counts{N: 20, Answers: a, Verdicts: map[stream.Verdict]int{stream.NoCode: 20}}}
		}
		return x
	}
	sick := func(s *Snapshot) bool { return told(s, "empty_answers") != "" }
	if s := r.make(in(0, 1)); sick(s) {
		t.Fatalf("of sound answers: %+v", s.Findings)
	}
	said := time.Duration(-1)
	for after := time.Second; after <= 10*time.Second && said < 0; after += time.Second {
		if sick(r.make(in(after, 2))) {
			said = after
		}
	}
	if said != healthEvery {
		t.Errorf("empty answers are said after %v, want %v", said, healthEvery)
	}
	r = &Reader{}
	r.make(in(0, 1))
	if s := r.make(in(time.Second, 3)); !sick(s) {
		t.Errorf("of a complete run: %+v", s.Findings)
	}
}

// TestFewerSamples: a temperature of which fewer samples are enough is complete at once.
func TestFewerSamples(t *testing.T) {
	t.Parallel()
	r := &Reader{}
	r.run = "r1"
	in := at(time.UnixMilli(1_800_000_000_000))
	in.run.Questions[0].Cuts = []int{2, 4}
	in.cells[stream.Cell{Run: "r1", Question: 0, Temperature: 200}] = store.CellState{Counts: stream.Counts{N: 2, Passed: 1}}
	if s := r.make(in); s.Run.Cells.Done != 0 || s.Temperatures[0].Complete || s.Run.Samples.All != 4 || s.Units.Written != 2 || s.Units.All != 4 {
		t.Errorf("with 2 samples of 4: %+v, %+v, %+v", s.Run, s.Temperatures[0], s.Units)
	}
	in.run.Fewer = []store.Fewer{{Temperature: 200, N: 2}}
	if s := r.make(in); s.Run.Cells.Done != 1 || !s.Temperatures[0].Complete || s.Run.Samples.All != 2 || s.Units.Written != 2 || s.Units.All != 2 {
		t.Errorf("with 2 samples that are enough: %+v, %+v, %+v", s.Run, s.Temperatures[0], s.Units)
	}
}

// TestNoTimeWhileHeld: while the folder cannot be written, or no evaluator judges, the time left is not known.
func TestNoTimeWhileHeld(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	for _, x := range []struct {
		held stream.Stage
		want bool
	}{{"", true}, {stream.Combine, false}, {stream.Evaluate, false}, {stream.Generate, true}} { // all is generated
		var workers []store.Worker
		for _, stage := range stream.Stages {
			w := store.Worker{Stage: stage, Name: string(stage) + "0", Host: "h1", Slots: 1, Seen: now.UnixMilli(), Rates: []store.RunRate{{Run: "r1", Minute: 1, Quarter: 1}}}
			if stage == x.held {
				w.Trouble = &store.Trouble{Code: store.TroubleWaits, Text: "it waits", Since: now.Add(-time.Hour).UnixMilli()}
			}
			workers = append(workers, w)
		}
		r := &Reader{}
		r.run = "r1"
		if s := r.make(at(now, workers...)); (s.Left != nil) != x.want {
			t.Errorf("while %q is held the time left is %+v", x.held, s.Left)
		}
	}
}

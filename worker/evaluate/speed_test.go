package evaluate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// solvedAfter solves the problem fog once it has used so much processor time.
func solvedAfter(seconds float64) string {
	return fmt.Sprintf("import time\nwhile time.process_time() < %v: pass\n%s", seconds, solution)
}

// TestSpeed wants this host's interpreter to have a speed, and the quiet core back after it was measured.
func TestSpeed(t *testing.T) {
	t.Parallel()
	g := newGrader(t, 1)
	speed, err := g.speed(t.Context(), lookPause)
	if err != nil || speed < 0.1 || speed > 1000 {
		t.Errorf("Speed = %v, %v", speed, err)
	}
	g.quiet.mu.Lock()
	defer g.quiet.mu.Unlock()
	if len(g.quiet.slots) != 0 {
		t.Error("the quiet core is still taken")
	}
}

// TestSecondsOfTheReference judges the same programs as three hosts would, one as fast as the
// reference, one three times slower and one three times faster, and wants each to apply the limit of 0.3 s
// in seconds of the reference. A program that sleeps has the same limit everywhere.
func TestSecondsOfTheReference(t *testing.T) {
	t.Parallel()
	burnsSeconds(t)
	g := newGrader(t, 1)
	g.stretch = func(*trial) sandbox.Stretch { return nil } // this machine's load would count too
	q := question(t, fog)
	for _, c := range []struct {
		host, seconds float64
		want          stream.Verdict
	}{
		{10, 0.1, stream.Passed},
		{10, 0.5, stream.TimeLimit},
		{10.0 / 3, 0.5, stream.Passed},
		{10.0 / 3, 1.1, stream.TimeLimit},
		{30, 0.04, stream.Passed},
		{30, 0.15, stream.TimeLimit},
	} {
		if j := judge1(t, g, q.At(Pace{Reference: 10, Host: c.host}), code(solvedAfter(c.seconds))); j.Verdict != c.want {
			t.Errorf("a program of %v s on a host of speed %v: %+v, want %v", c.seconds, c.host, j, c.want)
		}
	}
	// What one host found counts for the others: it is the same in seconds of the reference.
	for i, c := range []struct {
		pace  Pace
		known bool
	}{{Pace{10, 10}, false}, {Pace{10, 30}, true}, {Pace{40, 40}, false}, {Pace{}, false}} {
		_, known, err := g.Judge(t.Context(), q.At(c.pace), code(solution))
		if err != nil || known != c.known {
			t.Errorf("judged by host %d: known %v, %v", i, known, err)
		}
	}
}

// on returns a worker on a host of the given name and speed.
func (b *bench) on(g *Grader, host string, speed float64) *Worker {
	w := b.worker(g)
	w.host = host
	if speed > 0 {
		w.gauge.measured(speed)
	}
	return w
}

// TestTwoSpeedsOfOneRun has two evaluators of different speed judge for one run, and wants both to
// translate the limit of the first, and what does not fit to be refused in words.
func TestTwoSpeedsOfOneRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.m.Judge.Reference = "first"
	m, rev, err := b.Store.Run(t.Context(), "r1")
	if err != nil {
		t.Fatal(err)
	}
	m.Judge.Reference = "first"
	if _, err := b.Store.PutRun(t.Context(), m, rev); err != nil {
		t.Fatal(err)
	}
	graders := map[string]*Grader{"": newGrader(t, 1), "first": newGraderFor(t, "first"), "12": newGraderFor(t, "12")}
	first, slow := b.on(graders["first"], "a", 12), b.on(graders["first"], "b", 4)
	if m, err = first.admit(t.Context(), m); err != nil || m.Provenance.JudgeSpeed != 12 {
		t.Fatalf("admit = %+v, %v", m, err)
	}
	if m, _, err = b.Store.Run(t.Context(), "r1"); err != nil || m.Provenance.JudgeSpeed != 12 {
		t.Fatalf("the manifest has speed %v, %v, want 12", m.Provenance.JudgeSpeed, err)
	}
	for w, want := range map[*Worker]float64{first: 1, slow: 3} {
		if _, err := w.admit(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if p, err := w.paceFor(m); err != nil || p.scale() != want {
			t.Errorf("limits of speed %v are multiplied by %v, %v, want %v", w.speedNow(), p.scale(), err, want)
		}
	}
	again := b.on(graders["first"], "a", 4) // of the first one's host, measured beside a neighbour
	if p, err := again.paceFor(m); err != nil || p.scale() != 1 || p.Reference != 12 {
		t.Errorf("the first host judges with limits times %v, %v, later on", p.scale(), err)
	}
	for name, c := range map[string]struct {
		reference string
		speed     float64
		want      string
	}{
		"far too slow":  {"first", 1, "more than 8 times apart"},
		"unknown":       {"first", 0, "is not known"},
		"without one":   {"", 12, "judged in mode lcb with 0 s of reference speed first, this host judges in mode lcb with 0.3 s:"},
		"of another":    {"12", 12, "this host judges in mode lcb with 0.3 s of reference speed 12"},
		"no such speed": {"twelve", 12, "want a number above 0"},
	} {
		g := graders[c.reference]
		if c.reference == "twelve" {
			m := *m
			m.Judge.Reference = c.reference
			if _, err := first.paceFor(&m); !errors.Is(err, ErrPace) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("a host %s: %v, want %q", name, err, c.want)
			}
			continue
		}
		w := b.on(g, "b", c.speed)
		if err := w.serves(t.Context(), "r1"); !errors.Is(err, worker.ErrUnfit) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("a host %s: %v, want %q", name, err, c.want)
		}
	}
}

// TestBegin wants a worker to know its host's speed before its first unit, and to do without it where the
// clock lies.
func TestBegin(t *testing.T) {
	t.Parallel()
	var g, h gauge
	good := func(context.Context) ([]time.Duration, error) { return []time.Duration{500 * time.Microsecond}, nil }
	if !g.begin(t.Context(), good, slog.New(slog.DiscardHandler)) {
		t.Error("begin says that it was told to stop")
	}
	if s, settled := g.speed(); s != 10 || settled {
		t.Errorf("after a first look: %v, %v", s, settled)
	}
	var log strings.Builder
	if !h.begin(t.Context(), func(context.Context) ([]time.Duration, error) { return nil, errClock }, slog.New(slog.NewTextHandler(&log, nil))) {
		t.Error("begin says that it was told to stop")
	}
	h.follow(t.Context(), func(context.Context) ([]time.Duration, error) { t.Error("asked again"); return nil, errClock }, func() { t.Error("told") }, slog.New(slog.DiscardHandler))
	if s, _ := h.speed(); s != 0 || !strings.Contains(log.String(), "cannot be believed") {
		t.Errorf("of a clock that lies: %v, log %q", s, log.String())
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if g.begin(over, good, slog.New(slog.DiscardHandler)) {
		t.Error("begin goes on though it was told to stop")
	}
}

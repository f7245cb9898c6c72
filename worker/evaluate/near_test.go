package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/pythontest"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/sandbox"
)

func TestNear(t *testing.T) {
	t.Parallel()
	for spent, want := range map[time.Duration]bool{
		time.Second: false, 6 * time.Second: false, 6100 * time.Millisecond: true, 11 * time.Second: true, 12 * time.Second: false,
	} {
		if got := near(sandbox.Result{Outcome: sandbox.TimeLimit, TestCPU: spent}, 6*time.Second); got != want {
			t.Errorf("near with a test of %v = %v, want %v", spent, got, want)
		}
		if near(sandbox.Result{Outcome: sandbox.TimeLimit, TestCPU: spent, Cut: true}, 6*time.Second) {
			t.Errorf("a test that was stopped after %v is near: it may never end", spent)
		}
	}
	if near(sandbox.Result{Outcome: sandbox.Rejected, TestCPU: 7 * time.Second}, 6*time.Second) {
		t.Error("a wrong answer is near the time limit")
	}
}

// TestStretched wants a program to be let run as far as the measured slowdown asks: an endless one is stopped there
// and not run again, and one that ended late has its second run measured by what that is slower. Who asks whether
// two judges may differ has it run as far as ever.
func TestStretched(t *testing.T) {
	t.Parallel()
	far := limits
	// Far from what the late program needs on both sides: what a busy host takes from a rented machine counts as its own.
	far.CPU, far.Slack, far.Wall = 200*time.Millisecond, time.Hour, time.Hour
	g, err := NewGrader(t.Context(), Config{Sandbox: sandbox.Config{Python: pythontest.Find(t), Limits: far}, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	var runs []bool
	slack, grace := time.Duration(0), time.Hour
	stretch := func(t *trial) sandbox.Stretch {
		runs = append(runs, t.last)
		return func(sandbox.Strain) (time.Duration, time.Duration, bool) {
			t.slowed = 0.25
			if t.last {
				return time.Hour, grace, true
			}
			return slack, 0, true
		}
	}
	g.stretch = stretch
	q := question(t, fog)
	// The kernel ends it after four seconds.
	if j := judge1(t, g, q, code("while True: pass")); j.Verdict != stream.TimeLimit || j.CPU > 3 || j.Slowdown != 1.25 || g.Rejudged() != 0 || !slices.Equal(runs, []bool{false}) {
		t.Errorf("an endless program: %+v, %d run again, runs %v", j, g.Rejudged(), runs)
	}
	runs, slack = nil, time.Hour
	late := "import time\nbegan = time.process_time()\nwhile time.process_time() < min(began, .05) + .33: pass\n" + solution // in the first test alone
	var again, unsure int64
	begin := func() { runs, again, unsure = nil, g.Rejudged(), g.Unsure() }
	begin()
	if j := judge1(t, g, q, code(late)); j.Verdict != stream.Passed || j.Slowdown != 1.25 || g.Rejudged() != again+1 || !slices.Equal(runs, []bool{false, true}) {
		t.Errorf("a program whose second run was slowed down: %+v, %d run again, runs %v", j, g.Rejudged()-again, runs)
	}
	g.stretch = func(t *trial) sandbox.Stretch {
		t.slowed = 0.25 // before it is over, as of a program that kept its limit
		return func(sandbox.Strain) (time.Duration, time.Duration, bool) { return 0, 0, false }
	}
	if j := judge1(t, g, q, code(solution)); j.Verdict != stream.Passed || j.Slowdown != 0 {
		t.Errorf("a program that kept the limit: %+v", j)
	}
	g.stretch = stretch

	// While the quiet core is taken, and nobody waits for it, the second run is among others, and says so.
	taken, err := g.quiet.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g.quiet.patience = time.Millisecond
	for _, c := range []struct {
		grace time.Duration
		want  stream.Verdict
	}{{time.Hour, stream.Passed}, {0, stream.TimeLimit}} {
		slack, grace = time.Hour, c.grace
		begin()
		f, _, err := g.judge(t.Context(), &trial{q: q, code: late, asked: true})
		if err != nil {
			t.Fatal(err)
		}
		if j := f.Judgement; !f.unsure || j.Verdict != c.want || j.Slowdown != 1.25 || !strings.Contains(j.Detail, "was not run alone") || (j.Verdict == stream.Passed) != strings.HasPrefix(j.Detail, "it took") ||
			g.Unsure() != unsure+1 || g.Rejudged() != again || !slices.Equal(runs, []bool{false, true}) {
			t.Errorf("a program for which no quiet core is free: %+v, want %s and unsure; %d unsure, %d run again, runs %v", f, c.want, g.Unsure(), g.Rejudged(), runs)
		}
	}
	if err := g.quiet.leave(taken); err != nil {
		t.Fatal(err)
	}

	runs = nil
	if _, _, err := g.beside(t.Context(), &trial{q: q, code: solution, asked: true, last: true}); err != nil || !slices.Equal(runs, []bool{false}) {
		t.Errorf("a run that begins anew beside others: %v, runs %v", err, runs)
	}
	runs = nil
	if _, err := g.luck(t.Context(), q, late, stream.Passed, stream.TimeLimit); err != nil || runs != nil {
		t.Errorf("luck: %v, runs %v were measured", err, runs)
	}
}

// slackGrader returns a grader of one slot, that lets programs run beyond the limit.
func slackGrader(t *testing.T) *Grader {
	t.Helper()
	near := limits
	near.Slack = 700 * time.Millisecond // wide, so that no load takes a program beyond it
	near.CPU = 2500 * time.Millisecond
	g, err := NewGrader(t.Context(), Config{Sandbox: sandbox.Config{Python: pythontest.Find(t), Limits: near}, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	g.yard.round = broken // a load decides nothing
	return g
}

// burn is a program that needs a tenth more than the limit of slackGrader.
const burn = "import time\nwhile time.process_time() < 2.75: pass\nprint(1)\n"

const affinity = "import os\nprint(*os.sched_getaffinity(0))"

// where returns the processors that a program of the slot runs on.
func where(t *testing.T, s *pooled) []string {
	t.Helper()
	var on []string
	r, err := s.Run(t.Context(), &sandbox.Question{ID: "where", Inputs: []string{""}}, affinity, func(_ int, o sandbox.Output) bool {
		on = strings.Fields(string(o.Text))
		return true
	})
	if err != nil || r.Outcome != sandbox.Accepted {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	return on
}

// TestQuietCore wants the core of a second run to be no other program's, hyperthreads
// included, and to be everybody's again after it.
func TestQuietCore(t *testing.T) {
	t.Parallel()
	g := slackGrader(t)
	all := g.quiet.machine.Cores()
	if len(all) < 2 {
		t.Skip("one core: nothing can be taken")
	}
	quiet, err := g.quiet.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := g.pool.acquire(t.Context(), "q", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer g.pool.release(other)
	last := all[len(all)-1]
	alone, beside := where(t, quiet), where(t, other)
	if len(alone) != 1 || alone[0] != fmt.Sprint(last[0]) {
		t.Errorf("a second run is on processors %v, want %d", alone, last[0])
	}
	for _, cpu := range last {
		if slices.Contains(beside, fmt.Sprint(cpu)) {
			t.Errorf("other programs are on processors %v, the quiet core is %v", beside, last)
		}
	}
	if err := g.quiet.leave(quiet); err != nil {
		t.Fatal(err)
	}
	if after := where(t, other); len(after) != len(g.quiet.machine.CPUs) {
		t.Errorf("after the second run programs are on processors %v, want all of %v", after, g.quiet.machine.CPUs)
	}
}

// TestSecondRunHoldsNobodyUp wants a program that waits for a quiet core to hold no slot,
// and to be run there and nowhere else.
func TestSecondRunHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	burnsSeconds(t)
	g := slackGrader(t)
	q := question(t, fog)
	taken, err := g.quiet.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g.quiet.patience = time.Hour
	ended := make(chan stream.Judgement, 1)
	go func() { ended <- judge1(t, g, q, code(burn)) }()
	waits := func() bool {
		g.quiet.mu.Lock()
		defer g.quiet.mu.Unlock()
		return len(g.quiet.waiting) == 1
	}
	for wait := patience.Begin(patience.Base); !waits(); <-time.After(time.Millisecond) {
		if wait.Over() {
			t.Fatal("no program waits for the quiet core")
		}
	}
	if j := judge1(t, g, q, code(solution)); j.Verdict != stream.Passed {
		t.Errorf("a program beside the one that waits: %+v", j)
	}
	if n := g.Rejudged(); n != 0 {
		t.Errorf("%d programs were run again without the core", n)
	}
	if err := g.quiet.leave(taken); err != nil {
		t.Fatal(err)
	}
	for wait := patience.Begin(patience.Base); g.Rejudged() == 0; <-time.After(time.Millisecond) {
		if wait.Over() {
			t.Fatal("the program that waits is not run again")
		}
	}
	// Programs start, run and end while it computes for seconds.
	for i := range 3 {
		if j := judge1(t, g, q, code(fmt.Sprintf("%s# %d\n", solution, i))); j.Verdict != stream.Passed {
			t.Errorf("a program beside the second run: %+v", j)
		}
	}
	if len(ended) > 0 {
		t.Error("other programs waited for the second run to end")
	}
	j := <-ended
	if j.Verdict != stream.TimeLimit || g.Rejudged() != 1 || g.Unsure() != 0 {
		t.Errorf("the second run = %+v, %d run again, %d not", j, g.Rejudged(), g.Unsure())
	}
}

// TestQuietIsBusy wants a program that would wait for too long to keep its first
// result, and its detail to say so.
func TestQuietIsBusy(t *testing.T) {
	t.Parallel()
	burnsSeconds(t)
	g := slackGrader(t)
	taken, err := g.quiet.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g.quiet.patience = time.Millisecond
	j := judge1(t, g, question(t, fog), code(burn))
	if j.Verdict != stream.TimeLimit || !strings.Contains(j.Detail, "was not run alone") || g.Unsure() != 1 || g.Rejudged() != 0 {
		t.Errorf("Judge = %+v, %d run again, %d not", j, g.Rejudged(), g.Unsure())
	}
	if err := g.quiet.leave(taken); err != nil {
		t.Fatal(err)
	}
}

// TestQuietGrows wants one core of eight at most to be taken, the second only when
// programs wait, no queue without end, and no core kept that nobody needs.
func TestQuietGrows(t *testing.T) {
	t.Parallel()
	g := slackGrader(t)
	q := newQuiet(g.host, cores.Machine{CPUs: make([]int, 16), Topology: t.TempDir()}, 500)
	for i := range q.machine.CPUs {
		q.machine.CPUs[i] = i
	}
	q.host = g.host
	q.patience = time.Hour
	if q.most() != 2 {
		t.Fatalf("of 16 cores %d may be taken, want 2", q.most())
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	held := make(chan *pooled, 100)
	enter := func() {
		all.Go(func() {
			s, err := q.enter(ctx)
			if err == nil {
				held <- s
			} else if !errors.Is(err, context.Canceled) {
				t.Errorf("enter = %v", err)
			}
		})
	}
	waits := func(taken, waiting int) {
		t.Helper()
		for wait := patience.Begin(patience.Base); ; <-time.After(time.Millisecond) {
			q.mu.Lock()
			n, w := len(q.slots), len(q.waiting)
			q.mu.Unlock()
			if n == taken && w == waiting {
				return
			}
			if wait.Over() {
				t.Fatalf("%d cores taken and %d programs wait, want %d and %d", n, w, taken, waiting)
			}
		}
	}
	for i := range quietBehind + 1 {
		enter()
		waits(1, i)
	}
	enter()
	waits(2, quietBehind) // the second core is for the one that came last
	for i := range 2*quietQueue - quietBehind {
		enter()
		waits(2, quietBehind+i+1)
	}
	if _, err := q.enter(ctx); !errors.Is(err, errBusy) {
		t.Errorf("one more = %v, want errBusy", err)
	}
	cancel()
	waits(2, 0)
	all.Wait()
	for range 2 {
		if err := q.leave(<-held); err != nil {
			t.Fatal(err)
		}
	}
	waits(0, 0)
}

package evaluate

import (
	"errors"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A host is a simulated processor: calm rounds take a tenth of a millisecond, and programs and rounds alike are
// slower by what slowdown says at a processor time of the program.
const calm = 100 * time.Microsecond

// simulated returns a yard that knows how fast its host is.
func simulated() *yard {
	y := &yard{beside: func() bool { return false }, around: newNeighbours([][]int{{0, 1}}), now: time.Now}
	for range enoughWindows * windowRounds {
		y.note([]time.Duration{calm})
	}
	return y
}

// steady returns the times of rounds that all take the same.
func steady(round time.Duration) func(cpu int) ([]time.Duration, error) {
	return func(int) ([]time.Duration, error) { return []time.Duration{round, round, round, round}, nil }
}

// broken is a clock that nobody can read.
func broken(int) ([]time.Duration, error) { return nil, errClock }

// runTo has a strain asked about a test of six seconds each 100 ms from one time to another, and returns its last answer.
func runTo(s *strain, test int, from, used time.Duration, waits float64, rounds func(cpu int) ([]time.Duration, error)) (slack, grace time.Duration, known bool) {
	s.yard.round = rounds
	for at := from + 100*time.Millisecond; at <= used; at += 100 * time.Millisecond {
		slack, grace, known = s.ask(sandbox.Strain{Test: test, Limit: 6 * time.Second, Used: at, Waited: share(at, waits)})
	}
	return slack, grace, known
}

// TestStrain wants time beyond the limit to be what was measured and no more: 5 % on a quiet processor, and what
// a slow one asks, up to twice the limit.
func TestStrain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		round        time.Duration
		waits        float64 // for each second computed
		slack, grace float64 // in limits
		memory       int64
	}{
		{"quiet", calm, 0, 0.05, 0, 0},
		{"faster than ever", calm / 2, 0, 0.05, 0, 0},
		{"hardly slower", calm * 102 / 100, 0, 0.05, 0, 0},
		{"a little slower", calm * 104 / 100, 0, 0.05, 0, 0},
		{"slower by more than the margin", calm * 106 / 100, 0, 0.08, 0.06, 0},
		{"slower by a tenth", calm * 110 / 100, 0, 0.15, 0.1, 0},
		{"slower by a third", calm * 4 / 3, 0, 0.383, 0.333, 0},
		{"slower by half", calm * 3 / 2, 0, 0.55, 0.5, 0},
		{"beyond belief", calm * 50, 0, 1.05, 1, 0},
		{"shared with nine others", calm, 9, 0.05, 0, 0},
		{"large, and shared with nine others", calm, 9, 0.185, 0.135, largeMemory},
		{"shared and slower", calm * 110 / 100, 9, 0.177, 0.127, largeMemory - 1},
	} {
		for _, last := range []bool{false, true} {
			s := &strain{yard: simulated(), last: last, memory: c.memory}
			slack, grace, known := runTo(s, 0, 0, 6*time.Second, c.waits, steady(c.round))
			want := share(6*time.Second, c.slack)
			if !known || (slack-want).Abs() > 6*time.Millisecond {
				t.Errorf("%s: %v beyond the limit, %v, want %v", c.name, slack, known, want)
			}
			want = 0
			if last {
				want = share(6*time.Second, c.grace)
			}
			if (grace - want).Abs() > 6*time.Millisecond {
				t.Errorf("%s, last %v: answers count %v beyond the limit, want %v", c.name, last, grace, want)
			}
		}
	}
}

// TestStrainWithoutThreads wants a host that shows no hyperthreads to be measured as any other: a rented one hides them.
func TestStrainWithoutThreads(t *testing.T) {
	t.Parallel()
	for round, want := range map[time.Duration][2]float64{
		calm: {0.05, 0.05}, calm * 12 / 10: {0.25, 0.25}, calm * 3 / 2: {0.55, 0.55},
	} {
		for i, last := range []bool{false, true} {
			s := &strain{yard: simulated(), last: last}
			s.yard.around = alone
			slack, _, known := runTo(s, 0, 0, 6*time.Second, 0, steady(round))
			if want := share(6*time.Second, want[i]); !known || (slack-want).Abs() > 6*time.Millisecond {
				t.Errorf("a round of %v, last %v: %v beyond the limit, %v, want %v", round, last, slack, known, want)
			}
		}
	}
}

// TestStrainOverTime wants each part of a test to count by the slowdown at that part: work done is what matters.
func TestStrainOverTime(t *testing.T) {
	t.Parallel()
	s := &strain{yard: simulated(), last: true}
	runTo(s, 0, 0, 600*time.Millisecond, 0, steady(calm/2)) // nobody owes for being faster
	runTo(s, 0, 600*time.Millisecond, 3*time.Second, 0, steady(calm))
	slack, _, _ := runTo(s, 0, 3*time.Second, 6*time.Second, 0, steady(2*calm))
	// Three seconds of work at full speed and three at half make four and a half of six.
	if want := share(6*time.Second, 6/4.5-1+margin); (slack - want).Abs() > 60*time.Millisecond {
		t.Errorf("%v beyond the limit, want %v", slack, want)
	}
	// Another test begins anew, however much it has used when it is first seen, and so does the same one in another run.
	s.yard.round = steady(calm)
	if _, _, known := s.ask(sandbox.Strain{Test: 7, Limit: 6 * time.Second, Used: 6100 * time.Millisecond}); known {
		t.Error("a test is known by the one before it")
	}
	for _, test := range []int{1, 1} {
		if _, _, known := s.ask(sandbox.Strain{Test: test, Limit: 6 * time.Second, Used: 300 * time.Millisecond}); known {
			t.Error("a test that has just begun is known")
		}
		if slack, grace, known := runTo(s, test, 0, 6*time.Second, 0, steady(calm)); !known || slack != share(6*time.Second, margin) || grace != 0 {
			t.Errorf("the next test: %v and %v beyond the limit, %v", slack, grace, known)
		}
	}
}

// TestStrainWaits wants a test not to be given what its program waited in the tests before.
func TestStrainWaits(t *testing.T) {
	t.Parallel()
	s := &strain{yard: simulated(), last: true, memory: largeMemory}
	runTo(s, 0, 0, 6*time.Second, 9, steady(calm))
	for at := 100 * time.Millisecond; at <= 6*time.Second; at += 100 * time.Millisecond {
		slack, grace, known := s.ask(sandbox.Strain{Test: 1, Limit: 6 * time.Second, Used: at, Waited: 54 * time.Second})
		if known && (slack != share(6*time.Second, margin) || grace != 0) {
			t.Fatalf("%v and %v beyond the limit after %v", slack, grace, at)
		}
	}
}

// TestStrainOfMemory wants a program that holds much to be let run as far as where nothing is measured, if others
// run beside it: what they take of memory's speed is not seen.
func TestStrainOfMemory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		held   int64
		beside int // of twenty looks
		round  time.Duration
		want   float64 // in limits
	}{
		{largeMemory, 20, calm, nearTo - 1},
		{largeMemory, 4, calm, nearTo - 1},
		{largeMemory, 1, calm, margin},
		{largeMemory, 0, calm, margin},
		{largeMemory - 1, 20, calm, margin},
		{largeMemory, 20, 2 * calm, 1 + margin},
	} {
		looks := 0
		s := &strain{yard: simulated()}
		s.yard.round = steady(c.round)
		s.yard.beside = func() bool { looks++; return looks%20 < c.beside }
		var slack time.Duration
		for at := 100 * time.Millisecond; at <= 6*time.Second; at += 100 * time.Millisecond {
			held := c.held
			if at > 3*time.Second {
				held = 0 // it has given it back
			}
			slack, _, _ = s.ask(sandbox.Strain{Limit: 6 * time.Second, Used: at, Memory: held})
		}
		if want := share(6*time.Second, c.want); (slack - want).Abs() > time.Millisecond {
			t.Errorf("%d MiB, %d of 20 looks beside others: %v beyond the limit, want %v", c.held>>20, c.beside, slack, want)
		}
	}
	for text, want := range map[string]int{
		"34.45 33.84 29.00 35/446 17571\n": 35, "0.00 0.01 0.05 1/98 4\n": 1, "": math.MaxInt, "0 0 0 x/1 2": math.MaxInt,
	} {
		if got := readyIn(text); got != want {
			t.Errorf("readyIn(%q) = %d, want %d", text, got, want)
		}
	}
}

// TestCompanyStays wants what is ready for a moment only, as a thread of this process is, to be no company.
func TestCompanyStays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ready []int // in the looks; the last one goes on
		want  bool
	}{
		{[]int{2}, false},
		{[]int{1}, false},
		{[]int{3}, true},
		{[]int{40}, true},
		{[]int{math.MaxInt}, true},
		{[]int{4, 3, 3, 2}, false},
		{[]int{3, 3, 3, 3, 3, 3, 3, 3, 3, 1}, false},
		{[]int{3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2}, true},
	} {
		looks := 0
		got := stays(func() int {
			looks++
			return c.ready[min(looks, len(c.ready))-1]
		})
		if got != c.want {
			t.Errorf("ready in turn %d: company %v, want %v", c.ready, got, c.want)
		}
	}
}

// TestStrainUnknown wants nothing to be said where nothing is measured: then the limits of the sandbox hold.
func TestStrainUnknown(t *testing.T) {
	t.Parallel()
	s := &strain{yard: &yard{beside: company, around: alone, now: time.Now}}
	if _, _, known := runTo(s, 0, 0, 3*time.Second, 0, steady(calm)); known {
		t.Error("a host that has just begun is known")
	}
	s = &strain{yard: simulated()}
	if _, _, known := runTo(s, 0, 0, 6*time.Second, 0, broken); known {
		t.Error("a clock that fails is known")
	}
	s.yard.round = steady(calm)
	for at := 100 * time.Millisecond; at <= 6*time.Second; at += 100 * time.Millisecond {
		if _, _, known := s.ask(sandbox.Strain{Test: 1, Limit: 6 * time.Second, Used: at, CPU: -1}); known {
			t.Fatal("a processor that nobody knows is known")
		}
	}
	// What fails from the middle on is not known any more.
	if _, _, known := runTo(s, 2, 0, 4*time.Second, 0, steady(calm)); !known {
		t.Fatal("four seconds say nothing")
	}
	if _, _, known := runTo(s, 2, 4*time.Second, 6*time.Second, 0, broken); known {
		t.Error("what was measured two seconds ago is believed")
	}
}

// TestStrainIsCheap wants a test that uses its limit up to be measured a few dozen times, however often it is looked at.
func TestStrainIsCheap(t *testing.T) {
	t.Parallel()
	looked := 0
	s := &strain{yard: simulated()}
	s.yard.round = func(int) ([]time.Duration, error) { looked++; return []time.Duration{calm}, nil }
	for at := time.Millisecond; at <= 6*time.Second; at += time.Millisecond {
		s.ask(sandbox.Strain{Limit: 6 * time.Second, Used: at})
	}
	if looked != parts {
		t.Errorf("measured %d times, want %d", looked, parts)
	}
}

// TestSlowdownIsNoted wants the slowdown that is recorded to be that of the test that took longest, of the last run of the
// program, and none where it was not known.
func TestSlowdownIsNoted(t *testing.T) {
	t.Parallel()
	g := &Grader{yard: simulated()}
	one := &trial{}
	ask := g.strained(one)
	to := func(test int, used, round time.Duration) {
		g.yard.round = steady(round)
		for at := 100 * time.Millisecond; at <= used; at += 100 * time.Millisecond {
			ask(sandbox.Strain{Test: test, Limit: 6 * time.Second, Used: at})
		}
	}
	to(0, 3*time.Second, 2*calm)
	to(1, 6*time.Second, calm*12/10)
	to(2, 5*time.Second, 3*calm)
	if math.Abs(one.slowed-0.2) > 0.001 {
		t.Errorf("slowed = %v, want that of the test of six seconds, 0.2", one.slowed)
	}
	to(0, 2*time.Second, calm*13/10) // the program is run again
	if math.Abs(one.slowed-0.3) > 0.001 {
		t.Errorf("slowed = %v after another run, want 0.3", one.slowed)
	}
	g.yard.round = broken
	for at := 2100 * time.Millisecond; at <= 6*time.Second; at += 100 * time.Millisecond {
		ask(sandbox.Strain{Limit: 6 * time.Second, Used: at})
	}
	if one.slowed != 0 {
		t.Errorf("slowed = %v where nothing is known any more", one.slowed)
	}
	for slow, want := range map[float64]float64{0: 0, margin: 0, 0.2: 1.2, 0.12345: 1.123} {
		if got := recorded(slow); got != want {
			t.Errorf("recorded(%v) = %v, want %v", slow, got, want)
		}
	}
}

// TestYardKnowsItsBest wants the best to be what a host does for seconds: neither what it does for a millisecond,
// nor what a clock says that goes wrong, nor what it does while it is busy for hours.
func TestYardKnowsItsBest(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	for _, cores := range [][][]int{{{0, 1}}, {{0}, {1}}} {
		y := &yard{around: newNeighbours(cores), now: func() time.Time { return at }}
		note := func(n int, round time.Duration) {
			for range n {
				y.note([]time.Duration{round})
			}
		}
		note(windowRounds*enoughWindows-1, calm)
		if y.best() != 0 {
			t.Error("the best is known before there is enough")
		}
		note(1, calm)
		if y.best() != calm {
			t.Errorf("best = %v, want %v", y.best(), calm)
		}
		note(windowRounds/5, calm/2)
		note(100*windowRounds, 3*calm/2)
		if y.best() != calm {
			t.Errorf("best = %v after a moment that was faster and minutes that were slower", y.best())
		}
		note(2*windowRounds, 9*calm/10)
		if y.best() != 9*calm/10 {
			t.Errorf("best = %v after seconds that were faster", y.best())
		}
		// Later than bestOf a host without hyperthreads is what it was since.
		at = at.Add(bestOf / 2)
		note(2*windowRounds, 2*calm)
		note(2*windowRounds, 11*calm/10)
		note(2*windowRounds, 12*calm/10)
		at = at.Add(bestOf/2 + time.Second)
		if y.best() != 9*calm/10 {
			t.Errorf("best = %v before anything else was measured", y.best())
		}
		note(2*windowRounds, 2*calm)
		want := 11 * calm / 10
		if y.around.threads() {
			want = 9 * calm / 10
		}
		if y.best() != want {
			t.Errorf("best = %v after minutes that were slower, with hyperthreads %v, want %v", y.best(), y.around.threads(), want)
		}
		if len(y.fastest) > 3 {
			t.Errorf("%d windows are kept", len(y.fastest))
		}
	}
}

// alone are neighbours of a machine of one processor.
var alone = newNeighbours([][]int{{0}})

// TestYardBegins wants a host that is busy from its first program on to know how fast it was before.
func TestYardBegins(t *testing.T) {
	t.Parallel()
	y := &yard{around: alone, now: time.Now, round: steady(calm)}
	if err := y.begin(); err != nil || y.windows != 1 {
		t.Fatalf("begin = %v, %d windows", err, y.windows)
	}
	y.round = steady(2 * calm)
	for y.best() == 0 {
		if _, err := y.look(0); err != nil {
			t.Fatal(err)
		}
	}
	if y.best() != calm {
		t.Errorf("best = %v, want %v", y.best(), calm)
	}
	y.round = broken
	if err := y.begin(); !errors.Is(err, errClock) {
		t.Errorf("begin with a clock that lies = %v", err)
	}
}

// A machine is a simulated one of which some processors are busy.
type machine struct {
	mu   sync.Mutex
	now  time.Time
	busy map[int]bool
	idle map[int]time.Duration
	gone error
}

func newMachine(processors int, busy ...int) *machine {
	m := &machine{now: time.Unix(1000, 0), busy: map[int]bool{}, idle: map[int]time.Duration{}}
	for cpu := range processors {
		m.idle[cpu] = time.Hour
	}
	for _, cpu := range busy {
		m.busy[cpu] = true
	}
	return m
}

// read is a neighbours' read; each reading is a span later than the one before.
func (m *machine) read() (idleness, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(idleSpan)
	of := map[int]time.Duration{}
	for cpu := range m.idle {
		if !m.busy[cpu] {
			m.idle[cpu] += idleSpan
		}
		of[cpu] = m.idle[cpu]
	}
	return idleness{m.now, of}, m.gone
}

// yardOn returns a yard on a machine whose hyperthreads are slower by half beside busy ones.
func yardOn(m *machine, processors [][]int) *yard {
	around := &neighbours{cores: processors, read: m.read, span: idleSpan, wait: func(time.Duration) {}}
	return &yard{beside: func() bool { return false }, around: around, now: time.Now, round: func(cpu int) ([]time.Duration, error) {
		if slices.ContainsFunc(around.of(cpu), func(c int) bool { return m.busy[c] }) {
			return steady(calm * 3 / 2)(cpu)
		}
		return steady(calm)(cpu)
	}}
}

// TestYardBesideBusyNeighbours wants rounds beside busy hyperthreads not to be taken for the best that the host can: from
// several cores an idle one is chosen, where there is none nothing is known until there is, and then what is slower counts.
func TestYardBesideBusyNeighbours(t *testing.T) {
	t.Parallel()
	y := yardOn(newMachine(4, 3), [][]int{{0, 2}, {1, 3}})
	if err := y.begin(); err != nil || y.windows != 1 || y.fastest[0].took != calm {
		t.Errorf("begin where one core of two is idle = %v, %d windows, %+v", err, y.windows, y.fastest)
	}
	m := newMachine(2, 1)
	y = yardOn(m, [][]int{{0, 1}})
	if err := y.begin(); err != nil {
		t.Fatal(err)
	}
	look := func() time.Duration {
		t.Helper()
		round, err := y.look(0)
		if err != nil {
			t.Fatal(err)
		}
		return round
	}
	for range 10 * windowRounds {
		look()
	}
	if y.best() != 0 || y.windows != 0 {
		t.Errorf("hyperthreads that are busy from the start for ever: best = %v, %d windows", y.best(), y.windows)
	}
	m.busy[1] = false
	for y.windows == 0 {
		look()
	}
	m.busy[1] = true
	for y.best() == 0 {
		look()
	}
	if round := look(); y.best() != calm || round != calm*3/2 {
		t.Errorf("hyperthreads that were idle once: best = %v, a round takes %v now", y.best(), round)
	}
	y = yardOn(newMachine(2, 0, 1), [][]int{{0}, {1}})
	if err := y.begin(); err != nil || y.windows != 1 {
		t.Errorf("begin without hyperthreads = %v, %d windows", err, y.windows)
	}
}

// TestNeighbours wants neighbours to be those of the same core, and idle those that are known to be.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cores [][]int
		cpu   int
		want  []int
	}{
		{[][]int{{0, 4}, {1, 5}}, 4, []int{0}},
		{[][]int{{0, 4}, {1, 5}}, 1, []int{5}},
		{[][]int{{0, 4}, {1}}, 1, nil},
		{[][]int{{0}, {1}, {2}}, 1, nil},
		{[][]int{{3}}, 4, nil},
	} {
		if got := newNeighbours(c.cores).of(c.cpu); !slices.Equal(got, c.want) {
			t.Errorf("neighbours of %d in %v = %v, want %v", c.cpu, c.cores, got, c.want)
		}
	}
	m := newMachine(4)
	n := &neighbours{cores: [][]int{{0, 1}, {2, 3}, {4, 5}}, read: m.read, span: idleSpan}
	if n.idle(0) {
		t.Error("a neighbour is idle that was seen once")
	}
	if !n.idle(0) || n.idle(4) {
		t.Error("an idle neighbour is busy, or one that is not there is idle")
	}
	delete(m.idle, 1)
	if n.idle(0) {
		t.Error("a processor that vanished is idle")
	}
	m.gone = errClock
	if n.idle(2) {
		t.Error("a processor is idle that nobody could read")
	}
	if _, err := n.calmest(); !errors.Is(err, errClock) {
		t.Errorf("calmest = %v", err)
	}
	// The kernel's count of an idle processor is late by up to a hundredth of a second.
	n = &neighbours{cores: [][]int{{0, 1}}, span: idleSpan}
	at := 0
	for idle, want := range map[time.Duration]bool{idleSpan - 10*time.Millisecond: true, idleSpan / 2: false} {
		n.read = func() (idleness, error) {
			at++
			return idleness{time.Unix(0, 0).Add(time.Duration(at) * idleSpan), map[int]time.Duration{1: time.Duration(at) * idle}}, nil
		}
		n.older, n.newer = idleness{}, idleness{}
		n.idle(0)
		if got := n.idle(0); got != want {
			t.Errorf("one that was idle for %v of %v is idle: %v", idle, idleSpan, got)
		}
	}
	text := "cpu  5 0 7 1000 20 0 0\ncpu0 1 2 3 400 50 0 0 0 0 0\ncpu13 1 2 3 6 7 0\ncpu2 1 2\ncpux 1 2 3 4 5 6\nintr 5 6 7 8 9 10\n"
	if got := idleIn([]byte(text)); len(got) != 2 || got[0] != 4500*time.Millisecond || got[13] != 130*time.Millisecond {
		t.Errorf("idleIn = %v", got)
	}
	here, err := readIdle()
	if err != nil || len(here.of) == 0 || time.Since(here.at) > time.Hour {
		t.Errorf("readIdle = %+v, %v", here, err)
	}
}

// TestYardLooks wants rounds to be timed on the processor that was named, the thread to be where it was after that,
// and a clock that stands still to be found out.
func TestYardLooks(t *testing.T) {
	t.Parallel()
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !allowed.IsSet(cpu) {
		cpu++
	}
	rounds, err := slice(cpu)
	if err != nil || len(rounds) != sliceRounds || slices.Min(rounds) <= 0 {
		t.Fatalf("slice(%d) = %v, %v", cpu, rounds, err)
	}
	for wait := patience.Begin(patience.Base); bound(t, &allowed); <-time.After(time.Millisecond) { // another test may look just now
		if wait.Over() {
			t.Fatal("a thread is still bound to a processor")
		}
	}
	if _, err := slice(1000); !errors.Is(err, unix.EINVAL) {
		t.Errorf("slice of a processor that is not there: %v", err)
	}
	y := newYard([][]int{{cpu}})
	round, err := y.look(cpu)
	if err != nil || round <= 0 || len(y.window) != sliceRounds {
		t.Errorf("look = %v, %v, %d rounds noted", round, err, len(y.window))
	}
}

// bound reports whether a thread of this process may run on other processors than those that are allowed.
func bound(t *testing.T, allowed *unix.CPUSet) bool {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(id, &set); err == nil && set != *allowed {
			return true
		}
	}
	return false
}

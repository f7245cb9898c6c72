package evaluate

import (
	"errors"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/worker/sandbox"
)

// A host is a simulated processor: calm rounds take a tenth of a millisecond, and programs and rounds alike are
// slower by what slowdown says at a processor time of the program.
const calm = 100 * time.Microsecond

// simulated returns a yard that knows how fast its host is, and whose rounds take what at says.
func simulated(at func() time.Duration) *yard {
	y := &yard{
		round:  func(int) ([]time.Duration, error) { return []time.Duration{at(), at(), at(), at()}, nil },
		beside: func() bool { return false },
	}
	for range enoughWindows * windowRounds {
		y.note([]time.Duration{calm})
	}
	return y
}

// runTo has a strain asked about a test of six seconds each 100 ms until it has used so much, and returns its last answer.
func runTo(s *strain, test int, used time.Duration, waits float64) (slack, grace time.Duration, known bool) {
	for at := 100 * time.Millisecond; at <= used; at += 100 * time.Millisecond {
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
		{"hardly slower", calm * 103 / 100, 0, 0.05, 0, 0},
		{"slower by a tenth", calm * 110 / 100, 0, 0.15, 0.15, 0},
		{"slower by a third", calm * 4 / 3, 0, 0.5, 0.5, 0},
		{"slower by half", calm * 3 / 2, 0, 0.75, 0.75, 0},
		{"beyond belief", calm * 50, 0, 1, 1, 0},
		{"shared with nine others", calm, 9, 0.05, 0, 0},
		{"large, and shared with nine others", calm, 9, 0.135, 0.135, largeMemory},
		{"shared and slower", calm * 110 / 100, 9, 0.177, 0.177, largeMemory - 1},
	} {
		for _, last := range []bool{false, true} {
			s := &strain{yard: simulated(func() time.Duration { return c.round }), last: last, memory: c.memory}
			slack, grace, known := runTo(s, 0, 6*time.Second, c.waits)
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

// TestStrainOverTime wants each part of a test to count by the slowdown at that part: work done is what matters.
func TestStrainOverTime(t *testing.T) {
	t.Parallel()
	now := calm / 2 // for a moment: nobody owes for being faster
	s := &strain{yard: simulated(func() time.Duration { return now }), last: true}
	runTo(s, 0, 600*time.Millisecond, 0)
	now = calm
	for at := 700 * time.Millisecond; at <= 3*time.Second; at += 100 * time.Millisecond {
		s.ask(sandbox.Strain{Limit: 6 * time.Second, Used: at})
	}
	now = 2 * calm
	var slack time.Duration
	for at := 3100 * time.Millisecond; at <= 6*time.Second; at += 100 * time.Millisecond {
		slack, _, _ = s.ask(sandbox.Strain{Limit: 6 * time.Second, Used: at})
	}
	// Three seconds of work at full speed and three at half make four and a half of six.
	if want := share(6*time.Second, heavier*(6/4.5-1)); (slack - want).Abs() > 60*time.Millisecond {
		t.Errorf("%v beyond the limit, want %v", slack, want)
	}
	// Another test begins anew, however much it has used when it is first seen, and so does the same one in another run.
	if _, _, known := s.ask(sandbox.Strain{Test: 7, Limit: 6 * time.Second, Used: 6100 * time.Millisecond}); known {
		t.Error("a test is known by the one before it")
	}
	for _, test := range []int{1, 1} {
		now = calm
		if _, _, known := s.ask(sandbox.Strain{Test: test, Limit: 6 * time.Second, Used: 300 * time.Millisecond}); known {
			t.Error("a test that has just begun is known")
		}
		if slack, grace, known := runTo(s, test, 6*time.Second, 0); !known || slack != share(6*time.Second, margin) || grace != 0 {
			t.Errorf("the next test: %v and %v beyond the limit, %v", slack, grace, known)
		}
	}
}

// TestStrainWaits wants a test not to be given what its program waited in the tests before.
func TestStrainWaits(t *testing.T) {
	t.Parallel()
	s := &strain{yard: simulated(func() time.Duration { return calm }), last: true, memory: largeMemory}
	runTo(s, 0, 6*time.Second, 9)
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
		{largeMemory, 20, 2 * calm, 1},
	} {
		looks := 0
		s := &strain{yard: simulated(func() time.Duration { return c.round })}
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

// TestStrainUnknown wants nothing to be said where nothing is measured: then the limits of the sandbox hold.
func TestStrainUnknown(t *testing.T) {
	t.Parallel()
	fails := func(int) ([]time.Duration, error) { return nil, errClock }
	young := &yard{round: func(int) ([]time.Duration, error) { return []time.Duration{calm}, nil }, beside: company}
	broken := simulated(nil)
	broken.round = fails
	for name, y := range map[string]*yard{"a yard that fails": broken, "a host that has just begun": young} {
		s := &strain{yard: y}
		if _, _, known := runTo(s, 0, 6*time.Second, 0); known {
			t.Errorf("%s is known", name)
		}
	}
	s := &strain{yard: simulated(func() time.Duration { return calm })}
	for at := 100 * time.Millisecond; at <= 6*time.Second; at += 100 * time.Millisecond {
		if _, _, known := s.ask(sandbox.Strain{Limit: 6 * time.Second, Used: at, CPU: -1}); known {
			t.Fatal("a processor that nobody knows is known")
		}
	}
	// What fails from the middle on is not known any more.
	s = &strain{yard: simulated(func() time.Duration { return calm })}
	if _, _, known := runTo(s, 0, 4*time.Second, 0); !known {
		t.Fatal("four seconds say nothing")
	}
	s.yard.round = fails
	known := true
	for at := 4100 * time.Millisecond; at <= 6*time.Second; at += 100 * time.Millisecond {
		_, _, known = s.ask(sandbox.Strain{Limit: 6 * time.Second, Used: at})
	}
	if known {
		t.Error("what was measured two seconds ago is believed")
	}
}

// TestStrainIsCheap wants a test that uses its limit up to be measured a few dozen times, however often it is looked at.
func TestStrainIsCheap(t *testing.T) {
	t.Parallel()
	looked := 0
	s := &strain{yard: simulated(func() time.Duration { looked++; return calm })}
	for at := time.Millisecond; at <= 6*time.Second; at += time.Millisecond {
		s.ask(sandbox.Strain{Limit: 6 * time.Second, Used: at})
	}
	if looked /= sliceRounds; looked != parts {
		t.Errorf("measured %d times, want %d", looked, parts)
	}
}

// TestYardKnowsItsBest wants the best to be what a host does for seconds: neither what it does for a millisecond,
// nor what a clock says that goes wrong, nor what it does while it is busy for hours.
func TestYardKnowsItsBest(t *testing.T) {
	t.Parallel()
	y := &yard{}
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
		t.Errorf("best = %v after a moment that was faster and hours that were slower", y.best())
	}
	note(2*windowRounds, 9*calm/10)
	if y.best() != 9*calm/10 {
		t.Errorf("best = %v after seconds that were faster", y.best())
	}
}

// TestYardBegins wants a host that is busy from its first program on to know how fast it was before.
func TestYardBegins(t *testing.T) {
	t.Parallel()
	round := calm
	y := simulated(func() time.Duration { return round })
	y.windows, y.fastest, y.window = 0, 0, nil
	if err := y.begin(0); err != nil || y.windows != 1 {
		t.Fatalf("begin = %v, %d windows", err, y.windows)
	}
	round = 2 * calm
	for y.best() == 0 {
		if _, err := y.look(0); err != nil {
			t.Fatal(err)
		}
	}
	if y.best() != calm {
		t.Errorf("best = %v, want %v", y.best(), calm)
	}
	y.round = func(int) ([]time.Duration, error) { return nil, errClock }
	if err := y.begin(0); !errors.Is(err, errClock) {
		t.Errorf("begin with a clock that lies = %v", err)
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
	for until := time.Now().Add(time.Minute); bound(t, &allowed); <-time.After(time.Millisecond) { // another test may look just now
		if time.Now().After(until) {
			t.Fatal("a thread is still bound to a processor")
		}
	}
	if _, err := slice(1000); !errors.Is(err, unix.EINVAL) {
		t.Errorf("slice of a processor that is not there: %v", err)
	}
	y := newYard()
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

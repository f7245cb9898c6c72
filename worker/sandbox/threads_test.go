package sandbox

import (
	"os"
	"strings"
	"testing"
)

// TestTasksPerSlot wants what there is to be shared out, with something kept back.
func TestTasksPerSlot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		slots  int
		limits []taskLimit
		want   int
	}{
		{"no limit", 64, nil, maxTasks},
		{"a large container", 2, []taskLimit{{limit: 32768, used: 100, keep: 32}}, maxTasks},
		{"a small one", 2, []taskLimit{{limit: 300, used: 28, keep: 32}}, 120},
		{"the smaller of two", 2, []taskLimit{{limit: 300, used: 28, keep: 32}, {limit: 100, used: 28, keep: 32}}, 20},
		{"hardly any", 2, []taskLimit{{limit: 64, used: 30, keep: 32}}, fewestTasks},
	} {
		if got := tasksPerSlot(tt.slots, tt.limits); got != tt.want {
			t.Errorf("%s: tasksPerSlot = %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestThreadsOfAProgram wants a program with more threads than its share to be
// stopped at every level, and one with fewer to pass.
func TestThreadsOfAProgram(t *testing.T) {
	t.Parallel()
	// The threads stay, and the program with too many waits to be found, however long it takes to start them all.
	const source = "import threading, time\nn = int(input())\nfor _ in range(n):\n    threading.Thread(target=threading.Event().wait, daemon=True).start()\ntime.sleep(0.4 if n < 24 else 60)\nprint('contained')\n"
	forEachLevel(t, Config{}, func(t *testing.T, h *Host) {
		t.Helper()
		few := *h
		few.tasks = 24
		s := openSlotOn(t, &few)
		for input, want := range map[string]Outcome{"12": Accepted, "40": Crashed} {
			r, err := s.Run(t.Context(), &Question{ID: input, Inputs: []string{input}}, source, func(int, Output) bool { return true })
			if err != nil || r.Outcome != want {
				t.Errorf("Run of %s threads = %+v, %v, want %v", input, r, err, want)
			}
		}
	})
}

// TestReserveThreads wants the runtime to have the threads before it needs them.
func TestReserveThreads(t *testing.T) {
	t.Parallel()
	const slots, n = 20, 2 * 20
	reserveThreads(slots)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	if len(tasks) < n {
		t.Errorf("%d threads after %d were reserved", len(tasks), n)
	}
	if limits := taskLimits(); len(limits) > 0 && strings.Count(limits[0].format, "%d") != 2 {
		t.Errorf("taskLimits = %+v", limits)
	}
}

// TestScarce wants the runtime to leave programs the threads that a host of many processors would give it.
func TestScarce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		processors int
		limits     []taskLimit
		want       int
	}{
		{64, nil, 64},
		{256, []taskLimit{{limit: 32768, used: 400}}, 256},
		{64, []taskLimit{{limit: 32768, used: 400}, {limit: 200, used: 16}}, 23},
		{2, []taskLimit{{limit: 200, used: 16}}, 2},
		{64, []taskLimit{{limit: 40, used: 36}}, 2},
	} {
		if got := scarce(c.processors, c.limits); got != c.want {
			t.Errorf("scarce(%d, %v) = %d, want %d", c.processors, c.limits, got, c.want)
		}
	}
}

// TestAtOnce wants no more slots to start at once than there are threads for beside those that are open.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n, processors int
		limits        []taskLimit
		want          int
	}{
		{64, 32, nil, 32},
		{64, 32, []taskLimit{{limit: 32768, used: 400}}, 32},
		{30, 22, []taskLimit{{limit: 32768, used: 400}, {limit: 200, used: 99}}, 7},
		{30, 22, []taskLimit{{limit: 200, used: 190}}, 1},
	} {
		if got := atOnce(c.n, c.processors, c.limits); got != c.want {
			t.Errorf("atOnce(%d, %d, %v) = %d, want %d", c.n, c.processors, c.limits, got, c.want)
		}
	}
}

// TestMoreFor wants no slot opened whose program could take what the open slots' programs were promised.
func TestMoreFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		limits     []taskLimit
		each, open int
		want       int
	}{
		{"no limit", nil, maxTasks, 2, maxSlots},
		{"a large container", []taskLimit{{32768, 100, "%d %d", 32}}, maxTasks, 2, 82},
		{"the smallest limit", []taskLimit{{32768, 100, "%d %d", 32}, {1000, 60, "%d %d", 32}}, 100, 2, 7},
		{"a limit that was divided among the open ones", []taskLimit{{232, 0, "%d %d", 32}}, 100, 2, 0},
		{"less than the open ones may take", []taskLimit{{100, 90, "%d %d", 32}}, 24, 4, 0},
	} {
		if got, why := moreFor(c.limits, c.each, c.open); got != c.want || (why == "") != (len(c.limits) == 0) {
			t.Errorf("%s: moreFor = %d, %q, want %d", c.name, got, why, c.want)
		}
	}
}

// TestCrowded wants a program that says it found no thread to be believed only where others can
// have taken them.
func TestCrowded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		limits []taskLimit
		tasks  int  // that each program may have, of which this process is one
		crowd  bool // another was found to have too many
		want   bool
	}{
		{"no limit", nil, 1 << 20, false, false},
		{"room left", []taskLimit{{limit: 1000, used: 500}}, 1 << 20, false, false},
		{"no room left", []taskLimit{{limit: 1000, used: 500}, {limit: 300, used: 290}}, 1 << 20, false, true},
		{"a crowd beside it", nil, 1, false, true},
		{"a crowd that is gone", nil, 1 << 20, true, true},
	} {
		h := &Host{running: new(register), tasks: c.tasks}
		h.running.crowded() // before it started
		p := h.running.add()
		h.running.known(h.running.add(), os.Getpid())
		if c.crowd {
			h.running.crowded()
		}
		if got := h.crowded(p, c.limits); got != c.want {
			t.Errorf("%s: crowded = %v, want %v", c.name, got, c.want)
		}
	}
}

// TestSaysNoThread wants the program's own failure of one that raises, beside another, what a
// program raises that cannot start a thread.
func TestSaysNoThread(t *testing.T) {
	t.Parallel()
	forEachLevel(t, Config{Limits: shortLimits}, func(t *testing.T, h *Host) {
		t.Helper()
		own := *h
		own.running = new(register)
		s := openSlotOn(t, &own)
		own.running.add()
		r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{""}}, "raise RuntimeError(\"can't start new thread\")", func(int, Output) bool { return true })
		if err != nil || r.Outcome != Exception {
			t.Errorf("Run = %+v, %v, want its exception", r, err)
		}
	})
}

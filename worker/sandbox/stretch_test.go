package sandbox

import (
	"strconv"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// TestStretch wants a test that does not answer to be stopped as far beyond its limit as the slot's Stretch says, an
// answer to count as far, and both as if there were none where nothing is known.
func TestStretch(t *testing.T) {
	t.Parallel()
	s := openSlot(t, Config{Limits: Limits{CPU: 100 * time.Millisecond, Slack: time.Hour, Wall: time.Hour}})
	q := &Question{ID: "stretch", Inputs: []string{""}}
	const endless, late = "while True: pass", "import time\nbegan = time.process_time()\nwhile time.process_time() < began + .15: pass"
	var last Strain
	asked := 0
	run := func(source string, slack, grace time.Duration, known bool) Result {
		t.Helper()
		s.Stretch(func(now Strain) (time.Duration, time.Duration, bool) {
			last, asked = now, asked+1
			return slack, grace, known
		})
		defer s.Stretch(nil)
		for wait, before := patience.Begin(patience.Base), asked; ; {
			r, err := s.Run(t.Context(), q, source, func(int, Output) bool { return true })
			if err != nil {
				t.Fatal(err)
			}
			if asked > before || wait.Over() { // a busy machine may not look before a program has ended
				return r
			}
		}
	}
	// The kernel ends it after four seconds.
	if r := run(endless, 0, 0, true); r.Outcome != TimeLimit || !r.Cut || r.CPU > 3*time.Second {
		t.Errorf("an endless program: %+v", r)
	}
	if last.Test != 0 || last.Limit != 100*time.Millisecond || last.Used <= 0 || last.CPU < 0 || last.Memory < 1<<20 {
		t.Errorf("the last it was asked: %+v", last)
	}
	for _, c := range []struct {
		slack, grace time.Duration
		known        bool
		want         Outcome
	}{{time.Hour, time.Hour, true, Accepted}, {time.Hour, 0, true, TimeLimit}, {0, time.Hour, false, TimeLimit}} {
		if r := run(late, c.slack, c.grace, c.known); r.Outcome != c.want || r.Cut || r.CPU < 120*time.Millisecond {
			t.Errorf("a late answer with %+v: %+v", c, r)
		}
	}
	whole := s
	s = openSlot(t, Config{Mode: Script, Limits: Limits{CPU: 100 * time.Millisecond, Slack: time.Hour, Wall: time.Hour}})
	if r := run(late, time.Hour, time.Hour, true); r.Outcome != Accepted {
		t.Errorf("a late script: %+v", r)
	}
	s = whole
	before := asked
	if r, err := s.Run(t.Context(), q, late, func(int, Output) bool { return true }); err != nil || r.Outcome != TimeLimit || asked != before {
		t.Errorf("with no Stretch: %+v, %v, asked %d times", r, err, asked-before)
	}
	for text, want := range map[string]int{
		"7 (a) b) R 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 3 0 0": 3,
		"7 (a) R 1 7": -1, "": -1, "7 (a) R 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 x 0 0": -1,
	} {
		if got := processorIn([]byte(text)); got != want {
			t.Errorf("processorIn(%q) = %d, want %d", text, got, want)
		}
	}
}

// TestSoonIsAsked has a test answer late before anybody looks at it, and wants its grace asked for all the same.
func TestSoonIsAsked(t *testing.T) {
	t.Parallel()
	s := openSlot(t, Config{Limits: Limits{CPU: tick / 5, Slack: time.Hour, Wall: time.Hour}})
	s.Stretch(func(Strain) (time.Duration, time.Duration, bool) { return time.Hour, time.Hour, true })
	q := &Question{ID: "soon", Inputs: []string{""}}
	const source = "import time\nbegan = time.process_time()\nwhile time.process_time() < began + .03: pass"
	for range 5 {
		if r, err := s.Run(t.Context(), q, source, func(int, Output) bool { return true }); err != nil || r.Outcome != Accepted || r.TestCPU < tick/5 {
			t.Errorf("a late answer within its grace: %+v, %v", r, err)
		}
	}
}

// TestGraceIsTold has a test answer late and its grace taken, while we were late to hear of the test before: what the
// program used must be told all the same.
func TestGraceIsTold(t *testing.T) {
	t.Parallel()
	const limit, late = 300 * time.Millisecond, 550 * time.Millisecond
	s := openSlot(t, Config{Limits: Limits{CPU: limit, Slack: time.Hour, Wall: time.Hour}})
	q := &Question{ID: "grace", Inputs: []string{"0", "0", "0", strconv.FormatFloat(late.Seconds(), 'f', -1, 64)}}
	const source = "import time\nx = float(input())\nbegan = time.process_time()\nwhile time.process_time() < began + x: pass"
	awaited := func() bool { // the program does nothing until it is asked for more
		state, _, err := stateOf(s.host.running.process(s.now.Load()))
		return err != nil || state == sleeping
	}
	s.Stretch(func(Strain) (time.Duration, time.Duration, bool) { return time.Hour, time.Hour, true })
	r, err := s.Run(t.Context(), q, source, func(test int, _ Output) bool {
		// The next two are asked for along with this one, unless the machine is slow or the program is run again.
		for test == 1 && s.Used() < late/2 && !awaited() {
			napFor(time.Millisecond)
		}
		return true
	})
	if err != nil || r.Outcome != Accepted || r.TestCPU <= limit {
		t.Errorf("a late answer within its grace: %+v, %v, want one that took more than %v", r, err, limit)
	}
}

package sandbox

import (
	"errors"
	"os"
	"testing"
	"time"
)

// TestClocks wants a program that gets no processor not to be taken for a sleeper.
func TestClocks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		cpu, idle, wall time.Duration
		stateErr        error
		want            string
	}{
		{"fine", 900 * time.Millisecond, 0, 900 * time.Millisecond, nil, ""},
		{"sleeper", 0, 1100 * time.Millisecond, 1100 * time.Millisecond, nil, "stop"},
		{"works and sleeps", 600 * time.Millisecond, 600 * time.Millisecond, 1200 * time.Millisecond, nil, "stop"},
		{"starved", 100 * time.Millisecond, 0, 9 * time.Second, nil, ""},
		{"starved beyond the hard limit", 100 * time.Millisecond, 0, 11 * time.Second, nil, "overloaded"},
		{"state unknown", 100 * time.Millisecond, 0, 9 * time.Second, os.ErrPermission, ""},
		{"state unknown beyond the hard limit", 100 * time.Millisecond, 0, 11 * time.Second, os.ErrPermission, "stop"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			k := clocks{now: tt.cpu, idle: tt.idle, started: start, looked: start}
			err := k.silent(Limits{CPU: time.Second, Wall: time.Second, Hard: 10 * time.Second}, start.Add(tt.wall), awake, tt.stateErr)
			got := ""
			switch {
			case isStop(err):
				got = "stop"
			case errors.Is(err, ErrOverloaded):
				got = "overloaded"
			case err != nil:
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("silent = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestClocksOfSeveral asks for several tests at once and wants no test to be
// charged with another's time.
func TestClocksOfSeveral(t *testing.T) {
	t.Parallel()
	limits := Limits{CPU: time.Second, Wall: time.Second, Hard: 10 * time.Second}
	var k clocks
	k.now = 5 * time.Second
	k.ask()
	k.now += 600 * time.Millisecond
	if err := k.answered(limits, true); err != nil {
		t.Errorf("first test of 0.6 s: %v", err)
	}
	k.now += 600 * time.Millisecond
	if err := k.answered(limits, true); !errors.Is(err, errUnclear) {
		t.Errorf("second test of 0.6 s or more = %v, want errUnclear", err)
	}
	k.now += 1100 * time.Millisecond
	if err := k.answered(limits, false); !isStop(err) {
		t.Errorf("third test of 1.1 s or more = %v, want a stop", err)
	}
	k.ask()
	k.now += 900 * time.Millisecond
	if err := k.answered(limits, false); err != nil {
		t.Errorf("a test of 0.9 s after a rest: %v", err)
	}
	k.ask()
	k.now += 1100 * time.Millisecond
	if err := k.answered(limits, true); !errors.Is(err, errUnclear) {
		t.Errorf("a test of 1.1 s or less, heard late = %v, want errUnclear", err)
	}
	limits.grace = time.Minute
	for _, c := range []struct {
		name        string
		before, now time.Duration // what was used before the last answer was heard, and after
		goesOn      bool
		want        error
	}{
		{"within its limit", 400 * time.Millisecond, 500 * time.Millisecond, false, nil},
		{"beyond its limit", 0, 1100 * time.Millisecond, false, nil},
		{"beyond its limit, or the test before", 200 * time.Millisecond, 900 * time.Millisecond, false, errUnclear},
		{"beyond its limit, or the next test", 0, 1100 * time.Millisecond, true, errUnclear},
	} {
		k.ask()
		k.now += c.before
		k.heard = k.now
		k.now += c.now
		if err := k.answered(limits, c.goesOn); !errors.Is(err, c.want) {
			t.Errorf("with a grace, a test %s = %v, want %v", c.name, err, c.want)
		}
	}
	limits.grace = 0
	k = clocks{now: 1100 * time.Millisecond} // as it is when we first can read it
	k.begin()
	if err := k.answered(limits, true); !errors.Is(err, errUnclear) {
		t.Errorf("a program whose begin was not seen = %v, want errUnclear", err)
	}
}

// TestSeveralSlowTests wants tests that are slow together to pass each.
func TestSeveralSlowTests(t *testing.T) {
	t.Parallel()
	h, err := Probe(t.Context(), Config{Python: testPython, Limits: Limits{CPU: 300 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	s := openSlotOn(t, h)
	q := &Question{ID: "q", Inputs: []string{"0", "0", "0.2", "0.2", "0.2", "0.2", "0"}}
	const source = "import time\nx = float(input())\nt = time.process_time()\nwhile time.process_time() < t + x: pass\nprint(x)\n"
	r, err := s.Run(t.Context(), q, source, func(int, Output) bool { return true })
	if err != nil || r.Outcome != Accepted || r.TestCPU > 300*time.Millisecond || r.CPU < 800*time.Millisecond {
		t.Errorf("Run = %+v, %v", r, err)
	}
	q = &Question{ID: "r", Inputs: []string{"0", "0", "0.2", "0.4"}}
	r, err = s.Run(t.Context(), q, source, func(int, Output) bool { return true })
	if err != nil || r.Outcome != TimeLimit || r.Test != 3 {
		t.Errorf("Run = %+v, %v, want time limit in test 3", r, err)
	}
}

package sandbox

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestScaledLimits wants processor time multiplied and sleep not: a second of the reference that a slow host
// takes three for is one second of the wall limit.
func TestScaledLimits(t *testing.T) {
	t.Parallel()
	limits := Limits{CPU: time.Second, Slack: 300 * time.Millisecond, Wall: time.Second, Hard: 10 * time.Second}.withDefaults()
	if limits.scaled(1) != limits || limits.scaled(0) != limits {
		t.Error("a scale of 1 changes limits")
	}
	slow, fast := limits.scaled(3), limits.scaled(0.5)
	if slow.CPU != 3*time.Second || slow.Slack != 900*time.Millisecond || slow.Wall != time.Second || slow.Hard != 30*time.Second || slow.kernelCPU(2) != 10 {
		t.Errorf("scaled by 3: %+v", slow)
	}
	if fast.CPU != 500*time.Millisecond || fast.Slack != 150*time.Millisecond || fast.Wall != time.Second || fast.Hard != limits.Hard {
		t.Errorf("scaled by 0.5: %+v", fast)
	}
	start := time.Now()
	for _, c := range []struct {
		limits     Limits
		cpu, slept time.Duration
		want       string
	}{
		{slow, 2700 * time.Millisecond, 50 * time.Millisecond, ""},
		{slow, 2700 * time.Millisecond, 150 * time.Millisecond, "ran 0.90 s and slept 0.15 s, limit 1s"},
		{slow, 3950 * time.Millisecond, 0, "used 3.95 s of processor time, limit 3s"},
		{fast, 300 * time.Millisecond, 150 * time.Millisecond, ""},
		{fast, 450 * time.Millisecond, 150 * time.Millisecond, "ran 0.90 s and slept 0.15 s, limit 1s"},
		{fast, 660 * time.Millisecond, 0, "used 0.66 s of processor time, limit 500ms"},
	} {
		k := clocks{now: c.cpu, started: start, looked: start.Add(2 * time.Second), idle: c.slept}
		err := k.silent(c.limits, start.Add(2*time.Second), awake, nil)
		var halt *stop
		if (c.want == "") != (err == nil) || err != nil && (!errors.As(err, &halt) || halt.outcome != TimeLimit || !strings.Contains(halt.detail, c.want)) {
			t.Errorf("%v of processor time and %v of sleep under %+v: %v, want %q", c.cpu, c.slept, c.limits, err, c.want)
		}
	}
	var k clocks
	if err := k.unserved(slow, 2900*time.Millisecond, 0, ErrOverloaded); err != nil {
		t.Errorf("a program that had what its limit grants: %v", err)
	}
	if err := k.unserved(slow, 3100*time.Millisecond, 0, ErrOverloaded); !errors.Is(err, errStuck) {
		t.Errorf("a program that had more: %v", err)
	}
}

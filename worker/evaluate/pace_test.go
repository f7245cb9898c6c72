package evaluate

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// TestPace wants the limits of a host within a tenth of the reference to be what they are without
// one, and else to be seconds of the reference.
func TestPace(t *testing.T) {
	t.Parallel()
	for p, want := range map[Pace]float64{{}: 6, {Host: 3}: 6, {10, 10}: 6, {10, 9.1}: 6, {10, 10.9}: 6, {10, 5}: 12, {10, 20}: 3} {
		if got := p.here(6 * time.Second); got.Seconds() != want {
			t.Errorf("at %+v 6 s are %v, want %v s", p, got, want)
		}
	}
	p := Pace{10, 8}
	if here := p.here(6 * time.Second); here != 7500*time.Millisecond || p.meant(here) != 6*time.Second {
		t.Errorf("at %+v 6 s are %v, and these are meant as %v", p, here, p.meant(here))
	}
	if got := p.meantAll(map[int]time.Duration{-1: 1250 * time.Millisecond, 3: 5 * time.Second}); got[-1] != time.Second || got[3] != 4*time.Second || len(got) != 2 {
		t.Errorf("times are meant as %v", got)
	}
	if (Pace{}).key() != "" || (Pace{10, 8}).key() != (Pace{10, 10}).key() || (Pace{10, 8}).key() == (Pace{11, 8}).key() {
		t.Error("verdicts must be shared by hosts of all speeds, and by runs of one reference alone")
	}
}

// TestPaceRefused wants hosts refused that cannot be compared with the reference.
func TestPaceRefused(t *testing.T) {
	t.Parallel()
	for _, p := range []Pace{{}, {Host: 1}, {8, 1}, {1, 8}, {1, 1}} {
		if err := p.Check(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	for p, want := range map[Pace]string{
		{8.1, 1}: "more than 8 times apart", {1, 8.1}: "more than 8 times apart", {1, 0}: "the speed of this host is not known", {-1, 1}: "want a number above 0",
		{math.Inf(1), 1}: "want a number above 0", {1, math.Inf(1)}: "not known", {1, -1}: "not known",
	} {
		if err := p.Check(); !errors.Is(err, ErrPace) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
	}
	if err := (Pace{math.NaN(), 1}).Check(); !errors.Is(err, ErrPace) {
		t.Errorf("a reference that is no number: %v", err)
	}
	if err := (Pace{1, math.NaN()}).Check(); !errors.Is(err, ErrPace) {
		t.Errorf("a speed that is no number: %v", err)
	}
}

// TestGauge wants one measurement in a row of its like to change nothing, and three to count.
func TestGauge(t *testing.T) {
	t.Parallel()
	var g gauge
	if s, settled := g.speed(); s != 0 || settled {
		t.Errorf("before a measurement: %v, %v", s, settled)
	}
	g.look(7)
	if s, settled := g.speed(); s != 7 || settled {
		t.Errorf("after a first look: %v, %v", s, settled)
	}
	for i, step := range []struct{ measured, want float64 }{
		{10, 10}, {9.5, 10}, {10.9, 10}, // neighbours
		{5, 10}, {5, 10}, {10, 10}, // slow for a while
		{5, 10}, {5, 10}, {20, 10}, {5, 10}, {5, 10}, // up and down
		{6, 6},                     // three in a row: what all of them say
		{12, 6}, {14, 6}, {13, 12}, // and back
		{11.5, 12},
	} {
		changed := g.measured(step.measured)
		g.look(1) // of no interest any more
		if s, settled := g.speed(); s != step.want || !settled {
			t.Errorf("step %d: after %v the speed is %v, want %v", i, step.measured, s, step.want)
		}
		if want := step == struct{ measured, want float64 }{6, 6} || step.measured == 13; changed != want {
			t.Errorf("step %d: changed = %v", i, changed)
		}
	}
}

// TestSpeedOf wants the speed of a host to be that of its quiet moments.
func TestSpeedOf(t *testing.T) {
	t.Parallel()
	rounds := make([]time.Duration, 0, 200)
	for range 190 {
		rounds = append(rounds, 800*time.Microsecond)
	}
	for range 10 {
		rounds = append(rounds, 500*time.Microsecond)
	}
	if got := speedOf(rounds); got != 10 {
		t.Errorf("the speed is %v, want 10", got)
	}
	rounds[0] = time.Nanosecond // one reading alone is none
	if got := speedOf(rounds); got != 10 {
		t.Errorf("with one reading that is wrong the speed is %v, want 10", got)
	}
}

// TestClockThatLies wants no speed from a clock that another one disproves.
func TestClockThatLies(t *testing.T) {
	t.Parallel()
	good := strings.Repeat("500000 ", burstRounds) // 12 ms
	rounds, err := readBurst(good, 15*time.Millisecond, 20*time.Millisecond)
	if err != nil || len(rounds) != burstRounds {
		t.Fatalf("readBurst = %d rounds, %v", len(rounds), err)
	}
	if _, err := readBurst(good, 15*time.Millisecond, 3*time.Minute); err != nil {
		t.Errorf("on a machine that had no time: %v", err)
	}
	for name, c := range map[string]struct {
		text      string
		cpu, wall time.Duration
	}{
		"stands still":          {strings.Replace(good, "500000", "0", 1), time.Second, time.Second},
		"runs backwards":        {strings.Replace(good, "500000", "-4", 1), time.Second, time.Second},
		"says no number":        {strings.Replace(good, "500000", "1e9", 1), time.Second, time.Second},
		"says too much":         {strings.Replace(good, "500000", "99999999999999999999", 1), time.Second, time.Second},
		"says too little":       {"500000", time.Second, time.Second},
		"says nothing":          {"", time.Second, time.Second},
		"says one too many":     {good + "500000", time.Second, time.Second},
		"runs in the program":   {strings.ReplaceAll(good, "500000", "50000000"), 15 * time.Millisecond, 2 * time.Second},
		"runs faster than time": {good, time.Second, 100 * time.Millisecond},
	} {
		if rounds, err := readBurst(c.text, c.cpu, c.wall); !errors.Is(err, errClock) {
			t.Errorf("a clock that %s: %v, %v", name, rounds, err)
		}
	}
}

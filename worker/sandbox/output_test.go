package sandbox

import (
	"testing"
	"time"
)

// TestEndlessOutput wants the limit on output, and no other, to end programs that print for
// ever: their time could be had by no machine that is only slow.
func TestEndlessOutput(t *testing.T) {
	t.Parallel()
	limits := Limits{CPU: time.Minute, Wall: 2 * time.Minute, Hard: 10 * time.Minute, Output: 64 << 10}
	forEachLevel(t, Config{Limits: limits}, func(t *testing.T, h *Host) {
		t.Helper()
		s := openSlotOn(t, h)
		for _, source := range []string{
			"while True:\n    print('x' * 1000)",
			"import sys\nwhile True:\n    sys.stdout.write('x')",
			"import sys, itertools\nsys.stdout.writelines(itertools.repeat('x'))",
		} {
			r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{""}}, source, func(int, Output) bool { return true })
			if err != nil || r.Outcome != OutputLimit {
				t.Errorf("Run of %q = %+v, %v, want the output limit", source, r, err)
			}
		}
	})
}

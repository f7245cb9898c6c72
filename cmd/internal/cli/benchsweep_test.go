package cli

import (
	"strings"
	"testing"

	"github.com/lcbq/lcbq/cmd/internal/bench"
)

// TestSweepSaysWhetherItIsVerified: a sweep whose proof was interrupted is shown, and says so.
func TestSweepSaysWhetherItIsVerified(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]bench.SweepResult{
		"verified in 3 s: every cell whole, 80 samples in all\n": {Units: 8, Samples: 80, Seconds: 2, Verified: 80, VerifyFor: 3},
		"the files are not verified\n":                           {Units: 8, Samples: 80, Seconds: 2},
	} {
		var out strings.Builder
		writeSweep(&out, r)
		if got := out.String(); !strings.Contains(got, "8 units, 80 samples: ") || !strings.Contains(got, want) || strings.Count(got, "verified") != 1 {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}

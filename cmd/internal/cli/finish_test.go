package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/combine/summary"
)

// TestUnjudged: a finished run whose samples are not all in its counts ends with the status that
// says so, and one whose samples are ends well.
func TestUnjudged(t *testing.T) {
	t.Parallel()
	var s summary.Run
	s.Samples = 40
	if err := unjudged(&s); err != nil {
		t.Errorf("a run of 40 samples: %v", err)
	}
	s.Samples, s.Unscored = 38, 2
	if err := unjudged(&s); !errors.Is(err, errUnscored) || !strings.Contains(err.Error(), "2 of 40 samples") {
		t.Errorf("a run with 2 samples that nobody judged = %v, want errUnscored and their number", err)
	}
}

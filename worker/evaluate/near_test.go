package evaluate

import (
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/sandbox"
)

func TestNear(t *testing.T) {
	t.Parallel()
	for spent, want := range map[time.Duration]bool{
		time.Second: false, 4100 * time.Millisecond: false, 4300 * time.Millisecond: true, 6 * time.Second: true, 7700 * time.Millisecond: true,
		6*time.Second + Slack(6*time.Second): false, // stopped there: it may never end
	} {
		if got := near(sandbox.Result{TestCPU: spent}, 6*time.Second); got != want {
			t.Errorf("near with a test of %v = %v, want %v", spent, got, want)
		}
	}
}

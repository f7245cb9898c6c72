package embed

import (
	"errors"
	"testing"
	"time"
)

// TestWithin tells a server that answers late from one that never does.
func TestWithin(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	left := make(chan struct{})
	if err := within(time.Millisecond, func() { <-release; close(left) }); !errors.Is(err, ErrHung) {
		t.Errorf("within, of a call that does not return = %v, want ErrHung", err)
	}
	close(release)
	<-left
	if err := within(time.Minute, func() {}); err != nil {
		t.Errorf("within, of a call that returns = %v", err)
	}
}

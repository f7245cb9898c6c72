package worker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
)

// TestRetryPauseGrows: a fault that a second cures costs a second, one that lasts is not
// asked about a thousand times.
func TestRetryPauseGrows(t *testing.T) {
	t.Parallel()
	for deliveries, want := range map[uint64]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 6: 32 * time.Second, 7: time.Minute, 12: time.Minute, 1 << 60: time.Minute,
	} {
		if got := retryPause(deliveries); got != want {
			t.Errorf("retryPause(%d) = %v, want %v", deliveries, got, want)
		}
	}
}

// TestReason: only silence is a server that does not answer.
func TestReason(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		jetstream.ErrConsumerDeleted:   "made anew",
		jetstream.ErrConsumerNotFound:  "made anew",
		nats.ErrNoResponders:           "does not answer",
		queue.ErrNotDeclared:           "is gone from the server",
		&jetstream.APIError{Code: 503}: "refuses",
		context.DeadlineExceeded:       "does not answer",
		nats.ErrDisconnected:           "does not answer",
	} {
		if got := reason(stream.Generate, fmt.Errorf("pull: %w", err)); !strings.Contains(got, want) {
			t.Errorf("reason(%v) = %q, want %q", err, got, want)
		}
	}
}

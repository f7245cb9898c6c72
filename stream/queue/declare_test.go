package queue_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/queue"
)

// TestDeclareAtOnce has many processes make the streams of a new server at once, each with settings of its
// own, as a server does that is starting and the submission that waits for it.
func TestDeclareAtOnce(t *testing.T) {
	t.Parallel()
	srv, err := embed.Start(embed.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		conn, err := srv.Connect(nats.Timeout(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		q := queue.New(js)
		q.StoreMax = int64(i+1) << 30
		all.Go(func() {
			if err := q.Declare(t.Context(), 1); err != nil {
				errs[i] = fmt.Errorf("client %d: %w", i, err)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

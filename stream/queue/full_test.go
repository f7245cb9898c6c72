package queue_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
)

// serve starts a server with the given disk budget on dir and declares the streams.
func serve(t *testing.T, dir string, budget int64) (q *queue.Queue, js jetstream.JetStream, stop func()) {
	t.Helper()
	srv, err := embed.Start(embed.Config{Dir: dir, MaxStore: budget})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := srv.Connect(nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute)); err != nil {
		t.Fatal(err)
	}
	q = queue.New(js)
	q.StoreMax = budget
	if err := q.Declare(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		nc.Close()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return q, js, stop
}

// noise is a body that does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}

// fill publishes units at a stage until the server takes no more, and returns how
// many it took.
func fill(t *testing.T, q *queue.Queue, stage stream.Stage) int {
	t.Helper()
	for i := range 1000 {
		_, err := q.Publish(t.Context(), stage, unit(0, i), noise(100<<10))
		if errors.Is(err, queue.ErrFull) {
			if !strings.Contains(err.Error(), "--store-max") {
				t.Errorf("Publish on a full store = %v, want the remedy", err)
			}
			return i
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("%s never got full", stage.Stream())
	return 0
}

// TestPublishersAtOnceKeepTheShare has 64 publishers of one process fill a store: none takes the room that another is
// about to use.
func TestPublishersAtOnceKeepTheShare(t *testing.T) {
	t.Parallel()
	const budget = 16 << 20
	q, js, _ := serve(t, t.TempDir(), budget)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for k := range 100 {
				if _, err := q.Publish(t.Context(), stream.Evaluate, unit(i, k), noise(100<<10)); errors.Is(err, queue.ErrFull) {
					return
				} else if err != nil {
					t.Error(err)
					return
				}
			}
			t.Error("EVALUATE never got full")
		})
	}
	all.Wait()
	s, err := js.Stream(t.Context(), stream.Evaluate.Stream())
	if err != nil {
		t.Fatal(err)
	}
	if bytes := s.CachedInfo().State.Bytes; bytes > budget/2 || bytes < budget/4 {
		t.Errorf("EVALUATE holds %d bytes, want half of the budget at most, which is %d", bytes, budget/2)
	}
}

// TestFullStoreLeavesRoomForTheNextStage: completions stop being taken while there
// is room for verdicts, and verdicts while there is room to mark cells and bury
// units. What was refused is taken once there is room, and nothing was dropped.
func TestFullStoreLeavesRoomForTheNextStage(t *testing.T) {
	t.Parallel()
	q, js, _ := serve(t, t.TempDir(), 8<<20)
	evaluate := fill(t, q, stream.Evaluate)
	combine := fill(t, q, stream.Combine)
	if evaluate < 20 || combine < 15 {
		t.Errorf("a store of 8 MiB took %d units of completions and %d of verdicts", evaluate, combine)
	}
	s, err := store.Declare(t.Context(), js, 1)
	if err == nil {
		err = s.PutCell(t.Context(), unit(0, 0).Cell, store.CellState{Counts: stream.Counts{N: 1}}, 0)
	}
	if err != nil {
		t.Errorf("a cell cannot be marked done: %v", err)
	}
	if err := q.Bury(t.Context(), stream.Dead{Subject: unit(0, 0).Subject(stream.Generate)}); err != nil {
		t.Errorf("a unit cannot be buried: %v", err)
	}
	for stage, stored := range map[stream.Stage]int{stream.Evaluate: evaluate, stream.Combine: combine} {
		if lag, err := q.Lag(t.Context(), stage); err != nil || lag.Stored != uint64(stored) {
			t.Errorf("%s holds %d units, %v, want all %d", stage.Stream(), lag.Stored, err, stored)
		}
		if fresh, err := q.Publish(t.Context(), stage, unit(0, 3), noise(100<<10)); fresh || err != nil {
			t.Errorf("a unit that is there already, on a full store: fresh %v, %v", fresh, err)
		}
		if err := q.Remove(t.Context(), stage, unit(0, 0)); err != nil {
			t.Fatal(err)
		}
		if fresh, err := q.Publish(t.Context(), stage, unit(0, stored), noise(100<<10)); !fresh || err != nil {
			t.Errorf("the refused unit, once there is room: fresh %v, %v", fresh, err)
		}
	}
}

// TestWholeStoreFull: where the streams have no shares, the server's own budget is
// the limit.
func TestWholeStoreFull(t *testing.T) {
	t.Parallel()
	srv, err := embed.Start(embed.Config{Dir: t.TempDir(), MaxStore: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := srv.Connect(nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nc.Close()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	q := queue.New(js)
	if err := q.Declare(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if n := fill(t, q, stream.Evaluate); n < 20 {
		t.Errorf("a store of 4 MiB took %d units", n)
	}
}

// TestBudgetChanges: a store is served with more or less disk than before; what it
// holds stays.
func TestBudgetChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	taken := 0
	for _, budget := range []int64{16 << 20, 4 << 20, 64 << 20} {
		q, _, stop := serve(t, dir, budget)
		if lag, err := q.Lag(t.Context(), stream.Evaluate); err != nil || lag.Stored != uint64(taken) {
			t.Errorf("with %d MiB EVALUATE holds %d units, %v, want %d", budget>>20, lag.Stored, err, taken)
		}
		if budget == 16<<20 {
			taken = fill(t, q, stream.Evaluate)
		} else if _, err := q.Publish(t.Context(), stream.Evaluate, unit(1, 0), noise(100)); (err == nil) != (budget > 16<<20) {
			t.Errorf("with %d MiB another unit: %v", budget>>20, err)
		} else if err == nil {
			taken++
		}
		stop()
	}
}

package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/worker/combine/summary"
)

// TestKept: what is judged or generated and in no finished cell is said to be kept, and nothing else.
func TestKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		finished           int
		published          bool
		generate, evaluate queue.Lag
		want               string
	}{
		{0, true, queue.Lag{Waiting: 6}, queue.Lag{Waiting: 1, InFlight: 1}, ", and the queue keeps 200 more that are judged and 200 that are generated"},
		{100, true, queue.Lag{Waiting: 6}, queue.Lag{}, ", and the queue keeps 300 more that are judged"},
		{400, true, queue.Lag{Waiting: 4}, queue.Lag{Waiting: 2}, ", and the queue keeps 200 more that are generated"},
		{400, true, queue.Lag{Waiting: 6}, queue.Lag{}, ""},
		{400, true, queue.Lag{Waiting: 7}, queue.Lag{}, ""}, // a finished cell's unit is still on its way
		{0, false, queue.Lag{}, queue.Lag{}, ""},
	} {
		p := progressOf(c.finished)
		p.Manifest.Published = c.published
		p.Lag = map[stream.Stage]queue.Lag{stream.Generate: c.generate, stream.Evaluate: c.evaluate}
		if got := kept(p); got != c.want {
			t.Errorf("%+v: %q, want %q", c, got, c.want)
		}
	}
}

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

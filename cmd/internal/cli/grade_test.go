package cli

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
)

// TestGradeSaysHowFar wants a line on the rows written when its time has come, rows of an earlier
// part counted in, and none before.
func TestGradeSaysHowFar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		every time.Duration
		want  []string
	}{{0, []string{"rows_written=6 passed=1", "rows_written=7 passed=1"}}, {time.Hour, nil}} {
		var log bytes.Buffer
		g := &grading{kept: 5, every: c.every, log: slog.New(slog.NewTextHandler(&log, nil))}
		queue := make(chan *pending, 2)
		for _, v := range []stream.Verdict{stream.Passed, stream.WrongAnswer} {
			p := &pending{done: make(chan struct{}), j: stream.Judgement{Verdict: v}}
			close(p.done)
			queue <- p
		}
		close(queue)
		if err := g.write(queue, io.Discard); err != nil {
			t.Fatal(err)
		}
		lines := strings.Count(log.String(), "\n")
		for _, want := range c.want {
			if !strings.Contains(log.String(), want) {
				t.Errorf("every %v the log is %q, want a line with %s", c.every, log.String(), want)
			}
		}
		if lines != len(c.want) {
			t.Errorf("every %v there are %d lines, want %d", c.every, lines, len(c.want))
		}
	}
}

package cli

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
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
	}{{0, []string{"rows=6 passed=1", "rows=7 passed=1"}}, {time.Hour, nil}} {
		var log bytes.Buffer
		g := &grading{written: 5, every: c.every, log: slog.New(slog.NewTextHandler(&log, nil))}
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

// TestGradeCountsWhatIsThere wants the verdicts of an output that is continued counted, so that its end
// and its exit status are those of an output made in one go.
func TestGradeCountsWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	input, output := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl")
	for path, rows := range map[string]string{
		input: `{"question_id":"a","completion_id":0,"output":"x"}
{"question_id":"a","completion_id":1,"output":"x"}
{"question_id":"a","completion_id":2,"output":"x"}
`,
		output: `{"question_id":"a","completion_id":"0","index":0,"passed":true,"verdict":"passed"}
{"question_id":"a","completion_id":"1","index":1,"passed":false,"verdict":"wrong_answer"}
{"question_id":"a","completion_id":"2","index":2,"passed":false,"verdict":"judge_fault"}
`,
	} {
		if err := os.WriteFile(path, []byte(rows), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	g := &grading{slots: 1}
	if err := g.run(t.Context(), input, output); err != nil {
		t.Fatal(err)
	}
	if g.rows != 3 || g.written != 3 || g.kept != 3 || g.passed != 1 || g.faults != 1 {
		t.Errorf("%d rows, %d written, %d kept, %d passed, %d faults, want 3, 3, 3, 1, 1", g.rows, g.written, g.kept, g.passed, g.faults)
	}
}

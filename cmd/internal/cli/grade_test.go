package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/verdicts"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine/replay"
	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/pyjson"
)

// TestGradeSaysHowFar wants a line on the rows written when its time has come, rows of an earlier
// part counted in, and none before.
func TestGradeSaysHowFar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		every time.Duration
		want  []string
	}{{0, []string{"rows=6 of=9 passed=1 rows_per_s=", "rows=7 of=9 passed=1 rows_per_s="}}, {time.Hour, nil}} {
		var log bytes.Buffer
		g := &grading{written: 5, kept: 5, total: 9, every: c.every, log: slog.New(slog.NewTextHandler(&log, nil)), verdicts: map[stream.Verdict]int{}}
		queue := make(chan *pending, 2)
		for _, v := range []stream.Verdict{stream.Passed, stream.WrongAnswer} {
			p := &pending{done: make(chan struct{}), j: stream.Judgement{Verdict: v}}
			close(p.done)
			queue <- p
		}
		close(queue)
		if err := g.write(queue, func(verdicts.Row, verdicts.Basis) error { return nil }); err != nil {
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
	rows := `{"question_id":"a","completion_id":0,"output":"x"}
{"question_id":"a","completion_id":1,"output":"x"}
{"question_id":"a","completion_id":2,"output":"x"}
`
	if err := os.WriteFile(input, []byte(rows), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := verdicts.Open(output)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range []stream.Verdict{stream.Passed, stream.WrongAnswer, stream.JudgeFault} {
		r := verdicts.Row{QuestionID: "a", CompletionID: pyjson.Text(strconv.Itoa(i)), Index: i, Passed: v == stream.Passed, Verdict: v}
		if err := out.Append(r, verdicts.Basis{Settings: "s", Tests: "t"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	g := &grading{slots: 1, extract: lcb.ExtractLCB, settings: "s", asked: map[string]string{"a": "t"}, verdicts: map[stream.Verdict]int{}}
	if err := g.run(t.Context(), input, output, false); err != nil {
		t.Fatal(err)
	}
	if g.written != 3 || g.kept != 3 || g.verdicts[stream.Passed] != 1 || g.verdicts[stream.JudgeFault] != 1 {
		t.Errorf("%d written, %d kept, %v, want 3 and 3, one passed and one fault", g.written, g.kept, g.verdicts)
	}
	g.settings = "other"
	if err := g.run(t.Context(), input, output, false); !errors.Is(err, verdicts.ErrStale) {
		t.Errorf("with other settings: %v, want a refusal", err)
	}
}

// TestGradeReadsAhead wants a slow first program to hold up no other: the rows behind it
// are handed to the grader while it runs.
func TestGradeReadsAhead(t *testing.T) {
	t.Parallel()
	out, err := verdicts.Open(filepath.Join(t.TempDir(), "out.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	g := &grading{
		slots: 1, extract: lcb.ExtractLCB, settings: "s", asked: map[string]string{"a": "t"}, verdicts: map[stream.Verdict]int{},
		grader: new(evaluate.Grader), questions: map[string]*evaluate.Question{"a": new(evaluate.Question)}, every: time.Hour,
	}
	const rows = 60
	read, text := make(chan struct{}), "no program"
	g.mu.Lock() // no program is judged
	ended := make(chan error, 1)
	go func() {
		ended <- g.stream(t.Context(), func(yield func(replay.Row, error) bool) {
			for i := range rows {
				if !yield(replay.Row{QuestionID: "a", Index: i, Output: &text}, nil) {
					return
				}
			}
			close(read)
		}, out)
	}()
	late, enough := patience.Context(t.Context(), patience.Base)
	select {
	case <-read:
	case <-late.Done():
		t.Errorf("with a program that does not end, not all of %d rows behind it are read", rows-1)
	}
	enough()
	g.mu.Unlock()
	if err := <-ended; err != nil || g.written != rows {
		t.Errorf("stream = %v, %d rows written, want %d", err, g.written, rows)
	}
	if err := out.Close(); err != nil {
		t.Error(err)
	}
}

package screen_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/cmd/internal/snapshot/screen"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// busy returns a run of which there is more to say than fits: 64 workers, 16 temperatures, so many findings and other runs.
func busy(findings, others int) *snapshot.Snapshot {
	s := &snapshot.Snapshot{
		At:     1_800_000_000_000,
		Run:    snapshot.Run{ID: "qwen3-0.6b-2f60ac11d3ab", State: "running", Engine: "openai", Model: "Qwen/Qwen3-0.6B", Judge: "lcb", Cells: snapshot.Share{Done: 1200, All: 2800}, Samples: snapshot.Share{Done: 12_000_000, All: 28_000_000}, Passed: 3_000_000},
		Units:  snapshot.Units{All: 280_000, Generated: 150_000, Judged: 130_000, Written: 120_000},
		Left:   &snapshot.Left{Seconds: 40_000, Low: 35_000, High: 45_000},
		Stages: []snapshot.Stage{{Stage: stream.Generate, Stream: "GENERATE", Waiting: 130_000, InFlight: 64, Rate: 12.3, Rate15: 11.9, Trend: -12.3, Backlog: 10_500, Workers: 8}, {Stage: stream.Evaluate, Stream: "EVALUATE", Waiting: 20_000, InFlight: 512, Rate: 10.1, Rate15: 9.8, Trend: 2.2, Backlog: 2030, Workers: 56}, {Stage: stream.Combine, Stream: "COMBINE", Backlog: -1, Workers: 1}},
	}
	for i := range 64 {
		w := snapshot.Worker{Stage: stream.Evaluate, Name: fmt.Sprintf("eval0_judge-host-%02d-%d", i/4, 4000+i), Host: fmt.Sprintf("judge-host-%02d", i/4), Slots: 8, Rate: 0.2, LastSign: 3, State: snapshot.Working}
		if i == 50 {
			w.State, w.LastSign = snapshot.Silent, 21
		}
		w.Slow = i == 55
		s.Workers = append(s.Workers, w)
	}
	for i := range 16 {
		s.Temperatures = append(s.Temperatures, snapshot.Temperature{Temperature: float64(i+1) / 10, PassAt1: 0.41, Low: 0.40, High: 0.42, Complete: i < 8})
	}
	for i := range findings {
		s.Findings = append(s.Findings, snapshot.Finding{Code: snapshot.LagGrows, Grave: i == 0, Text: fmt.Sprintf("finding %d: evaluators do not keep up: 20,000 units wait to be judged, 34 minutes of work, and 1.2 come for each that is done", i), Remedy: "start evaluators on other machines, for about 100 more programs at once", Command: "lcbq evaluate --nats nats://server.example.org:4222"})
	}
	for i := range others {
		s.Others = append(s.Others, snapshot.Run{ID: fmt.Sprint("other", i), State: "paused"})
	}
	return s
}

// TestFits wants 24 lines of 80 columns, with what matters most on them, however much there is to say.
func TestFits(t *testing.T) {
	t.Parallel()
	for _, findings := range []int{0, 1, 2, 9} {
		for _, others := range []int{0, 1, 12} {
			lines := screen.Lines(busy(findings, others), screen.Columns, screen.Rows)
			text := strings.Join(lines, "\n")
			if len(lines) > screen.Rows {
				t.Errorf("%d findings, %d other runs: %d lines", findings, others, len(lines))
			}
			for _, l := range lines {
				if utf8.RuneCountInString(l) > screen.Columns {
					t.Errorf("%d columns: %s", utf8.RuneCountInString(l), l)
				}
			}
			want := []string{"run qwen3-0.6b", "cells 1,200 of 2,800", "time left  11.1 h (8 of 10 times 9.7 h to 12.5 h)", "EVALUATE     20,000", "+2.20/s", "pass@1 0.10 41.0+-1.0 ", "1.60 41.0+-1.0~", "NO SIGN", "more workers"}
			if findings > 0 {
				want = append(want, "! finding 0", "type: lcbq evaluate --nats nats://server.example.org:4222")
			}
			if findings == 9 {
				want = append(want, "more findings: lcbq status --long")
			}
			if others == 1 {
				want = append(want, "also run other0  paused")
			}
			if others == 12 {
				want = append(want, "also 9 more runs: lcbq runs")
			}
			for _, w := range want {
				if !strings.Contains(text, w) {
					t.Errorf("%d findings, %d other runs: lacks %q:\n%s", findings, others, w, text)
				}
			}
		}
	}
	// With room everything is there, the remedy in words too.
	text := strings.Join(screen.Lines(busy(9, 12), screen.Columns, 1<<20), "\n")
	if strings.Contains(text, "more findings") || strings.Count(text, "start evaluators on other machines") != 9 || strings.Count(text, "eval0_judge") != 64 || strings.Count(text, "3 s ago  SLOW") != 1 {
		t.Errorf("something is left out where there is room:\n%s", text)
	}
}

// TestHostile wants nothing on the screen that a terminal obeys, and no fault of a screen that is too small.
func TestHostile(t *testing.T) {
	t.Parallel()
	s := busy(2, 2)
	evil := "x\x1b[2J\r\n\u202ey"
	s.Run.Model, s.Findings[0].Text, s.Workers[0].Host, s.Workers[0].Name = evil, evil, evil, evil
	s.Workers[0].Trouble = &store.Trouble{Code: evil}
	s.Cards = []snapshot.Card{{Host: evil, CardState: store.CardState{Name: evil, Utilization: -1, Power: -1}}}
	for columns := range 130 {
		for _, rows := range []int{-1, 0, 1, 2, 5, 10, 24, 500} {
			lines := screen.Lines(s, columns, rows)
			if len(lines) > max(1, rows) {
				t.Fatalf("%d x %d: %d lines", columns, rows, len(lines))
			}
			for _, l := range lines {
				if utf8.RuneCountInString(l) > max(1, columns) || strings.ContainsAny(l, "\x1b\r\n\u202e") {
					t.Fatalf("%d x %d: %q", columns, rows, l)
				}
			}
		}
	}
}

// TestLopsidedInterval: no half of an interval that reaches much further on one side.
func TestLopsidedInterval(t *testing.T) {
	t.Parallel()
	s := busy(0, 0)
	s.Temperatures[0].PassAt1, s.Temperatures[0].Low, s.Temperatures[0].High = 0, 0, 0.168
	s.Temperatures[1].PassAt1, s.Temperatures[1].Low, s.Temperatures[1].High = 0.99, 0.93, 1
	text := strings.Join(screen.Lines(s, screen.Columns, screen.Rows), "\n")
	if want := "pass@1 0.10 0.0-16.8   0.20 93.0-100.0 0.30 41.0+-1.0 "; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}

// TestWhen: a run that is over is so since its own time, not since somebody looks.
func TestWhen(t *testing.T) {
	t.Parallel()
	s := busy(0, 0)
	clock := func(ms int64, layout string) string { return time.UnixMilli(ms).Format(layout) }
	for state, tt := range map[string]struct {
		finished int64
		want     string
	}{
		"running":   {0, "running  at " + clock(s.At, time.TimeOnly) + "  openai"},
		"cancelled": {0, "cancelled  openai"},
		"finished":  {s.At - 3_600_000, "finished " + clock(s.At-3_600_000, time.DateTime) + "  openai"},
	} {
		s.Run.State, s.Run.Finished = state, tt.finished
		if line := screen.Lines(s, 200, screen.Rows)[0]; !strings.Contains(line, "  "+tt.want) {
			t.Errorf("%s: %q, want %q in it", state, line, tt.want)
		}
	}
}

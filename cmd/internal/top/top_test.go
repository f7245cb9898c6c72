package top

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shot() *snapshot.Snapshot {
	s := &snapshot.Snapshot{
		Run: snapshot.Run{ID: "r1", State: "running"}, Units: snapshot.Units{All: 100, Dead: 3},
		Stages:   []snapshot.Stage{{Stage: stream.Generate, Stream: "GENERATE"}, {Stage: stream.Evaluate, Stream: "EVALUATE"}, {Stage: stream.Combine, Stream: "COMBINE"}},
		Findings: []snapshot.Finding{{Code: snapshot.DeadUnits, Grave: true, Text: "3 units are given up", Command: "lcbq dead requeue"}},
	}
	for i := range 64 {
		s.Workers = append(s.Workers, snapshot.Worker{Stage: stream.Evaluate, Name: fmt.Sprintf("eval%02d", i), Host: fmt.Sprintf("h%02d\x1b[2J", 63-i), Slots: 8, Rate: float64(i * 7 % 64), State: snapshot.Working, Slow: i == 1})
	}
	return s
}

// press types keys and runs what they start.
func press(m *model, keys ...string) {
	for _, k := range keys {
		key := tea.Key{Code: []rune(k)[0], Text: k}
		if k == "down" {
			key = tea.Key{Code: tea.KeyDown}
		}
		if _, cmd := m.Update(tea.KeyPressMsg(key)); cmd != nil {
			if msg := cmd(); msg != nil {
				m.Update(msg)
			}
		}
	}
}

func (m *model) text() string { return strings.Join(m.lines(), "\n") }

// TestKeys sorts, scrolls and steers.
func TestKeys(t *testing.T) {
	t.Parallel()
	var did []string
	act := func(name string, err error) func(context.Context, string) (string, error) {
		return func(_ context.Context, run string) (string, error) {
			did = append(did, name+" "+run)
			return name + " done", err
		}
	}
	m := newModel(t.Context(), Config{Pause: act("pause", nil), Resume: act("resume", errors.New("run r1 is over\nsecond line")), Requeue: act("requeue", nil)})
	press(m, "p", "d") // nothing is shown yet
	m.Update(news{shot()})
	if text := m.text(); !strings.Contains(text, "! 3 units are given up") || !strings.Contains(text, "type: lcbq dead requeue") || !strings.Contains(text, "workers 1 to ") || !strings.Contains(text, "eval00") || strings.Count(text, "  SLOW") != 1 {
		t.Errorf("the screen is\n%s", text)
	}
	press(m, "s")
	if text := m.text(); !strings.Contains(text, "by rate") || strings.Index(text, "eval09") > strings.Index(text, "eval18") || !strings.Contains(text, "eval09") {
		t.Errorf("sorted by rate:\n%s", text) // 9*7%64 is 63
	}
	m.s.Workers[9].Slots = 640 // the highest rate of all, and the lowest for each program
	press(m, "s")
	if text := m.text(); !strings.Contains(text, "by slowest") || !strings.Contains(text, "eval00") || !strings.Contains(text, "eval09") || strings.Index(text, "eval09") > strings.Index(text, "eval55") {
		t.Errorf("sorted by the slowest:\n%s", text) // 0 for each program, 0.1 and, at 55*7%64, 0.1
	}
	press(m, "s")
	if text := m.text(); !strings.Contains(text, "by host") || !strings.Contains(text, "eval63") {
		t.Errorf("sorted by host:\n%s", text)
	}
	press(m, "down", "down")
	if text := m.text(); !strings.Contains(text, "> evaluate  eval61") || !strings.Contains(text, "workers 1 to") {
		t.Errorf("chosen:\n%s", text)
	}
	for range 100 {
		press(m, "down")
	}
	if text := m.text(); !strings.Contains(text, "to 64 of 64") || !strings.Contains(text, "> evaluate  eval00") || strings.Contains(text, "eval61") {
		t.Errorf("scrolled to the end:\n%s", text)
	}
	press(m, "p")
	if text := m.text(); !strings.Contains(text, "pause run r1 on all hosts? y/n") || len(did) != 0 {
		t.Errorf("after p: %v\n%s", did, text)
	}
	press(m, "n", "p", " ", "y") // only y is a yes
	if text := m.text(); len(did) != 0 {
		t.Errorf("after p and a blank: %v\n%s", did, text)
	}
	press(m, "p", "y")
	if text := m.text(); strings.Join(did, ",") != "pause r1" || !strings.Contains(text, "pause done") {
		t.Errorf("after p, y: %v\n%s", did, text)
	}
	press(m, "d")
	if text := m.text(); !strings.Contains(text, "put back the 3 units of run r1") {
		t.Errorf("after d:\n%s", text)
	}
	press(m, "y", "r", "y")
	if text := m.text(); strings.Join(did, ",") != "pause r1,requeue r1,resume r1" || !strings.HasSuffix(text, "run r1 is over") {
		t.Errorf("after r, y: %v\n%s", did, text)
	}
}

// TestSizes draws on screens of all sizes, with and without colours.
func TestSizes(t *testing.T) {
	t.Parallel()
	for _, color := range []bool{false, true} {
		m := newModel(t.Context(), Config{Color: color})
		m.Update(news{shot()})
		for columns := range 100 {
			for rows := range 40 {
				m.Update(tea.WindowSizeMsg{Width: columns, Height: rows})
				lines := m.lines()
				if len(lines) > max(1, rows) {
					t.Fatalf("%d x %d: %d lines", columns, rows, len(lines))
				}
				for _, l := range lines {
					if color {
						l = strings.NewReplacer(bold, "", red, "", faint, "", normal, "").Replace(l)
					}
					if utf8.RuneCountInString(l) > max(1, columns) || strings.Contains(l, "\x1b") {
						t.Fatalf("%d x %d: %q", columns, rows, l)
					}
				}
			}
		}
	}
}

// A screenBuffer is what a program has drawn so far.
type screenBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screenBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screenBuffer) contains(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.b.String(), text)
}

// TestProgram runs the whole program between a pipe and a buffer, and ends it by a key and by its context.
func TestProgram(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"q", ""} {
		ctx, cancel := context.WithCancel(t.Context())
		keys, typed := io.Pipe()
		out := new(screenBuffer)
		snapshots := make(chan *snapshot.Snapshot, 1)
		snapshots <- shot()
		ended := make(chan error, 1)
		go func() {
			ended <- Run(ctx, Config{Snapshots: snapshots, In: keys, Out: out, Environ: []string{"TERM=xterm-256color"}, Columns: 80, Rows: 24})
		}()
		wait := patience.Begin(time.Minute)
		tick := time.NewTicker(10 * time.Millisecond)
		for !out.contains("eval00") {
			select {
			case <-tick.C:
			case err := <-ended:
				t.Fatalf("the program ended: %v", err)
			}
			if wait.Over() {
				t.Fatal("nothing is drawn")
			}
		}
		tick.Stop()
		if key == "" {
			cancel()
		} else if _, err := io.WriteString(typed, key); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; (err != nil) != (key == "") {
			t.Errorf("ended by %q with %v", key, err)
		}
		cancel()
		_ = typed.Close() // what reads keys ends
	}
}

// TestSteerWorkers changes and drains the worker that is chosen, whatever the order becomes meanwhile.
func TestSteerWorkers(t *testing.T) {
	t.Parallel()
	var did []string
	m := newModel(t.Context(), Config{
		Set: func(_ context.Context, w snapshot.Worker, n int) (string, error) {
			did = append(did, fmt.Sprintf("set %s %d", w.Name, n))
			return "set done", nil
		},
		Drain: func(_ context.Context, w snapshot.Worker) (string, error) {
			did = append(did, "drain "+w.Name)
			return "", errors.New("it refuses\nremedy")
		},
	})
	press(m, "+", "x", "down") // nothing is shown yet
	s := shot()
	m.Update(news{s})
	press(m, "s", "s", "s", "down", "+") // by host, the second: eval62
	if text := m.text(); !strings.Contains(text, "eval62: 9 programs at once, now 8") || !strings.HasSuffix(text, "? y/n") {
		t.Errorf("after +:\n%s", text)
	}
	press(m, "+", "=", "-", "n", "-", "-", "y")
	if got := strings.Join(did, ","); got != "set eval62 6" || !strings.HasSuffix(m.text(), "set done") {
		t.Errorf("after --y: %s\n%s", got, m.text())
	}
	turned := shot()
	for i := range turned.Workers {
		turned.Workers[i].Host = fmt.Sprintf("h%02d", i) // the order is now another
	}
	turned.Workers[3].State = snapshot.Ended
	turned.Workers[4].Stage = stream.Combine
	m.Update(news{turned})
	press(m, "x", "y")
	if got := strings.Join(did, ","); got != "set eval62 6,drain eval62" || !strings.HasSuffix(m.text(), "it refuses") {
		t.Errorf("after x: %s\n%s", got, m.text())
	}
	for range 70 {
		press(m, "up")
	}
	press(m, "down", "down", "down", "x")
	if text := m.text(); !strings.HasSuffix(text, "eval03 is gone") {
		t.Errorf("an ended one drained:\n%s", text)
	}
	press(m, "down", "+")
	if text := m.text(); !strings.Contains(text, "eval04 judges no programs") {
		t.Errorf("a combiner changed:\n%s", text)
	}
	press(m, "up", "up", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "y")
	if did[len(did)-1] != "set eval02 1" {
		t.Errorf("fewer than one: %v", did)
	}
}

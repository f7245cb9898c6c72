package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/stream/sweep"
)

// terminal opens a real pseudo-terminal.
func terminal(t *testing.T, columns uint16) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("open /dev/ptmx: %v", err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	resize(t, tty, columns)
	return screen, tty
}

func resize(t *testing.T, tty *os.File, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

// A reading collects what a terminal or a log is sent.
type reading struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func read(screen *os.File) *reading {
	r := &reading{}
	go func() { _, _ = io.Copy(r, screen) }() // it ends when the terminal is closed
	return r
}

func (r *reading) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *reading) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *reading) await(t *testing.T, text string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for wait := patience.Begin(patience.Base); !wait.Over(); <-tick.C {
		if strings.Contains(r.String(), text) {
			return
		}
	}
	t.Fatalf("the terminal never got %q, only %q", text, r.String())
}

// progressOf returns the progress of a run of 1000 samples.
func progressOf(samples int) *sweep.Progress {
	return &sweep.Progress{
		Manifest: &store.Manifest{ID: "r", UnitSize: 100, Temperatures: []stream.Temperature{1}, Questions: []store.Question{{Cuts: []int{1000}}}},
		Samples:  samples, Passed: samples / 2, Lag: map[stream.Stage]queue.Lag{},
	}
}

// TestProgressLine: the progress is one line at any width, follows the terminal's, and stays below log lines.
func TestProgressLine(t *testing.T) {
	t.Parallel()
	for _, columns := range []uint16{20, 40, 80, 140} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			t.Parallel()
			screen, tty := terminal(t, columns)
			r := read(screen)
			b := newBar(tty)
			if !b.live {
				t.Fatal("a pseudo-terminal does not count as a terminal")
			}
			narrow := uint16(20)
			for i := range 5 {
				if i == 3 {
					resize(t, tty, narrow)
				}
				b.show(progressOf(100*i), int64(150*i), int64(100*i), int64(70*i))
				r.await(t, fmt.Sprintf("%d/1000 judged", 100*i))
			}
			if _, err := b.writer().Write([]byte("a log line\n")); err != nil {
				t.Fatal(err)
			}
			b.finish()
			r.await(t, "a log line\r\n")
			draws := strings.Split(r.String(), "\r\x1b[K")
			if got := strings.Count(r.String(), "\n"); got != 1 {
				t.Errorf("%d line feeds were sent, want that of the log line alone: %q", got, r.String())
			}
			for _, d := range draws {
				width := int(columns)
				if strings.HasPrefix(d, "300/") || strings.HasPrefix(d, "400/") {
					width = int(narrow)
				}
				if strings.Contains(d, "judged") && len(strings.TrimSuffix(d, "a log line\r\n")) >= width {
					t.Errorf("%q was drawn on %d columns", d, width)
				}
			}
		})
	}
}

// TestProgressOnTerminalThatStopsReading: nobody reads the other side, and the run goes on.
func TestProgressOnTerminalThatStopsReading(t *testing.T) {
	t.Parallel()
	_, tty := terminal(t, 80)
	b := newBar(tty)
	done := make(chan struct{})
	go func() {
		defer close(done)
		line := bytes.Repeat([]byte("x"), 200)
		line[199] = '\n'
		for i := range 5000 { // a megabyte, more than any terminal holds
			b.show(progressOf(i%1000), int64(i), int64(i), int64(i))
			_, _ = b.writer().Write(line)
		}
		b.finish()
		_, _ = b.writer().Write(line)
	}()
	streamtest.Receive(t, "a run that a terminal does not hold up which does not read", done)
}

// TestPace: the time left follows from what this process did lately, not from what was there before.
func TestPace(t *testing.T) {
	t.Parallel()
	var c pace
	begin := time.Unix(1_000_000, 0)
	n := c.look(begin, progressOf(900), 0, 0) // resumed
	if n.rate != 0 || n.left >= 0 || n.judged != 900 {
		t.Errorf("at the beginning: %+v, want 900 judged, no pace and no time left", n)
	}
	if text := n.line(); strings.Contains(text, "left") || !strings.Contains(text, "0.00/s") {
		t.Errorf("at the beginning: %q", text)
	}
	n.programs = 7 // what moves while the last programs of a unit run into their limit
	if text, said := n.line(), fmt.Sprint(n.attrs()...); !strings.Contains(text, ", 7 programs run, ") || !strings.Contains(said, "programs_run 7") && !strings.Contains(said, "programs_run7") {
		t.Errorf("the line is %q, the log has %s, want 7 programs run in both", text, said)
	}
	for s := 1; s <= 100; s++ {
		n = c.look(begin.Add(time.Duration(s)*time.Second), progressOf(900), int64(s), int64(s)*38/100)
	}
	if n.judged != 938 || n.generated != 1000 || n.rate < 0.36 || n.rate > 0.4 {
		t.Errorf("after 100 s: %+v, want 938 judged, 1000 generated, 0.38/s", n)
	}
	if want := 62 / 0.38; n.left.Seconds() < 0.9*want || n.left.Seconds() > 1.1*want {
		t.Errorf("after 100 s: %v left, want %.0f s", n.left, want)
	}
	// Ten times as fast: the old pace is forgotten.
	for s := 1; s <= 15; s++ {
		n = c.look(begin.Add(time.Duration(100+s)*time.Second), progressOf(900), 100, 38+int64(s)*4)
	}
	if n.rate < 3 || n.rate > 5 {
		t.Errorf("15 s after it became faster: %.2f/s, want 4/s", n.rate)
	}
}

// TestProgressAddsUp: what this process did before its first look counts, and so does what others did: samples are
// generated unless their unit is still to be generated, and judged unless it is still to be judged.
func TestProgressAddsUp(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1_000_000, 0)
	lag := func(generate, evaluate queue.Lag) map[stream.Stage]queue.Lag {
		return map[stream.Stage]queue.Lag{stream.Generate: generate, stream.Evaluate: evaluate, stream.Combine: {Waiting: 1}}
	}
	for name, c := range map[string]struct {
		finished            int
		published           bool
		dead, cut           int
		generate, evaluate  queue.Lag
		generated, judged   int64 // by this process before its first look
		later               int64 // the same again, after it
		wantGen, wantJudged int64
	}{
		"first look is late":            {generated: 400, judged: 30, wantGen: 400, wantJudged: 30},
		"finished ones are among ours":  {finished: 100, generated: 400, judged: 130, wantGen: 400, wantJudged: 130},
		"finished ones are others'":     {finished: 900, generated: 0, judged: 0, later: 50, wantGen: 950, wantJudged: 950},
		"others generated all":          {published: true, evaluate: queue.Lag{Waiting: 3, InFlight: 4}, wantGen: 1000, wantJudged: 300},
		"units in hand are not done":    {published: true, generate: queue.Lag{Waiting: 1, InFlight: 2}, evaluate: queue.Lag{InFlight: 1}, wantGen: 700, wantJudged: 600},
		"units given up are not done":   {published: true, dead: 2, generate: queue.Lag{Waiting: 1}, wantGen: 700, wantJudged: 700},
		"units are smaller than called": {published: true, cut: 10, generate: queue.Lag{Waiting: 5}, wantGen: 950, wantJudged: 950},
		"not published yet":             {generate: queue.Lag{Waiting: 1}, generated: 200, wantGen: 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := progressOf(c.finished)
			p.Dead, p.Lag, p.Manifest.Published = c.dead, lag(c.generate, c.evaluate), c.published
			if c.cut > 0 {
				p.Manifest.Questions[0].Cuts = nil
				for n := c.cut; n <= 1000; n += c.cut {
					p.Manifest.Questions[0].Cuts = append(p.Manifest.Questions[0].Cuts, n)
				}
			}
			var pace pace
			n := pace.look(begin, p, c.generated, c.judged)
			if c.later > 0 {
				n = pace.look(begin.Add(time.Second), p, c.generated+c.later, c.judged+c.later)
			}
			if n.generated != c.wantGen || n.judged != c.wantJudged {
				t.Errorf("%d generated and %d judged, want %d and %d", n.generated, n.judged, c.wantGen, c.wantJudged)
			}
		})
	}
}

// TestPlainProgressOfADay: without a terminal progress is said every ten seconds at first, and a day of it
// leaves most of 2,000 lines to what else is said.
func TestPlainProgressOfADay(t *testing.T) {
	t.Parallel()
	lines, atFirst := 0, 0
	for age := time.Duration(0); age < 24*time.Hour; age += plainPause(age) {
		lines++
		if age < time.Minute {
			atFirst++
		}
	}
	if lines > 1600 || atFirst != 6 {
		t.Errorf("%d lines a day, %d of them in the first minute, want 1600 at most and 6", lines, atFirst)
	}
}

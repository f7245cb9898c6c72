package cli

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/sweep"
)

// plainEvery is the interval of progress in a log for the first plainLong of a process, and plainLater
// afterwards: a day of it is 1,500 lines.
const (
	plainEvery = 10 * time.Second
	plainLong  = 10 * time.Minute
	plainLater = time.Minute
)

// plainPause returns the interval of progress in the log of a process that has gone on for so long.
func plainPause(age time.Duration) time.Duration {
	if age < plainLong {
		return plainEvery
	}
	return plainLater
}

// A bar shows a run's progress: one line that is drawn over itself on a terminal, a log line every plainPause
// elsewhere. Log lines written through its writer do not tear it. What is shown is written by a goroutine of its
// own: a terminal that stops reading, by Ctrl-S or a lost connection, holds nobody up.
type bar struct {
	w     io.Writer
	live  bool
	width func() int   // of the terminal now
	log   *slog.Logger // where there is no terminal
	pace  pace
	began time.Time // when progress was shown first, where there is no terminal
	last  time.Time // of the last log line

	mu      sync.Mutex
	wake    chan struct{} // nil until something is written, and after finish
	done    chan struct{}
	lines   [][]byte // to be written above the progress, oldest first
	dropped int      // lines for which there was no room
	text    string   // the progress
	ending  bool
	stuck   bool // nobody reads any more
}

// waitingLines bounds the log lines that wait for a terminal; run logs are in files as well.
const waitingLines = 1000

// endWait bounds how long the end of a run waits for a terminal that does not read.
const endWait = 2 * time.Second

func newBar(w io.Writer) *bar {
	return &bar{w: w, live: isTerminal(w), width: func() int { return terminalWidth(w) }}
}

// terminalWidth returns the number of columns of the terminal w, 80 where it is unknown.
func terminalWidth(w io.Writer) int {
	if f, ok := innermost(w).(interface{ Fd() uintptr }); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

// writer returns where log lines go while the bar is shown.
func (b *bar) writer() io.Writer { return &barWriter{b} }

// A barWriter hands log lines to the bar's goroutine.
type barWriter struct{ bar *bar }

// Unwrap returns the writer below.
func (w *barWriter) Unwrap() io.Writer { return w.bar.w }

func (w *barWriter) Write(p []byte) (int, error) {
	b := w.bar
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.stuck:
		return len(p), nil
	case b.ending:
		return b.w.Write(p)
	}
	if len(b.lines) >= waitingLines {
		b.dropped++
		return len(p), nil
	}
	b.lines = append(b.lines, append([]byte(nil), p...))
	b.awake()
	return len(p), nil
}

// awake makes the goroutine look, and starts it. The caller holds mu.
func (b *bar) awake() {
	if b.wake == nil {
		b.wake, b.done = make(chan struct{}, 1), make(chan struct{})
		go b.draw(b.wake, b.done)
	}
	select {
	case b.wake <- struct{}{}:
	default: // it is to look already
	}
}

// draw writes what there is until the bar is finished.
func (b *bar) draw(wake <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	const wipe = "\r\x1b[K"
	for range wake {
		b.mu.Lock()
		lines, dropped, text, ending := b.lines, b.dropped, b.text, b.ending
		b.lines, b.dropped = nil, 0
		b.mu.Unlock()
		var out strings.Builder
		if b.live {
			out.WriteString(wipe)
		}
		for _, l := range lines {
			out.Write(l)
		}
		if dropped > 0 && b.live {
			fmt.Fprintf(&out, "%d log lines are not shown: the terminal did not read them; they are in logs/ of the results folder\n", dropped)
		}
		if b.live && !ending && text != "" {
			out.WriteString(fit(text, b.width()))
		}
		if out.Len() > 0 {
			_, _ = io.WriteString(b.w, out.String()) // what cannot be shown stops nothing
		}
		if ending {
			return
		}
	}
}

// fit cuts a line to what a terminal of so many columns shows without scrolling: the last column stays free, since
// some terminals wrap when it is written. Parts are left out from the right, whole ones first.
func fit(text string, columns int) string {
	room := max(columns-1, 1)
	for utf8.RuneCountInString(text) > room {
		i := strings.LastIndex(text, ", ")
		if i < 0 {
			return string([]rune(text)[:room])
		}
		text = text[:i]
	}
	return text
}

// show draws the progress. generated and judged are the samples, and programs the runs, that this process has
// done since it started. Samples count when their unit is whole: while its last programs run into their limit,
// only programs grows.
func (b *bar) show(p *sweep.Progress, generated, judged, programs int64) {
	n := b.pace.look(time.Now(), p, generated, judged)
	n.programs = programs
	if b.live {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.ending {
			b.text = n.line()
			b.awake()
		}
		return
	}
	if b.began.IsZero() {
		b.began = time.Now()
	}
	if time.Since(b.last) >= plainPause(time.Since(b.began)) && b.log != nil {
		b.last = time.Now()
		b.log.Info("progress", n.attrs()...)
	}
}

// finish removes the bar and waits until everything is shown, for endWait at most.
func (b *bar) finish() {
	b.mu.Lock()
	b.ending = true
	done := b.done
	if b.wake != nil {
		b.awake()
	}
	b.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-time.After(endWait):
		b.mu.Lock()
		b.stuck = true
		b.mu.Unlock()
	}
}

// A pace is how fast this process has judged lately. Other and earlier processes do not count.
type pace struct {
	first   *numbers // at the first look
	history []moment
}

type moment struct {
	at              time.Time
	judged, samples int64
}

// The pace is taken over the shortest time of at least paceLeast in which paceSamples were judged, up to paceMost.
const (
	paceLeast   = 10 * time.Second
	paceMost    = 10 * time.Minute
	paceSamples = 20
)

// numbers are what a progress line says.
type numbers struct {
	paused            bool
	generated, judged int64 // samples, of all processes
	all               int64
	rate              float64       // samples judged a second
	left              time.Duration // -1: not known yet
	passed            float64       // share of the samples in finished cells, -1 without one
	waiting           map[stream.Stage]int
	givenUp           int
	programs          int64 // run by this process
}

// look returns the numbers of now.
func (c *pace) look(now time.Time, p *sweep.Progress, generated, judged int64) *numbers {
	m := p.Manifest
	n := &numbers{paused: m.Paused != 0, all: int64(m.Samples()), left: -1, passed: -1, givenUp: p.Dead, waiting: map[stream.Stage]int{}}
	for stage, lag := range p.Lag {
		n.waiting[stage] = int(lag.Waiting) + lag.InFlight
	}
	if p.Samples > 0 {
		n.passed = float64(p.Passed) / float64(p.Samples)
	}
	finished := int64(p.Samples)
	if c.first == nil {
		// What this process did before it looked may be among the finished samples, or still on its way.
		c.first = &numbers{judged: max(0, finished-judged), generated: max(0, finished-generated)}
	}
	// Samples of finished cells are judged, and those that wait at no stage before are beyond it, whoever did it.
	n.judged = min(max(c.first.judged+judged, finished, beyond(p, stream.Generate, stream.Evaluate)), n.all)
	n.generated = min(max(c.first.generated+generated, n.judged, beyond(p, stream.Generate)), n.all)
	c.history = append(c.history, moment{now, judged, n.judged})
	n.rate = c.rate(now, judged)
	if n.rate > 0 {
		n.left = time.Duration(float64(n.all-n.judged) / n.rate * float64(time.Second)).Round(time.Second)
	}
	return n
}

// beyond returns how many samples at least have left the stages: all but those of the units that wait at one, are in a
// worker's hands there, or were given up. Of a run that is not published yet the queues know too little.
func beyond(p *sweep.Progress, stages ...stream.Stage) int64 {
	m := p.Manifest
	if !m.Published {
		return 0
	}
	units := int64(p.Dead)
	for _, stage := range stages {
		units += int64(p.Lag[stage].Waiting) + int64(p.Lag[stage].InFlight) //nolint:gosec // a count of messages fits
	}
	return max(0, int64(m.Samples())-units*int64(largestUnit(m)))
}

// largestUnit returns the samples of the run's largest unit.
func largestUnit(m *store.Manifest) int {
	most := 0
	for _, q := range m.Questions {
		from := 0
		for _, cut := range q.Cuts {
			most, from = max(most, cut-from), cut
		}
	}
	return min(most, m.UnitSize)
}

// rate returns the samples judged a second lately.
func (c *pace) rate(now time.Time, judged int64) float64 {
	from := 0
	for i, h := range slices.Backward(c.history) {
		from = i
		if age := now.Sub(h.at); age >= paceLeast && judged-h.judged >= paceSamples || age >= paceMost {
			break
		}
	}
	c.history = c.history[from:] // older entries are not needed again
	took := now.Sub(c.history[0].at).Seconds()
	if took < 1 {
		return 0
	}
	return float64(judged-c.history[0].judged) / took
}

// perSecond writes a rate with three digits at least where it is small.
func perSecond(rate float64) string {
	switch {
	case rate >= 100:
		return fmt.Sprintf("%.0f/s", rate)
	case rate >= 10:
		return fmt.Sprintf("%.1f/s", rate)
	default:
		return fmt.Sprintf("%.2f/s", rate)
	}
}

// line writes the numbers, the most important first: a narrow terminal shows the beginning.
func (n *numbers) line() string {
	parts := []string{fmt.Sprintf("%d/%d judged", n.judged, n.all)}
	if n.left >= 0 {
		parts = append(parts, n.left.String()+" left")
	}
	parts = append(parts, perSecond(n.rate), fmt.Sprintf("%d generated", n.generated))
	if n.passed >= 0 {
		parts = append(parts, fmt.Sprintf("%.1f%% passed", 100*n.passed))
	}
	if n.givenUp > 0 {
		parts = append(parts, fmt.Sprintf("%d units given up", n.givenUp))
	}
	parts = append(parts, fmt.Sprintf("%d programs run", n.programs), fmt.Sprintf("units to generate %d, to judge %d, to combine %d", n.waiting[stream.Generate], n.waiting[stream.Evaluate], n.waiting[stream.Combine]))
	text := strings.Join(parts, ", ")
	if n.paused {
		text = "paused: " + text
	}
	return text
}

// attrs returns the numbers for a log.
func (n *numbers) attrs() []any {
	out := []any{
		"samples_judged", n.judged, "samples_generated", n.generated, "samples", n.all, "judged_per_second", n.rate, "programs_run", n.programs,
		"units_to_generate", n.waiting[stream.Generate], "units_to_judge", n.waiting[stream.Evaluate], "units_to_combine", n.waiting[stream.Combine],
	}
	if n.left >= 0 {
		out = append(out, "seconds_left", n.left.Seconds())
	}
	if n.passed >= 0 {
		out = append(out, "share_passed", n.passed)
	}
	if n.givenUp > 0 {
		out = append(out, "units_given_up", n.givenUp)
	}
	if n.paused {
		out = append(out, "paused", true)
	}
	return out
}

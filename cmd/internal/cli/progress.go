package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/sweep"
)

// plainEvery is the interval of progress lines where there is no terminal.
const plainEvery = 10 * time.Second

// A bar shows a run's progress: a live line on a terminal, a plain line every
// plainEvery elsewhere. Log lines written through its writer do not tear it.
type bar struct {
	w     io.Writer
	live  bool
	color bool

	mu    sync.Mutex
	bar   *progressbar.ProgressBar
	began time.Time
	first int64     // samples in finished cells when the bar was first shown
	last  time.Time // of the last plain line
}

func newBar(w io.Writer, color bool) *bar {
	return &bar{w: w, live: isTerminal(w), color: color}
}

// writer returns where log lines go while the bar is shown.
func (b *bar) writer() io.Writer { return &barWriter{bar: b, w: b.w} }

// A barWriter takes the bar away before each write; the next look draws it again.
type barWriter struct {
	bar *bar
	w   io.Writer
}

func (w *barWriter) Write(p []byte) (int, error) {
	w.bar.mu.Lock()
	defer w.bar.mu.Unlock()
	if w.bar.bar != nil {
		if err := w.bar.bar.Clear(); err != nil {
			return 0, err
		}
	}
	return w.w.Write(p)
}

// show draws the progress. judged is the number of samples judged by this process
// since it started.
func (b *bar) show(p *sweep.Progress, judged int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.began.IsZero() {
		b.began, b.first = time.Now(), int64(p.Samples)
	}
	text := describe(p, judged, b.first, time.Since(b.began))
	if !b.live {
		if time.Since(b.last) >= plainEvery {
			b.last = time.Now()
			fmt.Fprintln(b.w, text)
		}
		return
	}
	if b.bar == nil {
		b.bar = progressbar.NewOptions(p.Manifest.Samples(), progressbar.OptionSetWriter(os.Stderr), progressbar.OptionEnableColorCodes(b.color),
			progressbar.OptionSetWidth(20), progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false), progressbar.OptionClearOnFinish())
	}
	b.bar.Describe(text)
	_ = b.bar.Set(min(p.Samples, p.Manifest.Samples())) // a bar that cannot be drawn stops nothing
}

// finish takes the bar away.
func (b *bar) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar != nil {
		_ = b.bar.Clear() // a bar that cannot be cleared stops nothing
		b.bar = nil
	}
}

// describe is one line: units per stage, speed, time left, pass rate so far.
func describe(p *sweep.Progress, judged, first int64, took time.Duration) string {
	stage := func(s stream.Stage) string {
		l := p.Lag[s]
		return fmt.Sprintf("%d+%d", l.Waiting, l.InFlight)
	}
	rate := float64(judged) / took.Seconds()
	left := "?"
	if rate > 0 {
		missing := float64(p.Manifest.Samples()) - float64(first) - float64(judged)
		left = time.Duration(max(missing, 0) / rate * float64(time.Second)).Round(time.Second).String()
	}
	pass := "-"
	if p.Samples > 0 {
		pass = fmt.Sprintf("%.1f%%", 100*float64(p.Passed)/float64(p.Samples))
	}
	text := fmt.Sprintf("generate %s evaluate %s combine %d units | %d/%d samples, %.0f/s, %s left | pass %s",
		stage(stream.Generate), stage(stream.Evaluate), p.Lag[stream.Combine].Stored, p.Samples, p.Manifest.Samples(), rate, left, pass)
	if p.Manifest.Paused != 0 {
		text = "paused | " + text
	}
	if p.Dead > 0 {
		text += fmt.Sprintf(" | %d units given up", p.Dead)
	}
	return text
}

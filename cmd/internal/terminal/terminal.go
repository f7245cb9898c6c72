// Package terminal writes messages to a terminal, or to a pipe in its place, that may be
// closed, dead or stopped. Whoever writes is never held up by it and never sees its errors.
package terminal

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// mostWaiting is how many bytes wait for a reader that does not read: about ten thousand
// lines. What comes after them is left out, and counted.
const mostWaiting = 1 << 20

// A Writer hands what is written to a file, in order, without waiting for it. Once the file
// refuses a write, nothing more goes there: a closed pipe does not open again.
type Writer struct {
	file *os.File

	mu      sync.Mutex
	change  sync.Cond // waiting, busy or ended has changed
	waiting []byte
	busy    bool // a write is under way
	gone    bool // the file has refused a write
	ended   bool // nothing more will be written
	left    int  // writes left out since the last that was taken
}

// New returns a Writer to f. Close ends it.
func New(f *os.File) *Writer {
	w := &Writer{file: f}
	w.change.L = &w.mu
	go w.carry()
	return w
}

// Write takes p and returns at once, always without an error.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.gone || w.ended:
	case len(w.waiting)+len(p) > mostWaiting:
		w.left++
	default:
		if w.left > 0 {
			w.waiting = fmt.Appendf(w.waiting, "\n(%d messages were left out: they were not read in time)\n", w.left)
			w.left = 0
		}
		w.waiting = append(w.waiting, p...)
		w.change.Broadcast()
	}
	return len(p), nil
}

// Fd returns the file's descriptor, so that it can be asked whether it is a terminal.
func (w *Writer) Fd() uintptr { return w.file.Fd() }

// carry writes what waits until the Writer is closed.
func (w *Writer) carry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.waiting) == 0 && !w.ended {
			w.change.Wait()
		}
		if len(w.waiting) == 0 {
			return
		}
		text := w.waiting
		w.waiting, w.busy = nil, true
		w.mu.Unlock()
		_, err := w.file.Write(text)
		w.mu.Lock()
		w.busy = false
		if err != nil {
			w.gone, w.waiting = true, nil
		}
		w.change.Broadcast()
	}
}

// Flush waits until everything has been written or refused, at most as long as most.
func (w *Writer) Flush(most time.Duration) {
	late := false
	t := time.AfterFunc(most, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		late = true
		w.change.Broadcast()
	})
	defer t.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for (w.busy || len(w.waiting) > 0) && !late {
		w.change.Wait()
	}
}

// Close flushes for at most as long as most, and takes no more. The file stays open. A write
// that never returns keeps its goroutine.
func (w *Writer) Close(most time.Duration) {
	w.Flush(most)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended, w.waiting = true, nil
	w.change.Broadcast()
}

// After returns a writer to f that lets w write first what was written to it earlier: the two
// are often one terminal. It waits for w for at most a second, and returns f's errors.
func (w *Writer) After(f *os.File) io.Writer { return after{w, f} }

// The file is a field, not embedded: io.WriteString would find its WriteString, and not wait.
type after struct {
	before *Writer
	file   *os.File
}

func (a after) Write(p []byte) (int, error) {
	a.before.Flush(time.Second)
	return a.file.Write(p)
}

func (a after) Fd() uintptr { return a.file.Fd() }

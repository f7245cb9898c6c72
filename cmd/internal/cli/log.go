package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// newLog returns the log for people on a terminal, for machines otherwise.
func newLog(w io.Writer, color, verbose bool) *slog.Logger {
	return slog.New(handler(w, color, verbose))
}

func handler(w io.Writer, color, verbose bool) slog.Handler {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	if isTerminal(w) {
		return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !color})
	}
	return newJSON(w, level)
}

// newJSON returns a log for machines, in which a duration is as people write it: 5s, not 5000000000.
func newJSON(w io.Writer, level slog.Level) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
		if attr.Value.Kind() == slog.KindDuration {
			attr.Value = slog.StringValue(attr.Value.Duration().String())
		}
		return attr
	}})
}

// innermost returns the writer at the bottom of w.
func innermost(w io.Writer) io.Writer {
	for {
		wrapped, ok := w.(interface{ Unwrap() io.Writer })
		if !ok {
			return w
		}
		w = wrapped.Unwrap()
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := innermost(w).(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// A logFolder is a run's logs/: a file a worker, besides what the user sees. Workers open
// their files side by side.
type logFolder struct {
	dir  string
	user slog.Handler
	hide *secrets

	mu    sync.Mutex
	files []*os.File
}

// open returns a log that writes routine events to logs/<name>.log, and what an
// operator should know also to the user.
func (l *logFolder) open(name string) (*slog.Logger, error) {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make log folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(l.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l.mu.Lock()
	l.files = append(l.files, f)
	l.mu.Unlock()
	return slog.New(slog.NewMultiHandler(
		newJSON(l.hide.writer(f), slog.LevelDebug), l.user)), nil
}

func (l *logFolder) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

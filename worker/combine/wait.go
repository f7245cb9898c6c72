package combine

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
)

// When the results folder cannot be written the combiner waits for firstPause, then twice as long each time, to
// lastPause at most.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 5 * time.Second
)

// waitsSaid is the number of the longest pauses between two log lines about them: a minute.
const waitsSaid = 12

// insist calls f as patiently does. It holds w.writing while f works, and not while it waits.
func (w *Worker) insist(ctx context.Context, log *slog.Logger, f func(ctx context.Context) error) error {
	return patiently(ctx, log, w.Pulse, func(ctx context.Context) error {
		w.writing.Lock()
		defer w.writing.Unlock()
		return f(ctx)
	})
}

// patiently calls f until it succeeds, ctx is done, or waiting cannot help. It logs that it
// waits, again each minute, and that it goes on; heartbeats say so meanwhile.
func patiently(ctx context.Context, log *slog.Logger, pulse *worker.Pulse, f func(ctx context.Context) error) error {
	var since time.Time // of the first failure
	pause := firstPause
	for tries := 0; ; tries++ {
		err := f(ctx)
		switch {
		case err == nil && tries > 0:
			log.Info("results are written again", "waited", time.Since(since).Round(time.Second).String())
			return nil
		case err == nil, ctx.Err() != nil, errors.Is(err, stream.ErrPoison), errors.Is(err, errIncomplete), errors.Is(err, errForged), errors.Is(err, nats.ErrConnectionClosed):
			return err
		}
		if tries == 0 {
			since = time.Now()
			code := store.TroubleWaits
			if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
				code = store.TroubleDisk
			}
			defer pulse.Waits(code, err.Error(), remedy(err))()
		}
		if tries < 2 || tries%waitsSaid == 0 {
			log.Error("results not written, waiting", "err", err, "retry_in", pause.String(), "remedy", remedy(err))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, lastPause)
	}
}

// remedy says what a person may do about a folder that cannot be written.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on the results folder's disk"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "let lcbq write to the results folder"
	default:
		return "none is needed if this passes by itself"
	}
}

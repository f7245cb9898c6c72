package embed

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// natsLog hands the server's log lines to slog. The server formats them itself,
// so they arrive as one attribute under a constant message. Its notices are
// routine (ports, recovery times): debug to an operator of lcbq.
type natsLog struct {
	log   *slog.Logger
	fatal chan<- string // takes the first line about what the server cannot go on with

	refused *atomic.Int64 // when a client without the key was last spoken of, in Unix nanoseconds
}

// refusedEvery is how often clients without the key are spoken of: one that tries on must not fill the log.
const refusedEvery = 10 * time.Second

func (l natsLog) line(level slog.Level, format string, v []any) {
	l.log.Log(context.Background(), level, "nats server", "line", fmt.Sprintf(format, v...))
}

func (l natsLog) Noticef(format string, v ...any) { l.line(slog.LevelDebug, format, v) }
func (l natsLog) Debugf(format string, v ...any)  { l.line(slog.LevelDebug, format, v) }
func (l natsLog) Tracef(format string, v ...any)  { l.line(slog.LevelDebug, format, v) }

func (l natsLog) Errorf(format string, v ...any) {
	level := slog.LevelError
	if strings.Contains(fmt.Sprintf(format, v...), server.ErrAuthentication.Error()) {
		level = slog.LevelDebug
		now, last := time.Now().UnixNano(), l.refused.Load()
		if now-last > int64(refusedEvery) && l.refused.CompareAndSwap(last, now) {
			level = slog.LevelWarn
		}
	}
	l.line(level, format, v)
}

// Fatalf is where the server says why it does not listen. It then runs without listening.
func (l natsLog) Fatalf(format string, v ...any) {
	l.line(slog.LevelError, format, v)
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default: // one is enough
	}
}

// staleState ends the server's warning that a consumer's state, written because
// of a purge, was overtaken by an acknowledgement's. The newer one is kept, so
// there is nothing to warn of, and every purged cell can cause it.
const staleState = "old update ignored"

func (l natsLog) Warnf(format string, v ...any) {
	level := slog.LevelWarn
	if strings.HasSuffix(fmt.Sprintf(format, v...), staleState) {
		level = slog.LevelDebug
	}
	l.line(level, format, v)
}

package cli

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/lcbq/lcbq/worker/background"
)

// A supervised tells systemd how this process is, where systemd has started it and wants to know: a unit with
// Type=notify.
type supervised struct {
	app  *app
	stop func()
}

// supervise says that the process is ready, and that it lives as often as WatchdogSec wants it, while alive returns
// nil.
func (a *app) supervise(alive func(context.Context) error) *supervised {
	a.tellSupervisor(daemon.SdNotifyReady)
	s := &supervised{app: a, stop: func() {}}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		a.log.Warn("systemd's watchdog is not served", "err", err)
	}
	if every > 0 {
		s.stop = background.Start(context.WithoutCancel(a.ctx), func(ctx context.Context) { a.feedWatchdog(ctx, every/2, alive) })
	}
	return s
}

// feedWatchdog says every so often that the process lives.
func (a *app) feedWatchdog(ctx context.Context, every time.Duration, alive func(context.Context) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		within, cancel := context.WithTimeout(ctx, every)
		err := alive(within)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.log.Warn("not well: systemd's watchdog will start it anew if that lasts", "err", err)
		default:
			a.tellSupervisor(daemon.SdNotifyWatchdog)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// stopping says that the process drains.
func (s *supervised) stopping() {
	s.app.tellSupervisor(daemon.SdNotifyStopping)
	s.stop()
}

func (a *app) tellSupervisor(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		a.log.Warn("systemd not told", "state", state, "err", err)
	}
}

// alive returns an error if the server does not answer.
func (s *session) alive(ctx context.Context) error { return s.conn.FlushWithContext(ctx) }

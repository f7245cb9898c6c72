package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/notify"
	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/cmd/internal/web"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/background"
	"github.com/lcbq/lcbq/worker/health"
)

// checkWeb refuses what cannot be listened on or told, before a folder is made.
func checkWeb(cfg config.Web) error {
	var errs []error
	if err := web.Check(cfg.HTTP); err != nil {
		errs = append(errs, httpError(err))
	}
	for _, text := range cfg.Notify {
		if _, err := notify.Parse(text); err != nil {
			errs = append(errs, usageError{fmt.Errorf("--notify: %w", err)})
		}
	}
	return errors.Join(errs...)
}

// httpError adds what to do.
func httpError(err error) error {
	if errors.Is(err, web.ErrAddress) {
		return usageError{fmt.Errorf("--http: %w", err)}
	}
	return fmt.Errorf("--http: %w\nchoose another address, --http auto for a free port, or --http none", err)
}

// A showing is what shows the runs of a server to browsers and programs, and tells of them. The zero value and nil
// show nothing.
type showing struct {
	web     *web.Server
	readers *web.Readers
	sender  *notify.Sender // nil where nobody is told
	run     string
	stop    func()

	mu    sync.Mutex
	watch notify.Watch
}

// A shownPlace says where a server is.
type shownPlace struct {
	store    string
	run      string // that this process works on; "" of a server for every run
	reach    string // what a command needs to find the server
	terminal io.Writer
}

// openShowing begins to show. Where --http is automatic and nothing can be listened on, it only tells.
func openShowing(a *app, cfg config.Web, h *host, at shownPlace) (*showing, error) {
	s := &showing{run: at.run, readers: &web.Readers{New: func(run string) *snapshot.Reader {
		if run == "" {
			run = at.run
		}
		return &snapshot.Reader{Queue: h.queue, Store: h.store, Only: run, Server: h.url, Reach: at.reach, Log: a.log}
	}}}
	var err error
	s.web, err = web.Open(web.Config{Listen: cfg.HTTP, Dir: at.store, Log: a.log, Parts: web.Parts{
		Version: Version(), Server: h.server, Look: s.readers.Look,
		Dead:    h.queue.DeadUnits,
		Requeue: func(ctx context.Context, d stream.Dead) error { return h.queue.Requeue(ctx, d) },
	}})
	if err != nil {
		return nil, httpError(err)
	}
	if len(cfg.Notify) > 0 {
		var targets []notify.Target
		for _, text := range cfg.Notify {
			t, err := notify.Parse(text)
			if err != nil {
				return nil, errors.Join(usageError{fmt.Errorf("--notify: %w", err)}, s.web.Close())
			}
			targets = append(targets, t)
		}
		s.sender = notify.NewSender(targets, a.log)
	}
	if s.web == nil && s.sender == nil {
		return s, nil
	}
	s.announce(at, a.log)
	s.stop = background.Start(context.WithoutCancel(a.ctx), func(ctx context.Context) { s.readers.Watch(ctx, s.see) })
	return s, nil
}

// announce says where the page is. The token is shown to a terminal alone: logs are read by others.
func (s *showing) announce(at shownPlace, log *slog.Logger) {
	switch {
	case s.web == nil:
	case isTerminal(at.terminal):
		fmt.Fprintf(at.terminal, "live page: %s\n", s.web.Link(s.web.Viewer))
	default:
		log.Info("live page and metrics", "url", s.web.URL, "tokens", filepath.Join(at.store, web.AccessName))
	}
}

// see tells of what has happened to a run.
func (s *showing) see(now *snapshot.Snapshot) {
	if s.sender == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.watch.Look(time.Now(), runState(now)) {
		s.sender.Send(e)
	}
}

// begins says that this process begins to work on a run that is not done.
func (s *showing) begins(run string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch.Open(time.Now(), run)
}

// unhealthy are the findings that say that the answers are no model's.
var unhealthy = map[snapshot.Code]bool{
	snapshot.Code(health.Empty): true, snapshot.Code(health.Filtered): true, snapshot.Code(health.ToolCalls): true, snapshot.Code(health.Aborted): true,
	snapshot.Code(health.Refused): true, snapshot.Code(health.Rejected): true, snapshot.Code(health.ServerCut): true, snapshot.Code(health.Truncated): true,
	snapshot.Code(health.Unfinished): true, snapshot.Code(health.Identical): true, snapshot.Code(health.NoProgram): true, snapshot.Code(health.OtherRule): true,
	snapshot.Code(health.Uncounted): true, snapshot.Code(health.Counting): true,
}

// runState returns what events are made of.
func runState(s *snapshot.Snapshot) notify.State {
	st := notify.State{
		Run: s.Run.ID, Finished: s.Run.Finished != 0, Cancelled: s.Run.State == "cancelled", Paused: s.Run.Paused != 0, Dead: s.Units.Dead,
		Work:    int64(s.Units.Generated) + int64(s.Units.Judged) + int64(s.Units.Written),
		Summary: fmt.Sprintf("%d of %d samples in %d of %d cells, %d passed", s.Run.Samples.Done, s.Run.Samples.All, s.Run.Cells.Done, s.Run.Cells.All, s.Run.Passed),
	}
	for i := range s.Findings {
		if f := &s.Findings[i]; f.Grave && unhealthy[f.Code] {
			st.Unhealthy, st.Remedy = f.Text, f.Remedy
			break
		}
	}
	return st
}

// lastLook bounds the look with which a showing ends.
const lastLook = 3 * time.Second

// close ends it, with a last look: a run that is done ends its process at once. how is how the process ends.
func (s *showing) close(a *app, how error) {
	if s == nil {
		return
	}
	if s.stop != nil {
		s.stop()
	}
	if s.sender != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), lastLook)
		if now, err := s.readers.New(s.run).Look(ctx); err == nil {
			s.see(now)
		}
		cancel()
		why := "as asked"
		if how != nil && !errors.Is(how, errInterrupted) {
			why = how.Error()
		}
		if told, ok := errors.AsType[ToldError](context.Cause(a.ctx)); ok {
			why = told.Error()
		}
		s.mu.Lock()
		e, ok := s.watch.Stop(time.Now(), why)
		s.mu.Unlock()
		if ok {
			if errors.Is(how, errUnhealthy) {
				e.Event = notify.Unhealthy
			}
			s.sender.Send(e)
		}
		s.sender.Close()
	}
	if err := s.web.Close(); err != nil {
		a.log.Warn("live page not closed in order", "err", err)
	}
}

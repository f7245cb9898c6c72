package embed

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A stream that could not write once, because the disk was full, takes nothing more
// until the server starts anew, though there be room: the server cannot know what
// of its last write is on the disk. Starting reads that.

const (
	// lookEvery is the interval at which the streams are asked whether they can write.
	lookEvery = time.Second
	// room is what must be writable before a start is worth its while: the server
	// writes a few blocks and indices before it takes the first message.
	room = 4 << 20
	// remindEvery is the interval at which a server that waits for room says so.
	remindEvery = time.Minute
)

// watch starts the server anew when a stream cannot write any more, as soon as
// there is room, until ctx is done. Clients connect again by themselves.
func (s *Server) watch(ctx context.Context) {
	defer close(s.gone)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		health := s.ns.Healthz(&server.HealthzOptions{})
		if health.StatusCode == http.StatusOK || ctx.Err() != nil {
			continue
		}
		s.cfg.Log.Error("server cannot write, it goes on when there is room; make some, or move --store-dir", "dir", s.cfg.Dir, "err", health.Error)
		s.heal(ctx, tick.C)
	}
}

// heal waits until the store can be written and then starts the server anew.
func (s *Server) heal(ctx context.Context, tick <-chan time.Time) {
	said := time.Now()
	for {
		err := probe(s.cfg.Dir)
		if err == nil {
			err = s.restart()
		}
		if err == nil {
			s.cfg.Log.Info("server can write again")
			return
		}
		if time.Since(said) > remindEvery {
			s.cfg.Log.Error("server still cannot write", "dir", s.cfg.Dir, "err", err)
			said = time.Now()
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
	}
}

// probe reports whether dir takes room bytes.
func probe(dir string) error {
	path := filepath.Join(dir, "lcbq.probe")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, room))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(path))
}

func (s *Server) restart() error {
	s.ns.Shutdown() // a second time does nothing
	s.ns.WaitForShutdown()
	ns, err := start(s.cfg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ns = ns
	return nil
}

package embed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A stream that could not write once, because the disk was full, takes nothing more
// until the server starts again, even if there is room: the server cannot know how much
// of its last write is on the disk. It reads that when it starts. Sometimes it cannot
// start again: nats-server 2.15 deadlocks when a purge meets a full disk. Then only a new
// process helps.

const (
	// lookEvery is the interval at which the server is asked whether its streams can write.
	lookEvery = time.Second
	// doubts is how often in a row the server must report a fault.
	doubts = 5
	// room is what must be writable before a start is worth its while: the server
	// writes a few blocks and indices before it takes the first message.
	room = 4 << 20
	// remindEvery is the interval at which a server that waits for room says so.
	remindEvery = time.Minute
	// patience is how long the server may take to report its state, and to stop. Both
	// take milliseconds. We wait twice, because a process that was suspended finds its
	// timers expired when it goes on.
	patience = 10 * time.Second
)

// ErrHung says that the server is deadlocked. Only a new process helps.
var ErrHung = errors.New("server hangs")

// watch restarts the server when a stream cannot write any more, as soon as there is room on
// the disk, until ctx is done. Clients connect again by themselves.
func (s *Server) watch(ctx context.Context) {
	defer close(s.gone)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	faults, said := 0, time.Time{}
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		s.refresh()
		fault := s.health()
		if fault != nil && s.cfg.Cluster.passes(fault) {
			if missing := s.Missing(); len(missing) > 0 && time.Since(said) > remindEvery {
				said = time.Now()
				s.cfg.Log.Warn("servers of the cluster are missing", "missing", missing, "err", fault)
			}
			fault = nil
		}
		if fault == nil || ctx.Err() != nil {
			faults = 0
			continue
		}
		if faults++; faults < doubts && !errors.Is(fault, ErrHung) {
			continue
		}
		faults = 0
		s.cfg.Log.Error("server cannot write, it goes on when there is room; make some, or move --store-dir", "dir", s.cfg.Dir, "err", fault)
		err := s.heal(ctx, tick.C, fault)
		if !errors.Is(err, ErrHung) {
			continue
		}
		s.cfg.Log.Error("server hangs after its disk was full", "err", err)
		if s.cfg.Hung != nil && ctx.Err() == nil {
			s.cfg.Hung()
		}
		return
	}
}

// health asks the server whether its streams can write.
func (s *Server) health() error {
	alone := s.cfg.Cluster == nil
	var health *server.HealthStatus
	if err := within(patience, func() { health = s.ns.Healthz(&server.HealthzOptions{Details: alone}) }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if health.StatusCode == http.StatusOK {
		s.doubtful = nil // all that was there has been recovered
		return nil
	}
	for _, e := range health.Errors {
		if e.Type != server.HealthzErrorStream || !strings.HasSuffix(e.Error, unrecovered) || s.doubtful[filepath.Join(e.Account, e.Stream)] {
			return errors.New(e.Error)
		}
	}
	if alone && len(health.Errors) > 0 {
		return nil
	}
	return errors.New(health.Error)
}

// unrecovered is what the server says of a stream whose folder is there and which is not.
const unrecovered = "could not be recovered"

// streamsIn returns the streams, by account, whose folders are in a store that no server has
// open: those alone may be beyond recovery. The server says so also of a stream that is being
// created, which takes as long as the disk does, and a restart would interrupt its client.
func streamsIn(dir string) map[string]bool {
	found := make(map[string]bool)
	dir = filepath.Join(dir, server.JetStreamStoreDir)
	accounts, _ := os.ReadDir(dir) // what the server cannot read either, it says itself
	for _, account := range accounts {
		streams, _ := os.ReadDir(filepath.Join(dir, account.Name(), "streams"))
		for _, s := range streams {
			found[filepath.Join(account.Name(), s.Name())] = true
		}
	}
	return found
}

// within calls f and returns ErrHung if it does not return in twice the time.
func within(patience time.Duration, f func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	for range 2 {
		select {
		case <-done:
			return nil
		case <-time.After(patience):
		}
	}
	return fmt.Errorf("no answer for %v: %w", 2*patience, ErrHung)
}

// heal waits until the store can be written and then restarts the server. It returns ErrHung
// if the server cannot be stopped.
func (s *Server) heal(ctx context.Context, tick <-chan time.Time, fault error) error {
	said := time.Now()
	for {
		err := probe(s.cfg.Dir)
		if err == nil && errors.Is(fault, ErrHung) {
			return fault
		}
		if err == nil {
			err = s.restart()
		}
		if err == nil {
			s.cfg.Log.Info("server can write again")
			return nil
		}
		if errors.Is(err, ErrHung) {
			return err
		}
		if time.Since(said) > remindEvery {
			s.cfg.Log.Error("server still cannot write", "dir", s.cfg.Dir, "err", err)
			said = time.Now()
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// probe returns an error unless room bytes can be written in dir.
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
	if err := s.shutdown(); err != nil {
		return err
	}
	found := streamsIn(s.cfg.Dir)
	ns, accounts, err := start(s.cfg, s.key)
	if err != nil {
		return err
	}
	s.accounts = accounts
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ns, s.doubtful = ns, found
	return nil
}

// shutdown stops the server and waits until its files are closed. A second time it
// does nothing.
func (s *Server) shutdown() error {
	err := within(patience, func() {
		s.ns.Shutdown()
		s.ns.WaitForShutdown()
	})
	if err != nil {
		return fmt.Errorf("stop server: %w", err)
	}
	return nil
}

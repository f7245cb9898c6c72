// Package web shows the runs of a server over HTTP: a live page, metrics for Prometheus, probes, and the backlog
// for autoscalers. It reads what package snapshot read; it knows no worker, and what goes wrong in it never
// stops a run.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"github.com/lcbq/lcbq/worker/background"
)

// Bounds of one listener. Who is slow, or never reads, costs itself.
const (
	maxConns      = 1024             // open connections; further ones wait to be accepted
	maxViewers    = 256              // pages that follow the run at once
	maxHeader     = 16 << 10         // bytes
	headerTimeout = 5 * time.Second  // for a request's header to come
	readTimeout   = 10 * time.Second // for the whole request to come
	writeTimeout  = 20 * time.Second // for an answer, or one event of many, to go
	idleTimeout   = time.Minute      // of a connection between requests
	drainTimeout  = 2 * time.Second  // at the end
)

// Config says where to listen and what to show. Listen and Dir are required.
type Config struct {
	Listen string // Auto, None, or HOST:PORT
	Dir    string // store directory of the server, for the tokens
	Log    *slog.Logger
	Parts
}

// Server is a listener with its pages. Close it.
type Server struct {
	Access
	http *http.Server
	end  func() // what follows the run
	wait func() // for the listener's end
}

// Open listens and serves until Close. It returns nil without an error where nothing is to be served: Listen is
// None, or Auto and no port can be had, which is logged. An address that was named and cannot be had is an
// error.
func Open(cfg Config) (*Server, error) {
	if cfg.Listen == None {
		return nil, nil //nolint:nilnil // asked for
	}
	a := readAccess(cfg.Dir)
	auto := cfg.Listen == Auto
	var l net.Listener
	var err error
	if auto {
		l, err = bindAny(a.URL)
	} else {
		l, err = bind(cfg.Listen)
	}
	if err == nil {
		a.URL = address(l.Addr())
		if err = a.write(cfg.Dir); err != nil {
			err = errors.Join(err, l.Close())
		}
	}
	switch {
	case err != nil && auto:
		cfg.Log.Warn("no live page and no metrics: the run goes on without", "err", err, "remedy", "name an address with --http, or --http none")
		return nil, nil //nolint:nilnil // the run does not depend on it
	case err != nil:
		return nil, err
	case !local(l.Addr()):
		cfg.Log.Warn("the page and its tokens cross the network as they are", "listen", cfg.Listen, "remedy", "listen on 127.0.0.1 and forward the port by ssh, or put a proxy with TLS before it")
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{Access: a, end: cancel, http: &http.Server{
		Handler: routes(cfg.Parts, newGate(a, l.Addr()), cfg.Log), ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}}
	s.wait = background.Start(ctx, func(context.Context) {
		if err := s.http.Serve(netutil.LimitListener(l, maxConns)); !errors.Is(err, http.ErrServerClosed) {
			cfg.Log.Error("the live page and the metrics are gone: the run goes on without", "err", err)
		}
	})
	return s, nil
}

// Close ends the listener. Answers under way have a moment to go; pages that follow the run are cut.
func (s *Server) Close() error {
	if s == nil {
		return nil
	}
	s.end()
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil { // somebody does not read
		err = s.http.Close()
	}
	s.wait()
	if err != nil {
		return fmt.Errorf("close page: %w", err)
	}
	return nil
}

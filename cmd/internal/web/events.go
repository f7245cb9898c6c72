package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// errNoRun is what a page shows on a server without a run.
var errNoRun = errors.New("the server has no such run, or none yet")

// aliveEvery is the interval at which a page is told that nothing has happened.
const aliveEvery = 15 * time.Second

// ServeHTTP sends a run's frames as server-sent events until the page goes away. One that does not read is cut
// when an event of it has not gone for as long as the hub has patience.
func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	run, ok := runOf(w, r)
	if !ok {
		return
	}
	f, leave, ok := h.join(run) //nolint:contextcheck // the feed is shared, and ends with its last page
	if !ok {
		w.Header().Set("Retry-After", "10")
		http.Error(w, fmt.Sprintf("lcbq: %d pages follow runs of this server already", maxViewers), http.StatusServiceUnavailable)
		return
	}
	defer leave()
	s, err := newEvents(w, r, h.patience)
	if err != nil {
		return
	}
	if err := h.follow(r.Context(), f, s); err != nil {
		return // it went away, or does not read
	}
}

func (h *hub) follow(ctx context.Context, f *feed, s *events) error {
	version, err := json.Marshal(h.version)
	if err != nil {
		return fmt.Errorf("encode version: %w", err)
	}
	s.event("hello", version)
	if err := s.flush(); err != nil {
		return err
	}
	var has *frame
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	for {
		now, next := f.current()
		if now != nil && now != has {
			if err := s.frame(now, has); err != nil {
				return err
			}
			has = now
		}
		if err := s.flush(); err != nil {
			return err
		}
		select {
		case <-next:
		case <-alive.C:
			s.text.WriteString(": nothing new\n\n")
		case <-ctx.Done():
			return nil
		}
	}
}

// events is a stream of server-sent events to one page.
type events struct {
	control  *http.ResponseController
	to       io.Writer
	packer   *gzip.Writer // nil if the page takes it as it is
	text     bytes.Buffer // that is not sent yet
	patience time.Duration
}

func newEvents(w http.ResponseWriter, r *http.Request, patience time.Duration) (*events, error) {
	s := &events{control: http.NewResponseController(w), to: w, patience: patience}
	// The server's limit is for a request to come, and this one has.
	if err := s.control.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("follow: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy would keep events back
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		// A snapshot is much like the one before it: in a stream it packs to a tenth.
		h.Set("Content-Encoding", "gzip")
		packer, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			return nil, fmt.Errorf("follow: %w", err)
		}
		s.packer, s.to = packer, packer
	}
	s.text.WriteString("retry: 1000\n\n")
	return s, nil
}

// event adds an event. Data is JSON, which has no line ends.
func (s *events) event(name string, data []byte) {
	fmt.Fprintf(&s.text, "event: %s\ndata: %s\n\n", name, data)
}

// frame adds what a page lacks of a frame. has is what it has, nil for nothing.
func (s *events) frame(now, has *frame) error {
	if now.state != nil && now.err == nil {
		switch {
		case has == nil || has.err != nil || has.shape != now.shape || has.number != now.number-1:
			grid, err := now.grid()
			if err != nil {
				return fmt.Errorf("encode grid: %w", err)
			}
			s.event("grid", grid)
			s.event("curve", now.full)
		default:
			if now.cells != nil {
				s.event("cells", now.cells)
			}
			if now.curve != nil {
				s.event("curve", now.curve)
			}
		}
		s.event("state", now.state)
	}
	if now.err != nil {
		s.event("trouble", now.err)
	}
	return nil
}

// flush sends what was added.
func (s *events) flush() error {
	if s.text.Len() == 0 {
		return nil
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(s.patience)); err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	_, err := s.text.WriteTo(s.to)
	if err == nil && s.packer != nil {
		err = s.packer.Flush()
	}
	if err == nil {
		err = s.control.Flush()
	}
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	return nil
}

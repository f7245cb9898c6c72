// Package notify tells somebody who does not look: it sends what happens to a run to a webhook, or to a command.
// It decides what is worth telling from what it is given, and reads nothing itself. What is told never holds a
// run up: who does not take it loses it, with a line in the log.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/lcbq/lcbq/worker/background"
)

// Bounds of what is sent.
const (
	waiting   = 32               // events that wait to be sent; the newest of more are dropped
	tries     = 3                // for each event
	tryLimit  = 10 * time.Second // for one try
	lastLimit = 5 * time.Second  // for what is unsent when the process ends
)

// pause is the time before the first repetition of a try; it doubles.
const pause = 2 * time.Second

// A Target is a webhook or a command.
type Target struct {
	url     string
	command string
}

// ErrTarget says that a text names neither.
var ErrTarget = errors.New("want an address that begins with http:// or https://, or a command")

// Parse reads a target: an address to post to, or a command line for sh.
func Parse(text string) (Target, error) {
	if strings.TrimSpace(text) == "" {
		return Target{}, ErrTarget
	}
	if scheme, _, ok := strings.Cut(text, "://"); ok && !strings.ContainsAny(scheme, " \t/'\"") {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return Target{}, ErrTarget // without the cause, which repeats the address: it is often a secret
		}
		return Target{url: text}, nil
	}
	return Target{command: text}, nil
}

// name returns the target for a log: the path of a webhook is its password.
func (t Target) name() string {
	if t.url == "" {
		return "command"
	}
	u, err := url.Parse(t.url)
	if err != nil {
		return "webhook"
	}
	return u.Scheme + "://" + u.Host
}

// A Sender sends events to its targets, one after the other for each. The zero value is not ready: use NewSender.
type Sender struct {
	log    *slog.Logger
	queues []chan Event
	served []served
	client *http.Client
	pause  time.Duration
	limit  time.Duration
	last   time.Duration
}

// A served is the goroutine of one target.
type served struct {
	done chan struct{} // closed when everything is sent or given up
	give func()        // up what is unsent
}

// NewSender returns a sender, whose Close must be called.
func NewSender(targets []Target, log *slog.Logger) *Sender {
	s := &Sender{log: log, pause: pause, limit: tryLimit, last: lastLimit}
	s.client = &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}, // an event is rare
		// A redirect would send the event to whom the user has not named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, t := range targets {
		queue := make(chan Event, waiting)
		s.queues = append(s.queues, queue)
		done := make(chan struct{})
		s.served = append(s.served, served{done, background.Start(context.Background(), func(ctx context.Context) {
			defer close(done)
			s.serve(ctx, t, queue)
		})})
	}
	return s
}

// Send queues an event and returns at once.
func (s *Sender) Send(e Event) {
	if e.Host == "" {
		e.Host, _ = os.Hostname() // told without, where the host has no name
	}
	for _, queue := range s.queues {
		select {
		case queue <- e:
		default:
			s.log.Warn("event not told: the target of --notify is too slow", "event", e.Event, "run", e.Run)
		}
	}
}

// Close waits a moment for what is unsent, and gives it up then. Nothing is sent afterwards.
func (s *Sender) Close() {
	for _, queue := range s.queues {
		close(queue)
	}
	late := time.After(s.last)
	for _, t := range s.served {
		select {
		case <-t.done:
		case <-late:
			for _, t := range s.served {
				t.give()
			}
			for _, t := range s.served {
				<-t.done
			}
			return
		}
	}
	for _, t := range s.served {
		t.give()
	}
}

// serve sends what comes until the queue is closed and empty, or ctx ends.
func (s *Sender) serve(ctx context.Context, t Target, queue <-chan Event) {
	for e := range queue {
		if err := s.deliver(ctx, t, e); err != nil {
			s.log.Warn("event not told", "event", e.Event, "run", e.Run, "target", t.name(), "err", err)
		}
	}
}

func (s *Sender) deliver(ctx context.Context, t Target, e Event) error {
	wait := s.pause
	for try := 1; ; try++ {
		err := s.once(ctx, t, e)
		if err == nil || try == tries || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
		wait *= 2
	}
}

// once tries once, for a bounded time.
func (s *Sender) once(ctx context.Context, t Target, e Event) error {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	if t.command != "" {
		return run(ctx, t.command, e, body)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("make request: the address is not one")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // it repeats the address
		}
		return fmt.Errorf("post: %w", err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // what it says is of no use
	if err := resp.Body.Close(); err != nil {
		return fmt.Errorf("post: %w", err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("post: the webhook answers %s", resp.Status)
	}
	return nil
}

// run gives an event to a command: as JSON on its stdin, and in variables. All that it starts ends with it.
func run(ctx context.Context, command string, e Event, body []byte) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Stdin = bytes.NewReader(body)
	cmd.Env = append(os.Environ(), "LCBQ_EVENT="+e.Event, "LCBQ_EVENT_RUN="+e.Run, "LCBQ_EVENT_TEXT="+e.Text, "LCBQ_EVENT_REMEDY="+e.Remedy)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var said tail
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("run command: it did not end in time: %w", err)
		}
		return fmt.Errorf("run command: %w: %s", err, said)
	}
	return nil
}

// A tail keeps the last bytes of what is written.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	const most = 400
	*t = append(*t, p...)
	if len(*t) > most {
		*t = (*t)[len(*t)-most:]
	}
	return len(p), nil
}

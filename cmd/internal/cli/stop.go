package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"syscall"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/locate"
	"github.com/lcbq/lcbq/cmd/internal/snapshot/screen"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/gpu"
	"github.com/lcbq/lcbq/worker/process"
)

// stopCmd stops what runs on this machine.
type stopCmd struct {
	located `embed:""`
	Folder  string        `arg:"" optional:"" type:"path" help:"results folder of the run to stop, as -o"`
	Now     bool          `help:"do not wait for units in flight: they are given back"`
	Timeout time.Duration `default:"10m" help:"how long to wait for the end"`
}

// A running is a process to stop.
type running struct {
	process.ID
	what string
}

// Run asks the processes of a run on this machine to stop, in the order of the stages, waits for the end
// of each stage, and shows how the GPUs' memory falls. The server goes last.
func (c *stopCmd) Run(a *app) error {
	p, err := c.findIn(c.Folder)
	if err != nil {
		return fmt.Errorf("nothing to stop: %w", err)
	}
	owner, err := ownerOf(p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(a.ctx, c.Timeout, fmt.Errorf("not everything ended within %v", c.Timeout))
	defer cancel()
	groups, err := c.workers(a, p, owner)
	if err != nil {
		return err
	}
	if owner != nil {
		groups = append(groups, []running{*owner})
	}
	show := newMemoryShow(ctx, a)
	defer show.close()
	stopped := 0
	var strangers []running
	for _, group := range groups {
		var asked []running
		for _, p := range group {
			switch err := c.ask(a, p); {
			case errors.Is(err, process.ErrStranger):
				// The entry is false, or was made by another user's lcbq: neither keeps the rest going.
				fmt.Fprintf(a.err, "not stopped: %v, though it is entered as %s; its user can stop it\n", err, p.what)
				strangers = append(strangers, p)
				continue
			case err != nil:
				return err
			}
			asked = append(asked, p)
		}
		for _, p := range asked {
			if err := await(ctx, p, show); err != nil {
				if a.ctx.Err() != nil {
					return fmt.Errorf("%w: what was asked to stop goes on stopping", errInterrupted)
				}
				return fmt.Errorf("wait for %s: %w\nlook at its log; 'lcbq stop --now' hurries it", p.what, err)
			}
			stopped++
		}
	}
	show.last(ctx)
	if stopped == 0 && len(strangers) > 0 {
		return fmt.Errorf("nothing stopped: no worker of %s on this machine is this user's", config.Redact(cmp.Or(p.Address, p.Store)))
	}
	if stopped == 0 {
		return fmt.Errorf("nothing to stop: no worker of %s runs on this machine", config.Redact(cmp.Or(p.Address, p.Store)))
	}
	fmt.Fprintf(a.out, "processes stopped: %d\n", stopped)
	if owner == nil {
		fmt.Fprintf(a.err, "the server %s goes on: it is not this machine's, or its store is not known here\nname its store with --store-dir to stop it too\n", config.Redact(p.Address))
	}
	return nil
}

// ownerOf returns the process that runs the server on this machine, nil where that is not known.
func ownerOf(p locate.Place) (*running, error) {
	if p.Store == "" {
		return nil, nil //nolint:nilnil // no owner is no error
	}
	o, err := embed.OwnerOf(p.Store)
	switch {
	case errors.Is(err, embed.ErrNotRunning) && p.Address != "":
		return nil, nil //nolint:nilnil // no owner is no error
	case errors.Is(err, embed.ErrNotRunning):
		return nil, fmt.Errorf("nothing to stop: %w\nname the results folder with -o, or the server with --nats", err)
	case err != nil:
		return nil, err
	}
	id, err := process.Parse(o.Process)
	if err != nil {
		return nil, fmt.Errorf("find who runs on %s: %w", p.Store, err)
	}
	if !id.Here() {
		return nil, fmt.Errorf("stop what runs on %s: it is process %d of another container or machine\nrun 'lcbq stop' there", p.Store, id.PID)
	}
	if p.Address != "" && !samePort(p.Address, o.URL) {
		return nil, nil //nolint:nilnil // another server than the one that is meant
	}
	return &running{id, "the lcbq that runs on " + p.Store}, nil
}

// samePort reports whether two addresses have one port: a server has many names.
func samePort(a, b string) bool {
	u, err := url.Parse(a)
	v, err2 := url.Parse(b)
	return err == nil && err2 == nil && u.Port() == v.Port()
}

// stopOrder is the order of the stages' end: what one has finished the next still takes.
var stopOrder = []stream.Stage{stream.Generate, stream.Evaluate, stream.Combine}

// workers returns the processes of this machine that work for the server, by stage. Those elsewhere are
// named to the user.
func (c *stopCmd) workers(a *app, p locate.Place, owner *running) ([][]running, error) {
	s, err := join(a.ctx, p, c.server, "stop", a.log)
	if err != nil {
		if owner != nil { // it starts or ends; it knows its own workers
			a.log.Warn("server does not answer: only its own process is stopped", "err", err)
			return nil, nil
		}
		return nil, err
	}
	defer s.close()
	all, err := s.store.Workers(a.ctx)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var groups [][]running
	for _, stage := range stopOrder {
		var group []running
		for _, w := range all {
			if w.Stage != stage || seen[w.Process] && w.Process != "" {
				continue
			}
			id, err := process.Parse(w.Process)
			switch {
			case err != nil || !id.Here():
				elsewhere(a, w)
			case owner != nil && id == owner.ID:
			case id.Alive():
				group = append(group, running{id, fmt.Sprintf("%s %s", screen.Plain(string(w.Stage)), screen.Plain(w.Name))})
			}
			seen[w.Process] = true
		}
		groups = append(groups, group)
	}
	return groups, nil
}

func elsewhere(a *app, w store.Worker) {
	fmt.Fprintf(a.err, "not stopped: %s %s is on host %s: run 'lcbq stop' there\n", screen.Plain(string(w.Stage)), screen.Plain(w.Name), screen.Plain(w.Host))
}

// ask tells one process to stop.
func (c *stopCmd) ask(a *app, p running) error {
	fmt.Fprintf(a.err, "stopping %s (process %d)\n", p.what, p.PID)
	signals := []syscall.Signal{syscall.SIGTERM}
	if c.Now {
		// A second signal hurries. The same one, sent at once, could be taken for the first.
		signals = append(signals, syscall.SIGINT)
	}
	for _, s := range signals {
		switch err := p.Signal(s); {
		case errors.Is(err, process.ErrStranger):
			return err
		case err != nil && !errors.Is(err, process.ErrGone):
			return fmt.Errorf("stop %s: %w", p.what, err)
		}
	}
	return nil
}

// await waits until a process has ended.
func await(ctx context.Context, p running, show *memoryShow) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for p.Alive() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			show.now(ctx)
		}
	}
	return nil
}

// A memoryShow says how the GPUs' memory falls.
type memoryShow struct {
	app    *app
	source gpu.Source // nil without a driver
	shown  map[string]uint64
	at     time.Time
}

func newMemoryShow(ctx context.Context, a *app) *memoryShow {
	m := &memoryShow{app: a, shown: map[string]uint64{}}
	if s, err := gpu.Open(ctx, gpu.Config{}); err == nil {
		m.source = s
	}
	return m
}

func (m *memoryShow) close() {
	if m.source != nil {
		_ = m.source.Close() // nothing is read any more
	}
}

// now says the memory of the cards where it changed since it was said, once a second at most.
func (m *memoryShow) now(ctx context.Context) {
	if m.source == nil || time.Since(m.at) < time.Second {
		return
	}
	m.last(ctx)
}

// last says the memory of the cards where it changed since it was said.
func (m *memoryShow) last(ctx context.Context) {
	if m.source == nil {
		return
	}
	all, err := m.source.Read(ctx)
	m.at = time.Now()
	if err != nil {
		return // the wait is for the process; this is for the eye
	}
	for _, r := range all {
		if before, ok := m.shown[r.UUID]; r.Fault != "" || ok && before == r.Used {
			continue
		}
		m.shown[r.UUID] = r.Used
		fmt.Fprintf(m.app.err, "GPU %d: %.1f of %.1f GiB in use\n", r.Index, float64(r.Used)/(1<<30), float64(r.Total)/(1<<30))
	}
}

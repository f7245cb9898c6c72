package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/gpu"
	"github.com/lcbq/lcbq/worker/process"
)

// stopCmd stops what runs on this machine.
type stopCmd struct {
	config.Server `embed:""`
	OutputDir     string        `short:"o" default:"results" type:"path" help:"results folder of the run to stop"`
	Now           bool          `help:"do not wait for units in flight: they are given back"`
	Timeout       time.Duration `default:"10m" help:"how long to wait for the end"`
}

// A culprit is a process to stop.
type culprit struct {
	process.ID
	what string
}

// Run asks the processes of a run on this machine to stop, in the order of the stages, waits for the end
// of each stage, and shows how the GPUs' memory falls. The server goes last.
func (c *stopCmd) Run(a *app) error {
	owner, err := c.owner()
	if err != nil && (c.NATS == "" || !errors.Is(err, embed.ErrNotRunning)) {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(a.ctx, c.Timeout, fmt.Errorf("not everything ended within %v", c.Timeout))
	defer cancel()
	groups, err := c.workers(a, owner)
	if err != nil {
		return err
	}
	if owner != nil {
		groups = append(groups, []culprit{*owner})
	}
	show := newMemoryShow(ctx, a)
	defer show.close()
	stopped := 0
	for _, group := range groups {
		for _, p := range group {
			if err := c.ask(a, p); err != nil {
				return err
			}
		}
		for _, p := range group {
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
	if stopped == 0 {
		return fmt.Errorf("nothing to stop: no worker of %s runs on this machine", c.NATS)
	}
	fmt.Fprintf(a.out, "%d processes stopped\n", stopped)
	return nil
}

// owner returns the process that runs the server on this machine, nil if there is none.
func (c *stopCmd) owner() (*culprit, error) {
	var dirs []string
	if c.StoreDir != "" {
		dirs = []string{c.StoreDir}
	} else {
		dirs = []string{storeDir(c.Server, c.OutputDir), ".lcbq"}
	}
	for _, dir := range dirs {
		o, err := embed.OwnerOf(dir)
		if errors.Is(err, embed.ErrNotRunning) {
			continue
		}
		if err != nil {
			return nil, err
		}
		id, err := process.Parse(o.Process)
		if err != nil {
			return nil, fmt.Errorf("find who runs on %s: %w", dir, err)
		}
		if !id.Here() {
			return nil, fmt.Errorf("stop what runs on %s: it is process %d of another container or machine\nrun 'lcbq stop' there", dir, id.PID)
		}
		if c.NATS != "" && !samePort(c.NATS, o.URL) {
			continue // another server than the one that is meant
		}
		c.NATS = o.URL
		return &culprit{id, "the lcbq that runs on " + dir}, nil
	}
	return nil, fmt.Errorf("nothing to stop: %w: looked at %s\nname the results folder with -o, or the server with --nats", embed.ErrNotRunning, strings.Join(dirs, " and "))
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
func (c *stopCmd) workers(a *app, owner *culprit) ([][]culprit, error) {
	s, err := join(a.ctx, c.Server, "stop", a.log)
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
	var groups [][]culprit
	for _, stage := range stopOrder {
		var group []culprit
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
				group = append(group, culprit{id, fmt.Sprintf("%s %s", w.Stage, w.Name)})
			}
			seen[w.Process] = true
		}
		groups = append(groups, group)
	}
	return groups, nil
}

func elsewhere(a *app, w store.Worker) {
	fmt.Fprintf(a.err, "not stopped: %s %s is on host %s: run 'lcbq stop' there\n", w.Stage, w.Name, w.Host)
}

// ask tells one process to stop.
func (c *stopCmd) ask(a *app, p culprit) error {
	fmt.Fprintf(a.err, "stopping %s (process %d)\n", p.what, p.PID)
	signals := []syscall.Signal{syscall.SIGTERM}
	if c.Now {
		// A second signal hurries. The same one, sent at once, could be taken for the first.
		signals = append(signals, syscall.SIGINT)
	}
	for _, s := range signals {
		if err := p.Signal(s); err != nil && !errors.Is(err, process.ErrGone) {
			return fmt.Errorf("stop %s: %w", p.what, err)
		}
	}
	return nil
}

// await waits until a process has ended.
func await(ctx context.Context, p culprit, show *memoryShow) error {
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
		if before, ok := m.shown[r.UUID]; ok && before == r.Used {
			continue
		}
		m.shown[r.UUID] = r.Used
		fmt.Fprintf(m.app.err, "GPU %d: %.1f of %.1f GiB in use\n", r.Index, float64(r.Used)/(1<<30), float64(r.Total)/(1<<30))
	}
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest"
)

// A fleet is lcbq's processes, each started again when it ends. The workers reach
// the server each through a proxy of its own, which follows the server to the port
// of its present life.
type fleet struct {
	t       *testing.T
	dir     string          // of the logs
	link    string          // the binary, as lcbq
	store   string          // where the server keeps its streams, and its key
	ctx     context.Context //nolint:containedctx // the life of all processes
	stop    context.CancelFunc
	running sync.WaitGroup
	servers []*member           // one, or those of a cluster
	direct  []*streamtest.Proxy // to each, never disturbed: for the test's own look at them
	creds   string              // by which workers are known to a cluster

	mu      sync.Mutex
	addrs   []string // where the servers listen
	workers []*member
}

// A member is one process of a fleet, through all its lives.
type member struct {
	name  string
	fleet *fleet
	args  []string
	place int     // of a server, among servers
	proxy proxies // to each server; nil for a server

	mu     sync.Mutex
	cmd    *exec.Cmd // nil between two lives
	lives  int
	said   map[string]int // log lines by message
	last   []string       // the last lines of the log
	ended  map[string]int // lives by how they ended
	felled bool           // the present life is ended by a fault
}

// proxies are a worker's, to all servers.
type proxies []*streamtest.Proxy

// urls returns the addresses by which the worker reaches the servers.
func (p proxies) urls() string {
	var all []string
	for _, each := range p {
		all = append(all, each.URL())
	}
	return strings.Join(all, ",")
}

func (p proxies) each(f func(*streamtest.Proxy)) {
	for _, one := range p {
		f(one)
	}
}

// byFault is how a life ended that a fault ended.
const byFault = "by a fault"

// lastLines is how much of a log is shown of a member that failed.
const lastLines = 12

// newFleet makes a fleet without members, whose logs go to dir, or to a folder that
// goes with the test. Its processes end with the test.
func newFleet(t *testing.T, dir string) *fleet {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, dir: dir}
	if dir == "" {
		f.dir = t.TempDir()
	}
	f.link = filepath.Join(t.TempDir(), "lcbq") // testscript's Main runs the command of that name
	if err := os.Symlink(exe, f.link); err != nil {
		t.Fatal(err)
	}
	f.ctx, f.stop = context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(f.end)
	return f
}

// serve starts the server and waits until it has served once.
func (f *fleet) serve(args ...string) {
	f.t.Helper()
	f.store = args[slices.Index(args, "--store-dir")+1]
	f.addServer("server", append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	f.awaitServers()
}

// addServer starts a server.
func (f *fleet) addServer(name string, args ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.direct, f.addrs = append(f.direct, streamtest.NewProxy(f.t)), append(f.addrs, "")
	m := f.member(name, append([]string{"server"}, args...)...)
	m.place = len(f.servers)
	f.servers = append(f.servers, m)
	f.running.Go(m.live)
}

// awaitServers waits until each server has served once.
func (f *fleet) awaitServers() {
	f.t.Helper()
	streamtest.WaitFor(f.t, "the servers", func(context.Context) (bool, error) {
		for _, m := range f.servers {
			m.mu.Lock()
			serves := m.said["serving"] > 0
			m.mu.Unlock()
			if !serves {
				return false, nil
			}
		}
		return true, nil
	})
}

// work starts a worker behind a proxy.
func (f *fleet) work(name string, args ...string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var p proxies
	for _, addr := range f.addrs {
		each := streamtest.NewProxy(f.t)
		each.Target(addr)
		p = append(p, each)
	}
	m := f.member(name, append(args, append([]string{"--wait", "--nats", p.urls()}, f.key()...)...)...)
	m.proxy = p
	f.workers = append(f.workers, m)
	f.running.Go(m.live)
}

// key returns the flags by which the servers know who asks.
func (f *fleet) key() []string {
	if f.creds != "" {
		return []string{"--creds", f.creds}
	}
	return []string{"--store-dir", f.store}
}

func (f *fleet) member(name string, args ...string) *member {
	return &member{name: name, fleet: f, args: append([]string{"--verbose"}, args...), said: make(map[string]int), ended: make(map[string]int)}
}

func (f *fleet) members() []*member { return append(slices.Clone(f.servers), f.workers...) }

// end stops all processes, the workers before the server, and returns when they
// are gone.
func (f *fleet) end() {
	f.stop()
	for _, w := range f.workers {
		w.signal(syscall.SIGCONT)
		w.signal(syscall.SIGKILL)
	}
	for _, s := range f.servers {
		s.signal(syscall.SIGCONT)
		s.signal(syscall.SIGTERM)
	}
	f.running.Wait()
}

// live runs the process again and again until the fleet ends.
func (m *member) live() {
	for m.fleet.ctx.Err() == nil {
		how := m.once()
		m.mu.Lock()
		if m.felled {
			how = byFault
		}
		if m.fleet.ctx.Err() == nil {
			m.ended[how]++
		}
		m.cmd, m.felled = nil, false
		m.mu.Unlock()
		select { // as a supervisor does, and so that a process that cannot start does not take the processor
		case <-time.After(100 * time.Millisecond):
		case <-m.fleet.ctx.Done():
		}
	}
}

// once runs the process to its end and says how it ended.
func (m *member) once() string {
	cmd := exec.Command(m.fleet.link, m.args...) //nolint:noctx // fleet.end stops it: in good order, which a context cannot
	cmd.Env = append(os.Environ(), "LCBQ_PYTHON="+python())
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err.Error()
	}
	m.mu.Lock()
	if m.fleet.ctx.Err() != nil {
		m.mu.Unlock()
		return ""
	}
	err = cmd.Start()
	if err == nil {
		m.cmd = cmd
		m.lives++
	}
	m.mu.Unlock()
	if err != nil {
		return err.Error()
	}
	m.listen(stderr)
	err = cmd.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil || m.felled {
		return "well"
	}
	text := err.Error()
	if len(m.last) > 0 {
		text += ": " + m.last[len(m.last)-1]
	}
	return text
}

// listen reads the log of one life.
func (m *member) listen(stderr io.Reader) {
	log, err := os.OpenFile(filepath.Join(m.fleet.dir, m.name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		m.fleet.t.Error(err)
		return
	}
	defer log.Close() //nolint:errcheck // a copy for people
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			fmt.Fprintf(log, "%s", line)
			m.hear(strings.TrimSpace(line))
		}
		if err != nil {
			return
		}
	}
}

func (m *member) hear(text string) {
	var line struct{ Msg, URL string }
	err := json.Unmarshal([]byte(text), &line)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last = append(m.last, text); len(m.last) > lastLines {
		m.last = m.last[1:]
	}
	if err != nil {
		return
	}
	m.said[line.Msg]++
	if line.Msg == "serving" {
		m.fleet.served(m.place, strings.TrimPrefix(line.URL, "nats://"))
	}
}

// served points the proxies at a server's present life.
func (f *fleet) served(place int, addr string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addrs[place] = addr
	f.direct[place].Target(addr)
	for _, w := range f.workers {
		w.proxy[place].Target(addr)
	}
}

// signal sends a signal to the present life, if there is one, and returns its
// process.
func (m *member) signal(s syscall.Signal) *os.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return nil
	}
	if err := m.cmd.Process.Signal(s); err != nil {
		if !errors.Is(err, os.ErrProcessDone) {
			m.fleet.t.Errorf("signal %v to %s: %v", s, m.name, err)
		}
		return nil
	}
	m.felled = m.felled || s == syscall.SIGKILL || s == syscall.SIGTERM
	return m.cmd.Process
}

// byThemselves returns the workers' lives that no fault ended: each is a worker that
// somebody would have to start again. A server may refuse to start on a full disk.
func (f *fleet) byThemselves() []string {
	var out []string
	for _, m := range f.workers {
		m.mu.Lock()
		for how, n := range m.ended {
			if how != byFault {
				out = append(out, fmt.Sprintf("%s, %d times: %s", m.name, n, how))
			}
		}
		m.mu.Unlock()
	}
	return out
}

// heard returns how often the members wrote a line with the message.
func (f *fleet) heard(message string) int {
	n := 0
	for _, m := range f.members() {
		m.mu.Lock()
		n += m.said[message]
		m.mu.Unlock()
	}
	return n
}

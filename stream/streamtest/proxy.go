package streamtest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A Proxy stands between clients and a server and spoils the connection: it cuts
// it, slows it down, holds it, or turns newcomers away. It knows bytes, not NATS.
// Its methods may be called at any time from any goroutine.
type Proxy struct {
	listener net.Listener
	ctx      context.Context //nolint:containedctx // ends every pump of the proxy, which no caller's context could
	flight   sync.WaitGroup

	mu     sync.Mutex
	target string // host:port; "" turns clients away
	delay  time.Duration
	held   chan struct{} // closed when the bytes may go on; nil if they may
	conns  map[net.Conn]struct{}
}

// chunk is how many bytes a slow connection carries between two delays.
const chunk = 4 << 10

// NewProxy listens on a free port until the test ends. It has no target yet.
func NewProxy(tb testing.TB) *Proxy {
	tb.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	p := &Proxy{listener: ln, ctx: ctx, conns: make(map[net.Conn]struct{})}
	p.flight.Go(p.accept)
	tb.Cleanup(func() {
		cancel()
		if err := ln.Close(); err != nil {
			tb.Error(err)
		}
		p.Cut()
		p.flight.Wait()
	})
	return p
}

// URL is where clients connect to.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Target says where connections made from now on lead; "" turns them away.
func (p *Proxy) Target(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = addr
}

// Cut closes every connection at once.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // the other side may have closed it
	}
}

// Slow delays every few kilobytes, each way, by d. 0 ends that.
func (p *Proxy) Slow(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Hold keeps all bytes back, with the connections open, until it is told false.
func (p *Proxy) Hold(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case on && p.held == nil:
		p.held = make(chan struct{})
	case !on && p.held != nil:
		close(p.held)
		p.held = nil
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed: the test is over
		}
		p.flight.Go(func() { p.join(client) })
	}
}

// join connects the client to the target and carries bytes until one side ends.
func (p *Proxy) join(client net.Conn) {
	defer client.Close() //nolint:errcheck // Cut may have been first
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	if target == "" {
		return
	}
	var d net.Dialer
	server, err := d.DialContext(p.ctx, "tcp", target)
	if err != nil {
		return // the client sees the connection end, as it would without us
	}
	defer server.Close() //nolint:errcheck // Cut may have been first
	if !p.remember(client, server) {
		return
	}
	defer p.forget(client, server)
	var pumps sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		pumps.Go(func() {
			p.pump(way[0], way[1])
			for _, c := range way {
				_ = c.Close() // the other pump must end too, and may have been first
			}
		})
	}
	pumps.Wait()
}

func (p *Proxy) remember(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}

func (p *Proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

func (p *Proxy) pump(from io.Reader, to io.Writer) {
	buf := make([]byte, chunk)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !p.wait() {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait holds a chunk as long as it must, and reports false if the proxy ends.
func (p *Proxy) wait() bool {
	p.mu.Lock()
	delay, held := p.delay, p.held
	p.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-p.ctx.Done():
			return false
		}
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-p.ctx.Done():
			return false
		}
	}
	return true
}

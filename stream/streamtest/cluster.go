package streamtest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Cluster is three NATS servers of somebody's own that keep their streams together.
type Cluster struct {
	servers []*server.Server
	js      jetstream.JetStream
}

// NewCluster starts a cluster and returns when it has a leader. It ends with the test.
func NewCluster(tb testing.TB) *Cluster {
	tb.Helper()
	const size = 3
	c := new(Cluster)
	var routes []*url.URL
	var proxies []*Proxy // stand before the ports that the servers take for each other
	for range size {
		p := NewProxy(tb)
		proxies = append(proxies, p)
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: strings.TrimPrefix(p.URL(), "nats://")})
	}
	for i := range size {
		ns := external(tb, &server.Options{
			JetStream: true, StoreDir: storeDir(tb), ServerName: fmt.Sprint("n", i), Routes: routes,
			Cluster: server.ClusterOpts{Name: "own", Host: "127.0.0.1", Port: server.RANDOM_PORT},
		})
		proxies[i].Target(ns.ClusterAddr().String())
		c.servers = append(c.servers, ns)
	}
	nc, err := nats.Connect(c.URLs(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	if c.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute)); err != nil {
		tb.Fatal(err)
	}
	WaitFor(tb, "the cluster", func(context.Context) (bool, error) {
		for _, ns := range c.servers {
			if ns.Healthz(&server.HealthzOptions{}).StatusCode != http.StatusOK || len(ns.JetStreamClusterPeers()) != size && ns.JetStreamIsLeader() {
				return false, nil
			}
		}
		return true, nil
	})
	return c
}

// URLs returns the addresses of all servers, with commas between.
func (c *Cluster) URLs() string {
	var all []string
	for _, ns := range c.servers {
		all = append(all, ns.ClientURL())
	}
	return strings.Join(all, ",")
}

// JS returns a connection of the test's own.
func (c *Cluster) JS() jetstream.JetStream { return c.js }

// Copies returns how many copies each stream has, by its name.
func (c *Cluster) Copies(tb testing.TB) map[string]int {
	tb.Helper()
	copies := make(map[string]int)
	l := c.js.ListStreams(tb.Context())
	for info := range l.Info() {
		copies[info.Config.Name] = info.Config.Replicas
	}
	if err := l.Err(); err != nil || len(copies) == 0 {
		tb.Fatalf("list streams: %d, %v", len(copies), err)
	}
	return copies
}

// StopLeader stops the server that leads a stream, for good.
func (c *Cluster) StopLeader(tb testing.TB, stream string) {
	tb.Helper()
	s, err := c.js.Stream(tb.Context(), stream)
	if err != nil {
		tb.Fatal(err)
	}
	for _, ns := range c.servers {
		if ns.Name() == s.CachedInfo().Cluster.Leader {
			ns.Shutdown()
			ns.WaitForShutdown()
			return
		}
	}
	tb.Fatalf("%s has no leader", stream)
}

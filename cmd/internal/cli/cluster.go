package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/link"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
)

// memberName is what a server of a cluster may be called.
var memberName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// membersOf reads --cluster and --member. It returns nothing for a server alone.
func membersOf(in config.Cluster) ([]embed.Member, error) {
	if in.Cluster == "" {
		if in.Member != "" {
			return nil, fmt.Errorf("--member = %q: want --cluster too, with all servers", in.Member)
		}
		return nil, nil
	}
	var members []embed.Member
	names, addrs := map[string]bool{}, map[string]bool{}
	for text := range strings.SplitSeq(in.Cluster, ",") {
		name, addr, _ := strings.Cut(strings.TrimSpace(text), "=")
		host, port, err := net.SplitHostPort(addr)
		n, perr := strconv.ParseUint(port, 10, 16)
		switch {
		case !memberName.MatchString(name) || err != nil || perr != nil || host == "" || n == 0:
			return nil, fmt.Errorf("--cluster: %q: want NAME=HOST:PORT, with a name of letters, digits, - and _", text)
		case names[name]:
			return nil, fmt.Errorf("--cluster: two servers are named %s: want a name for each", name)
		case addrs[addr]:
			return nil, fmt.Errorf("--cluster: two servers are at %s: want an address for each", addr)
		}
		names[name], addrs[addr] = true, true
		members = append(members, embed.Member{Name: name, Addr: addr})
	}
	if len(members) != copiesInCluster {
		return nil, fmt.Errorf("--cluster names %d servers: want three, of which one may be lost", len(members))
	}
	if !names[in.Member] {
		return nil, fmt.Errorf("--member = %q: want the name that this server has in --cluster", in.Member)
	}
	return members, nil
}

// clusterOf returns what a server needs to be one of a cluster. Its keys were made before: those of all are the same.
func clusterOf(cfg config.Host, in config.Cluster, members []embed.Member, dir string) (*embed.Cluster, error) {
	if cfg.Insecure {
		return nil, usageError{errors.New("--insecure with --cluster: want one of them; the servers of a cluster know each other by their keys")}
	}
	keys, err := access.Load(dir)
	if errors.Is(err, access.ErrNoKeys) {
		return nil, fmt.Errorf("start server: %w\nall servers of a cluster have the same: make them once, with 'lcbq server init --store-dir %s', and copy %s from there into the store directory of each", err, dir, access.KeysName)
	}
	if err != nil {
		return nil, err
	}
	c := &embed.Cluster{Member: in.Member, Members: members}
	if c.TLS, err = keys.RouteTLS(); err != nil {
		return nil, err
	}
	c.Secret, err = keys.RouteSecret()
	return c, err
}

// Intervals of a server of a cluster that waits for the streams: between two looks, and between two log lines.
const (
	shareLook   = time.Second
	shareRemind = 30 * time.Second
	// shareWait bounds what is tried again for a reason that is not known to pass.
	shareWait = 2 * time.Minute
)

// share opens the streams on a server of a cluster. The cluster's leader makes those that are missing, with a copy
// on each of three servers; the others wait for it. Units in flight stay with their workers: these have not ended
// because a server has.
func (s *session) share(ctx context.Context, srv *embed.Server, js jetstream.JetStream, log *slog.Logger) error {
	tick := time.NewTicker(shareLook)
	defer tick.Stop()
	began, said := time.Now(), time.Now().Add(-shareRemind+2*shareLook)
	for {
		made, err := s.shareOnce(ctx, srv, js)
		switch {
		case made:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, store.ErrNewer):
			return err
		case err != nil && !errors.Is(err, queue.ErrCopies) && len(srv.Missing()) == 0 && time.Since(began) > shareWait:
			return fmt.Errorf("open the streams of the cluster: %w", err)
		}
		if time.Since(said) > shareRemind {
			said = time.Now()
			log.Warn("waiting for the streams of the cluster: they are made when all of its servers are there", "missing", srv.Missing(), "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// shareOnce reports whether all streams are there and open.
func (s *session) shareOnce(ctx context.Context, srv *embed.Server, js jetstream.JetStream) (made bool, err error) {
	if err := store.CheckFormat(ctx, js); err != nil {
		return false, err
	}
	missing, err := s.queue.Missing(ctx)
	if err != nil {
		return false, err
	}
	if !srv.Leads() {
		if len(missing) > 0 {
			return false, nil
		}
		s.store, err = store.Open(ctx, js)
		return err == nil, err
	}
	copies, err := copiesOf(ctx, s.conn, s.queue, missing, 0)
	if err != nil {
		return false, err
	}
	if s.store, err = declareAll(ctx, s.queue, js, copies); err != nil {
		return false, err
	}
	err = s.sweeper().Serve(ctx)
	return err == nil, err
}

// declareAll makes all streams and buckets, or brings them to this version's settings.
func declareAll(ctx context.Context, q *queue.Queue, js jetstream.JetStream, copies int) (*store.Store, error) {
	err := q.Declare(ctx, copies)
	if errors.Is(err, queue.ErrCopies) {
		return nil, fmt.Errorf("%w\nstart the others, with JetStream; or have fewer copies, with --replicas", err)
	}
	if err != nil {
		return nil, err
	}
	return store.Declare(ctx, js, copies)
}

// copiesInCluster is how many servers of a cluster keep each stream unless the user says otherwise: with three
// one may be lost, and no more writes are needed than for that.
const copiesInCluster = 3

// copiesOf returns how many copies each stream has or is to have. Streams that are there are not made to grow.
func copiesOf(ctx context.Context, conn *nats.Conn, q *queue.Queue, missing []string, wanted int) (int, error) {
	switch wanted {
	case 0, 1, 3, 5:
	default:
		return 0, usageError{fmt.Errorf("--replicas = %d: want 1, 3 or 5", wanted)}
	}
	have := 0
	if len(missing) < len(stream.Stages) {
		var err error
		if have, err = q.Copies(ctx); err != nil {
			return 0, err
		}
	}
	switch {
	case have > 0 && wanted > 0 && have != wanted:
		return 0, fmt.Errorf("--replicas = %d: the streams of this server have %d\nstreams do not grow: leave --replicas out, or finish the runs of this server first ('lcbq help cluster')", wanted, have)
	case have > 0:
		return have, nil
	case wanted > 0:
		return wanted, nil
	case link.Clustered(conn):
		return copiesInCluster, nil
	default:
		return 1, nil
	}
}

package embed

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/lcbq/lcbq/stream/private"
)

// A Cluster makes a server one of several that keep the same streams.
type Cluster struct {
	Member  string   // the name of this server among Members; the store remembers it
	Members []Member // all servers, this one too, the same on each
	TLS     *tls.Config
	Secret  string // that the servers show each other
}

// A Member is a server of a cluster, and where the others reach it.
type Member struct {
	Name string
	Addr string // HOST:PORT, for servers alone
}

func (m Member) String() string { return m.Name + " at " + m.Addr }

// Errors by which the command chooses its remedy.
var (
	// ErrMember: the store is that of a cluster's server, or of another one than is to be started.
	ErrMember = errors.New("the store is that of a server of a cluster")
	// ErrAlone: the store was made by a server alone. No cluster can take it over.
	ErrAlone = errors.New("the store is that of a server alone")
	// ErrUnlike: another server of the cluster was started with other settings, or has other keys.
	ErrUnlike = errors.New("the servers of the cluster do not fit")
)

// clusterName is the name of every cluster of lcbq's. Its servers know each other by their keys.
const clusterName = "lcbq"

// MemberName is the file in a store directory that says which server of a cluster it belongs to.
const MemberName = "cluster.json"

// routeUser is the user that the servers of a cluster are to each other.
const routeUser = "lcbq"

// quorum is how many servers must be there for any to answer.
func (c *Cluster) quorum() int { return len(c.Members)/2 + 1 }

func (c *Cluster) self() Member {
	for _, m := range c.Members {
		if m.Name == c.Member {
			return m
		}
	}
	return Member{Name: c.Member}
}

// mark holds a store directory to one server: its copies of the streams are known to the others by its name.
func (c *Cluster) mark(dir string) error {
	path := filepath.Join(dir, MemberName)
	var was struct {
		Member string `json:"member"`
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("look whose store it is: %w", err)
	case json.Unmarshal(text, &was) != nil:
		return fmt.Errorf("look whose store it is: %s cannot be read: %w", path, ErrMember)
	case c == nil:
		return fmt.Errorf("%s: %w, of %s", dir, ErrMember, was.Member)
	case was.Member != c.Member:
		return fmt.Errorf("%s: %w, of %s and not of %s", dir, ErrMember, was.Member, c.Member)
	default:
		return nil
	}
	if c == nil {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, server.JetStreamStoreDir)); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s: %w", dir, ErrAlone), err)
	}
	was.Member = c.Member
	if text, err = json.Marshal(was); err == nil {
		err = private.Write(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("mark store directory: %w", err)
	}
	return nil
}

// apply sets the options of a server of a cluster.
func (c *Cluster) apply(o *server.Options) error {
	host, port, err := net.SplitHostPort(c.self().Addr)
	if err != nil {
		return fmt.Errorf("server %s: %w", c.Member, err)
	}
	if net.ParseIP(host) == nil {
		host = "0.0.0.0" // a name may be another address here than for the others
	}
	o.ServerName = c.Member
	o.Cluster = server.ClusterOpts{
		Name: clusterName, Host: host, TLSConfig: c.TLS, TLSTimeout: handshakeLimit, AuthTimeout: handshakeLimit + 1,
		Username: routeUser, Password: c.Secret,
		// A server that is cut off is found out before its clients give up: they ask one that is not.
		PingInterval: routePing, MaxPingsOut: routePings,
	}
	if o.Cluster.Port, err = strconv.Atoi(port); err != nil {
		return fmt.Errorf("server %s: port %q", c.Member, port)
	}
	for _, m := range c.Members { // this one too: their number is that of the servers that a quorum is counted from
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: m.Addr, User: url.UserPassword(routeUser, c.Secret)})
	}
	return nil
}

const (
	routePing  = 3 * time.Second
	routePings = 3
)

// neighbourWait bounds a look at another server of the cluster.
const neighbourWait = 2 * time.Second

// look asks another server of the cluster who it is. An error that wraps ErrUnlike says that it never fits; any
// other that it is not there.
func (c *Cluster) look(ctx context.Context, m Member) error {
	ctx, cancel := context.WithTimeout(ctx, neighbourWait)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.Addr)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	talk := tls.Client(conn, c.TLS)
	if err := talk.HandshakeContext(ctx); err != nil {
		if _, other := errors.AsType[*tls.CertificateVerificationError](err); other {
			return fmt.Errorf("%w: %s has other keys (%w)", ErrUnlike, m, err)
		}
		return err
	}
	line, err := bufio.NewReader(talk).ReadString('\n')
	if err != nil {
		return err
	}
	var said struct {
		Name    string `json:"server_name"`
		Cluster string `json:"cluster"`
	}
	text, ok := strings.CutPrefix(line, "INFO ")
	if !ok || json.Unmarshal([]byte(text), &said) != nil {
		return errors.New("what answers there is no server of a cluster")
	}
	switch {
	case said.Cluster != clusterName:
		return fmt.Errorf("%w: the server %s is of the cluster %q", ErrUnlike, m, said.Cluster)
	case said.Name == c.Member:
		return fmt.Errorf("%w: the server at %s calls itself %s too", ErrUnlike, m.Addr, said.Name)
	case said.Name != m.Name:
		return fmt.Errorf("%w: the server at %s calls itself %s, here it is named %s", ErrUnlike, m.Addr, said.Name, m.Name)
	}
	return nil
}

// neighbours looks at the other servers. It returns why those that are missing are so, and an error that wraps
// ErrUnlike for one that does not fit.
func (c *Cluster) neighbours(ctx context.Context) (missing []string, err error) {
	for _, m := range c.Members {
		if m.Name == c.Member {
			continue
		}
		switch err := c.look(ctx, m); {
		case errors.Is(err, ErrUnlike):
			return nil, err
		case err != nil:
			missing = append(missing, fmt.Sprintf("%s (%v)", m, plain(err)))
		}
	}
	return missing, nil
}

// plain returns the end of an error of the network's, which says what is wrong.
func plain(err error) error {
	var op *net.OpError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &op):
		return op.Err
	case errors.As(err, &unknown):
		return unknown
	default:
		return err
	}
}

// Intervals of the wait for a quorum: between two looks, and between two log lines about it.
const (
	quorumLook   = 500 * time.Millisecond
	quorumFirst  = 2 * time.Second
	quorumRemind = 30 * time.Second
)

// AwaitQuorum returns when enough servers of the cluster are there for this one to answer, at once for a server
// alone. While it waits it says for whom. It returns an error that wraps ErrUnlike if another server does not fit.
func (s *Server) AwaitQuorum(ctx context.Context) error {
	c := s.cfg.Cluster
	if c == nil {
		return nil
	}
	tick := time.NewTicker(quorumLook)
	defer tick.Stop()
	say, said := time.Now().Add(quorumFirst), false
	for {
		if s.hasQuorum() {
			if said {
				s.cfg.Log.Info("the cluster has a quorum", "servers", len(c.Members))
			}
			return nil
		}
		if time.Now().After(say) {
			missing, err := c.neighbours(ctx)
			if err != nil {
				return err
			}
			s.cfg.Log.Warn("waiting for a quorum of the cluster: nobody is answered before", "member", c.Member, "needed", c.quorum(), "of", len(c.Members), "missing", missing)
			say, said = time.Now().Add(quorumRemind), true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for a quorum of the cluster: %w", ctx.Err())
		}
	}
}

// hasQuorum reports whether the servers of the cluster that are there have a leader.
func (s *Server) hasQuorum() bool {
	return s.present().Healthz(&server.HealthzOptions{JSMetaOnly: true}).StatusCode == http.StatusOK
}

// Leads reports whether this server is the leader of its cluster, or alone.
func (s *Server) Leads() bool {
	return s.cfg.Cluster == nil || s.present().JetStreamIsLeader()
}

// Missing returns the servers of the cluster that this one has no connection to.
func (s *Server) Missing() []string {
	c := s.cfg.Cluster
	if c == nil {
		return nil
	}
	there := map[string]bool{c.Member: true}
	if routes, err := s.present().Routez(nil); err == nil {
		for _, r := range routes.Routes {
			there[r.RemoteName] = true
		}
	}
	var missing []string
	for _, m := range c.Members {
		if !there[m.Name] {
			missing = append(missing, m.String())
		}
	}
	return missing
}

// cured are the words by which a server of a cluster says that it cannot go on by itself. All else, such as a
// lost leader or a stream that is behind, passes when the others are there; a new start would only delay it.
var cured = []string{"write error", "apply error", "not enabled", "is not running", "goroutine not running"}

// passes reports whether a fault of a server of a cluster passes by itself.
func (c *Cluster) passes(fault error) bool {
	if c == nil || errors.Is(fault, ErrHung) {
		return false
	}
	for _, words := range cured {
		if strings.Contains(fault.Error(), words) {
			return false
		}
	}
	return true
}

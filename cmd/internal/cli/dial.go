package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/cmd/internal/locate"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/link"
)

// connectWait bounds how long a first connection may take. Later ones are retried
// for ever.
const connectWait = 5 * time.Second

// Pings of every client. A network that drops what it is given tells no end of a connection, and the client library
// would find it out after six minutes.
const (
	ping  = 20 * time.Second
	pings = 2
)

// options are those of every connection.
func options(name string, log *slog.Logger) []nats.Option {
	var lost atomic.Pointer[nats.Conn]
	var said atomic.Bool
	// The library calls no handler where a server answers and is not taken for the right one: it is asked before each
	// further attempt. Refusals are said by who knows the token.
	delay := func(attempt int) time.Duration {
		if nc := lost.Load(); nc != nil {
			if err := nc.LastError(); err != nil && !unreachable(err) && !unauthorized(err) && !said.Swap(true) {
				log.Warn("the server that answers is not taken for the right one, trying again", "err", err, "remedy", remedy(err))
			}
		}
		return reconnectDelay(attempt)
	}
	return []nats.Option{
		nats.Name("lcbq " + name),
		nats.Timeout(connectWait),
		nats.MaxReconnects(-1),
		link.Queue(),
		nats.PingInterval(ping), nats.MaxPingsOutstanding(pings),
		nats.IgnoreAuthErrorAbort(), // its keys may be others tomorrow: whoever it was given them by sees the warning
		nats.CustomReconnectDelay(delay),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			lost.Store(nc)
			if err != nil { // nil: closed by us
				log.Warn("connection to the server lost, reconnecting", "err", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { log.Debug("the server cannot be reached yet", "err", err) }),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			said.Store(false)
			log.Info("connected to the server again", "url", config.Redact(nc.ConnectedUrl()))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("server reports an error", "err", err) }),
	}
}

// Pings of a client of a cluster. A server that was cut off answers nothing, and the others do: within ten
// seconds it is left for one of them.
const (
	clusterPing  = 3 * time.Second
	clusterPings = 2
)

// several returns further options of a client that names several servers.
func several(addresses string) []nats.Option {
	if !strings.Contains(addresses, ",") {
		return nil
	}
	// Those that it names are reached the way that it names them, and the others may not be.
	return []nats.Option{nats.PingInterval(clusterPing), nats.MaxPingsOutstanding(clusterPings), nats.IgnoreDiscoveredServers()}
}

// Delays between attempts to reach a server: soon at first, for a restart, then
// seldom, for a night. Hundreds of workers must not come back in step.
const (
	firstDelay = 250 * time.Millisecond
	mostDelay  = 15 * time.Second
)

// reconnectDelay returns the pause before the given attempt, from 1: doubled each
// time up to mostDelay, of which a random half is left out.
func reconnectDelay(attempt int) time.Duration {
	d := mostDelay
	if attempt < 8 {
		d = min(firstDelay<<max(attempt-1, 0), mostDelay)
	}
	return d - rand.N(d/2)
}

// lookReconnects is how often a command that only looks tries to reach a server again that it
// has lost: for some seconds, so that it ends where the server has ended.
const lookReconnects = 5

// mostRefusals is how often a server of this user's may refuse the key before its refusal counts.
const mostRefusals = 6

// dial connects to a server, once or until it is there.
func dial(ctx context.Context, p locate.Place, cfg config.Client, name string, log *slog.Logger, more ...nats.Option) (*nats.Conn, access.Token, error) {
	token, err := checkCreds(cfg, name, log)
	if err != nil {
		return nil, token, err
	}
	given := append(options(name, log), more...)
	given = append(given, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		log.Warn("server reports an error", "err", explainRefusal(cfg.Creds, token, err))
	}))
	refusals := 0
	for attempt := 1; ; attempt++ {
		address, opts, err := p.Reach()
		shown := config.Redact(address)
		var conn *nats.Conn
		var shows []nats.Option
		if err == nil {
			shows, err = credentials(cfg, token, address, log)
		}
		if err == nil {
			conn, err = nats.Connect(address, slices.Concat(opts, given, shows, several(address))...)
		}
		switch {
		case err == nil:
			return conn, token, nil
		case address == "" && !errors.Is(err, locate.ErrNone):
			return nil, token, err
		case address == "" && !cfg.Wait:
			return nil, token, fmt.Errorf("%w\nstart one with 'lcbq run' or 'lcbq server', name another with --nats, or wait for it with --wait", err)
		case address == "", cfg.Wait && unreachable(err), cfg.Wait && p.Mine() && errors.Is(err, nats.ErrAuthorization) && refusals < mostRefusals:
			if address != "" && !unreachable(err) {
				refusals++ // a server that just starts writes its key a moment after it listens
			}
			if attempt == 1 {
				log.Warn("the server cannot be reached, waiting for it", "url", shown, "err", err)
			}
		case token.Role != "" && unauthorized(err):
			return nil, token, fmt.Errorf("connect to %s: %w", shown, explainRefusal(cfg.Creds, token, err))
		default:
			return nil, token, fmt.Errorf("connect to %s: %w\n%s", shown, err, remedy(err))
		}
		select {
		case <-time.After(reconnectDelay(attempt)):
		case <-ctx.Done():
			return nil, token, ctx.Err()
		}
	}
}

// remedy returns what helps where a server was not reached, or refused us.
func remedy(err error) string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return "name the folder of a server of yours on this machine with -o or --store-dir: its key lies there; elsewhere your credentials with --creds (a token that 'lcbq token' made on the server's machine, for a server of lcbq's), or a user in --nats nats://USER:PASSWORD@HOST:PORT, an nkey with --nkey, a certificate with --nats-cert"
	case alerted(err, "certificate required", "bad certificate"):
		return "the server wants to know your certificate: name it and its key with --nats-cert and --nats-key"
	case alerted(err, "unknown certificate authority", "expired certificate"):
		return "the server does not take your certificate: name one that is not over, and that is signed by an authority which the server knows, with --nats-cert and --nats-key"
	case errors.Is(err, nats.ErrTLS) && strings.Contains(err.Error(), "closed by remote after TLS handshake"): // the library did not wait for the alert, and has no error value for it
		return "the server ended the connection as soon as it was made: if it wants to know your certificate, name it and its key with --nats-cert and --nats-key; its log says why"
	case errors.As(err, &unknown):
		return "another server answers than the one that the token is for, or its authority is not known here: a token of the server brings it (--creds), or name its file with --nats-ca"
	case errors.As(err, &host):
		return "name the server with --nats by a name that its certificate has"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "have the server's certificate renewed, or set this machine's clock"
	case errors.As(err, &invalid):
		return "have the server given a certificate for servers, by an authority that this machine knows"
	case errors.Is(err, nats.ErrSecureConnWanted), errors.As(err, &record):
		return "the server speaks no TLS: begin its address with nats://, or have it started with TLS"
	case errors.Is(err, nats.ErrSecureConnRequired):
		return "the server wants TLS: begin its address with tls://"
	case busy(err):
		return "the server is busy, or has as many clients as it takes: try again, or wait for it with --wait"
	case unreachable(err):
		return "start one with 'lcbq server', name another with --nats, or wait for it with --wait"
	default:
		return "name a NATS server with --nats, or start one with 'lcbq server'"
	}
}

// alerted reports whether a server ended a connection with one of the alerts of TLS, which crypto/tls tells by its text alone.
func alerted(err error, alerts ...string) bool {
	return slices.ContainsFunc(alerts, func(a string) bool { return strings.Contains(err.Error(), "remote error: tls: "+a) })
}

// unreachable reports whether err says that nobody answers there now, rather than
// that somebody else does.
func unreachable(err error) bool {
	var net net.Error
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.As(err, &net) ||
		errors.Is(err, io.EOF) || // whoever forwards to the server has lost it, or it stops just now
		busy(err)
}

// busy reports whether err is a server's word that it took no client just now. The library has no
// values for these. A process that was stopped, or had no processor, while it connected meets the first.
func busy(err error) bool {
	said := strings.ToLower(err.Error())
	for _, word := range []string{"authentication timeout", "maximum connections exceeded", "maximum account active connections exceeded"} {
		if strings.Contains(said, word) {
			return true
		}
	}
	return false
}

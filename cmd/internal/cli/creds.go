package cli

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/access"
)

// roles are those that a verb does with, besides an operator's. A verb that is not here needs an operator.
var roles = map[string][]access.Role{
	"evaluate": {access.Evaluator, access.Guest},
	"generate": {access.Generator},
	"status":   {access.Viewer},
	"top":      {access.Viewer},
	"runs":     {access.Viewer},
	"doctor":   {access.Viewer, access.Evaluator, access.Guest, access.Generator},
}

// checkCreds reads a file of credentials, if one is named, and refuses one that is none, or whose role is wrong
// for the verb: the client library would say so of the connection, and the server of single requests.
func checkCreds(cfg config.Client, verb string, log *slog.Logger) (access.Token, error) {
	if cfg.NATSCA != "" {
		if err := checkCA(cfg.NATSCA); err != nil {
			return access.Token{}, err
		}
	}
	if err := checkOwn(cfg, log); err != nil {
		return access.Token{}, err
	}
	path := cfg.Creds
	if path == "" {
		return access.Token{}, nil
	}
	t, err := access.ReadToken(path)
	if err != nil {
		return t, fmt.Errorf("read credentials %s: %w\nname the .creds file of your NATS user with --creds; 'lcbq token' makes one for a server of lcbq's", path, err)
	}
	warnOfReaders(path, log)
	if err := t.May(verb, roles[verb]...); err != nil {
		return t, usageError{fmt.Errorf("credentials %s: %w", path, err)}
	}
	return t, nil
}

// checkOwn refuses what is no nkey and no certificate, by which a NATS server of the user's own knows a client.
func checkOwn(cfg config.Client, log *slog.Logger) error {
	if cfg.NKey != "" {
		if cfg.Creds != "" {
			return usageError{errors.New("--nkey and --creds are both given: the server knows a client by one of them")}
		}
		if _, err := nats.NkeyOptionFromSeed(cfg.NKey); err != nil {
			return usageError{fmt.Errorf("--nkey = %s: %w\nname the file with your seed: a line that begins with SU", cfg.NKey, err)}
		}
		warnOfReaders(cfg.NKey, log)
	}
	if cfg.NATSCert == "" && cfg.NATSKey == "" {
		return nil
	}
	if cfg.NATSCert == "" || cfg.NATSKey == "" {
		return usageError{errors.New("--nats-cert and --nats-key go together: name the PEM files of your certificate and of its private key")}
	}
	pair, err := tls.LoadX509KeyPair(cfg.NATSCert, cfg.NATSKey)
	if err != nil {
		return usageError{fmt.Errorf("--nats-cert = %s, --nats-key = %s: %w\nname the PEM files of your certificate and of its private key", cfg.NATSCert, cfg.NATSKey, err)}
	}
	if over := pair.Leaf.NotAfter; time.Now().After(over) {
		log.Warn("your certificate is over by this machine's clock", "file", cfg.NATSCert, "since", over.Format(time.RFC3339), "remedy", "have it renewed")
	}
	warnOfReaders(cfg.NATSKey, log)
	return nil
}

// warnOfReaders says if other users can read a secret.
func warnOfReaders(path string, log *slog.Logger) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("other users can read the credentials", "file", path, "mode", fmt.Sprintf("%#o", info.Mode().Perm()), "remedy", "chmod 600 "+path)
	}
}

// checkCA refuses a file of --nats-ca that has no certificate.
func checkCA(path string) error {
	text, err := os.ReadFile(path)
	if err == nil {
		_, err = access.ClientTLS(string(text))
	}
	if err != nil {
		return usageError{fmt.Errorf("--nats-ca = %s: %w\nname the PEM file of the certificate authority behind the server's certificate", path, err)}
	}
	return nil
}

// credentials returns how a client shows a token, and knows the server that it is for.
func credentials(cfg config.Client, t access.Token, address string, log *slog.Logger) ([]nats.Option, error) {
	var opts []nats.Option
	if cfg.Creds != "" {
		opts = append(opts, shows(cfg.Creds, t, log))
	}
	if cfg.NKey != "" {
		key, err := nats.NkeyOptionFromSeed(cfg.NKey)
		if err != nil {
			return nil, fmt.Errorf("read the nkey in %s: %w", cfg.NKey, err)
		}
		opts = append(opts, func(o *nats.Options) error { o.UserJWT = nil; return nil }, key) // in place of the key of a server of this user's
	}
	if cfg.NATSCert != "" {
		opts = append(opts, nats.ClientCert(cfg.NATSCert, cfg.NATSKey))
	}
	if t.Inbox != "" {
		opts = append(opts, nats.CustomInboxPrefix(t.Inbox))
	}
	switch {
	case cfg.NATSCA != "":
		opts = append(opts, nats.RootCAs(cfg.NATSCA))
	case t.CA != "":
		trusted, err := access.ClientTLS(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read the server's authority in %s: %w", cfg.Creds, err)
		}
		if isLoopback(address) { // a server there speaks TLS only if it listens elsewhere too
			opts = append(opts, func(o *nats.Options) error { o.TLSConfig = trusted; return nil })
		} else {
			opts = append(opts, nats.Secure(trusted))
		}
	}
	return opts, nil
}

// shows has a client read its file of credentials again at each connection. It keeps the client from connecting
// with a token by which it would not hear the answers to what it asks. What is checked, shown and signed with is of
// one reading: the file may be replaced at any moment.
func shows(file string, first access.Token, log *slog.Logger) nats.Option {
	var shown access.Creds
	return nats.UserJWT(func() (string, error) {
		now, err := access.ReadCreds(file)
		if err != nil {
			return "", fmt.Errorf("read credentials %s: %w", file, err)
		}
		if now.Inbox != first.Inbox {
			err := fmt.Errorf("the token in %s is not for who it was before", file)
			log.Error("the new token is not taken", "err", err, "remedy", "start this worker again; or have the token made with the same --role and --name as the one before")
			return "", err
		}
		shown = now
		return now.JWT()
	}, func(nonce []byte) ([]byte, error) {
		defer func() { shown = access.Creds{} }() // no key stays in memory
		return shown.Sign(nonce)
	})
}

// isLoopback reports whether all of an address's servers are on this machine.
func isLoopback(addresses string) bool {
	for a := range strings.SplitSeq(addresses, ",") {
		if !strings.Contains(a, "://") {
			a = "nats://" + a
		}
		u, err := url.Parse(a)
		if err != nil {
			return false
		}
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// explain says what an error of the server's means for the holder of a token.
func explainRefusal(file string, t access.Token, err error) error {
	if err == nil || t.Role == "" || !unauthorized(err) {
		return t.Refused(err)
	}
	if over := t.Expired(time.Now()); over != nil {
		return fmt.Errorf("%w: %w", err, over)
	}
	return fmt.Errorf("%w\nthe server refuses the token in %s: it was revoked, or has expired by the server's clock, or is good from other networks only (lcbq token --from), or another server's keys made it\nhave a new one made on the server's machine, and put it in the file's place: lcbq token --role %s", err, file, t.Role)
}

// unauthorized reports whether a server has refused who we are.
func unauthorized(err error) bool {
	for _, e := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

package embed

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// A Trust has a server know its clients by credentials that an operator's keys have signed, instead of by the
// key in its file. The streams are then those of one account.
type Trust struct {
	Operator string // the operator's JWT
	System   string // public key of the system account
	Home     string // and of the account that holds the streams
	// Accounts returns the JWT of each account, by its public key, as they are now. It is called once a second.
	Accounts func() (map[string]string, error)
	Creds    []byte      // of this process, and of the programs of its user: a user of the account Home
	CA       string      // the authority behind the certificate in TLS, in PEM, for the same programs
	TLS      *tls.Config // nil: the server speaks no TLS
}

// Bounds of what a server takes from those whom it does not know yet, where it knows its clients by credentials.
const (
	mostClients    = 8192
	mostLine       = 16 << 10 // bytes: the connect line holds a JWT
	handshakeLimit = 5.0      // seconds
)

// apply sets the options of a server that trusts an operator.
func (t *Trust) apply(o *server.Options, accounts map[string]string) error {
	operator, err := jwt.DecodeOperatorClaims(t.Operator)
	if err != nil {
		return fmt.Errorf("read operator: %w", err)
	}
	resolver := &server.MemAccResolver{}
	for id, text := range accounts {
		if err := resolver.Store(id, text); err != nil {
			return fmt.Errorf("read account %s: %w", id, err)
		}
	}
	o.TrustedOperators = []*jwt.OperatorClaims{operator}
	o.SystemAccount = t.System
	o.AccountResolver = resolver
	o.MaxConn, o.MaxControlLine = mostClients, mostLine
	if t.TLS != nil {
		o.TLS, o.TLSConfig, o.TLSTimeout = true, t.TLS, handshakeLimit
		o.AuthTimeout = handshakeLimit + 1
	}
	return nil
}

// globalAccount is the account of a server without a Trust, as its folder is named.
const globalAccount = "$G"

// settle gives what lies in a store directory to the account of the streams: a server had no keys before, or
// has them no more.
func (t *Trust) settle(dir string) error {
	root := filepath.Join(dir, server.JetStreamStoreDir)
	want := globalAccount
	if t != nil {
		want = t.Home
	}
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into the store: %w", err)
	}
	var others []string
	for _, e := range entries {
		streams, err := os.ReadDir(filepath.Join(root, e.Name(), "streams"))
		if err != nil || len(streams) == 0 || e.Name() == server.DEFAULT_SYSTEM_ACCOUNT {
			continue // the server's own, or nothing
		}
		if e.Name() == want {
			return nil
		}
		others = append(others, e.Name())
	}
	switch len(others) {
	case 0:
		return nil
	case 1:
	default:
		return fmt.Errorf("the store %s holds the streams of several accounts, %v\nkeep the folder that is lcbq's and move the others away", root, others)
	}
	if err := os.RemoveAll(filepath.Join(root, want)); err != nil { // it is empty
		return fmt.Errorf("give the streams to account %s: %w", want, err)
	}
	if err := os.Rename(filepath.Join(root, others[0]), filepath.Join(root, want)); err != nil {
		return fmt.Errorf("give the streams to account %s: %w", want, err)
	}
	return nil
}

// refresh tells the server of accounts that are not as they were. One that it cannot read it leaves as it is.
func (s *Server) refresh() {
	t := s.cfg.Trust
	if t == nil {
		return
	}
	now, err := t.Accounts()
	if err != nil {
		if text := err.Error(); text != s.complaint {
			s.complaint = text
			s.cfg.Log.Error("accounts cannot be read, they stay as they were", "err", err)
		}
		return
	}
	s.complaint = ""
	if maps.Equal(now, s.accounts) {
		return
	}
	ns := s.present()
	for id, text := range now {
		if text == s.accounts[id] {
			continue
		}
		if err := update(ns, id, text); err != nil {
			s.cfg.Log.Error("account not changed", "account", id, "err", err)
			return
		}
	}
	s.accounts = now
}

// update has a server go by a new JWT of an account. Connections of users that it revokes are ended.
func update(ns *server.Server, id, text string) error {
	claims, err := jwt.DecodeAccountClaims(text)
	if err != nil {
		return err
	}
	if err := ns.AccountResolver().Store(id, text); err != nil {
		return err
	}
	account, err := ns.LookupAccount(id)
	if err != nil {
		return err
	}
	ns.UpdateAccountClaims(account, claims)
	return nil
}

// accessOf returns what programs of the server's user need to reach it.
func (t *Trust) accessOf(a Access, dir string) (Access, error) {
	signed, err := nkeys.ParseDecoratedJWT(t.Creds)
	if err != nil {
		return a, err
	}
	kp, err := nkeys.ParseDecoratedUserNKey(t.Creds)
	if err != nil {
		return a, err
	}
	seed, err := kp.Seed()
	if err != nil {
		return a, err
	}
	a.Token, a.JWT, a.Seed = "", signed, string(seed)
	if t.TLS != nil {
		a.CA = filepath.Join(dir, CAName)
		if !filepath.IsAbs(a.CA) {
			if a.CA, err = filepath.Abs(a.CA); err != nil {
				return a, err
			}
		}
		if err := os.WriteFile(a.CA, []byte(t.CA), 0o600); err != nil {
			return a, err
		}
	}
	return a, nil
}

// CAName is the file in a store directory that holds the certificate of the authority behind the server's.
const CAName = "ca.pem"

// Sign returns what a client signs a server's challenge with.
func Sign(seed string, nonce []byte) ([]byte, error) {
	kp, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return nil, err
	}
	defer kp.Wipe()
	return kp.Sign(nonce)
}

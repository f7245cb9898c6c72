package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// An authority signs certificates, in a folder of its own.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = key
	a.pair("ca", a.cert, key)
	return a
}

// pair signs a certificate, writes it and its key as NAME.pem and NAME.key, and returns both.
func (a *authority) pair(name string, c *x509.Certificate, key *ecdsa.PrivateKey) tls.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	for file, text := range map[string][]byte{name + ".pem": certificate, name + ".key": secret} {
		if err := os.WriteFile(a.file(file), text, 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(certificate, secret)
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// sign makes a certificate that is good for a time from a day ago.
func (a *authority) sign(name string, until time.Duration) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.pair(name, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{access.ServerName}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().AddDate(0, 0, -1), NotAfter: time.Now().Add(until), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, key)
}

// trusting returns the guard of a server that knows its clients by what an operator has signed, and a file of
// credentials by which one is let in.
func trusting(t *testing.T) (streamtest.Guard, string) {
	t.Helper()
	made := func(kp nkeys.KeyPair, err error) (nkeys.KeyPair, string) {
		if err != nil {
			t.Fatal(err)
		}
		public, err := kp.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return kp, public
	}
	operator, operatorID := made(nkeys.CreateOperator())
	account, accountID := made(nkeys.CreateAccount())
	_, systemID := made(nkeys.CreateAccount())
	user, userID := made(nkeys.CreateUser())
	o, a, u := jwt.NewOperatorClaims(operatorID), jwt.NewAccountClaims(accountID), jwt.NewUserClaims(userID)
	a.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: jwt.NoLimit, MemoryStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	if _, err := o.Encode(operator); err != nil {
		t.Fatal(err)
	}
	guard := streamtest.Guard{Operator: o, System: systemID, Accounts: make(map[string]string)}
	for _, c := range []*jwt.AccountClaims{a, jwt.NewAccountClaims(systemID)} {
		signed, err := c.Encode(operator)
		if err != nil {
			t.Fatal(err)
		}
		guard.Accounts[c.Subject] = signed
	}
	signedUser, err := u.Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(signedUser, seed)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(file, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	return guard, file
}

// TestOwnServers wants every way to say who one is to work with a NATS server that is not lcbq's, and each to be
// refused with a remedy where it is wrong.
func TestOwnServers(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	seed := func(name string) (file, public string) {
		kp, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		text, err := kp.Seed()
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(dir, name)
		if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		if public, err = kp.PublicKey(); err != nil {
			t.Fatal(err)
		}
		return file, public
	}
	mine, public := seed("mine.nk")
	other, _ := seed("other.nk")
	ca := newAuthority(t)
	shown := ca.sign("server", 24*time.Hour)
	ca.sign("client", 24*time.Hour)
	ca.sign("over", -time.Hour)
	stranger := newAuthority(t)
	stranger.sign("client", 24*time.Hour)
	trust, creds := trusting(t)
	_, foreign := trusting(t)
	shows := tls.Config{Certificates: []tls.Certificate{shown}}
	users := streamtest.NewOwn(t, streamtest.Guard{User: "u", Password: "p", NKey: public})
	token := streamtest.NewOwn(t, streamtest.Guard{Token: "word"})
	operator := streamtest.NewOwn(t, trust)
	overTLS := streamtest.NewOwn(t, streamtest.Guard{TLS: shows.Clone()})
	text, err := os.ReadFile(ca.file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	wants := shows.Clone()
	wants.ClientAuth, wants.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	wants.ClientCAs.AppendCertsFromPEM(text)
	mutual := streamtest.NewOwn(t, streamtest.Guard{TLS: wants})
	trusted := []string{"--nats-ca", ca.file("ca.pem")}
	unknown := append([]string{"--nats-cert", stranger.file("client.pem"), "--nats-key", stranger.file("client.key")}, trusted...)
	late := append([]string{"--nats-cert", ca.file("over.pem"), "--nats-key", ca.file("over.key")}, trusted...)
	known := append([]string{"--nats-cert", ca.file("client.pem"), "--nats-key", ca.file("client.key")}, trusted...)
	for name, x := range map[string]struct {
		url   string
		flags []string
	}{
		"user and password":       {"nats://u:p@" + users, nil},
		"token":                   {"nats://word@" + token, nil},
		"nkey":                    {"nats://" + users, []string{"--nkey", mine}},
		"credentials":             {"nats://" + operator, []string{"--creds", creds}},
		"authority":               {"tls://" + overTLS, trusted},
		"certificate of a client": {"tls://" + mutual, known},
	} {
		if out := says(t, 0, append([]string{"runs", "--nats", x.url}, x.flags...)...); out == "" {
			t.Errorf("%s: lcbq runs says nothing", name)
		}
	}
	for name, x := range map[string]struct {
		status int
		url    string
		flags  []string
		want   string
	}{
		"another password":      {1, "nats://u:x@" + users, nil, "USER:PASSWORD"},
		"another token":         {1, "nats://x@" + token, nil, "--nkey"},
		"another nkey":          {1, "nats://" + users, []string{"--nkey", other}, "--nkey"},
		"no nkey":               {2, "nats://" + users, []string{"--nkey", ca.file("ca.pem")}, "begins with SU"},
		"nkey and credentials":  {2, "nats://" + users, []string{"--nkey", mine, "--creds", creds}, "one of them"},
		"another's credentials": {1, "nats://" + operator, []string{"--creds", foreign}, "--creds"},
		"unknown authority":     {1, "tls://" + overTLS, nil, "--nats-ca"},
		"no TLS":                {1, "tls://" + users, nil, "begin its address with nats://"},
		"no certificate":        {1, "tls://" + mutual, trusted, "--nats-cert"},
		"a stranger's":          {1, "tls://" + mutual, unknown, "--nats-cert"},
		"a certificate is over": {1, "tls://" + mutual, late, "your certificate is over by this machine's clock"},
		"half a certificate":    {2, "tls://" + mutual, known[:2], "--nats-key go together"},
		"no key":                {2, "tls://" + mutual, []string{"--nats-cert", ca.file("client.pem"), "--nats-key", ca.file("ca.key")}, "private key"},
	} {
		t.Log(name)
		wantsAll(t, says(t, x.status, append([]string{"runs", "--nats", x.url}, x.flags...)...), x.want)
	}
}

// wantsAll wants all of the words in a text.
func wantsAll(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("missing %q in\n%s", w, text)
		}
	}
}

// TestCertificateIsOver has workers and commands meet a server whose certificate is over, when they start and while
// they work: each says so, with what helps, and a worker goes on when it is good again.
func TestCertificateIsOver(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	ca := newAuthority(t)
	over := ca.sign("over", -time.Hour)
	at := streamtest.NewOwn(t, streamtest.Guard{TLS: &tls.Config{Certificates: []tls.Certificate{over}}})
	for _, verb := range []string{"evaluate", "generate", "status"} {
		wantsAll(t, says(t, 1, verb, "--nats", "tls://"+at, "--nats-ca", ca.file("ca.pem"), "--wait"), "certificate has expired", "have the server's certificate renewed, or set this machine's clock")
	}

	dir := t.TempDir()
	store, creds := filepath.Join(dir, "store"), filepath.Join(dir, "w.creds")
	first, url, _ := serveElsewhere(t, store)
	says(t, 0, "token", "--role", "evaluator", "--ttl", "9000h", "--store-dir", store, "--to", creds)
	worker := command(t, "evaluate", "--nats", url, "--creds", creds, "--evaluators", "1")
	log := new(said)
	worker.Stderr = log
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	awaits(t, log, "waiting for a run")
	if err := shiftClock(worker.Process, 100*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	interrupt(t, first)
	again := command(t, "server", "--listen", strings.TrimPrefix(url, "tls://"), "--store-dir", store, "--http", "none")
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	awaits(t, log, "have the server's certificate renewed, or set this machine's clock")
	if strings.Contains(log.String(), "connected to the server again") {
		t.Errorf("the worker takes a certificate that is over:\n%s", log)
	}
	if err := shiftClock(worker.Process, 0); err != nil {
		t.Fatal(err)
	}
	awaits(t, log, "connected to the server again")
	interrupt(t, worker)
	interrupt(t, again)
}

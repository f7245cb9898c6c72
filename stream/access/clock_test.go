package access_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/streamtest"
)

const day = 24 * time.Hour

// TestCertificateIsRenewed has the clocks of a server and its clients go on by months. The server must show the same
// certificate until half of its life is over, and then another one, without a restart and without an end to the
// connections that are there. Clients whose clocks are wrong by hours must not mind; one whose clock is wrong by months
// must be told of the certificate's time.
func TestCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys, err := access.Make(dir)
	if err != nil {
		t.Fatal(err)
	}
	var later atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	keys.SetClock(now)
	h, shut := openWith(t, keys, dir, true)
	defer shut()
	// shown connects with a clock that is wrong by skew, and returns the number of the certificate that the server shows.
	shown := func(skew time.Duration) (string, error) {
		g := h.letter(t, access.Spec{Role: access.Viewer})
		cfg, err := access.ClientTLS(g.CA)
		if err != nil {
			t.Fatal(err)
		}
		number := ""
		cfg.Time = func() time.Time { return now().Add(skew) }
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			number = s.PeerCertificates[0].SerialNumber.String()
			return nil
		}
		err = g.enter(t, h.srv.URL(), nats.Secure(cfg))
		return number, err
	}
	first, err := shown(0)
	if err != nil || first == "" {
		t.Fatalf("the first certificate %q, %v", first, err)
	}
	lasts := h.letter(t, access.Spec{Role: access.Viewer})
	cfg, err := access.ClientTLS(lasts.CA)
	if err != nil {
		t.Fatal(err)
	}
	if err := lasts.enter(t, h.srv.URL(), nats.Secure(cfg), nats.NoReconnect()); err != nil {
		t.Fatal(err)
	}
	for _, skew := range []time.Duration{-47 * time.Hour, -time.Hour, time.Hour, 40 * day} {
		if number, err := shown(skew); err != nil || number != first {
			t.Errorf("a client whose clock is wrong by %v: certificate %q, %v; want the first", skew, number, err)
		}
	}
	for _, skew := range []time.Duration{-49 * time.Hour, 91 * day} {
		_, err := shown(skew)
		var invalid x509.CertificateInvalidError
		if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
			t.Errorf("a client whose clock is wrong by %v: %v, want a word about the certificate's time", skew, err)
		}
	}
	numbers := map[string]bool{first: true}
	for _, x := range []struct {
		at    time.Duration
		fresh bool
	}{{44 * day, false}, {46 * day, true}, {89 * day, false}, {92 * day, true}, {400 * day, true}} {
		later.Store(int64(x.at))
		number, err := shown(0)
		if err != nil || numbers[number] == x.fresh {
			t.Errorf("after %v: certificate %q, %v; want another one: %v", x.at, number, err, x.fresh)
		}
		numbers[number] = true
	}
	if _, err := lasts.js.AccountInfo(within(t)); err != nil {
		t.Errorf("a connection did not outlive the certificate that it began with: %v", err)
	}
}

// TestRouteCertificateIsRenewed is the same for what the servers of a cluster show each other, both ways.
func TestRouteCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	keys, err := access.Make(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	later := time.Duration(0)
	keys.SetClock(func() time.Time { return time.Now().Add(later) })
	cfg, err := keys.RouteTLS()
	if err != nil {
		t.Fatal(err)
	}
	for _, later = range []time.Duration{0, 44 * day, 46 * day, 200 * day} {
		server, err := cfg.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		client, err := cfg.GetClientCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(later)
		for _, c := range []*tls.Certificate{server, client} {
			if left := c.Leaf.NotAfter.Sub(at); left < 44*day || c.Leaf.NotBefore.After(at.Add(-47*time.Hour)) {
				t.Errorf("after %v a certificate is good for %v more, from %v", later, left, c.Leaf.NotBefore)
			}
		}
	}
}

// TestAuthorityExpires: a server whose own authority is over says what helps, and does not start.
func TestAuthorityExpires(t *testing.T) {
	t.Parallel()
	keys, err := access.Make(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	keys.SetClock(func() time.Time { return time.Now().Add(11 * 365 * day) })
	if _, err := keys.ServerTLS(); err == nil {
		t.Error("a server starts with an authority that is over")
	}
}

// TestTokensOfOtherClocks: tokens of a machine whose clock is an hour ahead or behind let their holders in while they
// last by the server's clock, and no longer, and are refused once they are revoked.
func TestTokensOfOtherClocks(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), false)
	for _, skew := range []time.Duration{time.Hour, -time.Hour} {
		g := h.letter(t, access.Spec{Role: access.Evaluator, TTL: 2 * time.Hour})
		g.creds = h.keys.MadeBy(t, g.creds, skew)
		lost := make(chan bool, 1)
		if err := g.enter(t, h.srv.URL(), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { lost <- true })); err != nil {
			t.Errorf("a token made %v ahead: %v", skew, err)
			continue
		}
		if err := h.keys.Revoke(g.ID); err != nil {
			t.Fatal(err)
		}
		streamtest.Receive(t, fmt.Sprintf("the holder of a token made %v ahead to be put out when it is revoked", skew), lost)
		if err := g.enter(t, h.srv.URL()); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("a revoked token made %v ahead: %v, want it refused", skew, err)
		}
	}
	short := h.letter(t, access.Spec{Role: access.Viewer, TTL: 30 * time.Minute})
	if err := short.with(h.keys.MadeBy(t, short.creds, -time.Hour)).enter(t, h.srv.URL()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("a token that is over by the server's clock: %v, want it refused", err)
	}
}

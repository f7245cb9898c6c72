package access_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// TestTokens wants those tokens refused that are no good: none at all, another server's, one from elsewhere,
// one that is over, one that is revoked.
func TestTokens(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), false)
	other, err := access.Make(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
	_, err = nats.Connect(h.srv.URL(), patient)
	refused("no token", err)
	_, err = nats.Connect(h.srv.URL(), patient, nats.Token("x"))
	refused("a word", err)
	for _, role := range access.Roles() {
		foreign, _, err := other.Issue(specOf(role))
		if err != nil {
			t.Fatal(err)
		}
		_, err = nats.Connect(h.srv.URL(), patient, nats.UserCredentialBytes(foreign))
		refused("another server's "+string(role), err)
	}
	refused("one from elsewhere", h.letter(t, access.Spec{Role: access.Viewer, From: []string{"192.0.2.0/24"}}).enter(t, h.srv.URL()))
	if err := h.letter(t, access.Spec{Role: access.Viewer, From: []string{"192.0.2.0/24", "127.0.0.0/8"}}).enter(t, h.srv.URL()); err != nil {
		t.Errorf("one from here: %v", err)
	}
	lost := make(chan bool, 10)
	g := h.invite(t, access.Spec{Role: access.Evaluator}, nats.DisconnectErrHandler(func(*nats.Conn, error) { lost <- true }), nats.MaxReconnects(0))
	if err := h.keys.Revoke(g.ID); err != nil {
		t.Fatal(err)
	}
	streamtest.Receive(t, "the holder of a revoked token to lose its connection", lost)
	refused("a revoked one", h.letter(t, access.Spec{Role: access.Viewer}).with(g.creds).enter(t, h.srv.URL()))
	if err := h.letter(t, access.Spec{Role: access.Viewer}).enter(t, h.srv.URL()); err != nil {
		t.Errorf("another one after that: %v", err)
	}
	for _, id := range []string{"", "x", h.keys.Home()} {
		if err := h.keys.Revoke(id); err == nil {
			t.Errorf("Revoke(%q) succeeds", id)
		}
	}
}

// with returns g with other credentials.
func (g *guest) with(creds []byte) *guest {
	g.creds = creds
	return g
}

// TestExpiry wants a worker whose token is over to go on when another lies in the file's place.
func TestExpiry(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), false)
	file := filepath.Join(t.TempDir(), "w.creds")
	letter := func(ttl time.Duration) access.Token {
		creds, token, err := h.keys.Issue(access.Spec{Role: access.Evaluator, TTL: ttl})
		if err == nil {
			err = os.WriteFile(file, creds, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	var again chan bool
	var over chan error
	connect := func() (*nats.Conn, error) {
		again, over = make(chan bool, 1), make(chan error, 100)
		began, ended := again, over
		return nats.Connect(h.srv.URL(), patient, nats.UserCredentials(file), nats.IgnoreAuthErrorAbort(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
			nats.ReconnectHandler(func(*nats.Conn) { began <- true }), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				select {
				case ended <- err:
				default:
				}
			}))
	}
	ttl := 2 * time.Second
	token := letter(ttl)
	nc, err := connect()
	for ; errors.Is(err, nats.ErrAuthorization) && ttl < time.Minute; nc, err = connect() {
		ttl *= 2 // on a busy machine it was over before it was shown
		token = letter(ttl)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := streamtest.Receive(t, fmt.Sprint("the end of a token of ", ttl), over); !errors.Is(err, nats.ErrAuthExpired) {
		t.Errorf("the server says %v", err)
	}
	if err := token.Expired(time.Now()); err == nil || !strings.Contains(err.Error(), "lcbq token --role evaluator") {
		t.Errorf("Expired = %v", err)
	}
	letter(time.Hour)
	streamtest.Receive(t, "the worker to come back with the new token", again)
}

// TestTLS wants holders of a token to know the server by it, and nobody to be fooled by another.
func TestTLS(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), true)
	g := h.letter(t, access.Spec{Role: access.Viewer})
	if err := g.enter(t, h.srv.URL()); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("without its authority: %v", err)
	}
	tls, err := access.ClientTLS(g.CA)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.enter(t, h.srv.URL(), nats.Secure(tls)); err != nil {
		t.Errorf("with it: %v", err)
	}
	file := filepath.Join(t.TempDir(), "v.creds") // as natscli does
	if err := os.WriteFile(file, g.creds, 0o600); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(h.srv.URL(), patient, nats.UserCredentials(file), nats.RootCAs(file))
	if err != nil {
		t.Fatalf("with the file as both: %v", err)
	}
	nc.Close()
	other, err := access.Make(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if tls, err = access.ClientTLS(other.CA()); err != nil {
		t.Fatal(err)
	}
	if err := g.enter(t, h.srv.URL(), nats.Secure(tls)); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("with another's authority: %v", err)
	}
	if _, err := access.ClientTLS("nothing"); err == nil {
		t.Error("ClientTLS of nothing succeeds")
	}
	srv, err := h.keys.ServerTLS("a.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{access.ServerName, "localhost", "127.0.0.1", "a.example"} {
		if err := srv.Certificates[0].Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
}

// TestSameStore wants a store's streams to be there with keys, without them, and with them again; and what its
// user's programs could do with the server's former life to end with it.
func TestSameStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	count := func(srv *embed.Server) uint64 {
		nc, err := srv.Connect(patient)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		s, err := js.CreateOrUpdateStream(within(t), jetstream.StreamConfig{Name: "MINE", Subjects: []string{"mine.>"}})
		if err == nil {
			_, err = js.Publish(within(t), "mine.x", nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.Info(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return info.State.Msgs
	}
	var former embed.Access
	for life := range 5 {
		var srv *embed.Server
		if life%2 == 0 {
			var err error
			if srv, err = embed.Start(embed.Config{Dir: dir}); err != nil {
				t.Fatal(err)
			}
			if n := count(srv); n != uint64(life+1) {
				t.Errorf("life %d: %d messages", life, n)
			}
			if err := srv.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		func() {
			h, shut := openFor(t, dir, false)
			defer shut()
			if n := count(h.srv); n != uint64(life+1) {
				t.Errorf("life %d: %d messages", life, n)
			}
			a, err := embed.ReadAccess(dir)
			if err != nil || a.Token != "" || a.JWT == "" {
				t.Fatalf("ReadAccess = %+v, %v", a, err)
			}
			nc, err := nats.Connect(a.URL, patient, nats.UserJWTAndSeed(a.JWT, a.Seed))
			if err != nil {
				t.Fatal(err)
			}
			nc.Close()
			if former.JWT != "" {
				if nc, err := nats.Connect(a.URL, patient, nats.UserJWTAndSeed(former.JWT, former.Seed)); err == nil {
					nc.Close()
					t.Error("the access to the server's former life is still good")
				}
			}
			former = a
		}()
		born := time.Now()
		for time.Since(born) < 2100*time.Millisecond { // credentials have seconds
			<-time.After(100 * time.Millisecond)
		}
	}
}

// TestParse refuses what is no file of credentials.
func TestParse(t *testing.T) {
	t.Parallel()
	k, err := access.Make(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a, ta, err := k.Issue(access.Spec{Role: access.Generator, Name: "box", TTL: time.Hour, From: []string{"10.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := k.Issue(access.Spec{Role: access.Generator})
	if err != nil {
		t.Fatal(err)
	}
	if ta.Role != access.Generator || ta.Name != "box" || len(ta.From) != 1 || !strings.HasPrefix(ta.Inbox, "_INBOX_") || ta.CA != k.CA() || time.Until(ta.Expires) > time.Hour {
		t.Errorf("token %+v", ta)
	}
	for _, again := range []struct {
		spec access.Spec
		same bool
	}{{access.Spec{Role: access.Generator, Name: "box"}, true}, {access.Spec{Role: access.Evaluator, Name: "box"}, false}, {access.Spec{Role: access.Generator, Name: "bo"}, false}, {access.Spec{Role: access.Generator}, false}} {
		if _, tok, err := k.Issue(again.spec); err != nil || (tok.Inbox == ta.Inbox) != again.same {
			t.Errorf("Issue(%+v) = %v, %v, same inbox wanted: %v", again.spec, tok.Inbox, err, again.same)
		}
	}
	jwt, key, ok := strings.Cut(string(a), "-----BEGIN USER")
	_, otherKey, ok2 := strings.Cut(string(b), "-----BEGIN USER")
	if !ok || !ok2 {
		t.Fatalf("no key in\n%s", a)
	}
	if _, err := access.ParseToken([]byte(jwt + "-----BEGIN USER" + key)); err != nil {
		t.Error(err)
	}
	for name, text := range map[string]string{"nothing": "", "a page": "<html>", "half": jwt[:200], "two halves": jwt + "-----BEGIN USER" + otherKey, "no key": jwt} {
		if tok, err := access.ParseToken([]byte(text)); err == nil {
			t.Errorf("%s is read as %+v", name, tok)
		}
	}
	for _, s := range []access.Spec{
		{Role: "king"}, {Role: access.Viewer, TTL: -time.Second}, {Role: access.Viewer, From: []string{"10.0.0"}}, {Role: access.Guest}, {Role: access.Guest, Share: 1.1}, {Role: access.Guest, Share: -0.1}, {Role: access.Guest, Share: math.NaN()}, {Role: access.Guest, Share: 1e-9}, {Role: access.Evaluator, Share: 0.1},
	} {
		if _, _, err := k.Issue(s); err == nil {
			t.Errorf("Issue(%+v) succeeds", s)
		}
	}
	if len(a) > 4000 {
		t.Errorf("a token has %d bytes: NATS servers take connect lines of 4 KiB", len(a))
	}
}

// TestRefused wants the server's refusals in lcbq's words.
func TestRefused(t *testing.T) {
	t.Parallel()
	viewer := access.Token{Role: access.Viewer}
	for subject, needs := range map[string]string{"$JS.API.CONSUMER.MSG.NEXT.EVALUATE.evaluators-r1": "role evaluator", "$JS.ACK.GENERATE.x": "role generator", "$JS.API.STREAM.DELETE.EVALUATE": "role operator"} {
		err := viewer.Refused(errors.Join(nats.ErrPermissionViolation, errors.New(`Permissions Violation for Publish to "`+subject+`"`)))
		if !strings.Contains(err.Error(), "role viewer may not use "+subject+": that needs a token of "+needs) || !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("Refused = %v", err)
		}
	}
	if err := viewer.Refused(os.ErrNotExist); !errors.Is(err, os.ErrNotExist) || err.Error() != os.ErrNotExist.Error() {
		t.Errorf("Refused of something else = %v", err)
	}
	err := viewer.May("evaluate", access.Evaluator)
	if err == nil || !strings.Contains(err.Error(), "role viewer may not evaluate: that needs a token of role evaluator or operator") {
		t.Errorf("May = %v", err)
	}
	for _, tok := range []access.Token{{}, {Role: access.Operator}, {Role: access.Evaluator}} {
		if err := tok.May("evaluate", access.Evaluator); err != nil {
			t.Errorf("May of %q = %v", tok.Role, err)
		}
	}
}

// TestClaims wants a guest to take what it is lent and to say what it found, under the name of its own token and share
// alone, and to store a verdict nowhere.
func TestClaims(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), false)
	h.fill(t)
	if err := h.queue.ServeLent(t.Context(), []string{run}); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := h.queue.Lend(t.Context(), stream.Batch{Unit: unit(i)}); err != nil {
			t.Fatal(err)
		}
	}
	g := h.invite(t, access.Spec{Role: access.Guest, Share: 0.05})
	other := h.letter(t, access.Spec{Role: access.Guest, Share: 0.05})
	if got := g.Guest(); got.ID != g.ID || got.Share != 5000 {
		t.Errorf("the token is of %+v, want a share of 5000", got)
	}
	q := queue.New(g.js)
	all, err := q.Consumers(within(t), stream.Lent, nil)
	if err != nil || len(all) != 1 || all[0].Run != run {
		t.Fatalf("consumers = %v, %v, want that of the run", all, err)
	}
	for range 2 {
		m := streamtest.Next(t, all[0])
		_, u, err := stream.ParseSubject(m.Subject())
		if err != nil {
			t.Fatal(err)
		}
		for want := range 2 {
			fresh, err := q.PublishClaim(within(t), g.Guest(), stream.Claim{Unit: u})
			if err != nil || fresh != (want == 0) {
				t.Errorf("claim %d on unit %d: fresh %v, %v", want+1, u.Index, fresh, err)
			}
		}
		if err := m.DoubleAck(within(t)); err != nil {
			t.Error(err)
		}
	}
	for _, subject := range []string{
		other.Guest().ClaimSubject(unit(0)), stream.Guest{ID: g.ID, Share: 4999}.ClaimSubject(unit(0)), unit(0).Subject(stream.Combine), unit(0).Subject(stream.Lent), "dead." + unit(0).Subject(stream.Evaluate), "judges." + run,
	} {
		if err := g.conn.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		g.refused(t, subject)
	}
	// The lender is told who says what.
	ctx, cancel := context.WithCancel(within(t))
	heard := make(map[int]bool)
	err = h.queue.Claims(ctx, func(c *queue.Claimed) {
		if c.Err != nil || c.Guest != g.Guest() {
			t.Errorf("claim = %+v, want one of %+v", c, g.Guest())
		}
		if heard[c.Index] = true; len(heard) == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || !heard[0] || !heard[1] {
		t.Errorf("claims heard of %v, %v, want units 0 and 1", heard, err)
	}
}

// TestKeysBeforeGuests wants keys that an earlier lcbq made to do for guests too, the same ones at each look.
func TestKeysBeforeGuests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := access.Make(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, access.KeysName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	accounts, ok := file["accounts"].(map[string]any)
	if !ok || accounts["lcbq-guests"] == nil {
		t.Fatalf("the file has the accounts %v", accounts)
	}
	delete(accounts, "lcbq-guests")
	if text, err = json.Marshal(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var books []map[string]string
	for range 2 {
		k, err := access.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		book, err := k.Accounts(nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		books = append(books, book)
	}
	for id := range books[0] {
		if len(books[0]) != 6 || books[1][id] == "" {
			t.Errorf("of %d accounts %s has another key at the next look", len(books[0]), id)
		}
	}
}

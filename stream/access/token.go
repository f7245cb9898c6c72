package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/private"
)

// RevokedName is the file in a server's store directory that names the tokens that are refused before their time.
const RevokedName = "revoked.json"

// A Spec says what a token is for.
type Spec struct {
	Role Role
	Name string        // for people; tokens of one role and name may take each other's place in a running worker
	TTL  time.Duration // how long it is good; 0 for ever
	From []string      // networks, such as 10.0.0.0/8, from where alone it is good; none: from everywhere

	Share float64 // of a guest's units that are judged again, above 0, at most 1; for others 0
}

// A Token is what a file of credentials says of its holder. What it says is not proved: the server proves it.
type Token struct {
	ID      string // the holder's public key
	Role    Role   // "" of credentials that lcbq did not make
	Name    string
	Expires time.Time // zero: never
	From    []string
	CA      string // certificate of the server's authority, in PEM; "" if the file holds none
	Inbox   string // prefix of the subjects at which the holder gets answers; "" for the usual one
	Orders  string // under which name the holder may look for orders; "" if it may not, as with a worker's token of an earlier lcbq
	Share   int    // of a guest's units that are judged again, in hundred-thousandths
}

// roleTag marks the tokens that lcbq makes, and shareTag those of guests besides.
const (
	roleTag  = "lcbq-role:"
	shareTag = "lcbq-share:"
)

// Guest returns how a guest's claims name it.
func (t Token) Guest() stream.Guest { return stream.Guest{ID: t.ID, Share: t.Share} }

// Issue makes a token and returns the file of credentials that it is.
func (k *Keys) Issue(s Spec) (creds []byte, t Token, err error) {
	kp, err := nkeys.CreateUser()
	if err != nil {
		return nil, t, fmt.Errorf("make token: %w", err)
	}
	if _, err := ParseRole(string(s.Role)); err != nil {
		return nil, t, fmt.Errorf("make token: %w", err)
	}
	if s.TTL < 0 {
		return nil, t, fmt.Errorf("make token: it would be over before it begins: %v", s.TTL)
	}
	if guest := s.Role == Guest; guest != (s.Share != 0) || guest && (!(s.Share <= 1) || hundredThousandths(s.Share) < 1) {
		return nil, t, fmt.Errorf("make token: share %v of a %s's units is judged again: want 0.00001 to 1 for a guest, none for others", s.Share, s.Role)
	}
	for _, from := range s.From {
		if _, err := netip.ParsePrefix(from); err != nil {
			return nil, t, fmt.Errorf("make token: %q is no network: want one such as 10.0.0.0/8 or 192.0.2.7/32", from)
		}
	}
	return k.issue(kp, s)
}

func hundredThousandths(share float64) int { return int(math.Round(share * stream.WholeShare)) }

func (k *Keys) issue(kp nkeys.KeyPair, s Spec) (creds []byte, t Token, err error) {
	c := jwt.NewUserClaims(public(kp))
	c.Name = s.Name
	if c.Name == "" {
		c.Name = string(s.Role)
	}
	c.Tags.Add(roleTag + string(s.Role))
	c.Src = append(c.Src, s.From...)
	if s.TTL > 0 {
		c.Expires = time.Now().Add(s.TTL).Unix()
	}
	if s.Role != Operator {
		c.Subs = mostSubs
		if s.Role == Viewer {
			c.Limits.Payload = viewed
		}
		for _, g := range s.Role.Grants() {
			if g.Subject == claims {
				share := hundredThousandths(s.Share)
				c.Tags.Add(shareTag + strconv.Itoa(share))
				g.Subject = stream.Guest{ID: c.Subject, Share: share}.Subjects() + ">"
			}
			if g.Subject == orders {
				g.Subject = ordersOf + k.own("orders", s, c.Subject) + ".>"
			}
			c.Pub.Allow.Add(g.Subject)
		}
		inbox := usualInbox
		if s.Role.ownInbox() {
			inbox = usualInbox + "_" + k.own("inbox", s, c.Subject)
		}
		c.Sub.Allow.Add(inbox + ".>")
	}
	text, err := c.Encode(k.accounts[s.Role.account()])
	if err != nil {
		return nil, t, fmt.Errorf("sign token: %w", err)
	}
	seed, err := kp.Seed()
	if err != nil {
		return nil, t, fmt.Errorf("sign token: %w", err)
	}
	if creds, err = jwt.FormatUserConfig(text, seed); err != nil {
		return nil, t, fmt.Errorf("sign token: %w", err)
	}
	creds = append(creds, "\nThe authority that signs the server's certificate:\n"+k.CA()...)
	t, err = ParseToken(creds)
	return creds, t, err
}

// Local returns the credentials of the server's own user, an operator. Those that it returned before are
// refused by a server whose accounts were made with a later time of birth.
func (k *Keys) Local() ([]byte, error) {
	creds, _, err := k.issue(k.local, Spec{Role: Operator, Name: "local"})
	return creds, err
}

// mostCreds bounds a file of credentials, in bytes.
const mostCreds = 64 << 10

// ReadToken reads a file of credentials of whatever NATS server.
func ReadToken(path string) (Token, error) {
	c, err := ReadCreds(path)
	return c.Token, err
}

// Creds is a file of credentials as it was when it was read.
type Creds struct {
	Token
	text []byte
}

// ReadCreds reads a file of credentials of whatever NATS server, with what shows a server that they are held.
func ReadCreds(path string) (Creds, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Creds{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > mostCreds {
		return Creds{}, errors.New("it is no file of credentials")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Creds{}, err
	}
	t, err := ParseToken(text)
	return Creds{t, text}, err
}

// JWT returns what names the holder to a server.
func (c Creds) JWT() (string, error) { return nkeys.ParseDecoratedJWT(c.text) }

// Sign returns the signature of the holder of the JWT.
func (c Creds) Sign(nonce []byte) ([]byte, error) {
	kp, err := nkeys.ParseDecoratedUserNKey(c.text)
	if err != nil {
		return nil, fmt.Errorf("read the key of credentials: %w", err)
	}
	defer kp.Wipe()
	return kp.Sign(nonce)
}

// ParseToken reads the text of a file of credentials.
func ParseToken(text []byte) (t Token, err error) {
	if !strings.Contains(string(text), "-----BEGIN NATS USER JWT-----") {
		return t, errors.New("it holds no NATS user JWT")
	}
	signed, err := nkeys.ParseDecoratedJWT(text)
	if err != nil {
		return t, err
	}
	c, err := jwt.DecodeUserClaims(signed)
	if err != nil {
		return t, fmt.Errorf("its NATS user JWT is broken: %w", err)
	}
	kp, err := nkeys.ParseDecoratedUserNKey(text)
	if err != nil {
		return t, fmt.Errorf("its key is broken: %w", err)
	}
	if public(kp) != c.Subject {
		return t, errors.New("its key is another user's than its JWT")
	}
	t = Token{ID: c.Subject, Name: c.Name, From: c.Src}
	if c.Expires != 0 {
		t.Expires = time.Unix(c.Expires, 0)
	}
	for _, tag := range c.Tags {
		if name, ok := strings.CutPrefix(tag, roleTag); ok {
			if t.Role, err = ParseRole(name); err != nil {
				return t, fmt.Errorf("%w\nthe token is of a newer lcbq: use that", err)
			}
		}
		if share, ok := strings.CutPrefix(tag, shareTag); ok {
			if t.Share, err = strconv.Atoi(share); err != nil {
				return t, fmt.Errorf("its share is broken: %w", err)
			}
		}
	}
	if _, ca, ok := strings.Cut(string(text), "-----BEGIN "+certificateBlock); ok {
		t.CA = "-----BEGIN " + certificateBlock + ca
	}
	for _, subject := range c.Pub.Allow {
		if of, ok := strings.CutPrefix(subject, ordersOf); ok {
			if own, ok := strings.CutSuffix(of, ".>"); ok && !strings.ContainsAny(own, "*>. ") {
				t.Orders = own
			}
		}
	}
	for _, subject := range c.Sub.Allow {
		if own, ok := strings.CutSuffix(subject, ".>"); ok && strings.HasPrefix(own, usualInbox+"_") && !strings.ContainsAny(own, "*>. ") {
			t.Inbox = own
		}
	}
	return t, nil
}

// usualInbox is the prefix at which clients get answers unless they are told otherwise.
const usualInbox = "_INBOX"

// own returns under which name a worker has something of its own: the inbox at which it gets answers, and its orders.
// Tokens of one role and name have the same: a worker goes on with another token only if it is heard where it listens.
func (k *Keys) own(what string, s Spec, id string) string {
	if s.Name == "" {
		return id
	}
	seed, err := k.accounts[s.Role.account()].Seed()
	if err != nil { // only of a wiped key
		panic(err)
	}
	mac := hmac.New(sha256.New, seed)
	fmt.Fprintf(mac, "%s %s", what, s.Name) // a hash takes every write
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// Revocations are the tokens that are refused, by ID, and when they were revoked, for people.
type Revocations map[string]time.Time

// ReadRevocations returns the tokens that the server of a store directory refuses.
func ReadRevocations(dir string) (Revocations, error) {
	r := make(Revocations)
	text, err := os.ReadFile(filepath.Join(dir, RevokedName))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return nil, fmt.Errorf("read revoked tokens: %w\nput %s back from a backup: without it the revoked tokens would be good again", err, filepath.Join(dir, RevokedName))
	}
	return r, nil
}

// Revoke has the server refuse a token, by its ID. A server that runs sees it within seconds, and ends the
// connections of its holder.
func (k *Keys) Revoke(id string) error {
	if !nkeys.IsValidPublicUserKey(id) {
		return fmt.Errorf("revoke token: %q is no token's ID: want the file of the token, or the ID that was printed when it was made, U and 55 more letters", id)
	}
	if id == public(k.local) {
		return errors.New("revoke token: that is the server's own user, who gets a new token at each start")
	}
	r, err := ReadRevocations(k.dir)
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	r[id] = time.Now().UTC().Truncate(time.Second)
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	if err := private.Write(filepath.Join(k.dir, RevokedName), append(text, '\n')); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// KeysName is the file in a server's store directory that holds its keys. Who reads it can make tokens.
const KeysName = "keys.json"

// Errors by which a command chooses what it does.
var (
	// ErrNoKeys: the store has none, and its server knows no roles.
	ErrNoKeys = errors.New("no keys in the store")
	// ErrKeysExist: keys are made once. Other keys would void every token.
	ErrKeysExist = errors.New("the store has keys")
)

// Keys are a server's: its operator's, its accounts', and those of the certificate authority that signs its
// certificates.
type Keys struct {
	dir      string
	operator nkeys.KeyPair
	accounts map[string]nkeys.KeyPair // by name
	local    nkeys.KeyPair            // the user that programs of the server's own user are
	ca       authority
	clock    func() time.Time // instead of time.Now, in tests
}

// now is the time by which certificates are made.
func (k *Keys) now() time.Time {
	if k.clock != nil {
		return k.clock()
	}
	return time.Now()
}

// keysFile is what the file holds.
type keysFile struct {
	Comment  string            `json:"comment"`
	Created  time.Time         `json:"created"`
	Operator string            `json:"operator"` // seeds
	Accounts map[string]string `json:"accounts"`
	Local    string            `json:"local"`
	CA       string            `json:"ca"` // PEM
	CAKey    string            `json:"ca_key"`
}

// accountNames returns the names of all accounts.
func accountNames() []string {
	names := []string{home, system}
	for _, r := range contained {
		names = append(names, r.account())
	}
	return names
}

// Make makes keys in a store directory. It returns ErrKeysExist where there are some.
func Make(dir string) (*Keys, error) {
	text, err := newKeys()
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	path := filepath.Join(dir, KeysName)
	f, err := os.CreateTemp(dir, KeysName+".*") // its mode is 0600
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Link(f.Name(), path) // unlike a rename it replaces nothing
	}
	err = errors.Join(err, os.Remove(f.Name()))
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make keys in %s: %w", dir, ErrKeysExist)
	}
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	return Load(dir)
}

func newKeys() ([]byte, error) {
	file := keysFile{
		Comment: "Keys of lcbq's server. Who reads them can make tokens of every role: keep them, and back them up with the store.",
		Created: time.Now().UTC().Truncate(time.Second), Accounts: make(map[string]string),
	}
	var errs []error
	seed := func(create func() (nkeys.KeyPair, error)) string {
		kp, err := create()
		if err != nil {
			errs = append(errs, err)
			return ""
		}
		text, err := kp.Seed()
		errs = append(errs, err)
		return string(text)
	}
	file.Operator, file.Local = seed(nkeys.CreateOperator), seed(nkeys.CreateUser)
	for _, name := range accountNames() {
		file.Accounts[name] = seed(nkeys.CreateAccount)
	}
	var err error
	file.CA, file.CAKey, err = newAuthority(file.Created)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return json.MarshalIndent(file, "", "  ")
}

// Load reads the keys of a store directory. Its error wraps ErrNoKeys where there are none. Keys that others
// can read are refused.
func Load(dir string) (*Keys, error) {
	path := filepath.Join(dir, KeysName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoKeys)
	}
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	const most = 64 << 10
	switch mode := info.Mode(); {
	case !mode.IsRegular() || info.Size() > most:
		return nil, fmt.Errorf("read keys: %s is no file of keys", path)
	case mode.Perm()&0o077 != 0:
		return nil, fmt.Errorf("read keys: other users can read or write %s (mode %#o)\nif nobody has done so: chmod 600 %s; otherwise remove it, make new keys with 'lcbq server init', and new tokens", path, mode.Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	k, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("read keys: %s: %w\nput the file back from a backup, or remove it and make new keys with 'lcbq server init': every token is void then", path, err)
	}
	k.dir = dir
	return k, nil
}

func parse(text []byte) (*Keys, error) {
	var file keysFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	k := &Keys{accounts: make(map[string]nkeys.KeyPair)}
	var err error
	if k.operator, err = pair(file.Operator, nkeys.PrefixByteOperator); err != nil {
		return nil, fmt.Errorf("operator: %w", err)
	}
	if k.local, err = pair(file.Local, nkeys.PrefixByteUser); err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	for _, name := range accountNames() {
		if file.Accounts[name] == "" && name == Guest.account() {
			k.accounts[name], err = derived(k.operator, name)
		} else {
			k.accounts[name], err = pair(file.Accounts[name], nkeys.PrefixByteAccount)
		}
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", name, err)
		}
	}
	k.ca, err = parseAuthority(file.CA, file.CAKey)
	return k, err
}

// derived returns the key of an account that there was none of when the file was made: it follows from the
// operator's, so that all servers of a cluster have the same.
func derived(operator nkeys.KeyPair, name string) (nkeys.KeyPair, error) {
	seed, err := operator.Seed()
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, seed)
	fmt.Fprintf(mac, "account %s", name) // a hash takes every write
	return nkeys.FromRawSeed(nkeys.PrefixByteAccount, mac.Sum(nil))
}

// pair reads a seed of the wanted kind.
func pair(seed string, kind nkeys.PrefixByte) (nkeys.KeyPair, error) {
	prefix, _, err := nkeys.DecodeSeed([]byte(seed))
	if err != nil {
		return nil, err
	}
	if prefix != kind {
		return nil, fmt.Errorf("it is the seed of a %s, want one of a %s", prefix, kind)
	}
	return nkeys.FromSeed([]byte(seed))
}

// public returns a key's public half.
func public(kp nkeys.KeyPair) string {
	p, err := kp.PublicKey()
	if err != nil { // only of a wiped key
		panic(err)
	}
	return p
}

// Home returns the public key of the account that holds the streams, System that of the system account.
func (k *Keys) Home() string { return public(k.accounts[home]) }

// System returns the public key of the system account.
func (k *Keys) System() string { return public(k.accounts[system]) }

// Operator returns the JWT by which a server knows whose accounts it serves.
func (k *Keys) Operator() (string, error) {
	c := jwt.NewOperatorClaims(public(k.operator))
	c.Name = "lcbq"
	c.SystemAccount = k.System()
	text, err := c.Encode(k.operator)
	if err != nil {
		return "", fmt.Errorf("sign operator: %w", err)
	}
	return text, nil
}

// Limits of the accounts. A worker has one connection, and as many again where it comes back before the
// server has seen that it went.
const (
	mostWorkers = 4096
	mostViewers = 512
	mostSubs    = 1024     // of one connection
	viewed      = 64 << 10 // bytes of a viewer's message
)

// forGood is the time up to which a revoked token may say that it was made. No ID is given to a second token.
var forGood = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// Accounts returns the JWT of each account by its public key, as they are now. Tokens in revoked are refused,
// and those of the local user that were made before born.
func (k *Keys) Accounts(revoked Revocations, born time.Time) (map[string]string, error) {
	all := make(map[string]string)
	for name, kp := range k.accounts {
		c := jwt.NewAccountClaims(public(kp))
		c.Name = name
		c.Limits.DisallowBearer = true
		c.Limits.LeafNodeConn = 0
		switch name {
		case home:
			c.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: jwt.NoLimit, MemoryStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
			c.Exports = exports()
			c.RevokeAt(public(k.local), born)
		case system:
		default:
			k.contain(c, name)
		}
		for id := range revoked {
			// Not until the time it was revoked: whoever made it may have had a clock that was ahead.
			c.RevokeAt(id, forGood)
		}
		var vr jwt.ValidationResults
		c.Validate(&vr)
		if errs := vr.Errors(); len(errs) > 0 {
			return nil, fmt.Errorf("sign account %s: %w", name, errors.Join(errs...))
		}
		text, err := c.Encode(k.operator)
		if err != nil {
			return nil, fmt.Errorf("sign account %s: %w", name, err)
		}
		all[c.Subject] = text
	}
	return all, nil
}

// exports returns what the account of the streams offers to the others.
func exports() jwt.Exports {
	var wanted []Grant
	for _, r := range contained {
		wanted = append(wanted, r.Grants()...)
	}
	var all jwt.Exports
	for i, g := range wanted {
		covered := slices.ContainsFunc(wanted, func(w Grant) bool { return w.Subject != g.Subject && matches(w.Subject, g.Subject) }) ||
			slices.ContainsFunc(wanted[:i], func(w Grant) bool { return w.Subject == g.Subject })
		if !covered {
			e := &jwt.Export{Name: g.Subject, Subject: jwt.Subject(g.Subject), Type: jwt.Service, ResponseType: jwt.ResponseTypeSingleton}
			if g.Stream {
				e.ResponseType = jwt.ResponseTypeStream
			}
			all.Add(e)
		}
	}
	return all
}

// contain gives the account of a role what the role may ask, and no more. Each subject keeps its name: the
// import of $JS.API.INFO keeps the server from answering all of $JS.API itself with "not enabled".
func (k *Keys) contain(c *jwt.AccountClaims, name string) {
	c.Limits.Conn = mostWorkers
	for _, r := range contained {
		if r.account() != name {
			continue
		}
		if r == Viewer {
			c.Limits.Conn = mostViewers
		}
		for _, g := range r.Grants() {
			c.Imports.Add(&jwt.Import{Name: g.Subject, Subject: jwt.Subject(g.Subject), Account: k.Home(), Type: jwt.Service})
		}
	}
}

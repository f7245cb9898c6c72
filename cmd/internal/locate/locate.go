// Package locate finds the server that a command means, by a results folder, a store directory or an
// address, and the key that the server asks for. It opens no connection.
package locate

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/process"
)

// StoreName is the store directory in a results folder, and in a folder where 'lcbq server' was started.
const StoreName = ".lcbq"

// Results is the results folder of a command that names none.
const Results = "results"

// ErrNone says that nothing serves where was looked: a command may wait for a server, or serve the store
// itself.
var ErrNone = errors.New("no server")

// A Place is where a server is, or a store that nobody serves.
type Place struct {
	Address string // of a server that was named by it; it may hold a password
	Store   string // the server's store directory on this machine, as far as is known
	Run     string // the run of the results folder that the server was found by

	lent bool // the store's key goes to Address whatever port that has
}

// ByAddress returns the place of a server that is named by its address. store may say where it keeps its
// streams, which lends the key that lies there to an address that is another's, such as a tunnel's end.
// Without it the key of this user's own server on that port of this machine is taken.
func ByAddress(address, store string) Place {
	if store != "" && isStore(store) {
		return Place{Address: address, Store: store, lent: true}
	}
	return Place{Address: address, Store: remembered(address)}
}

// Mine reports whether the server is, as far as its place tells, one of this user's on this machine.
func (p Place) Mine() bool { return p.Store != "" || portOf(p.Address) != "" }

// ByFolder returns the place of the server of a results folder: the one that its run.toml names, or the
// one whose store lies in it. A store directory will do too. It returns an error for a folder that is
// neither.
func ByFolder(dir string) (Place, error) {
	if isStore(dir) {
		return Place{Store: dir}, nil
	}
	p := Place{Store: filepath.Join(dir, StoreName)}
	values, err := config.ReadFile(filepath.Join(dir, result.ConfigName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if !isStore(p.Store) {
			return Place{}, fmt.Errorf("%s is no results folder: it has neither %s nor %s\nname the folder of the run with -o, or its server with --nats", dir, result.ConfigName, StoreName)
		}
		return p, nil
	case err != nil:
		return Place{}, fmt.Errorf("look for the server of %s: %w", dir, err)
	}
	p.Run, _ = values["run"].(string)
	address, _ := values["nats"].(string)
	if store, _ := values["store-dir"].(string); store != "" {
		p.Store = store
	} else if address != "" {
		p.Store = remembered(address)
	}
	p.Address = address
	return p, nil
}

// isStore reports whether a server keeps or kept its streams in dir.
func isStore(dir string) bool {
	for _, name := range []string{"jetstream", embed.LockName} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// Here returns the place of the server that is meant where none is named: the one that serves the results
// folder or the store in the current folder. Its error wraps ErrNone where neither is served; the place is
// then that of a store which could be, if there is one.
func Here() (Place, error) {
	var rest, served []Place
	if _, err := os.Stat(Results); err == nil {
		if p, err := ByFolder(Results); err == nil {
			rest = append(rest, p)
		}
	}
	if isStore(StoreName) {
		rest = append(rest, Place{Store: StoreName})
	}
	for _, p := range rest {
		if p.Address != "" || p.Served() {
			served = append(served, p)
		}
	}
	switch {
	case len(served) == 1 || len(served) > 1 && same(served[0], served[1]):
		return served[0], nil
	case len(served) > 1:
		return Place{}, fmt.Errorf("two servers are meant here, that of %s and that of %s\nname one with -o %s or --store-dir %s", Results, StoreName, Results, StoreName)
	}
	none := fmt.Errorf("%w is here: neither %s nor %s in this folder is served\nname the run's results folder with -o, or the server with --nats; 'lcbq run' and 'lcbq server' start one", ErrNone, Results, StoreName)
	if len(rest) > 0 {
		return rest[0], none
	}
	return Place{}, none
}

// same reports whether two places are those of one store.
func same(a, b Place) bool {
	x, err := filepath.Abs(a.Store)
	y, err2 := filepath.Abs(b.Store)
	return err == nil && err2 == nil && x == y
}

// Served reports whether a server runs on the place's store.
func (p Place) Served() bool {
	_, err := embed.OwnerOf(p.Store)
	return p.Store != "" && !errors.Is(err, embed.ErrNotRunning)
}

// Reach returns the server's address and how a client connects to it. The key is read again for each
// connection, and so is the address unless the server was named by one: a server that starts anew has a
// new key, and may have another port. The error wraps ErrNone where there is no server yet.
func (p Place) Reach() (address string, opts []nats.Option, err error) {
	if p.Address != "" {
		u, err := url.Parse(p.Address)
		if !p.Mine() || err != nil || u.User != nil {
			return p.Address, nil, nil //nolint:nilerr // who connects says what is wrong with the address
		}
		return p.Address, p.keys(), nil
	}
	owner, err := embed.OwnerOf(p.Store)
	if errors.Is(err, embed.ErrNotRunning) {
		return "", nil, fmt.Errorf("%w runs on %s", ErrNone, p.Store)
	}
	if id, perr := process.Parse(owner.Process); err == nil && perr == nil && !id.Here() {
		return "", nil, fmt.Errorf("the server of %s is process %d of another machine or container\nname it by an address that is right here, with --nats", p.Store, id.PID)
	}
	a, err := embed.ReadAccess(p.Store)
	if errors.Is(err, embed.ErrNotRunning) {
		return "", nil, fmt.Errorf("%w answers on %s yet: it starts, and reads what it has stored", ErrNone, p.Store)
	}
	if errors.Is(err, embed.ErrForeign) || errors.Is(err, fs.ErrPermission) {
		return "", nil, fmt.Errorf("%w\nrun the command as that user", err)
	}
	if err != nil {
		return "", nil, err
	}
	return a.URL, append(p.keys(), nats.SetCustomDialer(p)), nil
}

// keys returns how a client shows that its user owns the server, by a key or by credentials, and knows its
// certificate. What it shows is read anew for each connection.
func (p Place) keys() []nats.Option {
	return []nats.Option{
		nats.TokenHandler(func() string { return p.access().Token }),
		nats.UserJWT(func() (string, error) { return p.access().JWT, nil }, func(nonce []byte) ([]byte, error) { return embed.Sign(p.access().Seed, nonce) }),
		func(o *nats.Options) error {
			if file := p.access().CA; file != "" {
				if text, err := os.ReadFile(file); err == nil { // who connects says that it knows no authority
					o.TLSConfig, err = access.ClientTLS(string(text))
					return err
				}
			}
			return nil
		},
	}
}

// access returns how the present server is reached, nothing where there is none. It goes to no port that the
// server has left: another user's program may listen there now.
func (p Place) access() embed.Access {
	store := p.Store
	if store == "" { // it was not there when it was named
		store = remembered(p.Address)
	}
	a, err := embed.ReadAccess(store)
	if err != nil || p.Address != "" && !p.lent && portOf(p.Address) != portOf(a.URL) {
		return embed.Access{}
	}
	return a
}

// dialWait bounds one try to reach a server.
const dialWait = 5 * time.Second

// Dial connects to the present server, wherever its former life was.
func (p Place) Dial(network, address string) (net.Conn, error) {
	if a, err := embed.ReadAccess(p.Store); err == nil {
		if u, err := url.Parse(a.URL); err == nil && u.Host != "" {
			address = u.Host
		}
	}
	return (&net.Dialer{Timeout: dialWait}).Dial(network, address)
}

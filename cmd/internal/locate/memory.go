package locate

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/lcbq/lcbq/stream/embed"
)

// memory returns the folder that says of each port of this machine on which a server of this user's
// listens where its store lies. It is a help, not a truth: what it says is looked at, and a user without
// a home has none.
func memory() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "lcbq", "servers")
}

// Remember notes where the server at an address keeps its streams, so that whoever names the address finds
// the key. It returns what forgets it again.
func Remember(address, store string) (forget func()) {
	dir, port := memory(), portOf(address)
	store, err := filepath.Abs(store)
	if dir == "" || port == "" || err != nil {
		return func() {}
	}
	path := filepath.Join(dir, port)
	if os.MkdirAll(dir, 0o700) != nil || os.WriteFile(path, []byte(store), 0o600) != nil {
		return func() {} // the store itself names the server too
	}
	return func() {
		if was, err := os.ReadFile(path); err == nil && string(was) == store {
			_ = os.Remove(path) // one that stays misleads nobody
		}
	}
}

// remembered returns the store directory of this user's server at an address of this machine, "" if none
// is known.
func remembered(address string) string {
	dir, port := memory(), portOf(address)
	if dir == "" || port == "" {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(dir, port))
	if err != nil {
		return ""
	}
	store := string(text)
	if a, err := embed.ReadAccess(store); err != nil || portOf(a.URL) != port {
		return ""
	}
	return store
}

// portOf returns the port of an address of this machine, "" for another's.
func portOf(address string) string {
	if !strings.Contains(address, "://") {
		address = "nats://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback() && !ip.IsUnspecified()) {
		return ""
	}
	if u.Port() == "" {
		return "4222"
	}
	return u.Port()
}

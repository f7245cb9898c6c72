package embed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/lcbq/lcbq/stream/private"
)

// AccessName is the file in a store directory by which its owner's programs reach the server.
const AccessName = "server.json"

// An Access is where a server listens and the key that it asks for. In its file it has the form of a
// context of natscli: nats --context FILE.
type Access struct {
	Description string `json:"description"`
	URL         string `json:"url"`             // as programs of this machine reach it
	Token       string `json:"token,omitempty"` // made anew at each start; "" where the server asks for none

	// Of a server that knows its clients by credentials.
	JWT  string `json:"user_jwt,omitempty"` // made anew at each start
	Seed string `json:"user_seed,omitempty"`
	CA   string `json:"ca,omitempty"` // file with the authority of its certificate; "" where it speaks no TLS
}

// ErrForeign says that another user could have written the file: what it says is not believed.
var ErrForeign = errors.New("belongs to another user")

// writeAccess leaves the access to a server in its directory.
func writeAccess(dir, address, key string, trust *Trust) error {
	a := Access{Description: "lcbq's server on " + dir, URL: near(address), Token: key}
	var err error
	if trust != nil {
		if a, err = trust.accessOf(a, dir); err != nil {
			return fmt.Errorf("write access to server: %w", err)
		}
	}
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("write access to server: %w", err)
	}
	if err := private.Write(filepath.Join(dir, AccessName), append(text, '\n')); err != nil {
		return fmt.Errorf("write access to server: %w", err)
	}
	return nil
}

// near returns the address by which programs of this machine reach a server that listens on all of its
// addresses.
func near(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	ip := net.ParseIP(u.Hostname())
	switch {
	case ip == nil || !ip.IsUnspecified():
		return address
	case ip.To4() == nil:
		u.Host = net.JoinHostPort("::1", u.Port())
	default:
		u.Host = net.JoinHostPort("127.0.0.1", u.Port())
	}
	return u.String()
}

// ReadAccess returns how the server on a store directory is reached. Its error wraps ErrNotRunning where
// no server has left its file, and ErrForeign where another user owns it. That the server runs is not
// looked at: after a kill -9 the file stays.
func ReadAccess(dir string) (Access, error) {
	var a Access
	path := filepath.Join(dir, AccessName)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return a, fmt.Errorf("%s: %w", dir, ErrNotRunning)
	}
	if err != nil {
		return a, fmt.Errorf("read access to server: %w", err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return a, fmt.Errorf("read access to server: %w", err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return a, fmt.Errorf("read access to server: %s %w (%d)", path, ErrForeign, st.Uid)
	}
	const most = 64 << 10
	if !info.Mode().IsRegular() || info.Size() > most {
		return a, fmt.Errorf("read access to server: %s is no file of a server", path)
	}
	if err := json.NewDecoder(f).Decode(&a); err != nil {
		return a, fmt.Errorf("read access to server: %s: %w", path, err)
	}
	return a, nil
}

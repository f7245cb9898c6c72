package web

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"syscall"
)

// What --http may say besides an address.
const (
	Auto = "auto" // the usual port, or a free one
	None = "none" // no listener
)

// DefaultPort is where NATS' own tools look for a server's monitoring.
const DefaultPort = 8222

// ErrPortInUse says that another program listens on the address that was named.
var ErrPortInUse = errors.New("port in use")

// ErrAddress says that a text is no address to listen on.
var ErrAddress = errors.New("want HOST:PORT, auto or none")

// Check returns an error that wraps ErrAddress or ErrPortInUse if Open could not listen there.
func Check(listen string) error {
	if listen == Auto || listen == None {
		return nil
	}
	l, err := bind(listen)
	if err != nil {
		return err
	}
	return l.Close()
}

// bind listens on an address that was named.
func bind(listen string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", listen, ErrAddress)
	}
	l, err := net.Listen("tcp", listen) //nolint:noctx // it binds, and waits for nothing
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: %w", listen, ErrPortInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", listen, err)
	}
	return l, nil
}

// bindAny listens on this host alone: on the port that the same run had before, so that open pages find it
// again, on the usual one, or on a free one.
func bindAny(before string) (net.Listener, error) {
	ports := []string{strconv.Itoa(DefaultPort), "0"}
	if u, err := url.Parse(before); err == nil && u.Port() != "" {
		ports = append([]string{u.Port()}, ports...)
	}
	var errs []error
	for _, host := range []string{"127.0.0.1", "::1"} {
		for _, port := range ports {
			l, err := bind(net.JoinHostPort(host, port))
			if err == nil {
				return l, nil
			}
			errs = append(errs, err)
		}
	}
	return nil, errors.Join(errs...)
}

// address returns the URL by which a browser of this machine reaches a listener.
func address(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://" + addr.String() + "/"
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil && !takesIPv4() {
			host = "::1"
		}
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

// takesIPv4 reports whether this host has an address of the old kind: [::] then takes its connections too.
func takesIPv4() bool {
	l, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // it binds, and waits for nothing
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

// local reports whether only this machine reaches a listener.
func local(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

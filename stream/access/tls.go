package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"sync"
	"time"
)

// ServerName is a name that every certificate of a server has. Holders of a token ask for it: they know the
// authority that signs for this server alone, by whatever address they reach it.
const ServerName = "server.lcbq.internal"

// Lives of certificates. A worker's clock may be behind by as much as early.
const (
	early      = 48 * time.Hour
	ofCA       = 10 * 365 * 24 * time.Hour
	ofServer   = 90 * 24 * time.Hour
	renewAfter = ofServer / 2
)

// An authority signs a server's certificates.
type authority struct {
	text string // PEM
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func serial() (*big.Int, error) { return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) }

func newAuthority(now time.Time) (certificate, key string, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	number, err := serial()
	if err != nil {
		return "", "", err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: "lcbq server's own authority"},
		NotBefore: now.Add(-early), NotAfter: now.Add(ofCA),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "lcbq server's own authority"}}, k.Public(), k)
	if err != nil {
		return "", "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return "", "", err
	}
	return encode(certificateBlock, der), encode("PRIVATE KEY", private), nil
}

const certificateBlock = "CERTIFICATE"

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func parseAuthority(certificate, key string) (a authority, err error) {
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		return a, fmt.Errorf("certificate authority: %w", err)
	}
	k, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return a, errors.New("certificate authority: not one that lcbq made")
	}
	return authority{certificate, pair.Leaf, k}, nil
}

// CA returns the certificate of the server's own authority, in PEM.
func (k *Keys) CA() string { return k.ca.text }

// ServerTLS returns how the server speaks TLS. Its certificate, for the names and addresses of this machine,
// is made anew while the server runs.
func (k *Keys) ServerTLS(more ...string) (*tls.Config, error) {
	names := append(namesHere(), more...)
	var mu sync.Mutex
	var have *tls.Certificate
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if now := k.now(); have == nil || have.Leaf.NotAfter.Sub(now) < renewAfter {
			c, err := k.ca.sign(names, now)
			if err != nil {
				return nil, err
			}
			have = c
		}
		return have, nil
	}
	if k.now().After(k.ca.cert.NotAfter) {
		return nil, fmt.Errorf("the server's own certificate authority has expired on %s\nremove %s, make new keys with 'lcbq server init', and new tokens", k.ca.cert.NotAfter.Format(time.DateOnly), KeysName)
	}
	first, err := get(nil)
	if err != nil {
		return nil, fmt.Errorf("make the server's certificate: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*first}, GetCertificate: get}, nil
}

// RouteName is the name that a server of a cluster has in the certificate that it shows the others.
const RouteName = "route.lcbq.internal"

// RouteTLS returns how the servers of a cluster speak with each other: only whoever has the keys is one.
func (k *Keys) RouteTLS() (*tls.Config, error) {
	c, err := k.ca.sign([]string{RouteName}, k.now(), x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, fmt.Errorf("make the certificate for the cluster: %w", err)
	}
	var mu sync.Mutex
	get := func() (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if now := k.now(); c.Leaf.NotAfter.Sub(now) < renewAfter {
			renewed, err := k.ca.sign([]string{RouteName}, now, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
			if err != nil {
				return nil, err
			}
			c = renewed
		}
		return c, nil
	}
	pool := x509.NewCertPool()
	pool.AddCert(k.ca.cert)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, ServerName: RouteName,
		Certificates:         []tls.Certificate{*c},
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return get() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return get() },
	}, nil
}

// RouteSecret returns what the servers of a cluster show each other besides.
func (k *Keys) RouteSecret() (string, error) {
	seed, err := k.operator.Seed()
	if err != nil {
		return "", fmt.Errorf("make the secret of the cluster: %w", err)
	}
	mac := hmac.New(sha256.New, seed)
	mac.Write([]byte("lcbq route"))
	return hex.EncodeToString(mac.Sum(nil)), nil
}

// namesHere returns the names and addresses of this machine.
func namesHere() []string {
	names := []string{ServerName, "localhost"}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return append(names, "127.0.0.1", "::1")
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			names = append(names, n.IP.String())
		}
	}
	return names
}

// sign makes a certificate of a server with the given names, for servers unless usages say otherwise.
func (a authority) sign(names []string, now time.Time, usages ...x509.ExtKeyUsage) (*tls.Certificate, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	number, err := serial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: "lcbq server"},
		NotBefore: now.Add(-early), NotAfter: now.Add(ofServer),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(usages) > 0 {
		t.ExtKeyUsage = usages
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if n != "" {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, k.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k, Leaf: leaf}, nil
}

// ClientTLS returns how a client checks a server whose own authority it knows, by PEM.
func ClientTLS(ca string) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(ca)) {
		return nil, errors.New("no certificate that can be read")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: ServerName}, nil
}

package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// hidden stands for a secret in what people and programs read.
const hidden = "REDACTED"

// secretWords are parts of the names of parameters whose values are secrets.
var secretWords = []string{"key", "token", "secret", "pass", "pwd", "auth", "sig", "cred"}

// A secret is the place of one in a text: a password, a user's name without one, which is a
// token, or the value of a parameter.
type secret struct {
	from, to int
	name     string // PASSWORD, TOKEN, or the parameter's in capitals
}

// secretsIn finds the secrets of an address, also of one that does not parse: it is printed in
// the error that says so.
func secretsIn(address string) []secret {
	var found []secret
	from := 0
	if i := strings.Index(address, "://"); i >= 0 {
		from = i + len("://")
	}
	path, _, _ := strings.Cut(address[from:], "#")
	path, query, _ := strings.Cut(path, "?")
	if end := userEnd(path); end > 0 {
		name, at := "TOKEN", 0
		if i := strings.IndexByte(path[:end], ':'); i >= 0 {
			name, at = "PASSWORD", i+1
		}
		if at < end {
			found = append(found, secret{from + at, from + end, name})
		}
	}
	at := from + len(path) + 1
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		lower := strings.ToLower(name)
		if value != "" && slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(lower, w) }) {
			found = append(found, secret{at + len(name) + 1, at + len(part), variable(name)})
		}
		at += len(part) + 1
	}
	return found
}

// userEnd returns where the @ after user and password stands in an address without its scheme, 0
// without one. A password may hold a slash, although it should not.
func userEnd(path string) int {
	authority, _, _ := strings.Cut(path, "/")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		return i
	}
	_, port, ok := strings.Cut(authority, ":")
	if _, err := strconv.ParseUint(port, 10, 16); !ok || err == nil || strings.HasPrefix(authority, "[") {
		return 0
	}
	return max(strings.LastIndexByte(path, '@'), 0)
}

// variable returns name as that of a variable.
func variable(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, name)
}

// A reference stands in an address in place of a secret: ${VARIABLE} or ${file:PATH}.
var reference = regexp.MustCompile(`^\$\{(?:([A-Za-z_][A-Za-z0-9_]*)|file:([^}]+))\}$`)

// rewrite replaces the secrets of an address, or of several with commas between.
func rewrite(addresses string, by func(place int, s secret, text string) string) string {
	all := strings.Split(addresses, ",")
	for n, address := range all {
		var b strings.Builder
		last := 0
		for _, s := range secretsIn(address) {
			b.WriteString(address[last:s.from])
			b.WriteString(by(n, s, address[s.from:s.to]))
			last = s.to
		}
		all[n] = b.String() + address[last:]
	}
	return strings.Join(all, ",")
}

// Redact returns an address, or several with commas between, with REDACTED in place of each
// secret in it: passwords, tokens, and the values of parameters such as key and api_key.
// References to a secret stay.
func Redact(addresses string) string {
	return rewrite(addresses, func(_ int, _ secret, text string) string {
		if reference.MatchString(text) {
			return text
		}
		return hidden
	})
}

// Secrets returns the secrets of an address as they are written in it and as they are meant. Those
// that it only refers to are read where they can be.
func Secrets(addresses string) []string {
	var found []string
	rewrite(addresses, func(_ int, _ secret, text string) string {
		if reference.MatchString(text) {
			value, err := read(text)
			if err != nil {
				return ""
			}
			found = append(found, value, escape(value))
			return ""
		}
		found = append(found, text)
		for _, decode := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
			if plain, err := decode(text); err == nil && plain != text {
				found = append(found, plain)
			}
		}
		return ""
	})
	return found
}

// refer returns addresses with a reference in place of each secret, and the variables that are
// referred to. A reference of the user's own stays.
func refer(setting, addresses string, first int) (text string, variables []string) {
	text = rewrite(addresses, func(place int, s secret, text string) string {
		if reference.MatchString(text) {
			return text
		}
		name := "LCBQ_" + variable(setting) + "_"
		if n := first + place; n > 0 {
			name += strconv.Itoa(n+1) + "_"
		}
		name += s.name
		variables = append(variables, name)
		return "${" + name + "}"
	})
	return text, variables
}

// Resolve returns the addresses of a setting with the secrets that they refer to by ${VARIABLE} or
// ${file:PATH}. A variable holds the secret as it is, without percent signs of an address.
func Resolve(setting, addresses string) (string, error) {
	var errs []error
	text := rewrite(addresses, func(_ int, _ secret, text string) string {
		if !reference.MatchString(text) {
			return text
		}
		value, err := read(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s = %s: %w", setting, Redact(addresses), err))
		}
		return escape(value)
	})
	return text, errors.Join(errs...)
}

// escape encodes a secret for any place in an address.
func escape(value string) string { return strings.ReplaceAll(url.QueryEscape(value), "+", "%20") }

// read returns what a reference refers to.
func read(text string) (string, error) {
	m := reference.FindStringSubmatch(text)
	if m[1] != "" {
		value, ok := os.LookupEnv(m[1])
		if !ok {
			return "", fmt.Errorf("the variable %s is not set\nit holds a secret, which no file of lcbq repeats: set it, or write the address with ${file:PATH} in its place", m[1])
		}
		return value, nil
	}
	b, err := os.ReadFile(m[2])
	if err != nil {
		return "", fmt.Errorf("read secret: %w\nthe address refers to this file: put the secret there, or name a variable in its place, as ${VARIABLE}", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// Resolved returns c with the secrets that it refers to. It refuses addresses that no NATS server has.
func (c Client) Resolved() (Client, error) {
	var err error
	if c.NATS, err = Resolve("nats", c.NATS); err != nil {
		return c, err
	}
	for one := range strings.SplitSeq(c.NATS, ",") {
		scheme, rest, found := strings.Cut(strings.TrimSpace(one), "://")
		if found && !slices.Contains([]string{"nats", "tls", "ws", "wss"}, strings.ToLower(scheme)) {
			host, _, _ := strings.Cut(rest[strings.LastIndexByte(rest, '@')+1:], "/")
			name, _, _ := strings.Cut(host, ":")
			return c, fmt.Errorf("--nats begins with %s://: a NATS server is reached by nats:// or tls://\nwrite --nats nats://%s:4222, with the port that 'lcbq server' prints; the live page and /metrics have http", scheme, name)
		}
	}
	return c, nil
}

// Resolved returns s with the secrets that it refers to.
func (s Source) Resolved() (Source, error) {
	var errs []error
	s.Endpoint = slices.Clone(s.Endpoint)
	for i, e := range s.Endpoint {
		var err error
		s.Endpoint[i], err = Resolve("endpoint", e)
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// Resolved returns h with the secrets that it refers to.
func (h Hub) Resolved() (Hub, error) {
	var err error
	h.HFEndpoint, err = Resolve("hf-endpoint", h.HFEndpoint)
	return h, err
}

// withoutSecrets returns c with references in place of its secrets, and the variables that are
// referred to.
func (c Config) withoutSecrets() (plain Config, variables []string) {
	var more []string
	c.NATS, variables = refer("nats", c.NATS, 0)
	c.HFEndpoint, more = refer("hf-endpoint", c.HFEndpoint, 0)
	variables = append(variables, more...)
	c.Endpoint = slices.Clone(c.Endpoint)
	for i, e := range c.Endpoint {
		c.Endpoint[i], more = refer("endpoint", e, i)
		variables = append(variables, more...)
	}
	return c, variables
}

package judge

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// A number is what Python's decimal.Decimal makes of a text, in the one form
// that equal decimals share. No arithmetic is ever done on it, so its size
// does not matter.
type number struct {
	class  numberClass
	neg    bool   // false for zero
	digits []byte // '0' to '9', neither first nor last is '0'; empty for zero
	exp    int64  // of the last digit; 0 for zero
}

type numberClass uint8

const (
	finite numberClass = iota
	infinite
	quietNaN
	signallingNaN
)

// The bounds of libmpdec on 64-bit machines. Decimal refuses a text whose
// value they do not hold exactly.
const (
	maxExponent  = 999_999_999_999_999_999
	tinyExponent = -1_999_999_999_999_999_997
)

// equal reports whether two numbers that are no NaN are equal.
func (n *number) equal(m *number) bool {
	return n.class == m.class && n.neg == m.neg && n.exp == m.exp && bytes.Equal(n.digits, m.digits)
}

// isNaN reports whether n is a NaN of either kind.
func (n *number) isNaN() bool { return n.class == quietNaN || n.class == signallingNaN }

// parse sets n to Decimal(token) and reports whether Decimal accepts it. The
// token has no white space around it. The digits it had before are reused.
func (n *number) parse(token string) bool {
	buf := n.digits[:0]
	*n = number{}
	if n.parseCommon(token, buf) {
		return true
	}
	// Like CPython: underscores vanish wherever they are, and the digits of
	// every script become ASCII, before the grammar is looked at.
	if !plain(token) {
		ascii, ok := normalise(token)
		if !ok {
			return false
		}
		token = ascii
	}
	if token != "" && (token[0] == '+' || token[0] == '-') {
		n.neg = token[0] == '-'
		token = token[1:]
	}
	if token == "" {
		return false
	}
	if c := token[0]; c != '.' && (c < '0' || c > '9') {
		return n.parseSpecial(token)
	}
	return n.parseFinite(token, buf)
}

// parseCommon does what parse does for the usual tokens, and reports whether
// token is one: a minus at most, and digits with at most one point.
func (n *number) parseCommon(token string, buf []byte) bool {
	const longest = 1000 // far from where the exponent's bounds matter
	if len(token) > longest {
		return false
	}
	digits := strings.TrimPrefix(token, "-")
	point, last := -1, 0 // last is the length of buf up to its last non-zero digit
	for i := range len(digits) {
		c := digits[i]
		switch {
		case c-'0' <= 9:
			if c != '0' {
				buf = append(buf, c)
				last = len(buf)
			} else if len(buf) > 0 {
				buf = append(buf, c)
			}
		case c == '.' && point < 0:
			point = i
		default:
			return false
		}
	}
	switch {
	case point < 0:
		point = len(digits) - 1
	case len(digits) == 1:
		return false
	}
	if len(digits) == 0 {
		return false
	}
	n.digits = buf[:last]
	if last > 0 {
		n.neg = len(digits) < len(token)
		n.exp = int64(len(buf) - last - (len(digits) - 1 - point))
	}
	return true
}

// plain reports whether token is ASCII without underscores and NUL.
func plain(token string) bool {
	for i := range len(token) {
		if c := token[i]; c >= utf8.RuneSelf || c == '_' || c == 0 {
			return false
		}
	}
	return true
}

func normalise(token string) (string, bool) {
	var b strings.Builder
	for _, r := range token {
		switch {
		case r == '_':
		case r == 0:
			return "", false
		case r < utf8.RuneSelf:
			b.WriteByte(byte(r))
		default:
			d, ok := digitOf(r)
			if !ok {
				return "", false
			}
			b.WriteByte(d)
		}
	}
	return b.String(), true
}

func (n *number) parseSpecial(token string) bool {
	low := strings.ToLower(token)
	switch {
	case low == "inf", low == "infinity":
		n.class = infinite
		return true
	case strings.HasPrefix(low, "nan"):
		n.class, low = quietNaN, low[3:]
	case strings.HasPrefix(low, "snan"):
		n.class, low = signallingNaN, low[4:]
	default:
		return false
	}
	for i := range len(low) {
		if low[i] < '0' || low[i] > '9' {
			return false
		}
	}
	return true
}

// parseFinite parses digits with an optional point and an optional exponent.
// buf is where the digits go.
func (n *number) parseFinite(token string, buf []byte) bool {
	coefficient, exponent := token, int64(0)
	if i := strings.IndexAny(token, "eE"); i >= 0 {
		var ok bool
		if exponent, ok = parseExponent(token[i+1:]); !ok {
			return false
		}
		coefficient = token[:i]
	}
	seen, point, fraction := false, false, int64(0)
	for i := range len(coefficient) {
		switch c := coefficient[i]; {
		case c == '.' && !point:
			point = true
		case c < '0' || c > '9':
			return false
		default:
			seen = true
			if point {
				fraction++
			}
			if c != '0' || len(buf) > 0 {
				buf = append(buf, c)
			}
		}
	}
	if !seen {
		return false
	}
	exponent = addSaturating(exponent, -fraction)
	size := int64(max(len(buf), 1)) // a zero has one digit
	if addSaturating(exponent, size-1) > maxExponent || exponent < tinyExponent {
		return false
	}
	end := len(buf)
	for end > 0 && buf[end-1] == '0' {
		end--
	}
	if end == 0 {
		n.neg, n.digits = false, buf[:0]
		return true
	}
	n.exp = exponent + int64(len(buf)-end)
	n.digits = buf[:end]
	return true
}

// parseExponent parses [sign] digits; a value that int64 does not hold becomes
// its largest or smallest.
func parseExponent(s string) (int64, bool) {
	neg := false
	if s != "" && (s[0] == '+' || s[0] == '-') {
		neg = s[0] == '-'
		s = s[1:]
	}
	if s == "" {
		return 0, false
	}
	const top = 1<<63 - 1
	var v int64
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if d := int64(c - '0'); v > (top-d)/10 {
			v = top
		} else {
			v = v*10 + d
		}
	}
	if neg {
		v = -v
	}
	return v, true
}

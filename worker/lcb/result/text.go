package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendText appends s to dst as a JSON string: characters as they are, without
// HTML escapes, so that a person can read programs in the file.
//
// A model's text need not be good Unicode. A lone surrogate, which Go holds as
// its three bytes of generalised UTF-8 (WTF-8), is written as the escape that
// Python writes, \ud800 to \udfff, and ParseText gives the same three bytes back. Any other
// byte that is not UTF-8 becomes U+FFFD: engines send JSON, where such bytes
// cannot be said at all.
func AppendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			i++
			start = i
			continue
		}
		if r, size := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
			i += size
			continue
		}
		dst = append(dst, s[start:i]...)
		if r, ok := surrogate(s[i:]); ok {
			dst = append(dst, '\\', 'u', 'd', hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
			i += 3
		} else {
			dst = utf8.AppendRune(dst, utf8.RuneError)
			i++
		}
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\t':
		return append(dst, '\\', 't')
	case '\r':
		return append(dst, '\\', 'r')
	default:
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
}

// surrogate decodes a surrogate in generalised UTF-8 at the start of s.
func surrogate(s string) (rune, bool) {
	if len(s) < 3 || s[0] != 0xED || s[1] < 0xA0 || s[1] > 0xBF || s[2] < 0x80 || s[2] > 0xBF {
		return 0, false
	}
	return 0xD000 | rune(s[1]&0x3F)<<6 | rune(s[2]&0x3F), true
}

// ParseText reads one JSON string and is the inverse of AppendText: a lone
// surrogate escape becomes its three bytes of generalised UTF-8.
func ParseText(raw []byte) (string, error) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return "", errors.New("parse text: want a JSON string")
	}
	raw = raw[1 : len(raw)-1]
	out := make([]byte, 0, len(raw))
	start := 0
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"' || c < ' ':
			return "", fmt.Errorf("parse text: byte %#x within a string", c)
		case c != '\\':
			continue
		}
		out = append(out, raw[start:i]...)
		r, size := unescape(raw[i:])
		if size == 0 {
			return "", fmt.Errorf("parse text: bad escape at byte %d", i)
		}
		if utf16.IsSurrogate(r) {
			out = append(out, 0xED, 0x80|byte(r>>6&0x3F), 0x80|byte(r&0x3F))
		} else {
			out = utf8.AppendRune(out, r)
		}
		i += size - 1
		start = i + 1
	}
	return string(append(out, raw[start:]...)), nil
}

// unescape decodes the escape at the start of b, two of them if they are the
// halves of one character, and returns its length, 0 if it is none.
func unescape(b []byte) (rune, int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if low, ok := hex4(b[6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return r, 6
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return rune(n), err == nil
}

// text is a string that goes through AppendText and ParseText.
type text string

func (t text) MarshalJSON() ([]byte, error) { return AppendText(nil, string(t)), nil }

func (t *text) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" { // as encoding/json treats it
		return nil
	}
	s, err := ParseText(raw)
	*t = text(s)
	return err
}

var (
	_ json.Marshaler   = text("")
	_ json.Unmarshaler = (*text)(nil)
)

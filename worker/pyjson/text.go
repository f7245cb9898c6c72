package pyjson

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Unquote returns the text of a string that Span has returned.
func Unquote(span []byte) string { return string(Unquoted(span)) }

// Unquoted is Unquote; its result is part of span if there is no escape in it.
func Unquoted(span []byte) []byte {
	body := span[1 : len(span)-1]
	if bytes.IndexByte(body, '\\') < 0 {
		return body
	}
	return AppendUnquoted(make([]byte, 0, len(body)), span)
}

// AppendUnquoted appends the text of a string that Span has returned.
func AppendUnquoted(dst, span []byte) []byte {
	body := span[1 : len(span)-1]
	for {
		at := bytes.IndexByte(body, '\\')
		if at < 0 {
			return append(dst, body...)
		}
		dst = append(dst, body[:at]...)
		var c rune
		c, body = unescape(body[at+1:])
		dst = appendRune(dst, c)
	}
}

// unescape reads one escape, its backslash already taken, and returns what is
// left. A pair of surrogate escapes is one character.
func unescape(b []byte) (rune, []byte) {
	switch b[0] {
	case 'b':
		return '\b', b[1:]
	case 'f':
		return '\f', b[1:]
	case 'n':
		return '\n', b[1:]
	case 'r':
		return '\r', b[1:]
	case 't':
		return '\t', b[1:]
	case 'u':
		c, rest := hex4(b[1:]), b[5:]
		if utf16.IsSurrogate(c) && len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
			if both := utf16.DecodeRune(c, hex4(rest[2:])); both != utf8.RuneError {
				return both, rest[6:]
			}
		}
		return c, rest
	default:
		return rune(b[0]), b[1:]
	}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func hex4(b []byte) rune {
	var c rune
	for _, d := range b[:4] {
		switch {
		case d >= 'a':
			d -= 'a' - 10
		case d >= 'A':
			d -= 'A' - 10
		default:
			d -= '0'
		}
		c = c<<4 | rune(d)
	}
	return c
}

// appendRune appends c in UTF-8, a surrogate as its three bytes.
func appendRune(b []byte, c rune) []byte {
	if utf16.IsSurrogate(c) {
		return append(b, 0xe0|byte(c>>12), 0x80|byte(c>>6)&0xbf, 0x80|byte(c)&0xbf)
	}
	return utf8.AppendRune(b, c)
}

// decode returns the first character of s and its size: a surrogate too, where
// its three bytes stand there, and U+FFFD of size 1 for a byte that is neither.
func decode(s string) (c rune, size int) {
	if c, size = utf8.DecodeRuneInString(s); c != utf8.RuneError || size > 1 {
		return c, size
	}
	if len(s) >= 3 && s[0] == 0xED && s[1] >= 0xA0 && s[1] <= 0xBF && s[2] >= 0x80 && s[2] <= 0xBF {
		return 0xD000 | rune(s[1]&0x3F)<<6 | rune(s[2]&0x3F), 3
	}
	return utf8.RuneError, 1
}

// validWide reports whether b is UTF-8 but for lone surrogates.
func validWide(b []byte) bool {
	for s := string(b); s != ""; {
		c, size := decode(s)
		if c == utf8.RuneError && size == 1 {
			return false
		}
		s = s[size:]
	}
	return true
}

const hexDigits = "0123456789abcdef"

func appendHex(dst []byte, c rune) []byte {
	return append(dst, '\\', 'u', hexDigits[c>>12&15], hexDigits[c>>8&15], hexDigits[c>>4&15], hexDigits[c&15])
}

// Append appends s to dst as a JSON string: characters as they are, without HTML
// escapes, so that a person can read programs in a file.
//
// A model's text need not be good Unicode. A lone surrogate, which Go holds as
// its three bytes of generalised UTF-8 (WTF-8), is written as the escape that
// Python writes, \ud800 to \udfff, and reading gives the same three bytes back.
// Any other byte that is not UTF-8 becomes U+FFFD: JSON cannot say such bytes.
func Append(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= ' ' && b < utf8.RuneSelf && b != '"' && b != '\\' {
			i++
			continue
		}
		c, size := decode(s[i:])
		if c >= utf8.RuneSelf && !utf16.IsSurrogate(c) && (c != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		dst = append(dst, s[start:i]...)
		switch {
		case b < utf8.RuneSelf:
			dst = appendEscape(dst, b)
		case utf16.IsSurrogate(c):
			dst = appendHex(dst, c)
		default:
			dst = utf8.AppendRune(dst, c)
		}
		i += size
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
		return appendHex(dst, rune(c))
	}
}

// AppendASCII appends s to dst as Python's json.dumps writes it: ASCII only.
func AppendASCII(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c, size := decode(s[i:])
		i += size
		switch {
		case c == '\b':
			dst = append(dst, '\\', 'b')
		case c == '\f':
			dst = append(dst, '\\', 'f')
		case c < ' ', c == '"', c == '\\':
			dst = appendEscape(dst, byte(c))
		case c < 0x7f:
			dst = append(dst, byte(c))
		case c < 0x10000:
			dst = appendHex(dst, c)
		default:
			high, low := utf16.EncodeRune(c)
			dst = appendHex(appendHex(dst, high), low)
		}
	}
	return append(dst, '"')
}

// ParseText reads one JSON string and nothing else.
func ParseText(raw []byte) (string, error) {
	r := New(raw)
	text, err := r.Text()
	if err == nil {
		err = r.End()
	}
	return text, err
}

// Text is a string that keeps its lone surrogates on the way through
// encoding/json.
type Text string

// MarshalJSON implements json.Marshaler.
func (t Text) MarshalJSON() ([]byte, error) { return Append(nil, string(t)), nil }

// UnmarshalJSON implements json.Unmarshaler. As in encoding/json, null leaves the
// text as it is.
func (t *Text) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	s, err := ParseText(raw)
	if err == nil {
		*t = Text(s)
	}
	return err
}

package lcb

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a JSON text. Python's own reader gives up near
// its recursion limit of 1000, so a deeper text could never be judged.
const maxDepth = 1000

// A scanner reads JSON as Python's json module does: NaN, Infinity and -Infinity
// are values, control characters in strings are errors, keys are exact. It keeps
// no copy of what it reads. Errors name the byte they were found at.
type scanner struct {
	data  []byte
	pos   int
	depth int
}

// errShort is wrapped by the error of a text that ends too early.
var errShort = errors.New("ends too early")

func (s *scanner) fail(what string) error {
	if s.pos >= len(s.data) {
		return fmt.Errorf("at byte %d: %s: text %w", s.pos, what, errShort)
	}
	r, _ := utf8.DecodeRune(s.data[s.pos:])
	return fmt.Errorf("at byte %d: %s, got %q", s.pos, what, r)
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// take consumes c if it comes next.
func (s *scanner) take(c byte) bool {
	if s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// end checks that nothing but white space is left.
func (s *scanner) end() error {
	s.space()
	if s.pos != len(s.data) {
		return s.fail("want nothing after the value")
	}
	return nil
}

// object reads an object. For every member it calls field with the key; field
// must consume the value.
func (s *scanner) object(field func(key string) error) error {
	s.space()
	if !s.take('{') {
		return s.fail("want an object")
	}
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested too deep")
	}
	s.space()
	if s.take('}') {
		s.depth--
		return nil
	}
	for {
		s.space()
		key, err := s.str()
		if err != nil {
			return err
		}
		s.space()
		if !s.take(':') {
			return s.fail("want a colon")
		}
		s.space()
		if err := field(unquote(key)); err != nil {
			return err
		}
		s.space()
		if s.take('}') {
			s.depth--
			return nil
		}
		if !s.take(',') {
			return s.fail("want a comma or the object's end")
		}
	}
}

// array reads a list. For every element it calls elem with the element's index;
// elem must consume it.
func (s *scanner) array(elem func(i int) error) error {
	s.space()
	if !s.take('[') {
		return s.fail("want a list")
	}
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested too deep")
	}
	s.space()
	if s.take(']') {
		s.depth--
		return nil
	}
	for i := 0; ; i++ {
		s.space()
		if err := elem(i); err != nil {
			return err
		}
		s.space()
		if s.take(']') {
			s.depth--
			return nil
		}
		if !s.take(',') {
			return s.fail("want a comma or the list's end")
		}
	}
}

// str reads a string and returns it as it stands, quotes included.
func (s *scanner) str() ([]byte, error) {
	start := s.pos
	if !s.take('"') {
		return nil, s.fail("want a string")
	}
	ascii := true
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			if span := s.data[start:s.pos]; ascii || utf8.Valid(span) {
				return span, nil
			}
			s.pos = start
			return nil, s.fail("string is not UTF-8")
		case c == '\\':
			s.pos++
			if err := s.escape(); err != nil {
				return nil, err
			}
		case c < ' ':
			return nil, s.fail("control character in a string")
		default:
			ascii = ascii && c < utf8.RuneSelf
			s.pos++
		}
	}
	return nil, s.fail("string does not end")
}

// escape checks what follows a backslash.
func (s *scanner) escape() error {
	if s.pos >= len(s.data) {
		return s.fail("string does not end")
	}
	switch s.data[s.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
		s.pos++
		for range 4 {
			if s.pos >= len(s.data) || !isHex(s.data[s.pos]) {
				return s.fail("want four hexadecimal digits")
			}
			s.pos++
		}
		return nil
	default:
		return s.fail("unknown escape")
	}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// skip consumes one value of any kind.
func (s *scanner) skip() error {
	s.space()
	if s.pos >= len(s.data) {
		return s.fail("want a value")
	}
	switch c := s.data[s.pos]; {
	case c == '{':
		return s.object(func(string) error { return s.skip() })
	case c == '[':
		return s.array(func(int) error { return s.skip() })
	case c == '"':
		_, err := s.str()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	default:
		if slices.ContainsFunc([]string{"true", "false", "null", "NaN", "Infinity"}, s.word) {
			return nil
		}
		return s.fail("want a value")
	}
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(w)) {
		return false
	}
	s.pos += len(w)
	return true
}

func (s *scanner) number() error {
	s.take('-')
	if s.word("Infinity") {
		return nil
	}
	if !s.take('0') && s.digits() == 0 {
		return s.fail("want a digit")
	}
	// As in Python, a point or exponent without digits ends the number before it;
	// what stands there is then refused by whoever reads on.
	mark := s.pos
	if s.take('.') && s.digits() == 0 {
		s.pos = mark
		return nil
	}
	mark = s.pos
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		if s.digits() == 0 {
			s.pos = mark
		}
	}
	return nil
}

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

// unquote returns the text of a string that str has accepted. A lone surrogate
// becomes its three bytes, as Python's surrogatepass writes it.
func unquote(span []byte) string { return string(unquoted(span)) }

// unquoted is unquote; its result is part of span if there is no escape in it.
func unquoted(span []byte) []byte {
	body := span[1 : len(span)-1]
	at := bytes.IndexByte(body, '\\')
	if at < 0 {
		return body
	}
	out := make([]byte, 0, len(body))
	for at >= 0 {
		out = append(out, body[:at]...)
		var r rune
		r, body = unescape(body[at+1:])
		out = appendRune(out, r)
		at = bytes.IndexByte(body, '\\')
	}
	return append(out, body...)
}

// unescape reads one escape, its backslash already taken, and returns what is
// left. A pair of surrogate escapes is one rune.
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
		r, rest := hex4(b[1:]), b[5:]
		if utf16.IsSurrogate(r) && len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
			if both := utf16.DecodeRune(r, hex4(rest[2:])); both != utf8.RuneError {
				return both, rest[6:]
			}
		}
		return r, rest
	default:
		return rune(b[0]), b[1:]
	}
}

func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= 'a':
			c -= 'a' - 10
		case c >= 'A':
			c -= 'A' - 10
		default:
			c -= '0'
		}
		r = r<<4 | rune(c)
	}
	return r
}

func appendRune(b []byte, r rune) []byte {
	if utf16.IsSurrogate(r) {
		return append(b, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0xbf, 0x80|byte(r)&0xbf)
	}
	return utf8.AppendRune(b, r)
}

// validJSON checks that text is one JSON value.
func validJSON(text string) error {
	s := scanner{data: []byte(text)}
	if err := s.skip(); err != nil {
		return err
	}
	return s.end()
}

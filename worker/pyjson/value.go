package pyjson

import (
	"unicode/utf8"
)

// A Kind is what a value is, told by its first byte.
type Kind byte

// The kinds. The zero value is no value at all.
const (
	Object Kind = iota + 1
	Array
	String
	Number // NaN, Infinity and -Infinity too
	True
	False
	Null
)

// String names the kind as Python's documentation of json does.
func (k Kind) String() string {
	return [...]string{"no value", "an object", "a list", "a string", "a number", "true", "false", "null"}[k]
}

// Next returns the kind of the next value and consumes only the white space
// before it. It is 0 where no value begins, and at the end of the text.
func (r *Reader) Next() Kind {
	r.space()
	if !r.more() {
		return 0
	}
	switch c := r.data[r.pos]; c {
	case '{':
		return Object
	case '[':
		return Array
	case '"':
		return String
	case 't':
		return True
	case 'f':
		return False
	case 'n':
		return Null
	case '-', 'N', 'I':
		return Number
	default:
		if c >= '0' && c <= '9' {
			return Number
		}
		return 0
	}
}

// End checks that nothing but white space is left.
func (r *Reader) End() error {
	r.space()
	if r.more() {
		return r.fail("want nothing after the value")
	}
	return r.err
}

// Object reads an object. For every member it calls field with the key; field
// must read the value.
func (r *Reader) Object(field func(key string) error) error {
	return r.container('{', '}', "want an object", "want a comma or the object's end", func(int) error {
		key, err := r.Text()
		if err != nil {
			return err
		}
		r.space()
		if !r.take(':') {
			return r.fail("want a colon")
		}
		return field(key)
	})
}

// Array reads a list. For every element it calls elem with the element's index;
// elem must read it.
func (r *Reader) Array(elem func(i int) error) error {
	return r.container('[', ']', "want a list", "want a comma or the list's end", elem)
}

func (r *Reader) container(open, end byte, want, wantMore string, elem func(i int) error) error {
	r.space()
	if !r.take(open) {
		return r.fail(want)
	}
	if r.depth++; r.depth > r.maxDepth {
		return r.Refuse("nested too deep")
	}
	r.space()
	if r.take(end) {
		r.depth--
		return nil
	}
	for i := 0; ; i++ {
		if err := elem(i); err != nil {
			return err
		}
		r.space()
		if r.take(end) {
			r.depth--
			return nil
		}
		if !r.take(',') {
			return r.fail(wantMore)
		}
	}
}

// Text reads a string and returns its text.
func (r *Reader) Text() (string, error) {
	span, err := r.Span()
	if err != nil {
		return "", err
	}
	return Unquote(span), nil
}

// Span reads a string and returns it as it is written, quotes included.
func (r *Reader) Span() ([]byte, error) {
	r.space()
	start, release := r.keep()
	defer release()
	if !r.take('"') {
		return nil, r.fail("want a string")
	}
	ascii := true
	for r.more() {
		i, data := r.pos, r.data
		for ; i < len(data) && data[i] >= ' ' && data[i] != '"' && data[i] != '\\'; i++ {
			ascii = ascii && data[i] < utf8.RuneSelf
		}
		if r.pos = i; i == len(data) {
			continue
		}
		switch data[i] {
		case '"':
			r.pos++
			span := r.since(start)
			if ascii || utf8.Valid(span) || r.inner && validWide(span) {
				return span, nil
			}
			r.pos -= len(span)
			return nil, r.Refuse("string is not UTF-8")
		case '\\':
			r.pos++
			if err := r.escape(); err != nil {
				return nil, err
			}
		default:
			return nil, r.fail("control character in a string")
		}
	}
	return nil, r.fail("string does not end")
}

// escape checks what follows a backslash.
func (r *Reader) escape() error {
	if !r.more() {
		return r.fail("string does not end")
	}
	switch r.data[r.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		r.pos++
		return nil
	case 'u':
		r.pos++
		for range 4 {
			if !r.more() || !isHex(r.data[r.pos]) {
				return r.fail("want four hexadecimal digits")
			}
			r.pos++
		}
		return nil
	default:
		return r.fail("unknown escape")
	}
}

// Number reads a number and returns it as it is written: digits, a float, NaN,
// Infinity or -Infinity.
func (r *Reader) Number() ([]byte, error) {
	r.space()
	start, release := r.keep()
	defer release()
	if r.word("NaN") || r.word("Infinity") {
		return r.since(start), nil
	}
	if r.take('-') && r.word("Infinity") {
		return r.since(start), nil
	}
	if !r.take('0') && r.digits() == 0 {
		return nil, r.fail("want a number")
	}
	// As in Python, a point or exponent without digits ends the number before it;
	// what stands there is then refused by whoever reads on.
	mark := r.Offset()
	if r.take('.') && r.digits() == 0 {
		r.pos = int(mark - r.base)
		return r.since(start), nil
	}
	mark = r.Offset()
	if r.take('e') || r.take('E') {
		if !r.take('+') {
			r.take('-')
		}
		if r.digits() == 0 {
			r.pos = int(mark - r.base)
		}
	}
	return r.since(start), nil
}

func (r *Reader) digits() int {
	n := 0
	for r.more() && r.data[r.pos] >= '0' && r.data[r.pos] <= '9' {
		r.pos++
		n++
	}
	return n
}

// Literal reads true, false or null and returns which it was.
func (r *Reader) Literal() (Kind, error) {
	r.space()
	for _, l := range []struct {
		text string
		kind Kind
	}{{"null", Null}, {"true", True}, {"false", False}} {
		if r.word(l.text) {
			return l.kind, nil
		}
	}
	return 0, r.fail("want a value")
}

// Skip reads one value of any kind.
func (r *Reader) Skip() error {
	var err error
	switch r.Next() {
	case Object:
		err = r.Object(func(string) error { return r.Skip() })
	case Array:
		err = r.Array(func(int) error { return r.Skip() })
	case String:
		_, err = r.Span()
	case Number:
		_, err = r.Number()
	default:
		_, err = r.Literal()
	}
	return err
}

// Raw reads one value of any kind and returns it as it is written.
func (r *Reader) Raw() ([]byte, error) {
	r.space()
	start, release := r.keep()
	defer release()
	if err := r.Skip(); err != nil {
		return nil, err
	}
	return r.since(start), nil
}

// Valid checks that data is one JSON value.
func Valid(data []byte) error { return New(data).whole() }

// ValidInner is Valid for a text that was a string of another text.
func ValidInner(text string) error { return NewInner([]byte(text)).whole() }

func (r *Reader) whole() error {
	if err := r.Skip(); err != nil {
		return err
	}
	return r.End()
}

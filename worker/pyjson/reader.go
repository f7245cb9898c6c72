package pyjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// DefaultDepth bounds the nesting of a text. Python's own reader gives up near
// its recursion limit of 1000.
const DefaultDepth = 1000

// chunk is how much of a stream is read at once.
const chunk = 64 << 10

// A Reader reads one JSON text, in memory or from a stream, value by value. Each
// method that reads a value skips the white space before it and returns a
// *SyntaxError where the value is another one. After a syntax error the Reader
// is of no more use.
type Reader struct {
	data     []byte // the part of the text at hand
	pos      int    // of the next byte, in data
	depth    int
	maxDepth int
	inner    bool // the text was a string of another text

	src    io.Reader // nil: data is the whole text
	limit  int       // bytes that one value may take of a stream
	hold   int64     // offset of the first byte that must stay at hand; -1 for none
	base   int64     // offset of data[0] in the text
	line   int       // of data[0], from 0
	column int       // characters of that line before data[0]
	err    error     // why the stream ended early; nil at its regular end
}

// New returns a Reader of a text in memory. What it returns as bytes are parts
// of data, which it never writes to.
func New(data []byte) *Reader { return &Reader{data: data, maxDepth: DefaultDepth, hold: -1} }

// NewStream returns a Reader of a text from src. It holds one string, number or
// raw value at a time, of at most limit bytes; what it returns as bytes is valid
// until the next call.
func NewStream(src io.Reader, limit int) *Reader {
	return &Reader{src: src, limit: limit, maxDepth: DefaultDepth, hold: -1}
}

// SetDepth changes how deep a text may be nested.
func (r *Reader) SetDepth(most int) { r.maxDepth = most }

// NewInner returns a Reader of a text that was a string of another text. Lone
// surrogates may stand in it as their three bytes, as they do in Python.
func NewInner(text []byte) *Reader {
	r := New(text)
	r.inner = true
	return r
}

// Offset returns how many bytes of the text were read.
func (r *Reader) Offset() int64 { return r.base + int64(r.pos) }

// Line returns the line of the next byte, from 1.
func (r *Reader) Line() int {
	return r.line + bytes.Count(r.data[:r.pos], []byte{'\n'}) + 1
}

// A SyntaxError says where a text is not what the caller, or JSON, wants.
type SyntaxError struct {
	Line   int   // from 1; 0 leaves it out of the text
	Column int   // in characters, from 1
	Offset int64 // in bytes, from 0
	What   string
	Short  bool // the text ends there
}

// Error names the place and what is wrong there. The line is left out where it
// is the first: most texts are one line of a file, which the caller names.
func (e *SyntaxError) Error() string {
	if e.Line > 1 {
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.What)
	}
	return fmt.Sprintf("column %d: %s", e.Column, e.What)
}

// Unwrap returns io.ErrUnexpectedEOF for a text that ends too early.
func (e *SyntaxError) Unwrap() error {
	if e.Short {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// ErrTooLong is wrapped by the error of a value that takes more of a stream than
// its limit: the caller can say which setting or file is at fault.
var ErrTooLong = errors.New("value is too long")

// fail returns the error for the next byte, which is not what is wanted.
func (r *Reader) fail(want string) error {
	if !r.more() {
		if r.err != nil {
			return r.err
		}
		return r.refuse(want+", but the text ends", true)
	}
	c, _ := utf8.DecodeRune(r.data[r.pos:])
	return r.refuse(fmt.Sprintf("%s, got %q", want, c), false)
}

// Refuse returns a *SyntaxError that says what is wrong with the next byte.
func (r *Reader) Refuse(what string) error { return r.refuse(what, false) }

func (r *Reader) refuse(what string, short bool) error {
	before := r.data[:r.pos]
	e := &SyntaxError{Line: r.line + 1, Column: r.column + 1, Offset: r.Offset(), What: what, Short: short}
	if at := bytes.LastIndexByte(before, '\n'); at >= 0 {
		e.Line += bytes.Count(before, []byte{'\n'})
		e.Column, before = 1, before[at+1:]
	}
	e.Column += utf8.RuneCount(before)
	return e
}

// more reports whether there is a next byte, and has it at hand.
func (r *Reader) more() bool { return r.pos < len(r.data) || r.src != nil && r.fill() }

// fill reads on in a stream, and drops what nobody needs any more.
func (r *Reader) fill() bool {
	if r.err != nil {
		return false
	}
	drop := r.pos
	if r.hold >= 0 {
		drop = int(r.hold - r.base)
	}
	if len(r.data)-drop >= r.limit {
		r.err = fmt.Errorf("%w: it takes more than %d MiB", ErrTooLong, r.limit>>20)
		return false
	}
	if drop > 0 {
		gone := r.data[:drop]
		if at := bytes.LastIndexByte(gone, '\n'); at >= 0 {
			r.line += bytes.Count(gone, []byte{'\n'})
			r.column, gone = 0, gone[at+1:]
		}
		r.column += utf8.RuneCount(gone)
		r.base += int64(drop)
		r.pos -= drop
		r.data = r.data[:copy(r.data, r.data[drop:])]
	}
	have := len(r.data)
	r.data = append(r.data, make([]byte, chunk)...) // appending grows the memory by a factor
	for {
		n, err := r.src.Read(r.data[have:])
		if n > 0 {
			r.data = r.data[:have+n]
			return true
		}
		if err != nil {
			r.data = r.data[:have]
			if !errors.Is(err, io.EOF) {
				r.err = err
			}
			return false
		}
	}
}

// keep has the bytes from here on stay at hand, and returns their offset. What
// holds earlier bytes already keeps them.
func (r *Reader) keep() (from int64, release func()) {
	from = r.Offset()
	if r.src == nil || r.hold >= 0 {
		return from, func() {}
	}
	r.hold = from
	return from, func() { r.hold = -1 }
}

// since returns the bytes from an offset that was kept.
func (r *Reader) since(from int64) []byte { return r.data[from-r.base : r.pos : r.pos] }

func (r *Reader) space() {
	for r.more() {
		switch r.data[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

// take consumes c if it comes next.
func (r *Reader) take(c byte) bool {
	if r.more() && r.data[r.pos] == c {
		r.pos++
		return true
	}
	return false
}

// word consumes w if it comes next.
func (r *Reader) word(w string) bool {
	_, release := r.keep()
	defer release()
	start := r.Offset()
	for i := range len(w) {
		if !r.take(w[i]) {
			r.pos = int(start - r.base)
			return false
		}
	}
	return true
}

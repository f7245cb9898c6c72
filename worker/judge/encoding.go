package judge

import (
	"encoding/binary"
	"math"
	"math/big"
)

// The tags of a value's encoding. The Python harness writes returned values
// with them and documents the layout beside its encoder; expected values are
// kept in it too, as the harness would write them, so that in the usual case
// a comparison is one of bytes.
const (
	tagNone     = 'N'
	tagTrue     = 'T'
	tagFalse    = 'F'
	tagInt      = 'q' // int64
	tagBigInt   = 'i' // sign u8, n, magnitude
	tagFloat    = 'f'
	tagJSONNaN  = 'j' // the object that Python's json makes of each NaN
	tagString   = 's'
	tagBytes    = 'b'
	tagList     = 'l' // n, values
	tagTuple    = 't'
	tagSet      = 'S'
	tagDict     = 'd' // n, key and value in turn
	tagInts     = 'Q' // n > 0, int64 each
	tagFloats   = 'G' // n > 0, float64 each, no NaN
	tagStrings  = 'U' // n > 0, lengths, then the ASCII texts
	tagComplex  = 'c'
	tagDecimal  = 'D'
	tagFraction = 'R' // numerator and denominator as values
	tagScalar   = 'n' // a numpy scalar: the value it compares as
	tagArray    = 'a' // a numpy array: ndim u8, lengths, kind u8, one element
	tagOpaque   = 'o' // the name of a type that equals nothing
)

var order = binary.LittleEndian

// A reader walks through an encoding. Its methods may be called only on what
// wellFormed has accepted: they do not check bounds again.
type reader struct {
	b  []byte
	at int
}

func (r *reader) tag() byte {
	r.at++
	return r.b[r.at-1]
}

func (r *reader) u32() int {
	r.at += 4
	return int(order.Uint32(r.b[r.at-4:]))
}

func (r *reader) int64() int64 {
	r.at += 8
	return int64(order.Uint64(r.b[r.at-8:]))
}

func (r *reader) float() float64 { return math.Float64frombits(uint64(r.int64())) }

// block returns the bytes of a string, its length first.
func (r *reader) block() []byte {
	n := r.u32()
	r.at += n
	return r.b[r.at-n : r.at]
}

// bigInt returns what follows tagBigInt.
func (r *reader) bigInt() *big.Int {
	neg := r.tag() == 1
	little := r.block()
	large := make([]byte, len(little))
	for i, c := range little {
		large[len(large)-1-i] = c
	}
	v := new(big.Int).SetBytes(large)
	if neg {
		v.Neg(v)
	}
	return v
}

// skip moves behind one value.
func (r *reader) skip() {
	switch tag := r.tag(); tag {
	case tagNone, tagTrue, tagFalse, tagJSONNaN:
	case tagInt, tagFloat:
		r.at += 8
	case tagComplex:
		r.at += 16
	case tagBigInt:
		r.at++
		r.block()
	case tagString, tagBytes, tagDecimal, tagOpaque:
		r.block()
	case tagInts, tagFloats:
		r.at += 8 * r.u32()
	case tagStrings:
		lengths := r.lengths()
		r.at += lengths.total()
	case tagScalar:
		r.skip()
	case tagArray:
		if a := r.array(); a.size == 1 {
			r.skip()
		}
	default: // a list, tuple, set or dict, or a fraction's two numbers
		n := 2
		if tag != tagFraction {
			n = r.u32()
		}
		if tag == tagDict {
			n *= 2
		}
		for range n {
			r.skip()
		}
	}
}

// lengths are the u32 lengths in front of the texts of tagStrings.
type lengths []byte

func (r *reader) lengths() lengths {
	n := r.u32()
	r.at += 4 * n
	return r.b[r.at-4*n : r.at]
}

func (l lengths) count() int   { return len(l) / 4 }
func (l lengths) of(i int) int { return int(order.Uint32(l[4*i:])) }

func (l lengths) total() int {
	sum := 0
	for i := range l.count() {
		sum += l.of(i)
	}
	return sum
}

// array is what precedes the one element that an array of size 1 has.
type array struct {
	shape []int
	size  int
	kind  byte // n numbers, s strings, o other
}

func (r *reader) array() array {
	a := array{size: 1}
	for range int(r.tag()) {
		n := r.u32()
		a.shape = append(a.shape, n)
		a.size = saturatingProduct(a.size, n)
	}
	a.kind = r.tag()
	return a
}

func saturatingProduct(a, b int) int {
	if b != 0 && a > math.MaxInt32/b {
		return math.MaxInt32
	}
	return a * b
}

// maxDepth is how deep a payload may nest: the harness goes to 1000, and to a
// few more for the scalars within.
const maxDepth = 1010

// wellFormed reports whether b is exactly one value, all of whose lengths are
// within b, so that a reader can walk it.
func wellFormed(b []byte) bool {
	v := validator{b: b}
	return v.value(0) && v.at == len(b)
}

type validator struct {
	b  []byte
	at int
}

func (v *validator) take(n int) bool {
	if n < 0 || n > len(v.b)-v.at {
		return false
	}
	v.at += n
	return true
}

// count reads a length and reports whether that many items of at least size
// bytes each can follow.
func (v *validator) count(size int) (int, bool) {
	if !v.take(4) {
		return 0, false
	}
	n := int(order.Uint32(v.b[v.at-4:]))
	return n, n <= (len(v.b)-v.at)/size
}

func (v *validator) block() bool {
	n, ok := v.count(1)
	return ok && v.take(n)
}

func (v *validator) values(n, depth int) bool {
	for range n {
		if !v.value(depth + 1) {
			return false
		}
	}
	return true
}

func (v *validator) value(depth int) bool {
	if depth > maxDepth || !v.take(1) {
		return false
	}
	switch v.b[v.at-1] {
	case tagNone, tagTrue, tagFalse, tagJSONNaN:
		return true
	case tagInt, tagFloat:
		return v.take(8)
	case tagComplex:
		return v.take(16)
	case tagBigInt:
		return v.take(1) && v.block()
	case tagString, tagBytes, tagDecimal, tagOpaque:
		return v.block()
	case tagInts, tagFloats:
		n, ok := v.count(8)
		return ok && n > 0 && v.take(8*n)
	case tagStrings:
		n, ok := v.count(4)
		if !ok || n == 0 || !v.take(4*n) {
			return false
		}
		return v.take(lengths(v.b[v.at-4*n : v.at]).total())
	case tagList, tagTuple, tagSet:
		n, ok := v.count(1)
		return ok && v.values(n, depth)
	case tagDict:
		n, ok := v.count(2)
		return ok && v.values(2*n, depth)
	case tagFraction:
		numerator := v.integer()
		return numerator && v.integer()
	case tagScalar:
		return v.scalar(depth)
	case tagArray:
		return v.array(depth)
	}
	return false
}

// integer accepts a value that is an int.
func (v *validator) integer() bool {
	if !v.take(1) {
		return false
	}
	switch v.b[v.at-1] {
	case tagInt:
		return v.take(8)
	case tagBigInt:
		return v.take(1) && v.block()
	}
	return false
}

// scalar accepts what may follow tagScalar: a plain value that holds no other.
func (v *validator) scalar(depth int) bool {
	if v.at >= len(v.b) {
		return false
	}
	switch v.b[v.at] {
	case tagTrue, tagFalse, tagInt, tagBigInt, tagFloat, tagComplex, tagString, tagBytes:
		return v.value(depth + 1)
	}
	return false
}

func (v *validator) array(depth int) bool {
	start := v.at
	if !v.take(1) || !v.take(4*int(v.b[start])+1) {
		return false
	}
	r := reader{v.b, start}
	a := r.array()
	return a.size != 1 || v.value(depth+1)
}

package judge

import (
	"bytes"
	"fmt"
	"slices"
)

// Value compares the value that a functional program returned with the
// expected one, as Python's == does between the two objects.
//
// payload is the harness's encoding of the value. A tuple itself (not one
// inside of it) counts as a list. Bools, ints and floats compare by value and
// exactly, whatever their size; a NaN equals nothing but, within a container,
// the very object that the JSON parser gave the program; keys of expected
// objects are strings, so an int key matches none. A numpy array of more than
// one element has no truth value and Raises.
// Source: lcb_runner at 28fef95, testing_util.grade_call_based.
//
// It takes time linear in the payload, and never panics whatever that is.
func Value(payload []byte, want *Expected) (Outcome, Detail) {
	// Equal bytes are equal values, but for a NaN itself.
	if bytes.Equal(payload, want.enc) && !isNaN(payload) {
		return Equal, Detail{}
	}
	if !wellFormed(payload) {
		return Malformed, Detail{Message: "answer is not a value that the harness encodes", Want: want.text}
	}
	c := comparer{got: reader{b: payload}, want: reader{b: want.enc}}
	outcome := c.top()
	if outcome == Equal {
		return Equal, Detail{}
	}
	message := "returned another value"
	switch {
	case outcome == Raises:
		message = "compares with no truth value"
	case len(c.path) > 0:
		slices.Reverse(c.path)
		message = fmt.Sprintf("differs at %s", bytes.Join(c.path, nil))
	case c.why != "":
		message = c.why
	}
	return outcome, Detail{message, show(payload), want.text}
}

func isNaN(payload []byte) bool { return len(payload) == 1 && payload[0] == tagJSONNaN }

// A comparer walks through both values at once. After Equal both readers stand
// behind the values compared; after anything else the walk is over.
type comparer struct {
	got, want reader
	path      [][]byte // of the first difference, innermost index first
	why       string   // what differs, if it is said better than by the values
}

// top compares the values themselves.
func (c *comparer) top() Outcome {
	switch c.got.b[0] {
	case tagTuple:
		return c.list()
	case tagJSONNaN:
		return Unequal // not within a container: identity does not count
	}
	return c.value()
}

// value compares two values within a container.
func (c *comparer) value() Outcome {
	tag := c.got.b[c.got.at]
	switch tag {
	case tagList, tagInts, tagFloats, tagStrings:
		return c.list()
	case tagDict:
		return c.dict()
	case tagScalar:
		c.got.at++
		return c.scalar()
	case tagArray:
		c.got.at++
		return c.array()
	case tagNone, tagJSONNaN:
		return c.same(tag)
	case tagString:
		if c.want.b[c.want.at] != tagString {
			return Unequal
		}
		c.got.at++
		c.want.at++
		return equalIf(bytes.Equal(c.got.block(), c.want.block()))
	case tagTuple, tagSet, tagBytes, tagOpaque:
		return Unequal // to everything that JSON has
	}
	if !isNumber(c.want.b[c.want.at]) {
		return Unequal
	}
	return compareNumbers(&c.got, &c.want)
}

// same compares values that are nothing but their tag.
func (c *comparer) same(tag byte) Outcome {
	if c.want.b[c.want.at] != tag {
		return Unequal
	}
	c.got.at++
	c.want.at++
	return Equal
}

func equalIf(equal bool) Outcome {
	if equal {
		return Equal
	}
	return Unequal
}

// A sequence gives the items of a list of any form as values of their own.
type sequence struct {
	tag     byte
	n       int
	lengths lengths // of tagStrings
	item    []byte  // the current one, unless the items are values already
	i       int
}

// open reads the head of a list or tuple.
func (r *reader) open() sequence {
	s := sequence{tag: r.tag()}
	if s.tag == tagStrings {
		s.lengths = r.lengths()
		s.n = s.lengths.count()
	} else {
		s.n = r.u32()
	}
	return s
}

// next returns a reader that stands on the next item. For a packed list it is
// one of its own and r moves on; else it is r's copy, and the caller moves r to
// where the item ended, by done.
func (s *sequence) next(r *reader) reader {
	switch s.tag {
	case tagInts, tagFloats:
		tag := byte(tagInt)
		if s.tag == tagFloats {
			tag = tagFloat
		}
		s.item = append(append(s.item[:0], tag), r.b[r.at:r.at+8]...)
		r.at += 8
	case tagStrings:
		n := s.lengths.of(s.i)
		s.item = order.AppendUint32(append(s.item[:0], tagString), uint32(n))
		s.item = append(s.item, r.b[r.at:r.at+n]...)
		r.at += n
	default:
		return *r
	}
	s.i++
	return reader{b: s.item}
}

// done moves r behind the item at whose end the item's reader stands.
func (s *sequence) done(r *reader, item reader) {
	if s.item == nil {
		r.at = item.at
	}
}

// list compares a list, or a tuple that counts as one, with what is expected.
func (c *comparer) list() Outcome {
	if !isList(c.want.b[c.want.at]) {
		return Unequal
	}
	g, w := c.got.open(), c.want.open()
	if g.n != w.n {
		c.why = fmt.Sprintf("has %s, want %d", count(g.n, "item"), w.n)
		return Unequal
	}
	if g.tag == tagInts && w.tag == tagInts {
		size := 8 * g.n
		a, b := c.got.b[c.got.at:c.got.at+size], c.want.b[c.want.at:c.want.at+size]
		if bytes.Equal(a, b) {
			c.got.at += size
			c.want.at += size
			return Equal
		}
	}
	for i := range g.n {
		item := comparer{got: g.next(&c.got), want: w.next(&c.want)}
		outcome := item.value()
		if outcome != Equal {
			c.differs(&item, fmt.Appendf(nil, "[%d]", i))
			return outcome
		}
		g.done(&c.got, item.got)
		w.done(&c.want, item.want)
	}
	return Equal
}

// differs takes over where an item differs.
func (c *comparer) differs(item *comparer, index []byte) {
	const longest = 8 // a person reads no more indices than that
	c.why = item.why
	if len(item.path) < longest {
		item.path = append(item.path, index)
		c.path = item.path
	}
}

// dict compares dicts: as many keys, and for each key of the program's, in its
// order, an equal value under it.
func (c *comparer) dict() Outcome {
	if c.want.b[c.want.at] != tagDict {
		return Unequal
	}
	c.got.at++
	c.want.at++
	n, m := c.got.u32(), c.want.u32()
	if n != m {
		c.why = fmt.Sprintf("has %s, want %d", count(n, "key"), m)
		return Unequal
	}
	values := make(map[string]int, n) // by key, where the expected value is
	for range n {
		c.want.at++
		key := string(c.want.block())
		values[key] = c.want.at
		c.want.skip()
	}
	end := c.want.at
	for range n {
		if c.got.b[c.got.at] == tagScalar { // numpy's strings are keys as good
			c.got.at++
		}
		if c.got.tag() != tagString {
			return Unequal
		}
		key := c.got.block()
		at, ok := values[string(key)]
		if !ok {
			return Unequal
		}
		delete(values, string(key)) // a forged dict may hold a key twice
		item := comparer{got: c.got, want: reader{c.want.b, at}}
		if outcome := item.value(); outcome != Equal {
			c.differs(&item, fmt.Appendf(nil, "[%q]", excerpt(string(key))))
			return outcome
		}
		c.got.at = item.got.at
	}
	c.want.at = end
	return Equal
}

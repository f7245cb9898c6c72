package judge

import "math"

// What numpy 1.x makes of == between one of its objects and what JSON has. The
// rules differ from Python's: a scalar is an array of one element, numbers
// that share no exact type meet as floats, and the answer is an array, which
// has a truth value only if it has one element, or (as false) none.

// scalar compares a numpy scalar, whose tag is consumed.
func (c *comparer) scalar() Outcome {
	kind := byte('n')
	if tag := c.got.b[c.got.at]; tag == tagString || tag == tagBytes {
		kind = 's'
	}
	return c.broadcast(array{size: 1, kind: kind})
}

// array compares a numpy array, whose tag is consumed.
func (c *comparer) array() Outcome {
	return c.broadcast(c.got.array())
}

// broadcast compares an array, whose element follows if it has only one, with
// what is expected.
func (c *comparer) broadcast(got array) Outcome {
	at := c.want.at
	want, ok := c.expectedArray(0)
	if !ok || !related(got.kind, want.kind) {
		return Unequal // numpy gives up the comparison
	}
	size, ok := broadcastSize(got.shape, want.shape)
	switch {
	case !ok || size == 0:
		return Unequal
	case size > 1:
		return Raises
	}
	whole, end := c.want.b, c.want.at
	c.want.at = at
	for isList(c.want.b[c.want.at]) { // the one leaf of lists of one item
		s := c.want.open()
		c.want = s.next(&c.want)
	}
	outcome := c.element()
	c.want = reader{whole, end}
	return outcome
}

func isList(tag byte) bool {
	return tag == tagList || tag == tagInts || tag == tagFloats || tag == tagStrings
}

// related reports whether numpy compares arrays of these kinds by element.
func related(a, b byte) bool {
	return a == b || a == 'o' || b == 'o' || a == 0 || b == 0
}

// expectedArray walks over an expected value and returns the array that numpy
// makes of it; not ok if the lists within have several lengths.
func (c *comparer) expectedArray(depth int) (array, bool) {
	tag := c.want.b[c.want.at]
	if !isList(tag) {
		a := array{size: 1, kind: 'o'}
		switch {
		case tag == tagBigInt:
			if v := (&reader{c.want.b, c.want.at + 1}).bigInt(); v.IsUint64() {
				a.kind = 'n'
			}
		case isNumber(tag):
			a.kind = 'n'
		case tag == tagString:
			a.kind = 's'
		}
		c.want.skip()
		return a, true
	}
	const most = 32 // dimensions of an array
	if depth == most {
		return array{}, false
	}
	s := c.want.open()
	whole := array{shape: []int{s.n}}
	for i := range s.n {
		inner := comparer{want: s.next(&c.want)}
		a, ok := inner.expectedArray(depth + 1)
		if !ok || i > 0 && !sameShape(a.shape, whole.shape[1:]) {
			return array{}, false
		}
		whole.kind = join(whole.kind, a.kind)
		whole.shape = append(whole.shape[:1], a.shape...)
		s.done(&c.want, inner.want)
	}
	return whole, true
}

// join returns the kind of an array that holds elements of both; 0 is none.
func join(a, b byte) byte {
	switch {
	case a == 0 || a == b:
		return b
	case b == 0:
		return a
	case a == 'o' || b == 'o':
		return 'o'
	}
	return 's' // numbers among strings become strings
}

func sameShape(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// broadcastSize returns the size of the array that arrays of the two shapes
// give when compared; not ok if they do not fit.
func broadcastSize(a, b []int) (int, bool) {
	if len(a) < len(b) {
		a, b = b, a
	}
	size := 1
	for i, n := range a {
		if j := i - (len(a) - len(b)); j >= 0 {
			switch m := b[j]; {
			case n == 1:
				n = m
			case m != 1 && m != n:
				return 0, false
			}
		}
		size = saturatingProduct(size, n)
	}
	return size, true
}

// element compares the one element of an array with the one that is expected.
func (c *comparer) element() Outcome {
	if c.got.b[c.got.at] == tagScalar {
		c.got.at++
	}
	tag, wanted := c.got.b[c.got.at], c.want.b[c.want.at]
	switch tag {
	case tagInt, tagBigInt, tagFloat:
	default:
		return c.value()
	}
	if !isNumber(wanted) {
		return Unequal
	}
	c.got.at++
	c.want.at++
	return equalIf(meet(c.got.quantity(tag), c.want.quantity(wanted)))
}

// meet reports whether numpy finds an int64, uint64 or float64 equal to a
// Python number.
func meet(p, q quantity) bool {
	if p.form == formFloat && q.form == formFloat || p.form == formInt && q.form == formInt {
		return p.equal(q)
	}
	a, ok := p.asFloat64()
	b, fits := q.asFloat64()
	if !ok || !fits || p.form == formBig && q.form == formBig {
		return p.equal(q)
	}
	return a == b
}

// asFloat64 returns p as numpy converts it, if it has a fixed-size type for p.
func (p quantity) asFloat64() (float64, bool) {
	if p.form != formBig {
		return p.float(), true
	}
	if !p.big.IsUint64() {
		return math.NaN(), false
	}
	return float64(p.big.Uint64()), true
}

package judge

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// show returns a value as Python would print it, about as much as a Detail
// keeps. The payload is well formed.
func show(payload []byte) string {
	p := printer{r: reader{b: payload}}
	p.value()
	s := p.b.String()
	if p.full() {
		return s[:boundary(s, detailLength)] + "..."
	}
	return s
}

// A printer prints until it has enough, and from then on nothing.
type printer struct {
	r reader
	b strings.Builder
}

func (p *printer) full() bool { return p.b.Len() > detailLength }

func (p *printer) value() {
	switch tag := p.r.tag(); tag {
	case tagNone:
		p.b.WriteString("None")
	case tagTrue:
		p.b.WriteString("True")
	case tagFalse:
		p.b.WriteString("False")
	case tagInt:
		p.b.WriteString(strconv.FormatInt(p.r.int64(), 10))
	case tagBigInt:
		p.bigInt()
	case tagFloat:
		p.b.WriteString(showFloat(p.r.float()))
	case tagJSONNaN:
		p.b.WriteString("nan")
	case tagString:
		p.text(p.r.block())
	case tagBytes:
		p.b.WriteString("b'")
		p.b.WriteString(hex.EncodeToString(head(p.r.block())))
		p.b.WriteString("'")
	case tagComplex:
		re, im := p.r.float(), p.r.float()
		p.b.WriteString("(" + showFloat(re) + " + " + showFloat(im) + "j)")
	case tagDecimal:
		p.b.WriteString("Decimal('" + string(head(p.r.block())) + "')")
	case tagFraction:
		p.items("Fraction(", ")", 2, "")
	case tagScalar:
		p.value()
	case tagArray:
		if a := p.r.array(); a.size == 1 {
			p.items("array(", ")", 1, "")
		} else {
			p.b.WriteString("array of " + count(a.size, "element"))
		}
	case tagOpaque:
		p.b.WriteString("<" + string(head(p.r.block())) + ">")
	default:
		p.container(tag)
	}
}

func (p *printer) container(tag byte) {
	switch tag {
	case tagTuple:
		n := p.r.u32()
		p.items("(", ")", n, "")
	case tagSet:
		n := p.r.u32()
		p.items("{", "}", n, "")
	case tagDict:
		n := p.r.u32()
		p.items("{", "}", 2*n, ": ")
	default:
		p.r.at--
		s := p.r.open()
		p.b.WriteByte('[')
		for i := range s.n {
			if i > 0 {
				p.b.WriteString(", ")
			}
			if p.full() {
				return
			}
			inner := printer{r: s.next(&p.r)}
			inner.value()
			p.b.WriteString(inner.b.String())
			s.done(&p.r, inner.r)
		}
		p.b.WriteByte(']')
	}
}

// items prints n values; colon comes between a key and its value.
func (p *printer) items(left, right string, n int, colon string) {
	p.b.WriteString(left)
	for i := range n {
		switch {
		case colon != "" && i%2 == 1:
			p.b.WriteString(colon)
		case i > 0:
			p.b.WriteString(", ")
		}
		if p.full() {
			return
		}
		p.value()
	}
	p.b.WriteString(right)
}

func (p *printer) bigInt() {
	at := p.r.at
	p.r.at++
	const most = 128 // bytes, about 300 digits
	if n := len(p.r.block()); n > most {
		p.b.WriteString("<int of " + strconv.Itoa(8*n) + " bits>")
		return
	}
	p.r.at = at
	p.b.WriteString(p.r.bigInt().String())
}

func (p *printer) text(s []byte) {
	p.b.WriteString(strconv.Quote(strings.ToValidUTF8(string(head(s)), string(utf8.RuneError))))
}

// head returns as much of b as is worth printing.
func head(b []byte) []byte {
	return b[:min(len(b), 2*detailLength)]
}

func showFloat(f float64) string {
	switch {
	case f != f:
		return "nan"
	case math.IsInf(f, 0):
		return strings.TrimPrefix(strconv.FormatFloat(f, 'g', -1, 64), "+")
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

package judge

import (
	"math"
	"math/big"
	"strconv"
)

// isNumber reports whether a tag is that of an expected number. The bools are.
func isNumber(tag byte) bool {
	switch tag {
	case tagTrue, tagFalse, tagInt, tagBigInt, tagFloat, tagJSONNaN:
		return true
	}
	return false
}

// A quantity is a bool, int or float: one of three forms of an exact value.
type quantity struct {
	form form
	i    int64
	big  *big.Int // does not fit i
	f    float64
}

type form uint8

const (
	formInt form = iota
	formBig
	formFloat
)

// quantity reads the number that a tag opened.
func (r *reader) quantity(tag byte) quantity {
	switch tag {
	case tagTrue:
		return quantity{i: 1}
	case tagInt:
		return quantity{i: r.int64()}
	case tagBigInt:
		if v := r.bigInt(); !v.IsInt64() {
			return quantity{form: formBig, big: v}
		} else {
			return quantity{i: v.Int64()}
		}
	case tagFloat:
		return quantity{form: formFloat, f: r.float()}
	case tagJSONNaN:
		return quantity{form: formFloat, f: math.NaN()}
	}
	return quantity{} // false
}

// equal reports whether p == q in Python: by value, exactly.
func (p quantity) equal(q quantity) bool {
	if p.form > q.form {
		p, q = q, p
	}
	switch {
	case p.form == formInt && q.form == formInt:
		return p.i == q.i
	case p.form == formInt && q.form == formBig:
		return false
	case p.form == formBig && q.form == formBig:
		return p.big.Cmp(q.big) == 0
	case p.form == formFloat:
		return p.f == q.f
	case math.IsInf(q.f, 0) || q.f != math.Trunc(q.f): // NaN is unequal to itself
		return false
	case p.form == formInt:
		// Within these bounds the conversion is exact.
		return q.f >= -1<<63 && q.f < 1<<63 && int64(q.f) == p.i
	default:
		whole, _ := new(big.Float).SetFloat64(q.f).Int(nil)
		return p.big.Cmp(whole) == 0
	}
}

// float returns p as float(p) does, if p is not a big int.
func (p quantity) float() float64 {
	if p.form == formFloat {
		return p.f
	}
	return float64(p.i)
}

// compareNumbers compares a number of the program's, whatever its type, with
// an expected one.
func compareNumbers(got, want *reader) Outcome {
	tag := got.tag()
	switch tag {
	case tagComplex:
		re, im := got.float(), got.float()
		w := want.quantity(want.tag())
		return equalIf(im == 0 && w.equal(quantity{form: formFloat, f: re}))
	case tagDecimal:
		return compareDecimal(string(got.block()), want.quantity(want.tag()))
	case tagFraction:
		num, den := got.quantity(got.tag()), got.quantity(got.tag())
		return equalIf(equalFraction(num, den, want.quantity(want.tag())))
	}
	g := got.quantity(tag)
	return equalIf(g.equal(want.quantity(want.tag())))
}

// compareDecimal compares a Decimal, given by its str, with an expected
// number.
func compareDecimal(text string, want quantity) Outcome {
	var d, w number
	if !d.parse(text) {
		return Unequal // no Decimal prints so
	}
	switch {
	case d.class == signallingNaN:
		return Raises
	case d.isNaN() || want.form == formFloat && want.f != want.f:
		return Unequal
	}
	// Every int and every float is a decimal fraction, of at most 1100 digits
	// if it is a float.
	switch want.form {
	case formInt:
		text = strconv.FormatInt(want.i, 10)
	case formBig:
		text = want.big.String()
	case formFloat:
		text = strconv.FormatFloat(want.f, 'f', -1, 64)
		if !math.IsInf(want.f, 0) {
			text = new(big.Float).SetFloat64(want.f).Text('f', 1100)
		}
	}
	return equalIf(w.parse(text) && d.equal(&w))
}

// equalFraction reports whether num/den equals the expected number. Python
// keeps fractions in lowest terms.
func equalFraction(num, den, want quantity) bool {
	n, d := num.int(), den.int()
	if d.Sign() == 0 {
		return false // no Fraction has it
	}
	switch {
	case want.form != formFloat:
		return d.IsInt64() && d.Int64() == 1 && n.Cmp(want.int()) == 0
	case want.f != want.f || math.IsInf(want.f, 0):
		return false
	}
	r := new(big.Rat)
	r.SetFloat64(want.f)
	return n.Cmp(r.Num()) == 0 && d.Cmp(r.Denom()) == 0
}

// int returns an int's value.
func (p quantity) int() *big.Int {
	if p.form == formBig {
		return p.big
	}
	return big.NewInt(p.i)
}

package judge

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/worker/pyjson"
)

// An Expected is the expected value of one functional test, ready to be
// compared. It is immutable and may be used by several goroutines. Its size is
// about that of the JSON text, and at most nine times it.
type Expected struct {
	enc  []byte // as the harness would encode the value
	text string // the JSON, shortened, for people
}

// ParseExpected parses the expected output of one functional test, one JSON
// value in the grammar of Python's json.loads: NaN and Infinity are numbers,
// ints are exact, of equal keys the last counts, lone surrogates are kept.
func ParseExpected(json string) (*Expected, error) {
	p := parser{out: make([]byte, 0, len(json)+16)}
	if err := p.document(json); err != nil {
		return nil, fmt.Errorf("parse expected output %q: %w", excerpt(json), err)
	}
	return &Expected{enc: slices.Clip(p.out), text: shorten(strings.TrimSpace(json))}, nil
}

// excerpt returns the start of s, for an error.
func excerpt(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return s[:boundary(s, most)] + "..."
}

// maxNesting and maxDigits are the official runner's limits, the recursion
// limit and the limit on digits of an int, of which it fails the test data.
const (
	maxNesting = 40_000
	maxDigits  = 50_000
)

// A parser turns JSON into the encoding of the value.
type parser struct {
	r   *pyjson.Reader
	out []byte
}

func (p *parser) document(json string) error {
	p.r = pyjson.NewInner([]byte(json))
	p.r.SetDepth(maxNesting)
	if _, err := p.value(); err != nil {
		return err
	}
	return p.r.End()
}

// value appends the next value to p.out and returns its tag.
func (p *parser) value() (byte, error) {
	switch p.r.Next() {
	case pyjson.String:
		return tagString, p.text()
	case pyjson.Array:
		return p.list()
	case pyjson.Object:
		return tagDict, p.object()
	case pyjson.Number:
		return p.number()
	default: // null, true or false
	}
	kind, err := p.r.Literal()
	tag := map[pyjson.Kind]byte{pyjson.Null: tagNone, pyjson.True: tagTrue, pyjson.False: tagFalse}[kind]
	p.out = append(p.out, tag)
	return tag, err
}

// head appends a tag and room for a length, and returns where the length is.
func (p *parser) head(tag byte) int {
	p.out = append(p.out, tag, 0, 0, 0, 0)
	return len(p.out) - 4
}

func (p *parser) text() error {
	span, err := p.r.Span()
	if err != nil {
		return err
	}
	start := p.head(tagString)
	p.out = pyjson.AppendUnquoted(p.out, span)
	order.PutUint32(p.out[start:], uint32(len(p.out)-start-4))
	return nil
}

func (p *parser) float(f float64) {
	p.out = append(p.out, tagFloat)
	p.out = order.AppendUint64(p.out, math.Float64bits(f))
}

func (p *parser) number() (byte, error) {
	n, err := p.r.Number()
	if err != nil {
		return 0, err
	}
	text := string(n)
	switch {
	case text == "NaN":
		p.out = append(p.out, tagJSONNaN)
		return tagJSONNaN, nil
	case strings.ContainsAny(text, ".eEI"):
		// Out of range is infinity to Python too, and that is what it returns.
		f, _ := strconv.ParseFloat(text, 64)
		p.float(f)
		return tagFloat, nil
	}
	if v, err := strconv.ParseInt(text, 10, 64); err == nil {
		p.out = append(p.out, tagInt)
		p.out = order.AppendUint64(p.out, uint64(v))
		return tagInt, nil
	}
	if len(strings.TrimPrefix(text, "-")) > maxDigits {
		return 0, p.r.Refuse(fmt.Sprintf("an int ends here that has more than %d digits", maxDigits))
	}
	v, _ := new(big.Int).SetString(text, 10)
	p.bigInt(v)
	return tagBigInt, nil
}

func (p *parser) bigInt(v *big.Int) {
	sign := byte(0)
	if v.Sign() < 0 {
		sign = 1
	}
	p.out = append(p.out, tagBigInt, sign)
	large := v.Bytes()
	p.out = order.AppendUint32(p.out, uint32(len(large)))
	for _, c := range slices.Backward(large) {
		p.out = append(p.out, c)
	}
}

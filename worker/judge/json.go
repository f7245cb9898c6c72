package judge

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
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
	p := parser{s: json, out: make([]byte, 0, len(json)+16)}
	if err := p.document(); err != nil {
		return nil, fmt.Errorf("parse expected output %q: %w", excerpt(json), err)
	}
	return &Expected{enc: slices.Clip(p.out), text: shorten(strings.TrimSpace(json))}, nil
}

// ValidInput returns an error unless arg is the input of a functional test:
// one JSON value a line, in the grammar of Python's json.loads. An empty line,
// such as the one after a final line end, is none.
func ValidInput(arg string) error {
	var p parser
	for n, rest, more := 1, arg, true; more; n++ {
		var line string
		line, rest, more = strings.Cut(rest, "\n")
		p = parser{s: line, out: p.out[:0]}
		if err := p.document(); err != nil {
			return fmt.Errorf("parse argument %d %q: %w", n, excerpt(line), err)
		}
	}
	return nil
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

var (
	errNoValue     = errors.New("no JSON value")
	errExtra       = errors.New("text after the JSON value")
	errNesting     = errors.New("JSON nested too deeply")
	errString      = errors.New("unterminated or invalid JSON string")
	errDigits      = fmt.Errorf("int of more than %d digits", maxDigits)
	errPunctuation = errors.New("a comma, colon or bracket is missing")
)

// A parser turns JSON into the encoding of the value.
type parser struct {
	s   string
	at  int
	out []byte
}

func (p *parser) document() error {
	p.space()
	if _, err := p.value(0); err != nil {
		return fmt.Errorf("%w at byte %d", err, p.at)
	}
	p.space()
	if p.at != len(p.s) {
		return fmt.Errorf("%w at byte %d", errExtra, p.at)
	}
	return nil
}

func (p *parser) space() {
	for p.at < len(p.s) {
		switch p.s[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// next consumes c, if it is next.
func (p *parser) next(c byte) bool {
	if p.at < len(p.s) && p.s[p.at] == c {
		p.at++
		return true
	}
	return false
}

// constants are the literals besides numbers, strings and containers.
var constants = []struct {
	text string
	tag  byte
	f    float64
}{
	{"null", tagNone, 0},
	{"true", tagTrue, 0},
	{"false", tagFalse, 0},
	{"NaN", tagJSONNaN, 0},
	{"Infinity", tagFloat, math.Inf(1)},
	{"-Infinity", tagFloat, math.Inf(-1)},
}

// value appends the value at p.at to p.out and returns its tag.
func (p *parser) value(depth int) (byte, error) {
	if p.at == len(p.s) {
		return 0, errNoValue
	}
	switch c := p.s[p.at]; c {
	case '"':
		p.at++
		start := p.head(tagString)
		err := p.text()
		order.PutUint32(p.out[start:], uint32(len(p.out)-start-4))
		return tagString, err
	case '[':
		p.at++
		return p.list(depth)
	case '{':
		p.at++
		return tagDict, p.object(depth)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if !strings.HasPrefix(p.s[p.at:], "-I") {
			return p.number()
		}
	}
	for _, c := range constants {
		if strings.HasPrefix(p.s[p.at:], c.text) {
			p.at += len(c.text)
			if c.tag == tagFloat {
				p.float(c.f)
			} else {
				p.out = append(p.out, c.tag)
			}
			return c.tag, nil
		}
	}
	return 0, errNoValue
}

// head appends a tag and room for a length, and returns where the length is.
func (p *parser) head(tag byte) int {
	p.out = append(p.out, tag, 0, 0, 0, 0)
	return len(p.out) - 4
}

func (p *parser) float(f float64) {
	p.out = append(p.out, tagFloat)
	p.out = order.AppendUint64(p.out, math.Float64bits(f))
}

// number parses -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?, as much of it
// as is there.
func (p *parser) number() (byte, error) {
	start := p.at
	p.next('-')
	if !p.next('0') && p.digits() == 0 {
		return 0, errNoValue
	}
	isFloat := false
	if mark := p.at; p.next('.') {
		if isFloat = p.digits() > 0; !isFloat {
			p.at = mark
		}
	}
	if mark := p.at; p.next('e') || p.next('E') {
		if !p.next('-') {
			p.next('+')
		}
		if p.digits() > 0 {
			isFloat = true
		} else {
			p.at = mark
		}
	}
	text := p.s[start:p.at]
	if isFloat {
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
	digits := strings.TrimPrefix(text, "-")
	if len(digits) > maxDigits {
		return 0, errDigits
	}
	v, _ := new(big.Int).SetString(text, 10)
	p.bigInt(v)
	return tagBigInt, nil
}

func (p *parser) digits() int {
	start := p.at
	for p.at < len(p.s) && p.s[p.at] >= '0' && p.s[p.at] <= '9' {
		p.at++
	}
	return p.at - start
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

// text appends the characters of a string whose opening quote was consumed.
func (p *parser) text() error {
	for p.at < len(p.s) {
		i := p.at
		for i < len(p.s) && p.s[i] >= 0x20 && p.s[i] != '"' && p.s[i] != '\\' {
			i++
		}
		p.out = append(p.out, p.s[p.at:i]...)
		p.at = i
		switch {
		case p.next('"'):
			return nil
		case p.next('\\'):
			if err := p.escape(); err != nil {
				return err
			}
		default:
			return errString
		}
	}
	return errString
}

func (p *parser) escape() error {
	if p.at == len(p.s) {
		return errString
	}
	c := p.s[p.at]
	p.at++
	if c != 'u' {
		i := strings.IndexByte(`"\/bfnrt`, c)
		if i < 0 {
			return errString
		}
		p.out = append(p.out, "\"\\/\b\f\n\r\t"[i])
		return nil
	}
	u, ok := p.hex()
	if !ok {
		return errString
	}
	if u&0xFC00 == 0xD800 && strings.HasPrefix(p.s[p.at:], `\u`) {
		mark := p.at
		p.at += 2
		low, ok := p.hex()
		if !ok {
			return errString
		}
		if low&0xFC00 == 0xDC00 {
			p.out = utf8.AppendRune(p.out, 0x10000+(u&0x3FF)<<10+low&0x3FF)
			return nil
		}
		p.at = mark
	}
	if u&0xF800 == 0xD800 { // alone: as Python's surrogatepass writes it
		p.out = append(p.out, 0xED, byte(0x80|u>>6&0x3F), byte(0x80|u&0x3F))
		return nil
	}
	p.out = utf8.AppendRune(p.out, u)
	return nil
}

func (p *parser) hex() (rune, bool) {
	if len(p.s)-p.at < 4 {
		return 0, false
	}
	var u rune
	for _, c := range []byte(p.s[p.at : p.at+4]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		u = u<<4 | rune(c)
	}
	p.at += 4
	return u, true
}

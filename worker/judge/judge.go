// Package judge compares what a program printed or returned with what was
// expected, as the official LiveCodeBench runner does. It runs nothing and
// touches no file, clock or process: the sandbox does that.
package judge

// An Outcome is the result of one comparison. The zero value is none.
type Outcome uint8

// The outcomes of a comparison.
const (
	Equal   Outcome = iota + 1 // the test passes
	Unequal                    // a wrong answer, official code -2
	// Raises says that the official comparison itself would raise, so that the
	// test fails with code -4 instead of -2: a signalling NaN, or the truth
	// value of an array.
	Raises
	// Malformed says that a payload is not what the harness encodes. Only a
	// program that forged an answer gets here; it is wrong, and never our fault.
	Malformed
)

// String returns the outcome's name, for test failures and logs.
func (o Outcome) String() string {
	switch o {
	case Equal:
		return "equal"
	case Unequal:
		return "unequal"
	case Raises:
		return "raises"
	case Malformed:
		return "malformed"
	default:
		return "none"
	}
}

// A Detail says to a person why an outcome is not Equal; it is empty when it
// is. Texts are shortened to a few hundred characters.
type Detail struct {
	Message string // "line 2 of 5 differs"
	Got     string // the part of the program's answer that differs
	Want    string // the part of the expected answer
}

// detailLength is how many bytes of a text a Detail keeps: the official runner
// cuts at 300 characters too.
const detailLength = 300

// shorten returns s, with its middle left out if it is long.
func shorten(s string) string {
	if len(s) <= detailLength {
		return s
	}
	const gap, tail = " ... ", 60
	head := boundary(s, detailLength-tail-len(gap))
	return s[:head] + gap + s[boundary(s, len(s)-tail):]
}

// boundary returns i, or the start of the UTF-8 sequence that i is inside of.
func boundary(s string, i int) int {
	for n := 0; n < 3 && i > 0 && s[i]&0xC0 == 0x80; n++ {
		i--
	}
	return i
}

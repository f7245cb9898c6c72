package judge

import (
	"fmt"
	"strings"
)

// Lines compares the standard output of a program with the expected one.
//
// Both texts are stripped and split into lines, and each line is stripped.
// The numbers of lines must be equal. Two lines are equal if they are the same
// text, or if every token of both is a Decimal to Python and the two lists of
// Decimals are equal: exactly, without a tolerance. White space and Decimal
// are Python's. Source: lcb_runner at 28fef95, testing_util.grade_stdio.
//
// Texts are UTF-8; bytes that are not stand for themselves. It takes time
// linear in the texts, and memory for the longest number.
func Lines(got, want string) (Outcome, Detail) {
	if got == want {
		return Equal, Detail{}
	}
	got, want = trim(got), trim(want)
	if got == want {
		return Equal, Detail{}
	}
	lines, wanted := strings.Count(got, "\n")+1, strings.Count(want, "\n")+1
	if lines != wanted {
		message := fmt.Sprintf("printed %s, want %d", count(lines, "line"), wanted)
		return Unequal, Detail{message, shorten(got), shorten(want)}
	}
	var c lineComparer
	for n := 1; n <= lines; n++ {
		var g, w string
		g, got, _ = strings.Cut(got, "\n")
		w, want, _ = strings.Cut(want, "\n")
		if g == w {
			continue
		}
		g, w = trim(g), trim(w)
		if g == w {
			continue
		}
		if o := c.compare(g, w); o != Equal {
			message := fmt.Sprintf("line %d of %d differs", n, lines)
			if o == Raises {
				message = fmt.Sprintf("line %d of %d holds a signalling NaN", n, lines)
			}
			return o, Detail{message, shorten(g), shorten(w)}
		}
	}
	return Equal, Detail{}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// A lineComparer compares lines as lists of decimals. It keeps the numbers'
// memory from one token to the next.
type lineComparer struct{ got, want number }

// compare compares two lines that differ as texts. Python converts all tokens
// of both lines before it compares the lists, and a list comparison ends at the
// first pair that differs: so a signalling NaN raises only if all is numeric,
// the lists are as long as each other, and nothing before it differs.
func (c *lineComparer) compare(got, want string) Outcome {
	outcome := Equal
	for {
		var g, w string
		g, got = nextToken(got)
		w, want = nextToken(want)
		if g == "" || w == "" {
			if g != w {
				return Unequal
			}
			return outcome
		}
		if !c.got.parse(g) {
			return Unequal
		}
		if g == w && c.got.class == finite {
			continue
		}
		if !c.want.parse(w) {
			return Unequal
		}
		switch {
		case outcome == Raises: // only the rest's grammar and length matter
		case c.got.class == signallingNaN || c.want.class == signallingNaN:
			outcome = Raises
		case c.got.isNaN() || c.want.isNaN() || !c.got.equal(&c.want):
			return Unequal
		}
	}
}

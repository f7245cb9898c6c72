package judge

import (
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, got, want string
		outcome         Outcome
	}{
		{"the same", "3\n", "3\n", Equal},
		{"nothing", "", "", Equal},
		{"white space is nothing", " \n\t\r\n\u3000", "", Equal},
		{"trailing blanks", "3  \n\n", "3", Equal},
		{"leading blank lines", "\n\n3", "3", Equal},
		{"blanks around lines", " a \n\tb\r\n", "a\nb", Equal},
		{"no-break space", "3\u00a0", "3", Equal},
		{"separators of ASCII", "\x1c3\x1f\n4\x1d", "3\n4", Equal},
		{"no white space to Python", "3\u200b", "3", Unequal},
		{"an interior blank line", "1\n\n2", "1\n2", Unequal},
		{"a line more", "3\n4", "3", Unequal},
		{"one line for two", "1 2", "1\n2", Unequal},
		{"a form feed ends no line", "1\f2", "1 2", Equal},
		{"letters' case", "yes", "Yes", Unequal},
		{"words spread", "a  b", "a b", Unequal},
		{"numbers spread", "1  2", "1\t2", Equal},
		{"numbers beside words", "1 a", "1  a", Unequal},
		{"fewer numbers", "1", "1 1", Unequal},
		{"True is not 1", "True", "1", Unequal},

		{"a point", "3.0", "3", Equal},
		{"a bare point", "3.", "3", Equal},
		{"no leading digit", ".5", "0.5", Equal},
		{"zeros in front", "003", "3", Equal},
		{"a plus", "+3", "3", Equal},
		{"a minus", "-3", "3", Unequal},
		{"negative zero", "-0", "0", Equal},
		{"zero with an exponent", "0e99", "0.000", Equal},
		{"an exponent", "1e3", "1000", Equal},
		{"a negative exponent", "1.50E-1", "0.15", Equal},
		{"an exponent's size", "1e999999999999999999", "1", Unequal},
		{"an exponent too large", "1e1000000000000000000", "1E1000000000000000000", Unequal},
		{"an exponent beyond int64", "1e99999999999999999999", "1E99999999999999999999", Unequal},
		{"an exponent too small", "1e-1999999999999999998", "1E-1999999999999999998", Unequal},
		{"no tolerance", "0.3333333", "0.33333333", Unequal},
		{"digits beyond a float's", "0.1000000000000000000001", "0.1", Unequal},
		{"underscores", "1_000", "1000", Equal},
		{"underscores anywhere", "_1__0_", "10", Equal},
		{"only underscores", "_", "0", Unequal},
		{"full-width digits", "３", "3", Equal},
		{"Arabic digits", "٣.٥", "3.5", Equal},
		{"a superscript", "²", "2", Unequal},
		{"a digit of Unicode 15", "\U0001e4f1", "1", Unequal},
		{"infinities", "inf", "+Infinity", Equal},
		{"unlike infinities", "inf", "-inf", Unequal},
		{"NaNs alike", "nan", "nan", Equal},
		{"NaNs unlike", "nan", "NaN", Unequal},
		{"a NaN with digits", "nan1", "NaN1", Unequal},
		{"hexadecimal", "0x3", "3", Unequal},
		{"an exponent without digits", "3e", "3", Unequal},
		{"a NUL", "3\x00", "3", Unequal},

		{"a signalling NaN", "sNaN", "1", Raises},
		{"a signalling NaN wanted", "1", "snan5", Raises},
		{"a signalling NaN behind a difference", "2 sNaN", "1 1", Unequal},
		{"a signalling NaN before a word", "sNaN x", "1  x", Unequal},
		{"a signalling NaN in a longer line", "sNaN 1 1", "1 1", Unequal},
		{"a signalling NaN in a later line", "3\nsNaN", "2\n1", Unequal},

		{"the same lone surrogate", "\xed\xa0\x80 ", "\xed\xa0\x80", Equal},
		{"a lone surrogate among numbers", "1 \xed\xa0\x80", "1  \xed\xa0\x80", Unequal},
		{"bytes that are no UTF-8", "1\xff", "1", Unequal},
	} {
		if got, _ := Lines(c.got, c.want); got != c.outcome {
			t.Errorf("%s: Lines(%q, %q) = %v, want %v", c.name, c.got, c.want, got, c.outcome)
		}
	}
}

func TestLinesDetail(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 1000)
	for _, c := range []struct {
		got, want string
		detail    Detail
	}{
		{"1\n2\n4", "1\n2\n3\n", Detail{"line 3 of 3 differs", "4", "3"}},
		{"1", "1\n2", Detail{"printed 1 line, want 2", "1", "1\n2"}},
		{"\n", "1", Detail{"line 1 of 1 differs", "", "1"}},
		{"sNaN", "1", Detail{"line 1 of 1 holds a signalling NaN", "sNaN", "1"}},
	} {
		if _, got := Lines(c.got, c.want); got != c.detail {
			t.Errorf("Lines(%q, %q): %+v, want %+v", c.got, c.want, got, c.detail)
		}
	}
	_, d := Lines(long, "x")
	if len(d.Got) > detailLength || !strings.Contains(d.Got, "é ... é") {
		t.Errorf("Lines of a long line: got %q of %d bytes", d.Got, len(d.Got))
	}
}

// FuzzLines checks what holds for all texts: no panic, the two sides may be
// exchanged, and white space around lines does not matter.
func FuzzLines(f *testing.F) {
	f.Add("1 2\n3.0", "1  2\n3")
	f.Add("sNaN 1e5", "1_0 ３")
	f.Add("\xff\xed\xa0\x80", "-inf nan")
	f.Fuzz(func(t *testing.T, a, b string) {
		o, d := Lines(a, b)
		if swapped, _ := Lines(b, a); swapped != o {
			t.Fatalf("Lines(%q, %q) = %v, exchanged %v", a, b, o, swapped)
		}
		if o == Equal != (d == Detail{}) {
			t.Fatalf("Lines(%q, %q) = %v with detail %+v", a, b, o, d)
		}
		if same, _ := Lines(a, a); same != Equal {
			t.Fatalf("Lines(%q, itself) = %v", a, same)
		}
		padded := "\n" + strings.ReplaceAll(a, "\n", " \n\t") + "\r\n"
		if same, _ := Lines(padded, b); same != o {
			t.Fatalf("Lines(%q, %q) = %v, padded %v", a, b, o, same)
		}
	})
}

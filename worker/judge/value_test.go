package judge

import (
	"math"
	"strings"
	"testing"
)

// The payloads below are written by hand: the harness's own are compared with
// CPython elsewhere.

func text(tag byte, s string) string {
	return string(order.AppendUint32([]byte{tag}, uint32(len(s)))) + s
}

func many(tag byte, items ...string) string {
	n := len(items)
	if tag == tagDict {
		n /= 2
	}
	return string(order.AppendUint32([]byte{tag}, uint32(n))) + strings.Join(items, "")
}

func integer(v int64) string {
	return string(order.AppendUint64([]byte{tagInt}, uint64(v)))
}

func float(v float64) string {
	return string(order.AppendUint64([]byte{tagFloat}, math.Float64bits(v)))
}

func untagged(items ...string) (rest []string) {
	for _, s := range items {
		rest = append(rest, s[1:])
	}
	return rest
}

func TestValue(t *testing.T) {
	t.Parallel()
	str := func(s string) string { return text(tagString, s) }
	for _, c := range []struct {
		name, payload, want string
		outcome             Outcome
	}{
		{"None", "N", "null", Equal},
		{"None is not false", "N", "false", Unequal},
		{"True is 1", "T", "1", Equal},
		{"False is 0.0", "F", "0.0", Equal},
		{"an int", integer(-5), "-5", Equal},
		{"an int is a float", integer(3), "3.0", Equal},
		{"an int a float cannot hold", integer(1<<53 + 1), "9007199254740992.0", Unequal},
		{"the largest int64", integer(math.MaxInt64), "9223372036854775808.0", Unequal},
		{"the smallest int64", integer(math.MinInt64), "-9223372036854775808.0", Equal},
		{"a big int", "i\x00" + text(0, "\x00\x00\x00\x00\x00\x00\x00\x00\x01")[1:], "18446744073709551616", Equal},
		{"a big int is a float", "i\x01" + text(0, "\x00\x00\x00\x00\x00\x00\x00\x00\x01")[1:], "-18446744073709551616.0", Equal},
		{"a big int that is small", "i\x00\x01\x00\x00\x00\x07", "7", Equal},
		{"zeros are equal", float(math.Copysign(0, -1)), "0", Equal},
		{"a NaN", float(math.NaN()), "NaN", Unequal},
		{"the NaN of JSON", "j", "NaN", Unequal},
		{"the NaN of JSON in a list", many(tagList, "j"), "[NaN]", Equal},
		{"another NaN in a list", many(tagList, float(math.NaN())), "[NaN]", Unequal},
		{"an infinity", float(math.Inf(1)), "Infinity", Equal},
		{"a number out of range", float(math.Inf(-1)), "-1e999", Equal},
		{"a str", str("é\xed\xa0\x80"), `"é\ud800"`, Equal},
		{"a str of another case", str("a"), `"A"`, Unequal},
		{"bytes", text(tagBytes, "a"), `"a"`, Unequal},
		{"a complex", "c" + float(3)[1:] + float(0)[1:], "3", Equal},
		{"a complex off the line", "c" + float(3)[1:] + float(1)[1:], "3", Unequal},
		{"a Decimal", text(tagDecimal, "1E+2"), "100", Equal},
		{"a Decimal of a float", text(tagDecimal, "0.1"), "0.1", Unequal},
		{"a Decimal beside a str", text(tagDecimal, "sNaN"), `"a"`, Unequal},
		{"a signalling Decimal", text(tagDecimal, "sNaN"), "1", Raises},
		{"a Fraction", "R" + integer(1) + integer(2), "0.5", Equal},
		{"a Fraction over nothing", "R" + integer(1) + integer(0), "0.5", Unequal},

		{"an empty list", many(tagList), "[]", Equal},
		{"a list", many(tagList, integer(1), str("a")), `[1, "a"]`, Equal},
		{"a list in packed form", many(tagInts, untagged(integer(1), integer(2))...), "[1,2]", Equal},
		{"packed ints as floats", many(tagInts, untagged(integer(1), integer(2))...), "[1.0,2]", Equal},
		{"plain ints where packed are usual", many(tagList, integer(1), integer(2)), "[1,2]", Equal},
		{"packed floats", many(tagFloats, untagged(float(1), float(0.5))...), "[1,0.5]", Equal},
		{"packed strs", "U\x02\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00abb", `["a","bb"]`, Equal},
		{"packed strs of other lengths", "U\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00abb", `["a","bb"]`, Unequal},
		{"a longer list", many(tagList, integer(1)), "[]", Unequal},
		{"a tuple itself", many(tagTuple, integer(1)), "[1]", Equal},
		{"a tuple within", many(tagList, many(tagTuple, integer(1))), "[[1]]", Unequal},
		{"a set", many(tagSet, integer(1)), "[1]", Unequal},
		{"an opaque thing", text(tagOpaque, "deque"), "[1]", Unequal},

		{"a dict in another order", many(tagDict, str("b"), integer(2), str("a"), integer(1)), `{"a":1,"b":2}`, Equal},
		{"a dict with an int key", many(tagDict, integer(1), integer(2)), `{"1":2}`, Unequal},
		{"a dict with a key twice", many(tagDict, str("a"), integer(1), str("a"), integer(1)), `{"a":1,"b":2}`, Unequal},
		{"a JSON key twice", many(tagDict, str("a"), integer(2)), `{"a":1,"a":2}`, Equal},
		{"a dict is no list", many(tagDict), "[]", Unequal},

		{"a numpy scalar", "n" + integer(3), "3", Equal},
		{"a numpy scalar as an array", "n" + integer(3), "[[3]]", Equal},
		{"a numpy scalar spread", "n" + integer(3), "[3,3]", Raises},
		{"numpy meets in floats", "n" + integer(1<<53+1), "9007199254740992.0", Equal},
		{"a numpy array", "a\x01\x02\x00\x00\x00n", "[1,2]", Raises},
		{"a numpy array in a list", many(tagList, "a\x01\x02\x00\x00\x00n"), "[[1,2]]", Raises},
		{"a numpy array behind a difference", many(tagList, integer(1), "a\x01\x02\x00\x00\x00n"), "[2,[1,2]]", Unequal},
		{"a numpy array of another shape", "a\x01\x02\x00\x00\x00n", "[1,2,3]", Unequal},
		{"a numpy array of nothing", "a\x01\x00\x00\x00\x00n", "[]", Unequal},
		{"a numpy array of one", "a\x01\x01\x00\x00\x00nn" + integer(3), "3", Equal},

		{"nothing at all", "", "1", Malformed},
		{"an unknown tag", "x", "1", Malformed},
		{"two values", "NN", "null", Malformed},
		{"an int cut short", "q\x00", "0", Malformed},
		{"a str cut short", "s\x05\x00\x00\x00ab", `"ab"`, Malformed},
		{"a list of more than there is", "l\xff\xff\xff\xffN", "[null]", Malformed},
		{"a packed list of nothing", "Q\x00\x00\x00\x00", "[]", Malformed},
		{"a scalar of a list", "n" + many(tagList), "[]", Malformed},
		{"a Fraction of strs", "R" + str("a") + str("a"), "1", Malformed},
		{"nesting without end", strings.Repeat("l\x01\x00\x00\x00", 2000) + "N", "[]", Malformed},
	} {
		want, err := ParseExpected(c.want)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got, d := Value([]byte(c.payload), want); got != c.outcome || (got == Equal) != (d == Detail{}) {
			t.Errorf("%s: Value(%q, %s) = %v, %+v, want %v", c.name, c.payload, c.want, got, d, c.outcome)
		}
	}
}

func TestValueDetail(t *testing.T) {
	t.Parallel()
	ints := many(tagInts, untagged(integer(1), integer(2))...)
	for _, c := range []struct {
		payload, want string
		detail        Detail
	}{
		{integer(4), "3", Detail{"returned another value", "4", "3"}},
		{ints, "[1, 3]", Detail{"differs at [1]", "[1, 2]", "[1, 3]"}},
		{ints, "[1]", Detail{"has 2 items, want 1", "[1, 2]", "[1]"}},
		{many(tagDict, text(tagString, "a"), many(tagList, ints)), `{"a":[[1,3]]}`, Detail{`differs at ["a"][0][1]`, `{"a": [[1, 2]]}`, `{"a":[[1,3]]}`}},
		{many(tagTuple, "N", "T", float(1), text(tagString, "é")), "[]", Detail{"has 4 items, want 0", `(None, True, 1.0, "é")`, "[]"}},
		{text(tagOpaque, "deque"), "[]", Detail{"returned another value", "<deque>", "[]"}},
		{"a\x01\x02\x00\x00\x00n", "[1,2]", Detail{"compares with no truth value", "array of 2 elements", "[1,2]"}},
		{"c" + float(1)[1:] + float(-2)[1:], "0", Detail{"returned another value", "(1.0 + -2.0j)", "0"}},
	} {
		want, err := ParseExpected(c.want)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := Value([]byte(c.payload), want); got != c.detail {
			t.Errorf("Value(%q, %s): %+v, want %+v", c.payload, c.want, got, c.detail)
		}
	}
	want, err := ParseExpected("[" + strings.Repeat("1,", 10000) + "1]")
	if err != nil {
		t.Fatal(err)
	}
	many := many(tagList, strings.Split(strings.Repeat("N", 10001), "")...)
	if _, d := Value([]byte(many), want); len(d.Got) > detailLength+10 || len(d.Want) > detailLength {
		t.Errorf("detail of long values: %d and %d bytes", len(d.Got), len(d.Want))
	}
}

func TestParseExpectedRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", " ", "[1", "[1,]", "{", `{"a"}`, `{"a":1,}`, `{1:2}`, "01", "+1", "1.", ".5", "-", "1e", "0x1", "nan", "infinity", "-Inf", "True", "None",
		`"`, `"\x"`, `"\u12g4"`, "\"\n\"", `'a'`, "1 2", "1\u00a0", "\ufeff1", "[1 2]", strings.Repeat("9", 50001), strings.Repeat("[", 50000) + strings.Repeat("]", 50000),
	} {
		if e, err := ParseExpected(s); err == nil {
			t.Errorf("ParseExpected(%.40q) = %q, want an error", s, e.enc)
		}
	}
	_, err := ParseExpected(`[1, 2`)
	if want := `parse expected output "[1, 2": column 6: want a comma or the list's end, but the text ends`; err == nil || err.Error() != want {
		t.Errorf("ParseExpected: %v, want %s", err, want)
	}
}

// FuzzValue checks that no payload panics or takes long, and that a value
// equals what encodes to the same bytes.
func FuzzValue(f *testing.F) {
	f.Add([]byte(many(tagList, integer(1), "n"+float(2))), "[1,[2,3]]")
	f.Add([]byte("a\x01\x01\x00\x00\x00nn"+integer(3)), "[[3]]")
	f.Add([]byte(many(tagDict, text(tagString, "a"), "j")), `{"a":NaN,"a":1e999}`)
	f.Add([]byte("R"+integer(1)+integer(0)), `["a","\ud800"]`)
	f.Add([]byte(text(tagDecimal, "1e99")), "-0.5")
	f.Fuzz(func(t *testing.T, payload []byte, json string) {
		want, err := ParseExpected(json)
		if err != nil {
			want = &Expected{enc: []byte{tagNone}}
		}
		if !wellFormed(want.enc) {
			t.Fatalf("ParseExpected(%q) = %q, which is malformed", json, want.enc)
		}
		if o, _ := Value(want.enc, want); o != Equal && !isNaN(want.enc) {
			t.Fatalf("%q is %v to itself", json, o)
		}
		o, d := Value(payload, want)
		if (o == Equal) != (d == Detail{}) || (o == Malformed) != !wellFormed(payload) {
			t.Fatalf("Value(%q, %q) = %v, %+v", payload, json, o, d)
		}
		if len(d.Got) > 2*detailLength {
			t.Fatalf("detail of %d bytes", len(d.Got))
		}
	})
}

// TestExpectedSize bounds the memory that expected values take.
func TestExpectedSize(t *testing.T) {
	t.Parallel()
	json := "[" + strings.Repeat("1,", 1<<20) + "1]"
	want, err := ParseExpected(json)
	if err != nil {
		t.Fatal(err)
	}
	if size, most := cap(want.enc), 5*len(json); size > most {
		t.Errorf("%d bytes of JSON take %d, want at most %d", len(json), size, most)
	}
}

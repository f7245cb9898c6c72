package pyjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, json, back string }{
		{"", `""`, ""},
		{"a<b>&\u2028é😀\x7f", "\"a<b>&\u2028é😀\x7f\"", "a<b>&\u2028é😀\x7f"},
		{"\"\\\n\r\t\b\x00", `"\"\\\n\r\t\u0008\u0000"`, "\"\\\n\r\t\b\x00"},
		{"x\xed\xa0\x80y\xed\xbf\xbf", `"x\ud800y\udfff"`, "x\xed\xa0\x80y\xed\xbf\xbf"}, // lone surrogates survive
		{"\xed\xa0\xbd\xed\xb8\x80", `"\ud83d\ude00"`, "😀"},                              // two halves are their character
		{"\xff\xe2\x82", `"` + "\ufffd\ufffd\ufffd" + `"`, "\ufffd\ufffd\ufffd"},
		{"\xed", `"` + "\ufffd" + `"`, "\ufffd"},
		{"\ufffd", `"` + "\ufffd" + `"`, "\ufffd"},
	} {
		got := Append(nil, tt.in)
		if string(got) != tt.json {
			t.Errorf("Append(%q) = %s, want %s", tt.in, got, tt.json)
		}
		if back, err := ParseText(got); err != nil || back != tt.back {
			t.Errorf("ParseText(%s) = %q, %v, want %q", got, back, err, tt.back)
		}
		if back, err := ParseText(AppendASCII(nil, tt.in)); err != nil || back != tt.back {
			t.Errorf("ParseText(%s) = %q, %v, want %q", AppendASCII(nil, tt.in), back, err, tt.back)
		}
	}
	for _, bad := range []string{``, `"`, `x`, `"\"`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"\n\"", `"a"b"`, "\"\xff\"", "\"\xed\xa0\x80\""} {
		if got, err := ParseText([]byte(bad)); err == nil {
			t.Errorf("ParseText(%s) = %q, want an error", bad, got)
		}
	}
}

// TestInner wants a surrogate's bytes taken where the text was a string, and nowhere else.
func TestInner(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]bool{"\"\xed\xa0\x80é\"": {false, true}, "\"é\"": {true, true}, "\"\xed\xa0\"": {false, false}, "\"\xff\"": {false, false}} {
		if outer, inner := Valid([]byte(text)) == nil, ValidInner(text) == nil; [2]bool{outer, inner} != want {
			t.Errorf("%q: valid %v, as an inner text %v, want %v", text, outer, inner, want)
		}
	}
}

// TestTextInStruct wants a lone surrogate kept through encoding/json, in a list and in a map too.
func TestTextInStruct(t *testing.T) {
	t.Parallel()
	type doc struct {
		A Text
		L []Text
		M map[string]Text
	}
	in := doc{"<\xed\xa0\xbd>", []Text{"\xed\xb8\x80", ""}, map[string]Text{"k": "\xed\xa0\x80"}}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out doc
	if err := json.Unmarshal(raw, &out); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%s came back as %+v, %v, want %+v", raw, out, err, in)
	}
	if err := json.Unmarshal([]byte(`{"A": null}`), &out); err != nil || out.A != in.A {
		t.Errorf("null: %q, %v, want %q left", out.A, err, in.A)
	}
	if err := json.Unmarshal([]byte(`{"A": 1}`), &out); err == nil {
		t.Error("a number was taken for a text")
	}
}

// TestPlaces wants an error to name the line and column, in memory and in a stream of single bytes.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                                    "column 1: want a value, but the text ends",
		`{"a": 1`:                             "column 8: want a comma or the object's end, but the text ends",
		`["é", x]`:                            `column 7: want a value, got 'x'`,
		"[1,\n 2,\n  3 4]":                    `line 3, column 5: want a comma or the list's end, got '4'`,
		"{\"a\":\n\"b\n\"}":                   `line 2, column 3: control character in a string, got '\n'`,
		`[01]`:                                `column 3: want a comma or the list's end, got '1'`,
		`[1.]`:                                `column 3: want a comma or the list's end, got '.'`,
		`1 2`:                                 `column 3: want nothing after the value, got '2'`,
		`{a: 1}`:                              `column 2: want a string, got 'a'`,
		`{"a" 1}`:                             `column 6: want a colon, got '1'`,
		`"\u00e"`:                             `column 7: want four hexadecimal digits, got '"'`,
		`"\q"`:                                `column 3: unknown escape, got 'q'`,
		`"abc`:                                "column 5: string does not end, but the text ends",
		`-x`:                                  `column 2: want a number, got 'x'`,
		"\n\n\"\xff\"":                        "line 3, column 1: string is not UTF-8",
		strings.Repeat("[", DefaultDepth+1):   "column 1002: nested too deep",
		strings.Repeat(" ", 3*chunk) + "\n[,": `line 2, column 2: want a value, got ','`,
	} {
		err := Valid([]byte(text))
		if err == nil || err.Error() != want {
			t.Errorf("Valid(%.30q): %v, want %s", text, err, want)
		}
		if short := strings.HasSuffix(want, "the text ends"); errors.Is(err, io.ErrUnexpectedEOF) != short {
			t.Errorf("Valid(%.30q): %v is io.ErrUnexpectedEOF: %v", text, err, !short)
		}
		r := NewStream(iotest.OneByteReader(strings.NewReader(text)), 1<<20)
		err = r.Skip()
		if err == nil {
			err = r.End()
		}
		if err == nil || err.Error() != want {
			t.Errorf("stream of %.30q: %v, want %s", text, err, want)
		}
	}
}

// TestStream wants a stream to give what a text in memory gives, however its bytes come, and offsets and
// lines that are those of the whole text.
func TestStream(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long text ", 20_000)
	text := "[\n" + `"` + long + `", -12.5e+3, NaN, -Infinity,` + "\n" + `{"k\ud83d": "\ud83d\ude00", "k\ud83d": [1, [2]]}, null, true]` + "\n "
	for name, src := range map[string]io.Reader{
		"whole": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text)), "halves": iotest.HalfReader(strings.NewReader(text)),
		"end beside the data": iotest.DataErrReader(strings.NewReader(text)),
	} {
		var got []string
		r := NewStream(src, 1<<20)
		err := r.Array(func(int) error {
			switch r.Next() {
			case String:
				s, err := r.Text()
				got = append(got, s)
				return err
			case Object:
				if r.Line() != 3 || text[r.Offset()] != '{' {
					t.Errorf("%s: the object is at line %d, offset %d", name, r.Line(), r.Offset())
				}
				return r.Object(func(key string) error {
					raw, err := r.Raw()
					got = append(got, key, string(raw))
					return err
				})
			case Number:
				n, err := r.Number()
				got = append(got, string(n))
				return err
			default:
				k, err := r.Literal()
				got = append(got, k.String())
				return err
			}
		})
		if err == nil {
			err = r.End()
		}
		want := []string{long, "-12.5e+3", "NaN", "-Infinity", "k\xed\xa0\xbd", `"\ud83d\ude00"`, "k\xed\xa0\xbd", "[1, [2]]", "null", "true"}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %.100q, %v, want %.100q", name, got, err, want)
		}
		if size := cap(r.data); size > 4*len(long) {
			t.Errorf("%s: %d bytes held for a string of %d", name, size, len(long))
		}
	}
}

// TestStreamIsBounded wants a value beyond the limit refused before it is in memory, and the reader's own
// error told.
func TestStreamIsBounded(t *testing.T) {
	t.Parallel()
	endless := io.MultiReader(strings.NewReader(`["`), repeat('a'))
	r := NewStream(endless, 1<<20)
	if err := r.Skip(); !errors.Is(err, ErrTooLong) || cap(r.data) > 8<<20 {
		t.Errorf("endless string: %v with %d bytes held, want %v", err, cap(r.data), ErrTooLong)
	}
	blank := NewStream(io.MultiReader(io.LimitReader(repeat(' '), 8<<20), strings.NewReader("1")), 1<<20)
	if n, err := blank.Number(); err != nil || string(n) != "1" || cap(blank.data) > 1<<20 {
		t.Errorf("white space: %s, %v with %d bytes held, want 1", n, err, cap(blank.data))
	}
	broken := errors.New("disk")
	r = NewStream(io.MultiReader(strings.NewReader(`["a", `), iotest.ErrReader(broken)), 1<<20)
	if err := r.Skip(); !errors.Is(err, broken) {
		t.Errorf("broken stream: %v, want %v", err, broken)
	}
}

func TestDepth(t *testing.T) {
	t.Parallel()
	for depth, ok := range map[int]bool{1000: true, 1001: false, 10_000_000: false} {
		for _, ends := range []string{"[]", "{}"} {
			text := strings.Repeat("[", depth-1) + ends + strings.Repeat("]", depth-1)
			if err := Valid([]byte(text)); (err == nil) != ok {
				t.Errorf("a text nested %d deep: %v", depth, err)
			}
		}
	}
	for _, element := range []string{"[]", "[1]", "{}", `{"a": 1}`} {
		if err := Valid([]byte("[" + strings.Repeat(element+",", 2000) + element + "]")); err != nil {
			t.Errorf("a long list of %s: %v", element, err)
		}
	}
}

type repeat byte

func (c repeat) Read(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte{byte(c)}, len(p)))
	return len(p), nil
}

// FuzzValid holds the reader against encoding/json, which reads a narrower language, and a stream against
// memory.
func FuzzValid(f *testing.F) {
	for _, text := range []string{`{"a": [1, -0.5e+7, true, null, "\ud83d\ude00"]}`, "NaN", "-Infinity", "01", "1.", `"\u12"`, "[1,]", " \t", `"\ud800"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		err := Valid(text)
		switch std := json.Valid(text); {
		case std && err != nil && !strings.Contains(err.Error(), "UTF-8") && !strings.Contains(err.Error(), "deep"):
			t.Fatalf("%q: %v, want none", text, err)
		case !std && err == nil && !bytes.Contains(text, []byte("NaN")) && !bytes.Contains(text, []byte("Infinity")):
			t.Fatalf("%q is accepted", text)
		}
		r := NewStream(iotest.OneByteReader(bytes.NewReader(text)), 1<<20)
		streamed := r.Skip()
		if streamed == nil {
			streamed = r.End()
		}
		if (err == nil) != (streamed == nil) || err != nil && err.Error() != streamed.Error() {
			t.Fatalf("%q: %v, in a stream %v", text, err, streamed)
		}
	})
}

// FuzzText holds texts against encoding/json: the same string, and lossless for every string that is good
// Unicode; Python's spelling reads back as the same.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a\"\\\n", "\xed\xa0\x80", "\xff", "😀\u2028", `\ud83d\ude00`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw := Append(nil, s)
		back, err := ParseText(raw)
		if err != nil {
			t.Fatalf("ParseText(%s): %v", raw, err)
		}
		var std string
		if err := json.Unmarshal(raw, &std); err != nil {
			t.Fatalf("encoding/json refuses %s: %v", raw, err)
		}
		if clean := strings.ToValidUTF8(s, "\ufffd"); clean == s && (back != s || std != s) {
			t.Fatalf("%q came back as %q and %q", s, back, std)
		}
		if again, err := ParseText(AppendASCII(nil, s)); err != nil || again != back {
			t.Fatalf("%s came back as %q, %v, want %q", AppendASCII(nil, s), again, err, back)
		}
		if got, err := ParseText([]byte(s)); err == nil { // s as the JSON itself
			var want string
			if err := json.Unmarshal([]byte(s), &want); err != nil {
				t.Fatalf("ParseText(%s) = %q, encoding/json: %v", s, got, err)
			}
		}
	})
}

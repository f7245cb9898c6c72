package pyjson

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/pythontest"
)

// show reads one value and writes it as testdata/reference.py does.
func show(r *Reader) (string, error) {
	switch r.Next() {
	case Object:
		members := map[string]string{}
		err := r.Object(func(key string) (err error) {
			members[key], err = show(r)
			return err
		})
		var parts []string
		for k, v := range members {
			parts = append(parts, "s"+hex.EncodeToString([]byte(k))+":"+v)
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ",") + "}", err
	case Array:
		var parts []string
		err := r.Array(func(int) error {
			v, err := show(r)
			parts = append(parts, v)
			return err
		})
		return "[" + strings.Join(parts, ",") + "]", err
	case String:
		s, err := r.Text()
		return "s" + hex.EncodeToString([]byte(s)), err
	case Number:
		n, err := r.Number()
		if err != nil {
			return "", err
		}
		text := string(n)
		if v, ok := new(big.Int).SetString(text, 10); ok {
			return "i" + v.String(), nil
		}
		f, _ := strconv.ParseFloat(text, 64) // out of range is infinity, to Python too
		if math.IsNaN(f) {
			return "nan", nil
		}
		return fmt.Sprintf("f%016x", math.Float64bits(f)), nil
	default:
		k, err := r.Literal()
		return k.String(), err
	}
}

// pieces are what texts are made of: tokens, good and bad, and bytes that a text must not hold.
var pieces = []string{
	"{", "}", "[", "]", ",", ":", `"a"`, `"b"`, `"\ud83d"`, `"\ud83d\ude00"`, `"\ude00\ud83d"`, `"\ud83d\u0041"`, `"é😀"`, `"\"\\\/\b\f\n\r\t"`,
	"0", "-0", "1", "12", "-7", "1.5", "1e5", "1E-3", "1e999", "-1e999", "1e+", "1.", ".5", "+1", "01", "123456789012345678901234567890",
	"NaN", "Infinity", "-Infinity", "-NaN", "nan", "true", "false", "null", "True", "nul",
	" ", "\t", "\n", "\r", "\v", "\u00a0", "\ufeff", "\xff", "\xed\xa0\x80", "\x00", `"`, `\`, `"\u12"`, `"\x"`, "\"\n\"", "\"\x7f\"", "'a'", "//",
}

// generate makes a text that is good, or nearly.
func generate(rng *rand.Rand, depth int) string {
	blank := func() string { return strings.Repeat(" ", rng.IntN(2)) }
	var b strings.Builder
	switch kind := rng.IntN(8); {
	case kind == 0 && depth > 0:
		b.WriteString("{")
		for i := range rng.IntN(4) {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString(blank() + []string{`"a"`, `"b"`, `"\ud800"`, `"\u0061"`}[rng.IntN(4)] + blank() + ":" + generate(rng, depth-1))
		}
		b.WriteString("}")
	case kind <= 2 && depth > 0:
		b.WriteString("[")
		for i := range rng.IntN(4) {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString(blank() + generate(rng, depth-1))
		}
		b.WriteString("]")
	default:
		b.WriteString(pieces[6+rng.IntN(len(pieces)-6)])
	}
	text := b.String() + blank()
	for rng.IntN(12) == 0 { // something too much, or missing
		at := rng.IntN(len(text) + 1)
		text = text[:at] + pieces[rng.IntN(len(pieces))] + text[min(len(text), at+rng.IntN(2)):]
	}
	return text
}

// TestAgainstPython wants every text accepted or refused as CPython's json.loads does, with the same
// value, and strings written as its json.dumps writes them.
func TestAgainstPython(t *testing.T) {
	t.Parallel()
	in, out := pythontest.Start(t, "-I", "testdata/reference.py")
	rng := rand.New(rand.NewPCG(1, 2))
	texts := slices.Clone(pieces)
	for _, a := range pieces { // every two of them, and each in a list and as a value
		texts = append(texts, "["+a+"]", `{"k":`+a+"}", `"`+strings.Trim(a, `"`)+`"`)
		for _, b := range pieces {
			texts = append(texts, a+b)
		}
	}
	for range 20_000 {
		texts = append(texts, generate(rng, 4))
	}
	go func() {
		w := bufio.NewWriter(in)
		for _, text := range texts {
			if _, err := w.WriteString(hex.EncodeToString([]byte(text)) + "\n"); err != nil {
				return // the process is gone, which the reading side reports
			}
		}
		_ = w.Flush()
	}()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	good, wrong := 0, 0
	for _, text := range texts {
		if !lines.Scan() {
			t.Fatalf("python ended: %v", lines.Err())
		}
		want, dumped, _ := strings.Cut(lines.Text(), " ")
		r := New([]byte(text))
		got, err := show(r)
		if err == nil {
			err = r.End()
		}
		if err != nil {
			got = "-"
		}
		if got != want {
			t.Errorf("%q: %s (%v), Python %s", text, got, err, want)
			wrong++
		}
		if got != "-" {
			good++
		}
		if dumped != "" {
			s, _ := ParseText([]byte(text))
			if ascii := string(AppendASCII(nil, s)); ascii != dumped {
				t.Errorf("AppendASCII(%q) = %s, Python %s", s, ascii, dumped)
				wrong++
			}
		}
		if wrong > 20 {
			t.FailNow()
		}
	}
	if good < len(texts)/4 || good > len(texts)*3/4 {
		t.Errorf("%d of %d texts are good: the generator makes too many of one kind", good, len(texts))
	}
	t.Logf("%d texts, %d of them good", len(texts), good)
}

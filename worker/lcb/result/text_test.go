package result

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
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
	} {
		got := AppendText(nil, tt.in)
		if string(got) != tt.json {
			t.Errorf("AppendText(%q) = %s, want %s", tt.in, got, tt.json)
		}
		if back, err := ParseText(got); err != nil || back != tt.back {
			t.Errorf("ParseText(%s) = %q, %v, want %q", got, back, err, tt.back)
		}
	}
	for _, bad := range []string{``, `"`, `x`, `"\"`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"\n\"", `"a"b"`} {
		if got, err := ParseText([]byte(bad)); err == nil {
			t.Errorf("ParseText(%s) = %q, want an error", bad, got)
		}
	}
}

// FuzzText holds our text against encoding/json: the same string, and lossless
// for every string that is good Unicode.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a\"\\\n", "\xed\xa0\x80", "\xff", "😀\u2028", `\ud83d\ude00`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw := AppendText(nil, s)
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
		if again := AppendText(nil, back); !bytes.Equal(again, raw) && !strings.Contains(string(raw), `\ud`) {
			t.Fatalf("%s came back as %s", raw, again)
		}
		if got, err := ParseText([]byte(s)); err == nil { // s as the JSON itself
			var want string
			if err := json.Unmarshal([]byte(s), &want); err != nil {
				t.Fatalf("ParseText(%s) = %q, encoding/json: %v", s, got, err)
			}
		}
	})
}

func TestSampleRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		optional := rapid.Ptr(rapid.IntRange(-5, 100), true)
		want := Sample{
			Index: rapid.IntRange(0, 1<<40).Draw(t, "index"), Completion: rapid.String().Draw(t, "completion"),
			Code: rapid.String().Draw(t, "code"), Passed: rapid.Bool().Draw(t, "passed"),
			Verdict: rapid.SampledFrom(Verdicts).Draw(t, "verdict"), ErrorCode: optional.Draw(t, "error_code"),
			Test: optional.Draw(t, "test"), Tokens: rapid.Int().Draw(t, "tokens"),
			FinishReason: rapid.String().Draw(t, "finish"), CPUSeconds: rapid.Float64().Draw(t, "cpu"),
			Generator: rapid.String().Draw(t, "generator"), Evaluator: rapid.String().Draw(t, "evaluator"),
			Detail: rapid.String().Draw(t, "detail"),
		}
		raw := AppendSample(nil, &want)
		if bytes.ContainsAny(raw, "\n\r") {
			t.Fatalf("%s is not one line", raw)
		}
		if got, err := ParseSample(raw); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("ParseSample(%s) = %+v, %v, want %+v", raw, got, err, want)
		}
	})
}

package lcb

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

func TestParseProblem(t *testing.T) {
	t.Parallel()
	raw := row(map[string]any{"starter_code": "class Solution:\n    ", "metadata": `{"other": [1], "func_name": "größe_2"}`})
	p, err := ParseProblem(raw)
	if err != nil {
		t.Fatal(err)
	}
	if p.ID != "abc1_a" || p.Title != "Sum" || p.Content != "Add two numbers." || p.Platform != "atcoder" || p.ContestID != "abc1" ||
		p.ContestDate != "2025-01-04T00:00:00" || p.StarterCode != "class Solution:\n    " || p.Difficulty != "easy" ||
		p.FuncName != "größe_2" || !p.Functional() {
		t.Errorf("ParseProblem = %+v", p)
	}
	if !bytes.Equal(p.Row(), raw) {
		t.Errorf("Row() = %s, want the row as it was", p.Row())
	}
}

func TestFuncName(t *testing.T) {
	t.Parallel()
	for metadata, want := range map[string]string{
		`{}`: "", `{"func_name": null}`: "", `{"func_name": "f"}`: "f", `{"func_name": "f", "func_name": null}`: "", ` {"a": NaN} `: "",
	} {
		p, err := ParseProblem(row(map[string]any{"metadata": metadata}))
		if err != nil || p.FuncName != want {
			t.Errorf("metadata %s: function %q, %v, want %q", metadata, p.FuncName, err, want)
		}
	}
}

func TestTests(t *testing.T) {
	t.Parallel()
	want := []Test{{"1 2\n", "3\n"}, {"4 5", "9"}}
	list := `[{"input": "4 5", "output": "9", "testtype": "stdin"}]`
	for name, private := range map[string]string{
		"plain":              " " + list,
		"short string":       packed(pickleOf(list, opShortBinUnicode)),
		"string":             packed(pickleOf(list, opBinUnicode)),
		"long string":        packed(pickleOf(list, opBinUnicode8)),
		"unframed":           packed(slices.Delete(pickleOf(list, opBinUnicode), 2, 11)),
		"base64 with breaks": packedText(list)[:20] + "\n" + packedText(list)[20:],
		"last key wins":      packedText(`[{"input": "x", "output": "9", "input": "4 5", "Input": "y", "n": [1e5, -0.5, {"a": NaN}]}]`),
	} {
		p, err := ParseProblem(row(map[string]any{"private_test_cases": private}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := p.Tests(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: Tests() = %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestTestsText(t *testing.T) {
	t.Parallel()
	list := `[{"input": "\u00e9\ud83d\ude00\ud800x\udc00\/\b\f\n\r\t\"\\ü", "output": "` + "\u2028" + `"}]`
	p, err := ParseProblem(row(map[string]any{"public_test_cases": "[]", "private_test_cases": packedText(list)}))
	if err != nil {
		t.Fatal(err)
	}
	want := Test{"é😀\xed\xa0\x80x\xed\xb0\x80/\b\f\n\r\t\"\\ü", "\u2028"}
	if got, err := p.Tests(); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("Tests() = %q, %v, want %q", got, err, want)
	}
}

// TestBrokenRow holds every way a row can be unusable, with the field that the
// error names and a part of what it says.
func TestBrokenRow(t *testing.T) {
	t.Parallel()
	list := `[{"input": "4 5", "output": "9"}]`
	good := pickleOf(list, opBinUnicode)
	whole, _ := base64.StdEncoding.DecodeString(packedText(list))
	with := func(b []byte, at int, c byte) []byte {
		b = slices.Clone(b)
		b[at] = c
		return b
	}
	call := func(input, output string) map[string]any {
		return map[string]any{
			"metadata": `{"func_name": "f"}`, "public_test_cases": `[{"input": "1\n[2]", "output": "null"}]`,
			"private_test_cases": `[{"input": ` + input + `, "output": ` + output + `}]`,
		}
	}
	for _, c := range []struct {
		name        string
		change      map[string]any
		field, says string
	}{
		{"no id", map[string]any{"question_id": nil}, "question_id", "missing"},
		{"empty id", map[string]any{"question_id": ""}, "question_id", "empty"},
		{"long id", map[string]any{"question_id": strings.Repeat("x", 200)}, "question_id", "200 bytes"},
		{"id with newline", map[string]any{"question_id": "a\nb"}, "question_id", "unprintable"},
		{"no statement", map[string]any{"question_content": " "}, "question_content", "empty"},
		{"title is null", map[string]any{"question_title": []int{}}, "question_title", "want a string"},
		{"no metadata", map[string]any{"metadata": nil, "starter_code": "class Solution:"}, "metadata", "want {\"func_name\""},
		{"id is a fraction", map[string]any{"question_id": 1.5}, "question_id", "whole number"},
		{"id is a list", map[string]any{"question_id": []int{1}}, "question_id", "want a string"},
		{"tests are an object", map[string]any{"public_test_cases": map[string]any{}}, "public_test_cases", "want a string"},
		{"three fields missing", map[string]any{"question_content": nil, "public_test_cases": nil, "private_test_cases": nil}, "question_content, public_test_cases, private_test_cases", "fields are missing"},
		{"metadata is no JSON", map[string]any{"metadata": "{"}, "metadata", "the text ends"},
		{"metadata is a list", map[string]any{"metadata": "[]"}, "metadata", "want an object"},
		{"metadata and more", map[string]any{"metadata": "{} {}"}, "metadata", "nothing after"},
		{"function is no name", map[string]any{"metadata": `{"func_name": "a.b"}`}, "metadata", `"a.b" is not a Python name`},
		{"function is empty", map[string]any{"metadata": `{"func_name": ""}`}, "metadata", "not a Python name"},
		{"function is a number", map[string]any{"metadata": `{"func_name": 1}`}, "metadata", "want a string"},
		{"no public tests", map[string]any{"public_test_cases": nil}, "public_test_cases", "missing"},
		{"public tests are an object", map[string]any{"public_test_cases": "{}"}, "public_test_cases", "want a list"},
		{"no private tests", map[string]any{"private_test_cases": nil}, "private_test_cases", "missing"},
		{"zero tests", map[string]any{"public_test_cases": "[]", "private_test_cases": "[]"}, "private_test_cases", "no tests"},
		{"input alone", map[string]any{"public_test_cases": `[{"input": "", "output": ""}, {"input": "1"}]`}, "public_test_cases", "test 1: input without output"},
		{"output alone", map[string]any{"private_test_cases": `[{"output": "1"}]`}, "private_test_cases", "test 0: output without input"},
		{"output is a number", map[string]any{"private_test_cases": `[{"input": "", "output": 1}]`}, "private_test_cases", "want a string"},
		{"list is cut", map[string]any{"private_test_cases": list[:len(list)-1]}, "private_test_cases", "the text ends"},
		{"list and more", map[string]any{"private_test_cases": list + "x"}, "private_test_cases", "nothing after"},
		{"raw newline", map[string]any{"private_test_cases": "[{\"input\": \"\n\"}]"}, "private_test_cases", "control character"},
		{"not base64", map[string]any{"private_test_cases": "***"}, "private_test_cases", "base64"},
		{"not zlib", map[string]any{"private_test_cases": "aGVsbG8gd29ybGQ="}, "private_test_cases", "zlib"},
		{"empty text", map[string]any{"private_test_cases": ""}, "private_test_cases", "base64"},
		{"zlib is cut", map[string]any{"private_test_cases": base64.StdEncoding.EncodeToString(whole[:len(whole)-9])}, "private_test_cases", "too early"},
		{"base64 is cut", map[string]any{"private_test_cases": packedText(list)[:31]}, "private_test_cases", "inflate"},
		{"zlib checksum", map[string]any{"private_test_cases": base64.StdEncoding.EncodeToString(with(whole, len(whole)-1, whole[len(whole)-1]+1))}, "private_test_cases", "checksum"},
		{"pickle is cut", map[string]any{"private_test_cases": packed(good[:len(good)-3])}, "private_test_cases", "too early"},
		{"pickle without stop", map[string]any{"private_test_cases": packed(slices.Concat([]byte{opProto, 4}, good[11:len(good)-1]))}, "private_test_cases", "too early"},
		{"pickle is empty", map[string]any{"private_test_cases": packed(nil)}, "private_test_cases", "too early"},
		{"pickle with a global", map[string]any{"private_test_cases": packed([]byte("cos\nsystem\n(S'true'\ntR."))}, "private_test_cases", "opcode 0x63 at byte 0"},
		{"pickle with reduce", map[string]any{"private_test_cases": packed(with(good, len(good)-2, 'R'))}, "private_test_cases", "opcode 0x52"},
		{"pickle of bytes", map[string]any{"private_test_cases": packed(with(good, 11, 'B'))}, "private_test_cases", "opcode 0x42"},
		{"pickle of nothing", map[string]any{"private_test_cases": packed([]byte{opProto, 4, opStop})}, "private_test_cases", "no string"},
		{"pickle memoizes nothing", map[string]any{"private_test_cases": packed([]byte{opProto, 4, opMemoize, opStop})}, "private_test_cases", "memoizes nothing"},
		{"pickle of two", map[string]any{"private_test_cases": packed(slices.Concat(good[:len(good)-1], good[11:]))}, "private_test_cases", "second string"},
		{"pickle and more", map[string]any{"private_test_cases": packed(append(slices.Clone(good), 0))}, "private_test_cases", "1 more byte"},
		{"pickle of the future", map[string]any{"private_test_cases": packed(with(good, 1, 6))}, "private_test_cases", "protocol 6"},
		{"frame too short", map[string]any{"private_test_cases": packed(with(good, 3, 5))}, "private_test_cases", "frame"},
		{"frame too long", map[string]any{"private_test_cases": packed(with(good, 4, 9))}, "private_test_cases", "too early"},
		{"string too long", map[string]any{"private_test_cases": packed(with(good, 13, 9))}, "private_test_cases", "too early"},
		{"bad UTF-8", map[string]any{"private_test_cases": packedText("[{\"input\": \"\xff\", \"output\": \"\"}]")}, "private_test_cases", "UTF-8"},
		{"blank argument", call(`"1\n"`, `"1"`), "private_test_cases", "test 0: input: argument 1 is not JSON"},
		{"no arguments", call(`""`, `"1"`), "private_test_cases", "argument 0"},
		{"argument in Python", call(`"{'a': 1}"`, `"1"`), "private_test_cases", "argument 0"},
		{"argument and more", call(`"1 2"`, `"1"`), "private_test_cases", "argument 0"},
		{"result in Python", call(`"1"`, `"True"`), "private_test_cases", "output is not JSON"},
		{"public argument", map[string]any{"metadata": `{"func_name": "f"}`, "private_test_cases": "[]"}, "public_test_cases", "argument 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadProblems(bytes.NewReader(append(append(row(map[string]any{"question_id": "good"}), '\n'), row(c.change)...)), "set.jsonl")
			if err == nil {
				t.Fatal("ReadProblems accepts the row")
			}
			text := err.Error()
			if !strings.HasPrefix(text, "set.jsonl:2: ") || !strings.Contains(text, c.field+": ") || !strings.Contains(text, c.says) {
				t.Errorf("ReadProblems = %q, want line 2, field %s and %q", text, c.field, c.says)
			}
		})
	}
}

// TestOwnRows wants what people write who make a set of their own: a number as id, tests and metadata as they
// are and not as texts, no field that says nothing.
func TestOwnRows(t *testing.T) {
	t.Parallel()
	const plain = `{"question_id": 7, "question_content": "Add.", "public_test_cases": [{"input": "1", "output": "\ud83d"}], "private_test_cases": [], "platform": null}`
	const called = `{"question_id": 8.0, "question_content": "Add.", "starter_code": "def f(x):", "metadata": {"func_name": "f"}, "public_test_cases": "[]", "private_test_cases": [{"input": "1", "output": "2"}]}`
	problems, err := ReadProblems(strings.NewReader("\uFEFF"+plain+"\r\n\r\n"+called+"\r\n"), "own.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ id, function, output string }{{"7", "", "\xed\xa0\xbd"}, {"8", "f", "2"}} {
		p := problems[i]
		tests, err := p.Tests()
		if err != nil || len(tests) != 1 || p.ID != want.id || p.FuncName != want.function || tests[0].Output != want.output {
			t.Errorf("problem %d: %q, function %q, tests %q, %v, want %q", i, p.ID, p.FuncName, tests, err, want)
		}
		if again, err := ParseProblem(p.Row()); err != nil || again.Digest() != p.Digest() {
			t.Errorf("problem %d does not survive its own row: %v", i, err)
		}
	}
}

func TestZipBomb(t *testing.T) {
	t.Parallel()
	var d decoder
	field := []byte(packedText(strings.Repeat(" ", 1<<20)))
	if _, err := d.plain(field, 1<<20); err == nil || !strings.Contains(err.Error(), "inflate to more") {
		t.Errorf("plain = %v, want a refusal", err)
	}
	if _, err := d.plain(field, 2<<20); err != nil {
		t.Errorf("plain = %v, want none below the limit", err)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	parse := func(id string, change map[string]any) *Problem {
		change["question_id"] = id
		p, err := ParseProblem(row(change))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a := parse("a", map[string]any{})
	rewritten, err := ParseProblem(bytes.ReplaceAll(a.Row(), []byte("=\""), []byte("\\u003d\"")))
	if err != nil {
		t.Fatal(err)
	}
	if got := rewritten.Digest(); got != a.Digest() || len(got) != 64 {
		t.Errorf("digest of the same row written otherwise = %s, want %s", got, a.Digest())
	}
	for name, other := range map[string]*Problem{
		"function": parse("a", map[string]any{"metadata": `{"func_name": "f"}`}),
		"public":   parse("a", map[string]any{"public_test_cases": "[]"}),
		"private":  parse("a", map[string]any{"private_test_cases": "[]"}),
	} {
		if other.Digest() == a.Digest() {
			t.Errorf("another %s does not change the digest", name)
		}
	}
	b, c, d := parse("b", map[string]any{}), parse("b", map[string]any{"question_content": "Another."}), parse("b", map[string]any{"starter_code": "def f():"})
	if b.Digest() != c.Digest() || b.Digest() != d.Digest() {
		t.Error("the statement or the starter code changes the digest of the tests")
	}
	switch whole := Digest([]*Problem{a, b}); whole {
	case Digest([]*Problem{a, c}), Digest([]*Problem{a, d}), Digest([]*Problem{a}), Digest([]*Problem{a, parse("c", map[string]any{})}):
		t.Error("another statement, starter code, id or number of questions does not change the set's digest")
	default:
		if Digest([]*Problem{b, a}) != whole {
			t.Error("the order changes the set's digest")
		}
	}
}

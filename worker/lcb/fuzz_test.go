package lcb

import (
	"bytes"
	"testing"
)

func FuzzReadProblems(f *testing.F) {
	f.Add(row(nil))
	f.Add(append(row(map[string]any{"metadata": `{"func_name": "f"}`}), row(nil)...))
	f.Add([]byte(`{"question_id": "q", "private_test_cases": "eJwDAAAAAAE=", "public_test_cases": "[{}]"}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		problems, err := ReadProblems(bytes.NewReader(file), "set.jsonl")
		if (err == nil) != (len(problems) > 0) {
			t.Fatalf("%d problems, %v", len(problems), err)
		}
		for _, p := range problems {
			tests, err := p.Tests()
			if err != nil || len(tests) == 0 || p.ID == "" {
				t.Fatalf("problem %q was accepted: %d tests, %v", p.ID, len(tests), err)
			}
			again, err := ParseProblem(p.Row())
			if err != nil || again.Digest() != p.Digest() || again.Entry() != p.Entry() {
				t.Fatalf("problem %q does not survive its own row: %v", p.ID, err)
			}
		}
	})
}

func FuzzUnpickle(f *testing.F) {
	for _, op := range []byte{opShortBinUnicode, opBinUnicode, opBinUnicode8} {
		f.Add(pickleOf("[]", op))
	}
	f.Add([]byte("\x80\x04\x8c\x02[]\x94\x95\x01\x00\x00\x00\x00\x00\x00\x00."))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := unpickle(data)
		if err != nil {
			return
		}
		if !bytes.Contains(data, text) || data[len(data)-1] != opStop {
			t.Fatalf("unpickle(%q) = %q", data, text)
		}
	})
}

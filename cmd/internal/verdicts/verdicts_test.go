package verdicts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/pyjson"
)

var (
	basis = Basis{Settings: "lcb,6s,4GiB,16MiB,env:0123", Tests: "t", Program: "print(1)", Finish: "stop"}
	ids   = []pyjson.Text{"x", "é", "half \xed\xa0\xbd", ""}
)

// write makes an output of four rows.
func write(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "v.jsonl")
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		r := Row{QuestionID: "q", CompletionID: id, Index: i, Verdict: stream.WrongAnswer, CPU: 0.1, Detail: "got \xff <1>"}
		if err := f.Append(r, basis); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// resume reads what is kept for the first n rows of the input, and writes the others.
func resume(path string, b Basis, n int, change func(i int, r *Row)) (kept int, err error) {
	f, err := Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for i := range n {
		want := Row{QuestionID: "q", CompletionID: ids[i], Index: i}
		if change != nil {
			change(i, &want)
		}
		_, ok, err := f.Kept(want, b)
		if err != nil {
			return kept, err
		}
		if ok {
			kept++
			continue
		}
		want.Verdict, want.Passed = stream.Passed, true
		if err := f.Append(want, b); err != nil {
			return kept, err
		}
	}
	if err := f.Ended(); err != nil {
		return kept, err
	}
	return kept, f.Cut()
}

func TestKept(t *testing.T) {
	t.Parallel()
	path := write(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := resume(path, basis, 4, nil); kept != 4 || err != nil {
		t.Errorf("the same again: %d kept, %v, want 4", kept, err)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != string(whole) {
		t.Errorf("the output changed: %q, %v", now, err)
	}
	last := strings.LastIndexByte(strings.TrimSuffix(string(whole), "\n"), '\n') + 1
	for cut, want := range map[int]int{0: 0, 1: 0, 14: 0, last - 1: 2, last: 3, last + 1: 3, last + 40: 3, len(whole) - 1: 3} {
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		kept, err := resume(path, basis, 4, nil)
		if kept != want || err != nil {
			t.Errorf("cut at byte %d of %d: %d kept, %v, want %d", cut, len(whole), kept, err, want)
		}
		if kept, err := resume(path, basis, 4, nil); kept != 4 || err != nil {
			t.Errorf("cut at byte %d, then continued, then again: %d kept, %v, want 4", cut, kept, err)
		}
	}
}

// TestStale wants an output of anything else refused with what differs, and left as it is.
func TestStale(t *testing.T) {
	t.Parallel()
	replace := func(from, to string) func(string) string {
		return func(s string) string { return strings.Replace(s, from, to, 1) }
	}
	other := func(change func(*Basis)) Basis {
		b := basis
		change(&b)
		return b
	}
	for name, c := range map[string]struct {
		file   func(string) string
		basis  Basis
		rows   int
		change func(i int, r *Row)
		want   string
	}{
		"settings":        {nil, other(func(b *Basis) { b.Settings = "script,6s" }), 4, nil, `v.jsonl:1: the output cannot be continued: completion "x" of question "q": it was judged by lcb,6s,4GiB,16MiB,env:0123, today it is script,6s` + "\nchoose another --output"},
		"tests":           {nil, other(func(b *Basis) { b.Tests = "u" }), 4, nil, "the tests of the question are others today"},
		"program":         {nil, other(func(b *Basis) { b.Program = "print(2)" }), 4, nil, "the program is another one today"},
		"cut off":         {nil, other(func(b *Basis) { b.Finish = "length" }), 4, nil, "the program is another one today"},
		"verdict edited":  {replace("wrong_answer", "passed"), basis, 4, nil, "v.jsonl:1: the output cannot be continued: completion \"x\" of question \"q\": the row was edited"},
		"later edited":    {replace(`"index":2,"passed":false`, `"index":2,"passed":true`), basis, 4, nil, "v.jsonl:3: "},
		"digest dropped":  {func(s string) string { return strings.ReplaceAll(s, `,"judged":"`, `,"x":"`) }, basis, 4, nil, "it does not say what was judged"},
		"another order":   {nil, basis, 4, func(i int, r *Row) { r.CompletionID = ids[len(ids)-1-i] }, `v.jsonl:1: the output cannot be continued: it is of completion "x" of question "q", the input's row 1 of 0 of question "q"`},
		"more rows":       {nil, basis, 3, nil, "v.jsonl:4: the output cannot be continued: the input has no row for it"},
		"no rows":         {func(string) string { return "hello\n" }, basis, 4, nil, "v.jsonl:1: the output cannot be continued: it is not a row of verdicts"},
		"no line at all":  {func(string) string { return `{"precious": "data without a newline"}` }, basis, 4, nil, "it is not a row of verdicts"},
		"unknown verdict": {replace("wrong_answer", "great"), basis, 4, nil, "it is not a row of verdicts"},
	} {
		path := write(t)
		if c.file != nil {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.file(string(raw))), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := resume(path, c.basis, c.rows, c.change)
		if !errors.Is(err, ErrStale) || !strings.Contains(fmt.Sprint(err), c.want) || !strings.Contains(fmt.Sprint(err), "--overwrite") {
			t.Errorf("%s: %d kept, %v\nwant %s", name, kept, err, c.want)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("%s: the file was changed: %q, %v", name, after, err)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	path := write(t)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "another lcbq grade writes it") {
		t.Errorf("a second writer: %v, want a refusal", err)
	}
	if !f.Same(path) || f.Same(filepath.Join(t.TempDir(), "none")) {
		t.Error("Same does not tell files apart")
	}
	f.Overwrite()
	if err := f.Append(Row{QuestionID: "q", Verdict: stream.Passed}, basis); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(path); err != nil || strings.Count(string(raw), "\n") != 1 {
		t.Errorf("overwritten: %q, %v, want one row", raw, err)
	}
	if _, err := Open(os.DevNull); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a device: %v, want a refusal", err)
	}
}

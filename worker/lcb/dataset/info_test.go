package dataset

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/sample"
)

// sampleFile is the built-in problems as a problem file.
func sampleFile() []byte {
	var b bytes.Buffer
	for _, p := range slices.Backward(sample.Problems()) {
		b.Write(p.Row())
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func TestInspect(t *testing.T) {
	t.Parallel()
	info, err := Inspect(t.Context(), bytes.NewReader(sampleFile()), "sample.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	want := Info{
		Questions: 12, Stdin: 6, Functional: 6, Platforms: map[string]int{"lcbq": 12}, Difficulties: map[string]int{"easy": 3, "medium": 5, "hard": 4},
		From: "2026-11-01T00:00:00", To: "2026-11-12T00:00:00", FewestTests: 1 << 30, LargestID: "lcbq_a05", Digest: lcb.Digest(sample.Problems()),
	}
	for _, p := range sample.Problems() {
		tests, err := p.Tests()
		if err != nil {
			t.Fatal(err)
		}
		size := int64(0)
		for _, c := range tests {
			size += int64(len(c.Input) + len(c.Output))
		}
		want.IDs = append(want.IDs, p.ID)
		want.Tests += len(tests)
		want.FewestTests, want.MostTests = min(want.FewestTests, len(tests)), max(want.MostTests, len(tests))
		want.Bytes += int64(len(p.Row()))
		want.DecodedBytes += size
		want.LargestBytes = max(want.LargestBytes, size)
	}
	if !reflect.DeepEqual(info, want) {
		t.Errorf("Inspect = %+v, want %+v", info, want)
	}
}

func TestInspectBroken(t *testing.T) {
	t.Parallel()
	rows := bytes.Split(bytes.TrimSpace(sampleFile()), []byte("\n"))
	file := bytes.Join([][]byte{rows[0], []byte("{"), rows[1], rows[0], bytes.Replace(rows[2], []byte(`"private_test_cases":"`), []byte(`"private_test_cases":"!`), 1)}, []byte("\n"))
	info, err := Inspect(t.Context(), bytes.NewReader(file), "set.jsonl")
	if err == nil || info.Questions != 2 || info.Broken != 3 {
		t.Fatalf("Inspect = %+v, %v, want 2 questions and 3 broken rows", info, err)
	}
	for i, line := range strings.Split(err.Error(), "\n") {
		want := []string{"set.jsonl:2: column 2: want a string, but the text ends", "set.jsonl:4: question lcbq_a12: question_id: same id as line 1", "set.jsonl:5: question lcbq_a10: private_test_cases: "}[i]
		if !strings.HasPrefix(line, want) {
			t.Errorf("line %d = %q, want %q", i, line, want)
		}
	}
}

func TestInspectStops(t *testing.T) {
	t.Parallel()
	if _, err := Inspect(t.Context(), strings.NewReader("\n"), "set.jsonl"); err == nil {
		t.Error("an empty file is accepted")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	cancel(stop)
	if _, err := Inspect(ctx, bytes.NewReader(sampleFile()), "sample.jsonl"); !errors.Is(err, stop) {
		t.Errorf("Inspect = %v, want the cause", err)
	}
}

func TestLoadFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rows := bytes.SplitAfter(bytes.TrimSpace(sampleFile()), []byte("\n"))
	set := &Set{}
	for i, part := range [][][]byte{rows[:5], rows[5:]} {
		f := File{Path: filepath.Join(dir, string(rune('a'+i)))}
		if err := os.WriteFile(f.Path, bytes.Join(part, nil), 0o644); err != nil {
			t.Fatal(err)
		}
		set.Files = append(set.Files, f)
	}
	got, err := set.Load()
	if err != nil {
		t.Fatal(err)
	}
	if lcb.Digest(got) != lcb.Digest(sample.Problems()) || got[0].ID != "lcbq_a01" || len(got) != 12 {
		t.Errorf("Load = %d problems, the first %s", len(got), got[0].ID)
	}
	set.Files = append(set.Files, set.Files[0])
	if _, err := set.Load(); err == nil || !strings.Contains(err.Error(), "is in "+set.Files[0].Path) {
		t.Errorf("Load = %v, want the question that is there twice", err)
	}
	set.Files[1].Path += "x"
	if _, err := set.Load(); !missing(err) {
		t.Errorf("Load = %v, want the missing file", err)
	}
}

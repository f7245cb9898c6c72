package lcb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadProblems(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	for _, id := range []string{"abc10_a", "arc1_d", "3674", "abc2_b"} {
		file.Write(row(map[string]any{"question_id": id}))
		file.WriteString("\r\n\n")
	}
	problems, err := ReadProblems(iotest.HalfReader(&file), "set.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, p := range problems {
		ids = append(ids, p.ID)
	}
	if want := []string{"3674", "abc10_a", "abc2_b", "arc1_d"}; !slices.Equal(ids, want) {
		t.Errorf("ids = %v, want %v", ids, want)
	}
}

func TestReadProblemsRefusesAList(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"[]", "\n [\n" + string(row(nil)) + "\n]\n"} {
		_, err := ReadProblems(strings.NewReader(file), "set.json")
		if err == nil || !strings.HasPrefix(err.Error(), "read set.json: the file is a JSON list, want one JSON object on each line (jq") || strings.Contains(err.Error(), "\n") {
			t.Errorf("ReadProblems(%q) = %v, want one line that says it is a list", file, err)
		}
	}
}

func TestReadProblemsTellsOfEveryRow(t *testing.T) {
	t.Parallel()
	rows := [][]byte{row(nil), []byte(`{"question_id": "q2"`), row(map[string]any{"question_id": "q3", "private_test_cases": "x"}), row(nil)}
	for i := range 30 {
		rows = append(rows, row(map[string]any{"question_id": fmt.Sprint("z", i), "metadata": "x"}))
	}
	_, err := ReadProblems(bytes.NewReader(bytes.Join(rows, []byte("\n"))), "set.jsonl")
	if err == nil {
		t.Fatal("ReadProblems accepts broken rows")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 21 || lines[20] != "set.jsonl: and 13 more broken rows" {
		t.Fatalf("%d lines, the last %q, want 20 rows and 13 more", len(lines), lines[len(lines)-1])
	}
	for i, want := range []string{
		"set.jsonl:2: question q2: column 21: want a comma or the object's end, but the text ends",
		"set.jsonl:3: question q3: private_test_cases: neither",
		"set.jsonl:4: question abc1_a: question_id: same id as line 1",
		"set.jsonl:5: question z0: metadata: column 1",
	} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d = %q, want %q", i, lines[i], want)
		}
	}
	if broken, ok := errors.AsType[*RowError](err); !ok || broken.Line != 2 || broken.File != "set.jsonl" {
		t.Errorf("first row error = %+v, want line 2", broken)
	}
}

func TestReadProblemsStops(t *testing.T) {
	t.Parallel()
	if _, err := ReadProblems(strings.NewReader("\n \n"), "set.jsonl"); err == nil || err.Error() != "read set.jsonl: no problems in it" {
		t.Errorf("ReadProblems of nothing = %v", err)
	}
	broken := io.MultiReader(bytes.NewReader(append(row(nil), '\n')), iotest.ErrReader(io.ErrClosedPipe))
	if _, err := ReadProblems(broken, "set.jsonl"); !errors.Is(err, io.ErrClosedPipe) || !strings.Contains(err.Error(), "set.jsonl: line 2") {
		t.Errorf("ReadProblems of a broken reader = %v, want its error and the line", err)
	}
}

func TestReadRecordedProblems(t *testing.T) {
	t.Parallel()
	problems, err := ReadProblems(shared(t, "problems.jsonl"), "problems.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var functional, tests int
	for _, p := range problems {
		list, err := p.Tests()
		if err != nil {
			t.Error(err)
		}
		tests += len(list)
		if p.Functional() != (p.StarterCode != "") {
			t.Errorf("%s: function %q, starter code %q", p.ID, p.FuncName, p.StarterCode)
		}
		if p.Functional() {
			functional++
		}
	}
	if len(problems) != 58 || functional != 21 || problems[0].ID != "3674" || tests < 3*58 {
		t.Errorf("%d problems, %d functional, first %s, %d tests", len(problems), functional, problems[0].ID, tests)
	}
}

func BenchmarkReadProblems(b *testing.B) {
	// One question with a suite of 4 MB, of numbers as real ones are.
	var list strings.Builder
	list.WriteString("[")
	for i := range 40 {
		if i > 0 {
			list.WriteString(",")
		}
		list.WriteString(`{"input": "`)
		for j := range 12000 {
			fmt.Fprintf(&list, "%d ", (i*j*7919)%1000003)
		}
		list.WriteString(`\n", "output": "1\n"}`)
	}
	list.WriteString("]")
	line := row(map[string]any{"private_test_cases": packedText(list.String())})
	b.SetBytes(int64(list.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadProblems(bytes.NewReader(line), "set.jsonl"); err != nil {
			b.Fatal(err)
		}
	}
}

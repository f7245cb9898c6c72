package official

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/pythontest"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/score"
)

// samples makes n samples with all that a file can hold.
func samples(n, shift int) []result.Sample {
	out := make([]result.Sample, n)
	for i := range out {
		v := stream.Verdicts()[(i+shift)%(len(stream.Verdicts())-1)] // no judge faults
		s := result.Sample{Sample: stream.Sample{
			Index: i, Completion: fmt.Sprintf("Hé 😀\b\f\n\\u0008 \x7f \"%d\" \u2028\xed\xa0\x80", i), Code: fmt.Sprintf("print(%d)", i),
			Tokens: 5, FinishReason: "stop",
		}, Judgement: stream.Judgement{Verdict: v, CPU: 0.25}}
		switch v {
		case stream.Passed:
		case stream.WrongAnswer:
			s.ErrorCode, s.Test, s.Detail = new(-2), new(2), "want <1>"
		case stream.TimeLimit:
			s.ErrorCode, s.Test = new(-3), new(0)
		case stream.MemoryLimit:
			s.ErrorCode, s.Test = new(-5), new(1)
		case stream.NoCode, stream.Truncated:
			s.Code, s.ErrorCode = "", new(-4)
		default:
			s.ErrorCode, s.Test = new(-4), new(-1)
		}
		out[i] = s
	}
	return out
}

func writeCell(t *testing.T, dir string, q int, all []result.Sample) string {
	t.Helper()
	var tally result.Tally
	for i := range all {
		tally.Add(&all[i])
	}
	h := result.Header{
		QuestionIdx: q, QuestionID: fmt.Sprintf("abc%d_a", q), QuestionTitle: "T", Temperature: 0.2, Counts: tally.Counts(),
		Engine: "sim", Judge: "lcb", Fingerprint: "f",
	}
	path := result.CellPath(dir, q, 0.2)
	w, err := result.CreateCell(path, &h)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if err := w.Add(&all[i]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	return path
}

func question(q int) Question {
	return Question{
		Title: "Title <é>", Content: "Do\nit", Platform: "atcoder", ID: fmt.Sprintf("abc%d_a", q), ContestID: "abc", ContestDate: "2025-01-04T00:00:00",
		Difficulty: []string{"easy", "hard"}[q%2], Functional: q%2 == 1, Tests: 4,
	}
}

// export makes three questions of n samples and exports them.
func export(t *testing.T, n int) (output, eval, all []byte) {
	t.Helper()
	dir := t.TempDir()
	var cells []Cell
	for q := range 3 {
		cells = append(cells, Cell{question(q), writeCell(t, dir, q, samples(n, q))})
	}
	var a, b, c bytes.Buffer
	if err := Export(Writers{&a, &b, &c}, cells, score.PassAtK); err != nil {
		t.Fatal(err)
	}
	return a.Bytes(), b.Bytes(), c.Bytes()
}

func TestExportGolden(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	all := samples(3, 0)
	all[1].Completion, all[2].Completion, all[0].Completion = "b", "", "a"
	var output, eval, evalAll bytes.Buffer
	rate := func(n, c, _ int) (float64, error) { return float64(c) / float64(n), nil }
	if err := Export(Writers{&output, &eval, &evalAll}, []Cell{{question(0), writeCell(t, dir, 0, all)}}, rate); err != nil {
		t.Fatal(err)
	}
	const head = `[
    {
        "question_title": "Title <\u00e9>",
        "question_content": "Do\nit",
        "platform": "atcoder",
        "question_id": "abc0_a",
        "contest_id": "abc",
        "contest_date": "2025-01-04T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "output_list": [
            "a",
            "b",
            ""
        ],
        "code_list": [
            "print(0)",
            "print(1)",
            "print(2)"
        ]`
	if got, want := output.String(), head+"\n    }\n]"; got != want {
		t.Errorf("generations:\n%s\nwant\n%s", got, want)
	}
	const notes = `"{\"execution time\":0.25}",
            "{\"error\":\"want \\u003c1\\u003e\",\"error_code\":-2,\"error_message\":\"Wrong Answer\",\"verdict\":\"wrong_answer\"}",
            "{\"error_code\":-3,\"error_message\":\"Time Limit Exceeded\",\"verdict\":\"time_limit\"}"`
	if got, want := evalAll.String(), head+`,
        "graded_list": [
            true,
            false,
            false
        ],
        "pass@1": 0.3333333333333333,
        "metadata": [
            `+notes+`
        ]
    }
]`; got != want {
		t.Errorf("eval_all:\n%s\nwant\n%s", got, want)
	}
	if got, want := eval.String(), `[
    {
        "pass@1": 0.3333333333333333,
        "detail": {
            "pass@1": {
                "0": 0.3333333333333333
            }
        }
    },
    {
        "0": [
            [
                true,
                true,
                true,
                true
            ],
            [
                true,
                true,
                -2
            ],
            [
                -3
            ]
        ]
    },
    [
        [
            `+notes+`
        ]
    ]
]`; got != want {
		t.Errorf("eval:\n%s\nwant\n%s", got, want)
	}
}

// TestExportIsWhatPythonWrites loads each file with Python's json and dumps it
// again: the bytes stay.
func TestExportIsWhatPythonWrites(t *testing.T) {
	t.Parallel()
	py := pythontest.Find(t)
	for _, n := range []int{0, 1, 9, 40} {
		output, eval, all := export(t, n)
		for name, content := range map[string][]byte{"output": output, "eval": eval, "eval_all": all} {
			cmd := exec.CommandContext(t.Context(), py, "-c", "import json, sys; json.dump(json.load(sys.stdin), sys.stdout, indent=4)")
			cmd.Stdin = bytes.NewReader(content)
			got, err := cmd.Output()
			if err != nil {
				t.Fatalf("n = %d, %s: %v", n, name, err)
			}
			if !bytes.Equal(got, content) {
				t.Errorf("n = %d, %s: Python writes %d bytes, we %d:\n%.2000s\n%.2000s", n, name, len(got), len(content), got, content)
			}
		}
	}
}

// reader is the official reader's rules for _eval_all.json and _eval.json, in
// its own language and without numpy.
const reader = `
import json, math, sys
from datetime import datetime
rows = json.load(open(sys.argv[1]))
metrics, results, metadata = json.load(open(sys.argv[2]))
for r in rows:
    datetime.fromisoformat(r["contest_date"])
    assert len(r["graded_list"]) == len(r["code_list"]) == len(r["output_list"]) == len(r["metadata"])
    assert len(r["graded_list"]) == len(rows[0]["graded_list"])
    assert all(type(g) is bool for g in r["graded_list"]) and all(type(m) is str for m in r["metadata"])
    assert abs(r["pass@1"] - r["graded_list"].count(True) / len(r["graded_list"])) < 1e-15
    for m in r["metadata"]: assert isinstance(json.loads(m), dict)
def estimate(n, c, k):
    if n - c < k: return 1.0
    p = 1.0
    for i in range(n - c + 1, n + 1): p *= 1 - k / i
    return 1 - p
for k in [1, 5, 10, 20, 40]:
    got = sum(estimate(len(r["graded_list"]), sum(r["graded_list"]), k) for r in rows) / len(rows)
    assert abs(got - metrics["pass@%d" % k]) < 1e-12, (k, got)
assert "pass@50" not in metrics and len(metrics["detail"]["pass@40"]) == len(rows)
for i, r in enumerate(rows):
    assert metadata[i] == r["metadata"]
    for g, by_test in zip(r["graded_list"], results[str(i)]):
        assert g == all(x > 0 for x in by_test) and by_test, (g, by_test)
print([sum(r["graded_list"]) for r in rows])
`

func TestExportIsReadByTheirRules(t *testing.T) {
	t.Parallel()
	py := pythontest.Find(t)
	_, eval, all := export(t, 40)
	dir := t.TempDir()
	a, b := filepath.Join(dir, "eval_all.json"), filepath.Join(dir, "eval.json")
	for path, content := range map[string][]byte{a: all, b: eval} {
		if err := result.WriteFileAtomic(path, content); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), py, "-c", reader, a, b).CombinedOutput()
	// Every tenth of 40 passes.
	if want := "[4, 4, 4]"; err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("the reader says %s (%v), want %s", out, err, want)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	_, eval, all := export(t, 40)
	dir := t.TempDir()
	summaries, err := Import{Temperature: 0.2, Model: "m", Fingerprint: "theirs"}.Write(dir, bytes.NewReader(all), "x_eval_all.json")
	if err != nil {
		t.Fatal(err)
	}
	var counts []score.Count
	for q, s := range summaries {
		var want result.Tally
		exported := samples(40, q)
		for i := range exported {
			exported[i].Tokens = 0 // the format has no place for it
			want.Add(&exported[i])
		}
		r := s.Results[0]
		if c := want.Counts(); s.QuestionIdx != q || r.N != c.N || r.Passed != c.Passed || !reflect.DeepEqual(r.Verdicts, c.Verdicts) || r.UniquePassed != c.UniquePassed {
			t.Errorf("question %d: %+v, want %+v", q, r.Counts, c)
		}
		cell, err := result.OpenCell(result.CellPath(dir, q, 0.2))
		if err != nil {
			t.Fatal(err)
		}
		for got, err := range cell.Samples() {
			if err != nil {
				t.Fatal(err)
			}
			if w := exported[got.Index]; got.Completion != w.Completion || got.Code != w.Code || got.Verdict != w.Verdict {
				t.Fatalf("question %d: sample %+v, want %+v", q, got, w)
			}
		}
		if err := cell.Close(); err != nil {
			t.Fatal(err)
		}
		counts = append(counts, score.Count{N: r.N, C: r.Passed})
	}
	proof, err := result.Verify(t.Context(), dir, result.Expectation{N: 40})
	if err != nil || !proof.OK() || proof.Cells != 3 {
		t.Errorf("proof = %+v, %v, want 3 good cells", proof, err)
	}
	metrics, err := ReadMetrics(bytes.NewReader(eval), "x_eval.json")
	if err != nil || len(metrics) != 5 {
		t.Fatalf("metrics = %v, %v, want 5", metrics, err)
	}
	for k, want := range metrics {
		if got, err := meanPassAtK(counts, k); err != nil || math.Abs(got-want) > 1e-9 {
			t.Errorf("pass@%d = %v, %v, the file says %v", k, got, err, want)
		}
	}
}

func TestExportRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := Cell{question(0), writeCell(t, dir, 0, samples(5, 0))}, Cell{question(1), writeCell(t, dir, 1, samples(6, 0))}
	if err := Export(Writers{}, []Cell{a, b}, score.PassAtK); !errors.Is(err, ErrRagged) {
		t.Errorf("5 and 6 samples: %v, want ErrRagged", err)
	}
	for _, cells := range [][]Cell{{a, a}, {b, a}} {
		if err := Export(Writers{}, cells, score.PassAtK); err == nil || !strings.Contains(err.Error(), "in order") {
			t.Errorf("out of order: %v", err)
		}
	}
	a.Question.ContestDate = ""
	if err := Export(Writers{}, []Cell{a}, score.PassAtK); err == nil || !strings.Contains(err.Error(), "contest date") {
		t.Errorf("no date: %v", err)
	}
	full := writerFunc(func([]byte) (int, error) { return 0, errors.New("disk full") })
	for _, w := range []Writers{{Output: full}, {Eval: full}, {EvalAll: full}} {
		if err := Export(w, []Cell{{question(0), a.Path}}, score.PassAtK); err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("full disk: %v", err)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestExportLeavesOutFaults(t *testing.T) {
	t.Parallel()
	all := samples(6, 0)
	all[3] = result.Sample{Sample: stream.Sample{Index: 3}, Judgement: stream.Judgement{Verdict: stream.JudgeFault}}
	var evalAll bytes.Buffer
	if err := Export(Writers{EvalAll: &evalAll}, []Cell{{question(0), writeCell(t, t.TempDir(), 0, all)}}, score.PassAtK); err != nil {
		t.Fatal(err)
	}
	for r, err := range Read(&evalAll, "x") {
		if err != nil || len(r.Samples) != 5 {
			t.Errorf("%d samples, %v, want 5 of 6", len(r.Samples), err)
		}
	}
}

func TestByTest(t *testing.T) {
	t.Parallel()
	stdin, functional := Question{Tests: 3}, Question{Tests: 3, Functional: true}
	for _, tt := range []struct {
		sample stream.Judgement
		q      Question
		want   []string
	}{
		{stream.Judgement{Verdict: stream.Passed}, stdin, []string{"true", "true", "true"}},
		{stream.Judgement{Verdict: stream.Passed}, Question{}, []string{"true"}},
		{stream.Judgement{ErrorCode: new(-2), Test: new(1)}, stdin, []string{"true", "-2"}},
		{stream.Judgement{ErrorCode: new(-2), Test: new(1)}, functional, []string{"true", "false"}},
		{stream.Judgement{ErrorCode: new(-3), Test: new(1)}, functional, []string{"true", "-3"}},
		{stream.Judgement{ErrorCode: new(-4), Test: new(-1)}, stdin, []string{"-4"}},
		{stream.Judgement{ErrorCode: new(-5), Test: new(2)}, stdin, []string{"-2"}},
		{stream.Judgement{Verdict: stream.WrongAnswer}, stdin, []string{"-2"}},
		{stream.Judgement{Verdict: stream.TimeLimit}, stdin, []string{"-3"}},
		{stream.Judgement{Verdict: stream.NoCode}, stdin, []string{"-4"}},
	} {
		if got := byTest(&result.Sample{Judgement: tt.sample}, &tt.q); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("byTest(%+v) = %v, want %v", tt.sample, got, tt.want)
		}
	}
}

func TestPythonFloat(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{
		0: "0.0", 1: "1.0", 0.2: "0.2", 1.0 / 3: "0.3333333333333333", 1e-4: "0.0001", 1e-5: "1e-05", 1.25e-7: "1.25e-07", 1234567: "1234567.0",
	} {
		if got := pythonFloat(x); got != want {
			t.Errorf("pythonFloat(%v) = %s, want %s", x, got, want)
		}
	}
	for name, want := range map[string]float64{"x/Scenario.codegeneration_10_0.2_eval_all.json": 0.2, "Scenario.codegeneration_10_1.0.json": 1, "Scenario.codegeneration_10_0.65_cot_eval.json": 0.65} {
		if n, temperature, ok := ParseName(name); n != 10 || temperature != want || !ok {
			t.Errorf("ParseName(%s) = %d, %v, %v", name, n, temperature, ok)
		}
	}
	for _, name := range []string{"results.json", "Scenario.codegeneration_10.json", "Scenario.codegeneration_x_0.2.json"} {
		if _, _, ok := ParseName(name); ok {
			t.Errorf("ParseName(%s) takes it", name)
		}
	}
	if got := Name(10_000, 1); got != "Scenario.codegeneration_10000_1.0.json" {
		t.Errorf("Name = %s", got)
	}
}

// meanPassAtK returns the mean of the questions' pass@k, as the official runner reports it.
func meanPassAtK(counts []score.Count, k int) (float64, error) {
	total := 0.0
	for _, c := range counts {
		one, err := score.PassAtK(c.N, c.C, k)
		if err != nil {
			return 0, err
		}
		total += one
	}
	return total / float64(len(counts)), nil
}

package official

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/pythontest"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/score"
)

// writer makes the files of the official runner of recorded completions and the
// official judge's verdicts, by the runner's own formulas: every question has as
// many samples, pass@k is numpy's product where numpy is there.
const writer = `
import json, math, sys
data, out = sys.argv[1:]
try:
    import numpy
    def miss(n, c, k): return float(numpy.prod(1.0 - k / numpy.arange(n - c + 1, n + 1)))
except ImportError:
    def miss(n, c, k): return math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))
def rows(name): return [json.loads(l) for l in open(data + "/" + name)]
problems = sorted(rows("problems.jsonl"), key=lambda p: p["question_id"])
verdicts = {v["completion_id"]: v for v in rows("official_verdicts.jsonl")}
by = {}
for c in rows("completions.jsonl"): by.setdefault(c["question_id"], []).append(c)
problems = [p for p in problems if p["question_id"] in by]
n = min(len(by[p["question_id"]]) for p in problems)
every, graded, results, notes = [], [], {}, []
for i, p in enumerate(problems):
    mine = by[p["question_id"]][:n]
    said = [verdicts[c["completion_id"]] for c in mine]
    g = [v["passed"] for v in said]
    meta = [json.dumps({"execution time": v["wall_s"]} if v["passed"] else {"error": v["error"], "error_code": v["error_code"], "error_message": "-"}) for v in said]
    graded.append(g); notes.append(meta)
    results[i] = [[True] if v["passed"] else [v["error_code"]] for v in said]
    row = {k: p[k] for k in ["question_title", "question_content", "platform", "question_id", "contest_id", "contest_date", "starter_code", "difficulty"]}
    row |= {"output_list": [c["output"] for c in mine], "code_list": [c["code"] for c in mine], "graded_list": g, "pass@1": g.count(True) / n, "metadata": meta}
    every.append(row)
metrics = {"detail": {}}
for k in [1, 5, 10, 20, 40, 50, 75, 100, 125, 150, 200, 500, 1000]:
    if k > n: break
    each = [1.0 if n - sum(g) < k else 1.0 - miss(n, sum(g), k) for g in graded]
    metrics["pass@%d" % k] = sum(each) / len(each)
    metrics["detail"]["pass@%d" % k] = dict(enumerate(each))
json.dump(every, open(out + "/x_eval_all.json", "w"), indent=4)
json.dump([metrics, results, notes], open(out + "/x_eval.json", "w"), indent=4)
print(len(problems), n)
`

// TestRealResults imports such files of thousands of real completions: counts,
// verdicts and pass@k are those of the files, and a second way out and in leaves
// them as they are.
func TestRealResults(t *testing.T) {
	t.Parallel()
	data, err := filepath.Abs("../../../../../shared/lcb")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(data, "completions.jsonl")); errors.Is(err, fs.ErrNotExist) {
		t.Skip("the recorded completions are not beside the repository: ", data)
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), pythontest.Find(t), "-c", writer, data, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	in, err := os.Open(filepath.Join(dir, "x_eval_all.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }() // it was only read
	folder := t.TempDir()
	parts, err := Import{Temperature: 0.2}.Cells(folder, in, "x_eval_all.json")
	if err != nil || len(parts) < 50 {
		t.Fatalf("%d questions, %v", len(parts), err)
	}
	var counts []score.Count
	var cells []Cell
	verdicts := make(map[stream.Verdict]int)
	for i, p := range parts {
		counts = append(counts, score.Count{N: p.Header.N, C: p.Header.Passed})
		for v, n := range p.Header.Verdicts {
			verdicts[v] += n
		}
		p.Question.Tests = 1
		cells = append(cells, Cell{p.Question, result.CellPath(folder, i, 0.2)})
	}
	for _, v := range []stream.Verdict{stream.Passed, stream.WrongAnswer, stream.TimeLimit, stream.RuntimeError, stream.NoCode} {
		if verdicts[v] == 0 {
			t.Errorf("no sample is %s: %v", v, verdicts)
		}
	}
	said := metrics(t, filepath.Join(dir, "x_eval.json"))
	if len(said) < 5 {
		t.Fatalf("metrics %v", said)
	}
	for k, want := range said {
		if got, err := meanPassAtK(counts, k); err != nil || math.Abs(got-want) > 1e-9 {
			t.Errorf("pass@%d = %v, %v, the file says %v", k, got, err, want)
		}
	}

	slices.SortFunc(cells, func(a, b Cell) int { return strings.Compare(a.Question.ID, b.Question.ID) })
	all, eval := filepath.Join(dir, "again_eval_all.json"), filepath.Join(dir, "again_eval.json")
	writeExport(t, all, eval, cells)
	back, err := os.Open(all)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = back.Close() }() // it was only read
	i := 0
	for r, err := range Read(back, all) {
		if err != nil {
			t.Fatal(err)
		}
		var tally result.Tally
		for j := range r.Samples {
			tally.Add(&r.Samples[j])
		}
		c := tally.Counts()
		if want := parts[i].Header; c.N != want.N || c.Passed != want.Passed || c.UniquePrograms != want.UniquePrograms || c.Verdicts[stream.TimeLimit] != want.Verdicts[stream.TimeLimit] {
			t.Errorf("question %s: %+v, want %+v", r.Question.ID, c, want.Counts)
		}
		i++
	}
	if again := metrics(t, eval); len(again) != len(said) || i != len(parts) {
		t.Errorf("exported again: %d metrics of %d questions, want %d of %d", len(again), i, len(said), len(parts))
	}
}

func metrics(t *testing.T, path string) map[int]float64 {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := ReadMetrics(in, path)
	if err := errors.Join(err, in.Close()); err != nil {
		t.Fatal(err)
	}
	return out
}

func writeExport(t *testing.T, all, eval string, cells []Cell) {
	t.Helper()
	a, err := os.Create(all)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.Create(eval)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Export(Writers{EvalAll: a, Eval: b}, cells, score.PassAtK), a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
}

package export

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/lcbq/lcbq/cmd/internal/export/record"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/engine/replay"
	"github.com/lcbq/lcbq/worker/health"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/lcb/result/official"
)

// samples makes n samples of all verdicts with texts that break careless writers.
func samples(n, shift int) []result.Sample {
	out := make([]result.Sample, n)
	for i := range out {
		v := stream.Verdicts()[(i+shift)%len(stream.Verdicts())]
		s := result.Sample{Sample: stream.Sample{
			Index: i, Completion: fmt.Sprintf("Hé 😀\n\"%d\" \u2028", i), Code: fmt.Sprintf("print(%d)", i%7),
			Tokens: 5, FinishReason: "stop",
		}, Judgement: stream.Judgement{Verdict: v, CPU: 0.25}, Generator: "gpu0", Evaluator: "eval0"}
		if v == stream.WrongAnswer {
			s.ErrorCode, s.Test, s.Detail = new(-2), new(1), "want <1>"
		}
		out[i] = s
	}
	return out
}

// newRun makes a results folder of three questions at two temperatures, n samples
// a cell of which some could not be judged.
func newRun(t *testing.T, n int) *Run {
	t.Helper()
	dir := t.TempDir()
	r := &Run{Release: "v6"}
	r.Summary.Run, r.Summary.Engine, r.Summary.Model, r.Summary.Judge, r.Summary.Fingerprint = "r1", "vllm", "Qwen/Qwen3-0.6B", "lcb", "f00d"
	r.Summary.Problems.Name, r.Summary.Problems.Digest, r.Summary.Problems.Count, r.Summary.Problems.Revision = "v6", "d", 175, "abc"
	r.Summary.Sampling.MaxTokens, r.Summary.Sampling.TopP = 512, 0.95
	r.Summary.LCBQ, r.Summary.Finished = "v1.2.3", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var parts []official.Part
	for q := range 3 {
		question := official.Question{
			ID: fmt.Sprintf("abc%d_a", q), Title: "T", Content: "Do it", Platform: "atcoder", ContestID: "abc", ContestDate: "2025-01-04T00:00:00",
			Difficulty: []string{"easy", "hard"}[q%2], Tests: 3,
		}
		r.Questions = append(r.Questions, Question{Index: q, Question: question})
	}
	for i, temperature := range []float64{0.2, 1} {
		for q := range 3 {
			all := samples(n, 3*q+i)
			var tally result.Tally
			for j := range all {
				tally.Add(&all[j])
			}
			h := result.Header{QuestionIdx: q, QuestionID: r.Questions[q].ID, QuestionTitle: "T", Temperature: temperature, Counts: tally.Counts(), Engine: "vllm", Model: "Qwen/Qwen3-0.6B", Judge: "lcb", Fingerprint: "f00d"}
			path := result.CellPath(dir, q, temperature)
			w, err := result.CreateCell(path, &h)
			if err != nil {
				t.Fatal(err)
			}
			for j := range all {
				if err := w.Add(&all[j]); err != nil {
					t.Fatal(err)
				}
			}
			d, err := w.Commit()
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, official.Part{Question: r.Questions[q].Question, Header: h, Digest: d, File: filepath.Base(path)})
			r.Cells = append(r.Cells, Cell{Question: q, Temperature: temperature, Counts: h.Counts, Path: path})
		}
	}
	summaries, err := official.Summaries(dir, parts)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Summary.Count(summaries, summary.Sweep(summaries)); err != nil {
		t.Fatal(err)
	}
	r.Analysis = r.Summary.Analysis
	return r
}

func write(t *testing.T, r *Run, format string) (dir string, files []string) {
	t.Helper()
	dir = t.TempDir()
	files, err := r.Write(t.Context(), format, dir)
	if err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return dir, files
}

// TestLiveCodeBench: three files a temperature, which come back with the same
// counts and say the pass@k that lcbq says.
func TestLiveCodeBench(t *testing.T) {
	t.Parallel()
	r := newRun(t, 55)
	dir, files := write(t, r, "livecodebench")
	if len(files) != 6 {
		t.Fatalf("files %v", files)
	}
	again := t.TempDir()
	var parts []official.Part
	for i, temperature := range []float64{0.2, 1} {
		name := filepath.Join(dir, strings.TrimSuffix(official.Name(50, temperature), ".json"))
		in, err := os.Open(name + "_eval_all.json")
		if err != nil {
			t.Fatal(err)
		}
		got, err := official.Import{Temperature: temperature}.Cells(again, in, name)
		if err := errors.Join(err, in.Close()); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, got...)
		metrics, err := os.Open(name + "_eval.json")
		if err != nil {
			t.Fatal(err)
		}
		said, err := official.ReadMetrics(metrics, name)
		if err := errors.Join(err, metrics.Close()); err != nil {
			t.Fatal(err)
		}
		if len(said) != 6 {
			t.Errorf("metrics %v", said)
		}
		for k, v := range said {
			if mine := r.Summary.Results[i].PassAtK[k]; math.Abs(mine-v) > 1e-9 {
				t.Errorf("pass@%d at %v = %v, the file says %v", k, temperature, mine, v)
			}
		}
	}
	for i, p := range parts {
		want := r.Cells[i].Counts
		if p.Header.N != want.N || p.Header.Passed != want.Passed || p.Header.QuestionID != r.Questions[r.Cells[i].Question].ID {
			t.Errorf("cell %d: %+v, want %+v", i, p.Header, want)
		}
		for _, v := range stream.Verdicts() {
			if v != stream.JudgeFault && p.Header.Verdicts[v] != want.Verdicts[v] {
				t.Errorf("cell %d: %d %s, want %d", i, p.Header.Verdicts[v], v, want.Verdicts[v])
			}
		}
	}
	slices.Reverse(parts)
	summaries, err := official.Summaries(again, parts)
	if err != nil || len(summaries) != 3 || summaries[0].QuestionIdx != 0 || !slices.Equal(summaries[0].Temperatures, []float64{0.2, 1}) {
		t.Fatalf("summaries %+v, %v", summaries, err)
	}
	if proof, err := result.Verify(t.Context(), again, result.Expectation{}); err != nil || !proof.OK() {
		t.Errorf("the folder that came back: %+v, %v", proof, err)
	}
}

// tally counts what a file of rows says, by question and temperature.
type tally map[string][2]int

func (y tally) add(id string, temperature float64, passed bool) {
	key := fmt.Sprint(id, " ", temperature)
	c := y[key]
	c[0]++
	if passed {
		c[1]++
	}
	y[key] = c
}

func (y tally) check(t *testing.T, r *Run) {
	t.Helper()
	if len(y) != len(r.Cells) {
		t.Errorf("%d cells, want %d", len(y), len(r.Cells))
	}
	for _, c := range r.Cells {
		key := fmt.Sprint(r.Questions[c.Question].ID, " ", c.Temperature)
		if y[key] != [2]int{c.Counts.N, c.Counts.Passed} {
			t.Errorf("%s: %v, want %d of %d", key, y[key], c.Counts.Passed, c.Counts.N)
		}
	}
}

func eachLine(t *testing.T, path string, f func(line []byte)) {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		f(lines.Bytes())
	}
	if err := errors.Join(lines.Err(), in.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestEvalPlus(t *testing.T) {
	t.Parallel()
	r := newRun(t, 33)
	dir, files := write(t, r, "evalplus")
	if want := filepath.Join(dir, "livecodebench_Qwen-Qwen3-0.6B_temp_1.0.jsonl"); len(files) != 2 || files[1] != want {
		t.Fatalf("files %v, want two, the second %s", files, want)
	}
	got := make(tally)
	words := make(map[string]int)
	for _, f := range files {
		eachLine(t, f, func(line []byte) {
			var row struct {
				Task        string  `json:"task_id"`
				Solution    string  `json:"solution"`
				Status      string  `json:"base_status"`
				Temperature float64 `json:"temperature"`
				Index       int     `json:"index"`
				Verdict     string  `json:"verdict"`
			}
			if err := json.Unmarshal(line, &row); err != nil {
				t.Fatal(err)
			}
			id, ok := strings.CutPrefix(row.Task, "LiveCodeBench/")
			if want := fmt.Sprintf("print(%d)", row.Index%7); !ok || row.Solution != want {
				t.Errorf("row %s, want solution %s", line, want)
			}
			want := map[string]string{"passed": "pass", "time_limit": "timeout"}[row.Verdict]
			if want == "" {
				want = "fail"
			}
			if row.Status != want {
				t.Errorf("row %s, want status %s", line, want)
			}
			words[row.Status]++
			got.add(id, row.Temperature, row.Status == "pass")
		})
	}
	got.check(t, r)
	if len(words) != 3 || words["timeout"] == 0 {
		t.Errorf("statuses %v", words)
	}
}

// TestJSONLines: the file is one that lcbq itself reads.
func TestJSONLines(t *testing.T) {
	t.Parallel()
	r := newRun(t, 33)
	_, files := write(t, r, "jsonl")
	got := make(tally)
	eachLine(t, files[0], func(line []byte) {
		var row struct {
			ID          string         `json:"question_id"`
			Temperature float64        `json:"temperature"`
			Passed      bool           `json:"passed"`
			Verdict     stream.Verdict `json:"verdict"`
		}
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(line, []byte(`"completion"`)) {
			t.Fatalf("row %s says its text twice", line)
		}
		s, err := result.ParseSample(line)
		if err != nil || s.Verdict != row.Verdict || s.Tokens != 5 || s.Generator != "gpu0" {
			t.Errorf("sample %+v, %v", s, err)
		}
		got.add(row.ID, row.Temperature, row.Passed)
	})
	got.check(t, r)
	in, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	seen := make(map[string]bool)
	for row, err := range replay.Rows(in, files[0], replay.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(*row.Output, "Hé 😀\n\"") || !strings.HasPrefix(*row.Code, "print(") || seen[row.CompletionID] {
			t.Fatalf("row %+v", row)
		}
		seen[row.CompletionID] = true
		n++
	}
	if err := in.Close(); err != nil || n != 6*30 {
		t.Errorf("%d rows, %v, want 30 of 33 of each cell", n, err)
	}
}

func TestParquet(t *testing.T) {
	t.Parallel()
	r := newRun(t, 33)
	_, files := write(t, r, "parquet")
	rows, err := parquet.ReadFile[Row](files[0])
	if err != nil {
		t.Fatal(err)
	}
	got := make(tally)
	for i, row := range rows {
		if row.Completion != fmt.Sprintf("Hé 😀\n\"%d\" \u2028", row.Index) || row.Platform != "atcoder" || row.CPUSeconds != 0.25 {
			t.Fatalf("row %d: %+v", i, row)
		}
		if wrong := row.Verdict == "wrong_answer"; wrong != (row.ErrorCode != nil) || wrong && (*row.ErrorCode != -2 || *row.Test != 1) {
			t.Fatalf("row %d: %+v", i, row)
		}
		got.add(row.QuestionID, row.Temperature, row.Passed)
	}
	got.check(t, r)
}

// TestEveryEvalEver holds the record against the published schema.
func TestEveryEvalEver(t *testing.T) {
	t.Parallel()
	r := newRun(t, 55)
	r.Summary.Until = &summary.Until{Until: store.Until{Half: 0.25, K: 1, Most: 99}, Temperatures: []summary.UntilTemperature{{Temperature: r.Summary.Results[0].Temperature, N: 55, Half: 0.2, Reached: true}}}
	r.Summary.Health = []health.Finding{{Text: "30 completions were drawn again"}, {Grave: true, Text: "all answers are empty"}}
	dir, files := write(t, r, "every-eval-ever")
	name, err := filepath.Rel(dir, files[0])
	if err != nil || !regexp.MustCompile(`^data/livecodebench/Qwen/Qwen3-0\.6B/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.json$`).MatchString(filepath.ToSlash(name)) {
		t.Errorf("file %s, %v", name, err)
	}
	schema, err := jsonschema.NewCompiler().Compile("testdata/every_eval_ever-" + record.Version + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Errorf("the schema refuses it: %v", err)
	}
	if want := "30 completions were drawn again; these numbers say nothing about the model: all answers are empty"; !strings.Contains(string(text), want) {
		t.Errorf("the record lacks the findings %q", want)
	}
	var have aggregate
	if err := json.Unmarshal(text, &have); err != nil {
		t.Fatal(err)
	}
	groups := 0
	for i := range have.Results {
		if have.Results[i].Metric.Parameters.By != "" {
			groups++
		} else if groups > 0 {
			t.Fatalf("result %d is of all questions, and stands behind those of groups", i)
		}
	}
	have.Results = have.Results[:len(have.Results)-groups]
	if len(have.Results) != 6 { // k = 1, 5 and 10 at two temperatures
		t.Fatalf("%d results", len(have.Results))
	}
	for i, x := range have.Results {
		want := r.Summary.Results[i/3].PassAtK[x.Metric.Parameters.K]
		if x.Config.Args.Temperature != r.Summary.Results[i/3].Temperature || math.Abs(x.Score.Score-want) > 1e-12 || x.Score.Uncertainty.Interval.Lower > want || x.Score.Uncertainty.Interval.Upper < want {
			t.Errorf("result %d: %+v, want %v", i, x, want)
		}
	}
	first := have.Results[0].Score.Details
	p := r.Analysis.Temperatures[0].Points[0]
	if first["anytime_interval_low"] != fmt.Sprint(p.Anytime.Low) || first["anytime_interval_high"] != fmt.Sprint(p.Anytime.High) ||
		!strings.Contains(first["samples_chosen_by_results"], "at most 0.25, at most 99 samples") || first["samples_chosen_half_width"] != "0.2" || first["samples_chosen_reached"] != "true" {
		t.Errorf("of samples chosen by their results: %v", first)
	}
	best, like := &r.Analysis.Best[0], r.Analysis.Best[0].Standings[0].Like
	if best.K != 1 || first["may_be_best_questions_like"] != fmt.Sprint(like.InSet) || first["behind_best_questions_like_high"] != fmt.Sprint(like.Behind.High) || first["may_be_best_these_questions"] == "" {
		t.Errorf("how far the first temperature is behind: %v, want %+v", first, like)
	}
	chosen := 0
	for _, x := range have.Results {
		if d := x.Score.Details["chosen_loses_at_most_questions_like"]; x.Metric.Parameters.K == 1 && d != "" {
			if chosen++; x.Config.Args.Temperature != best.Choice.Temperature || d != fmt.Sprint(best.Choice.Like) {
				t.Errorf("the choice at k = 1 is %+v, and the record says %q at %v", best.Choice, d, x.Config.Args.Temperature)
			}
		}
	}
	if chosen != 1 {
		t.Errorf("%d temperatures are the choice at k = 1", chosen)
	}
	for _, want := range []string{"tokens_per_solved_question", "if_truncated_samples_had_passed"} {
		if first[want] == "" {
			t.Errorf("the record lacks %s: %v", want, first)
		}
	}
	for _, want := range []string{`"never_to_sometimes": "`, ` at each temperature, solve `, `gain over one temperature `} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the record does not say %s", want)
		}
	}
	selected := 0
	for _, x := range have.Results {
		for _, b := range r.Analysis.Best {
			is := b.K == x.Metric.Parameters.K && b.Temperature == x.Config.Args.Temperature
			if d := x.Score.Details; is && d["selected_as_highest_of"] == "2" && d["selected_too_high_at_most"] == fmt.Sprint(b.Selected.Like) {
				selected++
			} else if b.K == x.Metric.Parameters.K && d["selected_as_highest_of"] != "" != is {
				t.Errorf("k = %d at %v is the highest: %v, and the record says %q", b.K, b.Temperature, is, d["selected_as_highest_of"])
			}
		}
	}
	if selected != len(have.Results)/2 {
		t.Errorf("%d values are said to be selected, want one of two at each k", selected)
	}
	_, again := write(t, r, "every-eval-ever")
	if filepath.Base(again[0]) != filepath.Base(files[0]) {
		t.Errorf("the same results have another name: %s, %s", again[0], files[0])
	}
}

func TestHub(t *testing.T) {
	t.Parallel()
	r := newRun(t, 55)
	dir, files := write(t, r, "hf")
	if want := filepath.Join(dir, ".eval_results", "livecodebench_v6_t0_2.yaml"); len(files) != 2 || files[0] != want {
		t.Fatalf("files %v, want %s first", files, want)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var got []struct {
		Dataset struct {
			ID       string
			Task     string `yaml:"task_id"`
			Revision string
		}
		Value float64
		Date  string
		Notes string
	}
	if err := yaml.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	x := got[0]
	if len(got) != 1 || x.Dataset.ID != "livecodebench/code_generation_lite" || x.Dataset.Task != "v6" || x.Dataset.Revision != "abc" || x.Date != "2026-01-02" ||
		math.Abs(x.Value-100*r.Summary.Results[0].PassAtK[1]) > 1e-9 || !strings.Contains(x.Notes, "3 of 175 questions, judge lcb") {
		t.Errorf("%+v", got)
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		format string
		change func(r *Run)
		want   string
	}{
		"simulated":       {"hf", func(r *Run) { r.Summary.Simulated = true }, "simulated, and a model's page is for a model's\nexport a run of a model, or choose another --format"},
		"own problems":    {"hf", func(r *Run) { r.Release = "" }, "on the hub\nexport a run with --problems v1 to v6, or choose another --format"},
		"some problems":   {"hf", func(r *Run) { r.Summary.Windows = []store.Window{{From: "2024-01-01"}} }, "all of release v6\nexport all of the questions, or choose another --format"},
		"no texts":        {"livecodebench", func(r *Run) { r.Questions[1].Content = "" }, "--problems"},
		"no samples":      {"livecodebench", func(r *Run) { r.Cells[1].Path = "" }, "not in the folder"},
		"no samples rows": {"parquet", func(r *Run) { r.Cells[1].Path = "" }, "not in the folder"},
		"half a cell":     {"jsonl", func(r *Run) { cut(r.Cells[2].Path) }, "unexpected EOF"},
		"half a cell too": {"parquet", func(r *Run) { cut(r.Cells[2].Path) }, "unexpected EOF"},
		"unknown":         {"xml", func(*Run) {}, "no format"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, 11)
			tt.change(r)
			dir := t.TempDir()
			if files, err := r.Write(t.Context(), tt.format, dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, %v, want an error with %q", files, err, tt.want)
			}
			left, err := os.ReadDir(dir)
			if err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return !e.IsDir() }) {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// cut halves a file, as an interrupted copy does.
func cut(path string) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, text[:len(text)/2], 0o600)
	}
	if err != nil {
		panic(err)
	}
}

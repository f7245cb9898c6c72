package result

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/lcbq/lcbq/stream"
)

// samples makes n samples with every verdict and every optional field among them.
func samples(n int) []Sample {
	out := make([]Sample, n)
	for i := range out {
		v := stream.Verdicts()[i%len(stream.Verdicts())]
		out[i] = Sample{
			Sample: stream.Sample{
				Index: i, Completion: fmt.Sprintf("Say <b>&\u2028\n```python\nprint(%d)\n```\x01\t\"\\", i%7),
				Code: fmt.Sprintf("print(%d)", i%7), Tokens: 10 + i, FinishReason: "stop",
			},
			Judgement: stream.Judgement{Verdict: v, CPU: float64(i) / 64, Cached: i%7 < i}, Generator: "gpu0", Evaluator: "eval1",
		}
		if v == stream.WrongAnswer {
			out[i].ErrorCode, out[i].Test, out[i].Detail = new(-2), new(i), "want 1, got 2"
		}
		if v == stream.CompileError {
			out[i].ErrorCode, out[i].Test = new(-4), new(-1)
		}
	}
	return out
}

func header(q int, temperature float64, all []Sample) Header {
	var tally Tally
	for i := range all {
		tally.Add(&all[i])
	}
	h := Header{
		QuestionIdx: q, QuestionID: fmt.Sprintf("abc%d_a", q), QuestionTitle: `A title, "completions": [ in it`,
		Temperature: temperature, Counts: tally.Counts(),
		Engine: "sim", Model: "sim-1", Simulated: true, Judge: "lcb", Fingerprint: "f00d",
	}
	h.GenTPS = 1234.5
	return h
}

func writeCell(tb testing.TB, path string, h Header, all []Sample) Digest {
	tb.Helper()
	w, err := CreateCell(path, &h)
	if err != nil {
		tb.Fatal(err)
	}
	for i := range all {
		if err := w.Add(&all[i]); err != nil {
			tb.Fatal(err)
		}
	}
	d, err := w.Commit()
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// readCell reads a cell to its end or first error.
func readCell(path string) (Header, []Sample, Digest, error) {
	c, err := OpenCell(path)
	if err != nil {
		return Header{}, nil, Digest{}, err
	}
	var all []Sample
	for s, err := range c.Samples() {
		if err != nil {
			return c.Header(), all, Digest{}, fmt.Errorf("%w, closed: %w", err, c.Close())
		}
		all = append(all, s)
	}
	return c.Header(), all, c.Digest(), c.Close()
}

func TestTally(t *testing.T) {
	t.Parallel()
	var tally Tally
	for i, s := range []struct {
		code    string
		verdict stream.Verdict
		tokens  int
		cpu     float64
		cached  bool
	}{
		{"a", stream.WrongAnswer, 1, 0.5, false},
		{"b", stream.Passed, 2, 0.25, false},
		{"b", stream.TimeLimit, 3, 0, false}, // a slow machine: it passed once
		{"", stream.NoCode, 4, 0, false},     // no program is not a program
		{"", stream.Truncated, 5, 0, false},
		{"c", stream.JudgeFault, 6, 0, false},
		{"d", stream.Passed, 0, 0.125, true}, // run for another sample, whose time it is
	} {
		tally.Add(&Sample{Sample: stream.Sample{Index: i, Completion: "x" + s.code, Code: s.code, Tokens: s.tokens}, Judgement: stream.Judgement{Verdict: s.verdict, CPU: s.cpu, Cached: s.cached}})
	}
	want := stream.Counts{
		N: 6, Passed: 2, PassRate: 100.0 / 3, Unscored: 1, UniquePrograms: 3, UniquePassed: 2, Tokens: 21, JudgeCPU: 0.75,
		Verdicts: map[stream.Verdict]int{
			stream.Passed: 2, stream.WrongAnswer: 1, stream.TimeLimit: 1, stream.NoCode: 1, stream.Truncated: 1, stream.JudgeFault: 1,
		},
		Answers: &stream.Answers{Finish: map[string]int{stream.FinishNone: 7}, Texts: 5, Bytes: 12, Uncounted: 1},
	}
	if got := tally.Counts(); !reflect.DeepEqual(got, want) {
		t.Errorf("Counts = %+v, want %+v", got, want)
	}
}

// TestTallyOfOtherRule: a program that the run's rule leaves out and another finds is
// counted.
func TestTallyOfOtherRule(t *testing.T) {
	t.Parallel()
	var tally Tally
	for i, text := range []string{"```python\nn = int(input())\nprint(n + 1)", "I cannot solve this.", ""} {
		tally.Add(&Sample{Sample: stream.Sample{Index: i, Completion: text}, Judgement: stream.Judgement{Verdict: stream.NoCode}})
	}
	if got := tally.Counts().Answers.OtherRule; got != 1 {
		t.Errorf("%d samples without a program hold one by the rule robust, want 1", got)
	}
}

func TestCellRoundTrip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, n := range []int{0, 1, 2, 1000} {
		for _, path := range []string{CellPath(dir, n, 0.7), CompressedCellPath(dir, n, 0.7)} {
			want := samples(n)
			wantHeader := header(n, 0.7, want)
			digest := writeCell(t, path, wantHeader, want)
			gotHeader, got, gotDigest, err := readCell(path)
			if err != nil {
				t.Fatalf("n = %d: %v", n, err)
			}
			if n > 0 && !reflect.DeepEqual(gotHeader, wantHeader) {
				t.Errorf("n = %d: header = %+v, want %+v", n, gotHeader, wantHeader)
			}
			if len(got) != n || (n > 0 && !reflect.DeepEqual(got, want)) {
				t.Errorf("n = %d: samples differ after the round trip", n)
			}
			if gotDigest != digest {
				t.Errorf("n = %d: digest = %v, want %v", n, gotDigest, digest)
			}
		}
	}
}

// TestCellIsOneDocument reads a cell as any other JSON program would.
func TestCellIsOneDocument(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	all := samples(20)
	h := header(3, 0.1, all)
	plain, packed := CellPath(dir, 3, 0.1), CompressedCellPath(dir, 3, 0.1)
	if a, b := writeCell(t, plain, h, all), writeCell(t, packed, h, all); a != b {
		t.Errorf("digests %v and %v, want the same content both ways", a, b)
	}
	content, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	raw, err := os.ReadFile(packed)
	if err != nil {
		t.Fatal(err)
	}
	if unpacked, err := dec.DecodeAll(raw, nil); err != nil || !bytes.Equal(unpacked, content) {
		t.Errorf("unpacked content differs (%v)", err)
	}

	var doc struct {
		Header
		Completions []map[string]any `json:"completions"`
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Completions) != 20 || doc.N+doc.Unscored != 20 || doc.Completions[3]["completion"] != all[3].Completion {
		t.Errorf("document has n = %d and %d completions, want 20 as written", doc.N, len(doc.Completions))
	}
	if bytes.Contains(content, []byte(`\u003c`)) {
		t.Error("document holds HTML escapes")
	}

	wantOrder := []string{"question_idx", "question_id", "question_title", "temperature", "n", "passed", "pass_rate", "gen_tps"}
	at := 0
	for _, key := range wantOrder {
		i := bytes.Index(content[at:], []byte(`"`+key+`":`))
		if i < 0 {
			t.Fatalf("header lacks %q after byte %d", key, at)
		}
		at += i
	}
	const first = `{"index":0,"completion":"Say <b>&` + "\u2028" + `\n` + "```python" + `\nprint(0)\n` + "```" + `\u0001\t\"\\","code":"print(0)",` +
		`"passed":true,"verdict":"passed","error_code":null,"test":null,"tokens":10,"finish_reason":"stop","cpu_s":0,"generator":"gpu0","evaluator":"eval1"}`
	if !bytes.Contains(content, []byte("[\n"+first+",\n")) {
		t.Errorf("first sample is not\n%s", first)
	}
}

// TestCellReadsReformatted reads a document that another program wrote again.
func TestCellReadsReformatted(t *testing.T) {
	t.Parallel()
	path := CellPath(t.TempDir(), 1, 1)
	all := samples(30)
	writeCell(t, path, header(1, 1, all), all)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, content, "", "\t"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, indented.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, got, _, err := readCell(path); err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("%d samples, %v, want the 30 written", len(got), err)
	}
}

func TestCellWriterRefuses(t *testing.T) {
	t.Parallel()
	good := samples(10)
	for _, tt := range []struct {
		name  string
		spoil func(h *Header, all []Sample) []Sample
		want  string
	}{
		{"gap", func(_ *Header, all []Sample) []Sample { return append(all[:3:3], all[4:]...) }, "index = 4, want 3"},
		{"duplicate", func(_ *Header, all []Sample) []Sample { all[4].Index = 3; return all }, "index = 3, want 4"},
		{"out of order", func(_ *Header, all []Sample) []Sample { all[4], all[5] = all[5], all[4]; return all }, "index = 5, want 4"},
		{"too few", func(_ *Header, all []Sample) []Sample { return all[:8] }, "n says"},
		{"too many", func(_ *Header, all []Sample) []Sample {
			return append(all, Sample{Sample: stream.Sample{Index: 10}, Judgement: stream.Judgement{Verdict: stream.NoCode}})
		}, "n says"},
		{"verdict changed", func(_ *Header, all []Sample) []Sample { all[1].Verdict = stream.TimeLimit; return all }, "verdicts."},
		{"unknown verdict", func(_ *Header, all []Sample) []Sample { all[1].Verdict = 99; return all }, `verdict = Verdict(99)`},
		{"error code", func(_ *Header, all []Sample) []Sample { all[1].ErrorCode = new(-1); return all }, "error_code = -1"},
		{"NaN", func(_ *Header, all []Sample) []Sample { all[1].CPU = math.NaN(); return all }, "cpu_s = NaN"},
		{"faster than it could", func(_ *Header, all []Sample) []Sample { all[1].Slowdown = 0.5; return all }, "slowdown = 0.5"},
		{"endlessly slow", func(_ *Header, all []Sample) []Sample { all[1].Slowdown = math.Inf(1); return all }, "slowdown = +Inf"},
		{"header rate", func(h *Header, all []Sample) []Sample { h.PassRate = 3; return all }, "pass_rate = 3"},
		{"header sum", func(h *Header, all []Sample) []Sample { h.Verdicts = nil; return all }, "verdicts = 0"},
		{"header tokens", func(h *Header, all []Sample) []Sample { h.Tokens++; return all }, "completion_tokens"},
		{"header NaN", func(h *Header, all []Sample) []Sample { h.GenTPS = math.NaN(); return all }, "gen_tps = NaN"},
		{"temperature", func(h *Header, all []Sample) []Sample { h.Temperature = -1; return all }, "temperature = -1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := CellPath(t.TempDir(), 0, 0.5)
			all := append([]Sample(nil), good...)
			h := header(0, 0.5, all)
			all = tt.spoil(&h, all)
			w, err := CreateCell(path, &h)
			if err == nil {
				for i := range all {
					if err = w.Add(&all[i]); err != nil {
						break
					}
				}
				if err == nil {
					_, err = w.Commit()
				} else if _, again := w.Commit(); again == nil {
					t.Error("Commit after a refused sample succeeded")
				}
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if entries, err := os.ReadDir(filepath.Dir(path)); err == nil && len(entries) > 0 {
				t.Errorf("%d files left behind, first %s", len(entries), entries[0].Name())
			}
		})
	}
}

func TestCellAbort(t *testing.T) {
	t.Parallel()
	path := CellPath(t.TempDir(), 0, 0.5)
	all := samples(3)
	h := header(0, 0.5, all)
	w, err := CreateCell(path, &h)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(&all[0]); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(&all[1]); err == nil {
		t.Error("Add after Abort succeeded")
	}
	if _, err := w.Commit(); err == nil {
		t.Error("Commit after Abort succeeded")
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 0 {
		t.Errorf("%d entries, %v, want an empty folder", len(entries), err)
	}

	writeCell(t, path, h, all)
	w, err = CreateCell(path, &h)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	if _, got, _, err := readCell(path); err != nil || len(got) != 3 {
		t.Errorf("old file after an aborted rewrite: %d samples, %v, want 3", len(got), err)
	}
}

func TestOpenCellRefusesDamage(t *testing.T) {
	t.Parallel()
	all := samples(11)
	path := CellPath(t.TempDir(), 0, 0.5)
	writeCell(t, path, header(0, 0.5, all), all)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"count", `"n":10`, `"n":9`, "want"},
		{"tokens", `"completion_tokens":165`, `"completion_tokens":164`, "completion_tokens says 164"},
		{"index", `{"index":5,`, `{"index":6,`, "index = 6"},
		{"no index", `{"index":5,`, `{`, "index is missing"},
		{"comma", "},\n{\"index\":5", "}\n{\"index\":5", "want a comma"},
		{"verdict", `"passed":true,"verdict":"passed"`, `"passed":false,"verdict":"no_code"`, "says"},
		{"flag", `"passed":true,"verdict":"passed"`, `"passed":false,"verdict":"passed"`, "passed = false"},
		{"trailing", "\n]}\n", "\n]} x", "want the end of the file"},
		{"brace", "\n]}\n", "\n]]\n", "closing brace"},
		{"no completions", `"completions":[`, `"completion":[`, "EOF"},
		{"no header", `"question_idx":0,`, `"question_idx":-1,`, "question_idx = -1"},
		{"bad escape", `\u0001`, `\u00x1`, "sample 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if !bytes.Contains(good, []byte(tt.old)) {
				t.Fatalf("the document lacks %q: %.300s", tt.old, good)
			}
			path := filepath.Join(t.TempDir(), "t0_5_combined.json")
			if err := os.WriteFile(path, bytes.Replace(good, []byte(tt.old), []byte(tt.new), 1), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := readCell(path); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one with %q and the file", err, tt.want)
			}
		})
	}
	t.Run("every truncation", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "t0_5_combined.json")
		for n := range len(good) - 2 { // without the final newline it is still whole
			if err := os.WriteFile(path, good[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := readCell(path); err == nil {
				t.Fatalf("a file cut to %d of %d bytes was read without error", n, len(good))
			}
		}
	})
}

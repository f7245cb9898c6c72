package result

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
)

// folder makes a whole results folder: 3 questions, 2 temperatures, ragged n.
func folder(tb testing.TB) (string, Expectation) {
	tb.Helper()
	dir := tb.TempDir()
	want := Expectation{Digests: map[string]string{}}
	var summaries []*Summary
	for q := range 3 {
		var headers []Header
		var digests []Digest
		var files []string
		for i, temperature := range []float64{0.2, 1} {
			all := samples(9 * (q + 1)) // 9: no judge faults in the first question
			h := header(q, temperature, all)
			path := CellPath(dir, q, temperature)
			if i == 1 {
				path = CompressedCellPath(dir, q, temperature)
			}
			d := writeCell(tb, path, h, all)
			headers, digests, files = append(headers, h), append(digests, d), append(files, filepath.Base(path))
			want.Cells = append(want.Cells, CellID{q, temperature})
			want.Digests[filepath.ToSlash(filepath.Join("q"+string(rune('0'+q)), filepath.Base(path)))] = d.SHA256
		}
		s, err := NewSummary(headers, digests, files)
		if err != nil {
			tb.Fatal(err)
		}
		if err := WriteSummary(dir, s); err != nil {
			tb.Fatal(err)
		}
		summaries = append(summaries, s)
	}
	run := struct {
		RunSummary
		More string `json:"more"`
	}{RunSummary{Run: "r1", Temperatures: []float64{0.2, 1}, Results: Total(summaries), Started: time.Unix(0, 0).UTC()}, "x"}
	for _, r := range run.Results {
		run.Samples += r.N
		run.Passed += r.Passed
		run.Unscored += r.Unscored
	}
	if err := WriteJSONAtomic(RunSummaryPath(dir), run); err != nil {
		tb.Fatal(err)
	}
	return dir, want
}

func edit(t *testing.T, path, old, replacement string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(old)) {
		t.Fatalf("%s lacks %q", path, old)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte(old), []byte(replacement), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, dir string, want *Expectation)
		want   []Finding // Text: a part of it
	}{
		{"whole", func(*testing.T, string, *Expectation) {}, nil},
		{"sample changed", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			edit(t, CellPath(dir, 1, 0.2), `"code":"print(0)"`, `"code":"print(9)"`)
		}, []Finding{
			{"q1/t0_2_combined.json", Changed, "want"},
			{"q1/t0_2_combined.json", Changed, "the summary says"},
		}},
		{"verdict changed", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			edit(t, CellPath(dir, 1, 0.2), `"passed":true,"verdict":"passed"`, `"passed":false,"verdict":"no_code"`)
		}, []Finding{{"q1/t0_2_combined.json", Content, "passed says 2, the samples 1"}}},
		{"end of an answer changed", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			edit(t, CellPath(dir, 1, 0.2), `"finish_reason":"stop"`, `"finish_reason":"length"`)
		}, []Finding{{"q1/t0_2_combined.json", Content, "answers.finish_reasons.length says 0, the samples 1"}}},
		{"answer of another model unsaid", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			edit(t, CellPath(dir, 1, 0.2), `"evaluator":`, `"answered_as":"mini","redrawn":"cut off","left_out":"top_k","evaluator":`)
		}, []Finding{{"q1/t0_2_combined.json", Content, "answers.left_out.top_k says 0, the samples 1; answers.redrawn.cut off says 0, the samples 1; answers.answered_as.mini says 0, the samples 1"}}},
		{"sample lost", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			edit(t, CellPath(dir, 1, 0.2), `{"index":3,`, `{"index":4,`)
		}, []Finding{{"q1/t0_2_combined.json", Content, "index = 4"}}},
		{"index twice", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			edit(t, CellPath(dir, 1, 0.2), `{"index":3,`, `{"index":2,`)
		}, []Finding{{"q1/t0_2_combined.json", Content, "index = 2"}}},
		{"cut", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			if err := os.Truncate(CellPath(dir, 1, 0.2), 3000); err != nil {
				t.Fatal(err)
			}
		}, []Finding{{"q1/t0_2_combined.json", Unreadable, "unexpected EOF"}}},
		{"cell lost", func(t *testing.T, dir string, _ *Expectation) { t.Helper(); remove(t, CellPath(dir, 2, 0.2)) }, []Finding{
			{"q2/summary.json", Missing, "names temperature 0.2"},
			{"q2/t0_2_combined.json", Missing, "not there"},
		}},
		{"all cells lost", func(t *testing.T, dir string, want *Expectation) {
			t.Helper()
			remove(t, CellPath(dir, 2, 0.2))
			remove(t, CompressedCellPath(dir, 2, 1))
			want.Cells = nil
		}, []Finding{
			{"q2/summary.json", Missing, "names temperature 0.2"},
			{"q2/summary.json", Missing, "names temperature 1"},
		}},
		{"cell moved", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			if err := os.Rename(CellPath(dir, 2, 0.2), CellPath(dir, 2, 0.3)); err != nil {
				t.Fatal(err)
			}
		}, []Finding{
			{"q2/summary.json", Missing, "names temperature 0.2"},
			{"q2/summary.json", Summaries, "leaves out the cell at temperature 0.3"},
			{"q2/t0_2_combined.json", Missing, "not there"},
			{"q2/t0_3_combined.json", Content, "holds question 2 at temperature 0.2, its name says 2 at 0.3"},
		}},
		{"summary lost", func(t *testing.T, dir string, _ *Expectation) { t.Helper(); remove(t, SummaryPath(dir, 0)) }, []Finding{
			{"q0/summary.json", Missing, "2 cells and no summary"},
			{"run_summary.json", Summaries, "temperature 0.2: questions says 3, the questions' summaries 2"},
			{"run_summary.json", Summaries, "temperature 0.2: n says"},
			{"run_summary.json", Summaries, "temperature 0.2: passed says"},
			{"run_summary.json", Summaries, "temperature 1: questions says"},
			{"run_summary.json", Summaries, "temperature 1: n says"},
			{"run_summary.json", Summaries, "temperature 1: passed says"},
			{"run_summary.json", Summaries, "samples says"},
			{"run_summary.json", Summaries, "passed says"},
		}},
		{"unfinished", func(t *testing.T, dir string, want *Expectation) {
			t.Helper()
			remove(t, SummaryPath(dir, 0))
			remove(t, RunSummaryPath(dir))
			want.Cells = nil
		}, nil},
		{"summary count", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			edit(t, SummaryPath(dir, 0), `"gen_tps": 1234.5`, `"gen_tps": 1`)
			edit(t, SummaryPath(dir, 0), `"completion_tokens": 126`, `"completion_tokens": 127`)
		}, []Finding{
			{"q0/summary.json", Summaries, "completion_tokens says 127"},
			{"q0/summary.json", Summaries, "gen_tps says 1"},
		}},
		{"summary without digests", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			s, err := ReadSummary(dir, 0)
			if err != nil {
				t.Fatal(err)
			}
			for i := range s.Results {
				s.Results[i].Digest = Digest{}
			}
			if err := WriteSummary(dir, s); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"summary broken", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			edit(t, RunSummaryPath(dir), `{`, `[`)
		}, []Finding{{"run_summary.json", Unreadable, "invalid character"}}},
		{"run summary temperature", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			edit(t, RunSummaryPath(dir), `"samples": `, `"samples": 1`)
		}, []Finding{{"run_summary.json", Summaries, "samples says 1"}}},
		{"other n", func(_ *testing.T, _ string, want *Expectation) { want.N = 18 }, []Finding{
			{"q0/t0_2_combined.json", Content, "holds 9 samples, want 18"},
			{"q0/t1_0_combined.json.zst", Content, "holds 9 samples, want 18"},
			{"q2/t0_2_combined.json", Content, "holds 27 samples, want 18"},
			{"q2/t1_0_combined.json.zst", Content, "holds 27 samples, want 18"},
		}},
		{"leftover", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, "q0", ".t0_2_combined.json.abc.tmp"), []byte("12345"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, []Finding{{"q0/.t0_2_combined.json.abc.tmp", Leftover, "5 bytes"}}},
		{"stored twice", func(t *testing.T, dir string, _ *Expectation) {
			t.Helper()
			all := samples(9)
			writeCell(t, CompressedCellPath(dir, 0, 0.2), header(0, 0.2, all), all)
		}, []Finding{{"q0/t0_2_combined.json.zst", Leftover, "stored twice"}}},
		{"other judge", func(t *testing.T, dir string, want *Expectation) {
			t.Helper()
			all := samples(9)
			h := header(3, 0.2, all)
			h.Judge = "script"
			d := writeCell(t, CellPath(dir, 3, 0.2), h, all)
			s, err := NewSummary([]Header{h}, []Digest{d}, []string{"t0_2_combined.json"})
			if err != nil {
				t.Fatal(err)
			}
			if err := WriteSummary(dir, s); err != nil {
				t.Fatal(err)
			}
			remove(t, RunSummaryPath(dir))
			*want = Expectation{}
		}, []Finding{{"q3/t0_2_combined.json", Mixed, `judge is "script", and "lcb" in q0/t0_2_combined.json`}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, want := folder(t)
			tt.change(t, dir, &want)
			proof, err := Verify(t.Context(), dir, want)
			if err != nil {
				t.Fatal(err)
			}
			var got []Finding
			for _, f := range proof.Findings {
				if f.Kind != Unscored {
					got = append(got, f)
				}
			}
			if len(got) != len(tt.want) {
				t.Fatalf("findings = %v, want %v", got, tt.want)
			}
			for i, f := range got {
				if w := tt.want[i]; f.File != w.File || f.Kind != w.Kind || !strings.Contains(f.Text, w.Text) {
					t.Errorf("finding %d = %v, want %v", i, f, w)
				}
			}
		})
	}
}

func TestVerifyCounts(t *testing.T) {
	t.Parallel()
	dir, want := folder(t)
	proof, err := Verify(t.Context(), dir, want)
	if err != nil {
		t.Fatal(err)
	}
	got := *proof
	got.Findings, got.Bytes = nil, 0
	// Of 9, 18 and 27 samples every tenth has each verdict.
	if want := (Proof{Cells: 6, Samples: 2 * (9 + 17 + 25), Passed: 2 * (1 + 2 + 3), Unscored: 2 * (0 + 1 + 2)}); !reflect.DeepEqual(got, want) {
		t.Errorf("proof = %+v, want %+v", got, want)
	}
	if len(proof.Findings) != 4 || proof.Findings[0].Kind != Unscored || !proof.Findings[0].Harmless() || proof.OK() {
		t.Errorf("findings = %v, want 4 of unscored samples", proof.Findings)
	}
}

func TestVerifyStops(t *testing.T) {
	t.Parallel()
	dir, want := folder(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, dir, want); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	if _, err := Verify(t.Context(), filepath.Join(dir, "none"), Expectation{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want that the folder is not there", err)
	}
}

func TestNewSummaryRefusesMixture(t *testing.T) {
	t.Parallel()
	a, b := header(0, 0.2, samples(9)), header(0, 0.4, samples(9))
	for _, change := range []func(*Header){
		func(h *Header) { h.Judge = "script" },
		func(h *Header) { h.Fingerprint = "beef" },
		func(h *Header) { h.Engine = "vllm" },
		func(h *Header) { h.Model = "m" },
		func(h *Header) { h.QuestionIdx = 1 },
		func(h *Header) { h.QuestionID = "x" },
		func(h *Header) { h.Temperature = 0.2 },
	} {
		c := b
		change(&c)
		if s, err := NewSummary([]Header{a, c}, make([]Digest, 2), make([]string, 2)); err == nil {
			t.Errorf("NewSummary = %+v, want an error", s)
		}
	}
	if s, err := NewSummary([]Header{a, b}, make([]Digest, 2), make([]string, 2)); err != nil || s.N != 9 || len(s.Results) != 2 {
		t.Errorf("NewSummary = %+v, %v, want 2 results of 9", s, err)
	}
	if _, err := NewSummary(nil, nil, nil); err == nil {
		t.Error("NewSummary of nothing succeeded")
	}
}

func TestSummaryFields(t *testing.T) {
	t.Parallel()
	dir, _ := folder(t)
	b, err := os.ReadFile(SummaryPath(dir, 0))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "question_idx": 0,
  "question_title": "A title, \"completions\": [ in it",
  "n": 9,
  "temperatures": [
    0.2,
    1
  ],
  "results": [
    {
      "temperature": 0.2,
      "n": 9,
      "passed": 1,
      "pass_rate": 11.11111111111111,
      "gen_tps": 1234.5,
      "unscored": 0,
      "verdicts": {
`
	if !strings.HasPrefix(string(b), want) {
		t.Errorf("summary is\n%s\nwant it to start\n%s", b, want)
	}
	if got := stream.PassRate(171, 10_000); got != 1.71 {
		t.Errorf("PassRate(171, 10000) = %v, want 1.71", got)
	}
}

func TestTotalLeavesOutUnscoredQuestions(t *testing.T) {
	t.Parallel()
	cell := func(n, passed int, tps float64) *Summary {
		return &Summary{Results: []CellSummary{{Temperature: 1, Counts: stream.Counts{N: n, Passed: passed, PassRate: stream.PassRate(passed, n), GenTPS: tps}}}}
	}
	got := Total([]*Summary{cell(10, 5, 0), cell(0, 0, 30), cell(1000, 0, 10)})
	if len(got) != 1 || got[0].PassRate != 25 || got[0].GenTPS != 20 || got[0].N != 1010 || got[0].Questions != 3 || got[0].Solved != 1 {
		t.Errorf("Total = %+v, want the mean of 50 and 0 percent, and of 10 and 30 tokens/s", got)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	dir, want := folder(t)
	old, young := filepath.Join(dir, "q1", ".x.1.tmp"), filepath.Join(dir, ".y.2.tmp")
	for _, path := range []string{old, young} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hour := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old, hour, hour); err != nil {
		t.Fatal(err)
	}
	if n, err := Sweep(dir, time.Now().Add(-time.Minute)); n != 1 || err != nil {
		t.Errorf("Sweep = %d, %v, want 1", n, err)
	}
	proof, err := Verify(t.Context(), dir, want)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, f := range proof.Findings {
		if f.Kind == Leftover {
			left = append(left, f.File)
		}
	}
	if !reflect.DeepEqual(left, []string{".y.2.tmp"}) {
		t.Errorf("left %v, want the young one only", left)
	}
}

package folder_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/report/reporttest"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// sweep writes a small folder of 3 questions and 2 temperatures, 40 samples a cell.
func sweep(t *testing.T, change ...func(*reporttest.Sweep)) string {
	t.Helper()
	s := &reporttest.Sweep{Questions: 3, Temperatures: []float64{0.2, 0.8}, N: 40}
	for _, f := range change {
		f(s)
	}
	dir := t.TempDir()
	if err := s.Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, dir string) *folder.Results {
	t.Helper()
	r, err := folder.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func noted(r *folder.Results, text string) bool {
	return slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, text) })
}

func TestWhole(t *testing.T) {
	t.Parallel()
	dir := sweep(t)
	r := open(t, dir)
	if len(r.Notes) != 0 {
		t.Errorf("a whole folder has notes: %q", r.Notes)
	}
	if len(r.Questions) != 3 || !slices.Equal(r.Temperatures, []float64{0.2, 0.8}) || r.Run == nil || !r.Group.Simulated || r.Group.Judge != "lcb" {
		t.Errorf("%d questions, temperatures %v, run %v, group %+v", len(r.Questions), r.Temperatures, r.Run, r.Group)
	}
	for q := range 3 {
		s, err := result.ReadSummary(dir, q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.Temperatures {
			c := r.Cell(q, i)
			if c == nil || c.N != 40 || c.Passed != s.Results[i].Passed || c.Path != result.CellPath(dir, q, r.Temperatures[i]) {
				t.Errorf("cell %d, %d: %+v, want %d of 40 passed", q, i, c, s.Results[i].Passed)
			}
		}
		if r.Questions[q].Difficulty == "" || r.Questions[q].ID != s.QuestionID {
			t.Errorf("question %d: %+v", q, r.Questions[q])
		}
	}
}

// TestDamage: what is there is reported, what is not is said.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		note   string
		cells  int // that are left
	}{
		{"no run summary", func(t *testing.T, dir string) { t.Helper(); remove(t, result.RunSummaryPath(dir)) }, "run_summary.json is not there", 6},
		{"broken run summary", func(t *testing.T, dir string) { t.Helper(); put(t, result.RunSummaryPath(dir), `{"run": 5`) }, "run_summary.json cannot be read", 6},
		{"run summary of another run", func(t *testing.T, dir string) { t.Helper(); put(t, result.RunSummaryPath(dir), `{"judge": "script"}`) }, "is of another result", 6},
		{"no summary of a question", func(t *testing.T, dir string) { t.Helper(); remove(t, result.SummaryPath(dir, 1)) }, "2 cells belong to questions that are not finished", 6},
		{"broken summary of a question", func(t *testing.T, dir string) { t.Helper(); put(t, result.SummaryPath(dir, 1), `{`) }, "q1/summary.json cannot be read", 6},
		{"impossible counts", func(t *testing.T, dir string) {
			t.Helper()
			edit(t, result.SummaryPath(dir, 1), `"n": 40,`, `"n": -40,`)
		}, "is left out", 4},
		{"a cell missing, without a summary", func(t *testing.T, dir string) {
			t.Helper()
			remove(t, result.SummaryPath(dir, 1))
			remove(t, result.CellPath(dir, 1, 0.8))
		}, "1 of 6 cells are missing", 5},
		{"samples taken away", func(t *testing.T, dir string) { t.Helper(); remove(t, result.CellPath(dir, 1, 0.8)) }, "the samples of 1 cells are not here", 6},
		{"half a cell", func(t *testing.T, dir string) { t.Helper(); halve(t, result.CellPath(dir, 1, 0.8)) }, "q1/t0_8_combined.json: the file has", 6},
		{"half a cell, without a summary", func(t *testing.T, dir string) {
			t.Helper()
			remove(t, result.SummaryPath(dir, 1))
			halve(t, result.CellPath(dir, 1, 0.8))
		}, "ends too early", 6},
		{"not a cell, without a summary", func(t *testing.T, dir string) {
			t.Helper()
			remove(t, result.SummaryPath(dir, 1))
			put(t, result.CellPath(dir, 1, 0.8), "no JSON")
		}, "q1/t0_8_combined.json is left out", 5},
		{"a cell under another's name", func(t *testing.T, dir string) {
			t.Helper()
			remove(t, result.SummaryPath(dir, 1))
			if err := os.Rename(result.CellPath(dir, 1, 0.8), result.CellPath(dir, 1, 0.9)); err != nil {
				t.Fatal(err)
			}
		}, "it holds question 1 at temperature 0.8", 5},
		{"an empty question", func(t *testing.T, dir string) {
			t.Helper()
			if err := os.RemoveAll(result.QuestionDir(dir, 2)); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(result.QuestionDir(dir, 2), 0o755); err != nil {
				t.Fatal(err)
			}
		}, "1 of 3 questions have no result", 4},
		{"the same question twice", func(t *testing.T, dir string) {
			t.Helper()
			edit(t, result.SummaryPath(dir, 1), "made_up_001", "made_up_000")
		}, "q0 and q1 hold the same question", 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := sweep(t)
			c.damage(t, dir)
			r := open(t, dir)
			if !noted(r, c.note) {
				t.Errorf("notes %q, want one that says %q", r.Notes, c.note)
			}
			cells := 0
			for q := range r.Questions {
				for i := range r.Temperatures {
					if x := r.Cell(q, i); x != nil {
						cells++
						if x.N != 40 {
							t.Errorf("cell %d, %d has n = %d, want 40", q, i, x.N)
						}
						if _, err := x.Pick(t.Context(), 3, 1<<20); err != nil {
							t.Errorf("samples of cell %d, %d: %v", q, i, err)
						}
					}
				}
			}
			if cells != c.cells {
				t.Errorf("%d cells, want %d", cells, c.cells)
			}
		})
	}
}

func TestUnscoredAreNoted(t *testing.T) {
	t.Parallel()
	r := open(t, sweep(t, func(s *reporttest.Sweep) {
		s.Alter = func(q int, _ float64, x *result.Sample) {
			if q == 0 && x.Index < 2 {
				x.Verdict, x.ErrorCode, x.Test = stream.JudgeFault, nil, nil
			}
		}
	}))
	if !noted(r, "4 samples could not be judged") {
		t.Errorf("notes %q", r.Notes)
	}
	if c := r.Cell(0, 0); c.N != 38 || c.Unscored != 2 {
		t.Errorf("n = %d, unscored = %d, want 38 and 2", c.N, c.Unscored)
	}
}

func TestNoResults(t *testing.T) {
	t.Parallel()
	empty, broken := t.TempDir(), sweep(t)
	file := filepath.Join(empty, "file")
	put(t, file, "x")
	for q := range 3 {
		put(t, result.SummaryPath(broken, q), "x")
		put(t, result.CellPath(broken, q, 0.2), "x")
		put(t, result.CellPath(broken, q, 0.8), "x")
	}
	for _, dir := range []string{empty, filepath.Join(empty, "nowhere"), file, broken} {
		if _, err := folder.Open(dir, 0); !errors.Is(err, folder.ErrNotResults) {
			t.Errorf("Open(%s) = %v, want ErrNotResults", dir, err)
		}
	}
}

// TestMixture: two judges are never averaged.
func TestMixture(t *testing.T) {
	t.Parallel()
	dir := sweep(t)
	edit(t, result.SummaryPath(dir, 2), `"judge": "lcb"`, `"judge": "script"`)
	_, err := folder.Open(dir, 0)
	var mixed *folder.MixedError
	if !errors.As(err, &mixed) || !slices.Equal(mixed.Cells, []int{4, 2}) {
		t.Fatalf("Open = %v, want a MixedError of 4 and 2 cells", err)
	}
	for _, want := range []string{"judge lcb", "judge script", "2: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	for group, want := range []struct {
		judge     string
		questions int
	}{{"lcb", 2}, {"script", 1}} {
		r, err := folder.Open(dir, group+1)
		if err != nil {
			t.Fatal(err)
		}
		if r.Group.Judge != want.judge || len(r.Questions) != want.questions || !noted(r, "left out, since it is another result") {
			t.Errorf("group %d: judge %s, %d questions, notes %q", group+1, r.Group.Judge, len(r.Questions), r.Notes)
		}
	}
	if _, err := folder.Open(dir, 3); !errors.Is(err, folder.ErrGroup) {
		t.Errorf("Open of group 3 = %v, want ErrGroup", err)
	}
}

func TestFingerprintsAreNotMixed(t *testing.T) {
	t.Parallel()
	dir := sweep(t)
	edit(t, result.SummaryPath(dir, 0), `"fingerprint": "none"`, `"fingerprint": "other"`)
	var mixed *folder.MixedError
	if _, err := folder.Open(dir, 0); !errors.As(err, &mixed) {
		t.Errorf("Open = %v, want a MixedError", err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, path, from, to string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), from) {
		t.Fatalf("%s does not hold %q", path, from)
	}
	put(t, path, strings.ReplaceAll(string(b), from, to))
}

func halve(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()/2); err != nil {
		t.Fatal(err)
	}
}

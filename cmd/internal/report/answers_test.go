package report_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/cmd/internal/report"
	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// counted is a folder of summaries with the given passes of 40 samples: rows are questions,
// columns the temperatures 0.2 and 1.0.
func counted(t *testing.T, truncated int, passed [][2]int) *report.Report {
	t.Helper()
	dir := t.TempDir()
	for q, row := range passed {
		s := &result.Summary{QuestionIdx: q, QuestionID: string(rune('a' + q)), QuestionTitle: string(rune('A' + q)), Engine: "replay", Judge: "lcb", N: 40}
		for i, temperature := range []float64{0.2, 1} {
			c := result.CellSummary{Temperature: temperature, File: result.TempName(temperature)}
			cut := min(truncated, 40-row[i])
			c.Counts = stream.Counts{N: 40, Passed: row[i], PassRate: stream.PassRate(row[i], 40), Verdicts: map[stream.Verdict]int{
				stream.Passed: row[i], stream.Truncated: cut, stream.WrongAnswer: 40 - row[i] - cut,
			}}
			maps.DeleteFunc(c.Verdicts, func(_ stream.Verdict, n int) bool { return n == 0 })
			s.Temperatures, s.Results = append(s.Temperatures, temperature), append(s.Results, c)
		}
		if err := os.MkdirAll(filepath.Join(dir, fmt.Sprint("q", q)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := result.WriteSummary(dir, s); err != nil {
			t.Fatal(err)
		}
	}
	results, err := folder.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.New(results, report.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAnswers wants the four questions answered from the numbers, each by what is so.
func TestAnswers(t *testing.T) {
	t.Parallel()
	var cold, hot [][2]int
	for q := range 12 {
		cold = append(cold, [2]int{40 * (q % 2), 10 * (q % 2)}) // 0.2 is far better, for any k
		hot = append(hot, [2]int{40 * (q % 2), 12})             // 0.2 for one sample, 1.0 for ten
	}
	for _, tt := range []struct {
		name      string
		truncated int
		passed    [][2]int
		want      []string
	}{
		{"cold", 0, cold, []string{"pass@1: T = 0.2. It loses at most", "No: the choice for pass@1, T = 0.2, is also highest at k = 5", "For k = 10 it is little known: the highest is T = 0.2; the set that holds the best one with 95 % is 0.2, 1.0.", "of its variance over questions is chance of the samples"}},
		{"hot", 0, hot, []string{"pass@1: T = 0.2.", "pass@10: T = 1.0.", "Yes: the highest at k = 5 is T = 1.0, and the choice for pass@1, T = 0.2 is"}},
		{"cut", 10, cold, []string{"12.5 % of the samples at T = 0.2 were cut off before a program: pass@1 is 50.0 % with none of them passed, and would be at most 62.5 % if all had, 50.0 % if they had passed as often as the others of their questions"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := counted(t, tt.truncated, tt.passed)
			var all []string
			for _, a := range r.Answers() {
				all = append(append(all, a.Question), a.Lines...)
			}
			text := strings.Join(all, "\n")
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("the answers do not say %q:\n%s", want, text)
				}
			}
			if p := visible(t, page(t, r)); !strings.Contains(p, "Which temperature?") || !strings.Contains(p, "What is wrong with this run?") {
				t.Error("the page does not show the answers")
			}
		})
	}
}

// TestMapFoldsWhatIsAlike: questions that nothing passed are one line, and a field says no
// more than its samples do.
func TestMapFoldsWhatIsAlike(t *testing.T) {
	t.Parallel()
	passed := [][2]int{{40, 39}, {1, 0}, {20, 3}}
	for range 6 {
		passed = append(passed, [2]int{0, 0})
	}
	text := visible(t, page(t, counted(t, 0, passed)))
	for _, want := range []string{"6 questions are not in the map: no sample passed, of up to 80 each.", "<7.2"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(text, "<0.1 %") {
		t.Error("the scale has a step that no cell of 40 samples can be in")
	}
}

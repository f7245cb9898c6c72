package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// audited writes a problem and completions of it: quick ones that pass, from which the soft limit
// is learned, then ones that pass beyond it and ones that never end.
func audited(t *testing.T, dir string) (problems, completions string) {
	t.Helper()
	problems, completions = filepath.Join(dir, "problems.jsonl"), filepath.Join(dir, "completions.jsonl")
	row := `{"question_id":"one","question_title":"One","question_content":"Print 1.","public_test_cases":[{"input":"\n","output":"1\n"}],"private_test_cases":[{"input":"\n","output":"1\n"}]}` + "\n"
	var b strings.Builder
	for i := range 40 {
		program := fmt.Sprintf("x = %d\nprint(1)\n", i)
		switch {
		case i >= 34:
			program = fmt.Sprintf("x = %d\nwhile True:\n    x += 1\n", i)
		case i >= 28:
			program = fmt.Sprintf("import time\nx = %d\nwhile time.process_time() < 1.25:\n    pass\nprint(1)\n", i)
		}
		text, err := json.Marshal(map[string]string{"question_id": "one", "output": "```python\n" + program + "```"})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(text, '\n'))
	}
	for path, content := range map[string]string{problems: row, completions: b.String()} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return problems, completions
}

// TestAuditedRun: a run with an audited time limit names what it stopped in every file, its counts
// are proved, it keeps its mode, and grade says the same of the same rows.
func TestAuditedRun(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	problems, completions := audited(t, dir)
	out := filepath.Join(dir, "out")
	args := []string{
		"run", "--engine", "replay", "--problems", problems, "--completions", completions, "--temperatures", "0.2", "--unit-size", "40", "--run", "r", "-o", out,
		"--evaluators", "2", "--listen", "127.0.0.1:0", "--http", "none",
	}
	said := ok(t, append(args, "--audit-share", "0.5", "--time-limit", "audited:2")...)
	if !strings.Contains(said, "time limit 2 s, audited at a share of 0.5: pass@k is corrected") {
		t.Errorf("run says %s", said)
	}
	ok(t, "verify", out)
	ok(t, "verify", "--recorded", out)
	cell, err := result.OpenCell(result.CellPath(out, 0, 0.2))
	if err != nil {
		t.Fatal(err)
	}
	var stopped, ran, passed, missed int
	for s, err := range cell.Samples() {
		switch {
		case err != nil:
			t.Fatal(err)
		case s.Index < 28 && s.Beyond():
			t.Errorf("quick program %d has the draw %v", s.Index, s.Draw)
		case s.Stopped():
			stopped++
		case s.Audited():
			ran++
			if s.Passed() {
				passed++
			}
		case s.Index >= 34: // judged before the limit was learned
			missed++
		}
		if s.Index >= 34 && s.Passed() {
			t.Errorf("an endless program passed")
		}
	}
	if err := cell.Close(); err != nil {
		t.Fatal(err)
	}
	if stopped+ran == 0 {
		t.Fatalf("no program was beyond the soft limit; %d were judged before there was one", missed)
	}
	text, err := os.ReadFile(result.RunSummaryPath(out))
	var run summary.Run
	if err == nil {
		err = json.Unmarshal(text, &run)
	}
	if err != nil || run.Analysis == nil || len(run.Analysis.Audited) != 1 || run.Results[0].Audit == nil {
		t.Fatalf("run summary %v: %+v", err, run.Analysis)
	}
	x, a := run.Analysis.Audited[0], run.Results[0].Audit
	if a.Stopped != stopped || a.Audited != ran || a.Passed != passed || a.Share != 0.5 || run.Judging.AuditShare != 0.5 || x.Stopped != stopped || x.Audited != ran {
		t.Errorf("the summary says %+v and %+v, the samples %d stopped, %d ran on, %d passed", a, x, stopped, ran, passed)
	}
	want := float64(run.Passed+passed) / 40 // each that passed in the audit counts twice
	if r := run.Results[0]; math.Abs(r.PassAtK[1]-want) > 1e-12 || math.Abs(r.PassRate-100*want) > 1e-9 || math.Abs(x.Corrected-want) > 1e-12 || math.Abs(x.FalseStops-float64(passed)) > 1e-9 {
		t.Errorf("pass@1 %v, pass rate %v, corrected %v, false stops %v, want %v and %d", r.PassAtK[1], r.PassRate, x.Corrected, x.FalseStops, want, passed)
	}
	if se := math.Sqrt(float64(passed)*0.5) / (0.5 * 40); math.Abs(x.StandardError-se) > 1e-12 {
		t.Errorf("standard error %v, want %v", x.StandardError, se)
	}
	for k := range run.Results[0].PassAtK {
		if k > 20 {
			t.Errorf("pass@%d is beyond the reach of 40 samples at a share of 0.5", k)
		}
	}
	if table := ok(t, "report", out, "--format", "csv", "--part", "audited", "--output", "-"); !strings.Contains(table, fmt.Sprintf("0.2,%d,", stopped)) {
		t.Errorf("the report's table is %s", table)
	}
	besideFull(t, out, problems, completions, want)
	// The other mode, either way, is refused with both values.
	refused(t, append(args, "--time-limit", "2"), "its time limit is 2 s, audited at a share of 0.5, and not 2 s")
	// Counts that somebody edits are found.
	path := filepath.Join(out, "q0", "summary.json")
	text, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), fmt.Sprintf(`"audited": %d`, ran), fmt.Sprintf(`"audited": %d`, ran+1), 1)
	if edited == string(text) {
		t.Fatalf("the summary has no audit: %s", text)
	}
	if err := os.WriteFile(path, []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, []string{"verify", out}, fmt.Sprintf("audit.audited says %d, the samples %d", ran+1, ran))
}

// besideFull compares audited results with those of the same programs under the full limit, under which 34 of 40 pass. The
// slow ones are alike there, so that one of each kind is run.
func besideFull(t *testing.T, out, problems, completions string, corrected float64) {
	t.Helper()
	text, err := os.ReadFile(completions)
	if err != nil {
		t.Fatal(err)
	}
	alike := regexp.MustCompile(`x = 3[4-9]`).ReplaceAll(regexp.MustCompile(`x = (28|29|3[0-3])`).ReplaceAll(text, []byte("x = 28")), []byte("x = 34"))
	rows, full := filepath.Join(t.TempDir(), "completions.jsonl"), filepath.Join(t.TempDir(), "full")
	if err := os.WriteFile(rows, alike, 0o644); err != nil {
		t.Fatal(err)
	}
	ok(t, "run", "--engine", "replay", "--problems", problems, "--completions", rows, "--temperatures", "0.2", "--unit-size", "40", "--run", "full", "-o", full,
		"--evaluators", "2", "--listen", "127.0.0.1:0", "--http", "none", "--time-limit", "2")
	var c struct {
		Differs      []struct{ What, A, B string }
		Temperatures []struct {
			Points []struct {
				K                int
				A, B, Difference float64
			}
		}
	}
	if err := json.Unmarshal([]byte(ok(t, "--json", "compare", out, full)), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Temperatures) != 1 || len(c.Temperatures[0].Points) == 0 {
		t.Fatalf("the comparison is %+v", c)
	}
	if p := c.Temperatures[0].Points[0]; p.K != 1 || math.Abs(p.A-corrected) > 1e-12 || math.Abs(p.B-34./40) > 1e-12 || math.Abs(p.Difference-(p.B-p.A)) > 1e-12 {
		t.Errorf("audited beside full: %+v, want %v and 0.85", p, corrected)
	}
	// The engine's version is the digest of its programs, which differ in a digit.
	if len(c.Differs) != 2 || c.Differs[0].What != "engine version" || c.Differs[1].What != "time limit" || c.Differs[1].A != "2 s, audited at a share of 0.5" || c.Differs[1].B != "2 s" {
		t.Errorf("what differs is %+v", c.Differs)
	}
}

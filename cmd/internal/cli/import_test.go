package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// pairs is how many pairs of models TestImportPairs imports: a small one by default, as many
// of 880 questions as are asked for otherwise. TMPDIR=/dev/shm spares the disk.
var pairs = flag.Int("pairs", 0, "pairs of models with 880 questions to import and compare")

// lcbqJSON runs a command line and reads what it prints.
func lcbqJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	var out, told bytes.Buffer
	if status := Main(t.Context(), worker.NewHurry(), append(args, "--json"), &out, &told); status != exitOK {
		t.Fatalf("lcbq %v: status %d: %s", args, status, told.String())
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		t.Fatalf("lcbq %v: %v: %.200s", args, err, out.String())
	}
}

// oneSample writes a file as LiveCodeBench's own runner does, with one sample of each question.
func oneSample(t *testing.T, path string, passed []bool) {
	t.Helper()
	var all []map[string]any
	for q, ok := range passed {
		rate := 0.0
		if ok {
			rate = 1
		}
		all = append(all, map[string]any{
			"question_title": fmt.Sprint("Question ", q), "question_content": "", "platform": "atcoder", "question_id": fmt.Sprint("q", q), "contest_id": fmt.Sprint("c", q),
			"contest_date": "2024-01-01T00:00:00", "starter_code": "", "difficulty": "easy",
			"output_list": []string{"answer"}, "code_list": []string{fmt.Sprintf("print(%d)", q)}, "graded_list": []bool{ok}, "metadata": []string{"{}"}, "pass@1": rate,
		})
	}
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestImportBadProblems wants every bad problem of all files told of before a byte is written,
// and --skip-bad to leave out these and no others.
func TestImportBadProblems(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := func(id string) string {
		return `{"question_id":"` + id + `","code_list":["print(1)"],"graded_list":[true]}`
	}
	write := func(temperature string, problems ...string) string {
		path := filepath.Join(dir, "Scenario.codegeneration_1_"+temperature+"_eval_all.json")
		if err := os.WriteFile(path, []byte("["+strings.Join(problems, ",\n")+"]"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first := write("0.2", good("a"), `{"question_id":"b","code_list":["x",{"y":[1]}],"graded_list":[1,0]}`, `7`, good("a"), good("c"),
		`{"question_id":["d"],"code_list":["x"],"graded_list":[1]}`, `{"question_id":"e","code_list":"x","graded_list":[1]}`)
	second := write("0.4", good("c"), `{"question_id":"f","code_list":["x"],"graded_list":["yes"]}`)
	out := filepath.Join(dir, "out")
	run := func(args ...string) (status int, told string) {
		var b bytes.Buffer
		status = Main(t.Context(), worker.NewHurry(), append([]string{"import", first, second, "-o", out}, args...), &b, &b)
		return status, b.String()
	}
	faults := []string{
		`0.2_eval_all.json:2: problem 1 (question_id "b"): code_list: line 2, column 37: want a string, got an object`,
		`0.2_eval_all.json:3: problem 2 (question_id ""): line 3, column 1: want a problem, an object of fields, got a number`,
		`0.2_eval_all.json:4: problem 3 (question_id "a"): it comes twice`,
		`0.2_eval_all.json:6: problem 5 (question_id ""): question_id: line 6, column 16: want a string, got a list`,
		`0.2_eval_all.json:7: problem 6 (question_id "e"): code_list: line 7, column 32: want a list of strings, got a string`,
		`0.4_eval_all.json:2: problem 1 (question_id "f"): graded_list: entry 0 is "yes", want true, false, 1 or 0`,
	}
	status, told := run()
	for _, want := range faults {
		if !strings.Contains(told, want) {
			t.Errorf("import says %s\nwant %s in it", told, want)
		}
	}
	if _, err := os.Stat(out); status != exitError || !os.IsNotExist(err) {
		t.Errorf("status %d and folder %v, want %d and nothing written", status, err, exitError)
	}
	status, told = run("--skip-bad")
	var s summary.Run
	if data, err := os.ReadFile(filepath.Join(out, "run_summary.json")); err != nil || json.Unmarshal(data, &s) != nil {
		t.Fatal(told, err)
	}
	if status != exitOK || s.Questions != 2 || s.Samples != 3 || !strings.Contains(told, `"problems":6`) {
		t.Errorf("--skip-bad: status %d, %d questions, %d samples, said %s; want 0, 2, 3 and 6 problems left out", status, s.Questions, s.Samples, told)
	}
}

// coinP is the two-sided P of won and lost out of a fair coin, in whole numbers.
func coinP(won, lost int) float64 {
	n, all := int64(won+lost), new(big.Int)
	for x := int64(max(won, lost)); x <= n; x++ {
		all.Add(all, new(big.Int).Binomial(n, x))
	}
	p, _ := new(big.Rat).SetFrac(all.Lsh(all, 1), new(big.Int).Lsh(big.NewInt(1), uint(n))).Float64()
	return min(1, p)
}

// TestImportPairs imports what two models that are alike answered, one sample of a question,
// and compares them, all by the command line. A binomial confirms +-, P and T*.
func TestImportPairs(t *testing.T) {
	t.Parallel()
	rounds, questions := 1, 60
	if *pairs > 0 {
		rounds, questions = *pairs, 880
	}
	r := rand.New(rand.NewPCG(151, 1))
	differ, lost := 0, 0
	for range rounds {
		dir := t.TempDir()
		var passed [2][]bool
		var c [2]int
		won, behind := 0, 0
		for range questions {
			p := r.Float64()
			var ok [2]bool
			for s := range ok {
				if ok[s] = r.Float64() < p; ok[s] {
					c[s]++
				}
				passed[s] = append(passed[s], ok[s])
			}
			if ok[1] && !ok[0] {
				won++
			} else if ok[0] && !ok[1] {
				behind++
			}
		}
		var files [2]string
		for s, name := range []string{"Scenario.codegeneration_1_0.2_eval_all.json", "Scenario.codegeneration_1_0.8_eval_all.json"} {
			files[s] = filepath.Join(dir, name)
			oneSample(t, files[s], passed[s])
		}
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		var both, other summary.Run
		lcbqJSON(t, &both, "import", files[0], files[1], "-o", a)
		lcbqJSON(t, &other, "import", files[1], "--temperatures", "0.2", "-o", b)
		var got struct {
			Temperatures []curve.TemperatureComparison `json:"temperatures"`
		}
		lcbqJSON(t, &got, "compare", a, b)
		d := got.Temperatures[0].Points[0]
		if exact := coinP(won, behind); d.These.P < exact-1e-12 || d.These.P > exact+0.05 {
			t.Errorf("%d won, %d lost: P = %v, the binomial's is %v", won, behind, d.These.P, exact)
		}
		if d.These.P <= 0.05 || d.Like.P <= 0.05 {
			differ++
		}
		for s := range c {
			m, q := float64(c[s])/float64(questions), float64(questions)
			wide := 1.96 * math.Sqrt(m*(1-m)/q)
			p := both.Analysis.Temperatures[s].Points[0]
			if half := p.Sampling.Width() / 2; p.Value != m || math.Abs(half/wide-1) > 0.05 {
				t.Errorf("%d of %d passed: %v +-%v, the binomial's is %v +-%v", c[s], questions, p.Value, half, m, wide)
			}
		}
		if !both.Analysis.Best[0].Standings[0].These.InSet {
			lost++
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("of %d pairs of %d questions: P <= 0.05 on these questions or on questions like these in %d; T* loses the one named best in %d", rounds, questions, differ, lost)
	if differ > max(1, rounds*6/100) || lost > max(1, rounds*6/100) {
		t.Errorf("two models alike differ in %d of %d pairs, T* loses the best in %d", differ, rounds, lost)
	}
}

package export

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lcbq/lcbq/cmd/internal/export/record"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// An aggregate is what the tests read of a record.
type aggregate struct {
	Source struct {
		Details map[string]string `json:"additional_details"`
	} `json:"source_metadata"`
	Results []struct {
		ID     string `json:"evaluation_result_id"`
		Name   string `json:"evaluation_name"`
		Metric struct {
			Parameters struct {
				K     int
				By    string `json:"split_by"`
				Split string
			} `json:"metric_parameters"`
		} `json:"metric_config"`
		Score struct {
			Score       float64
			Details     map[string]string
			Uncertainty struct {
				Interval struct{ Lower, Upper float64 } `json:"confidence_interval"`
			}
		} `json:"score_details"`
		Config struct {
			Args struct{ Temperature float64 } `json:"generation_args"`
		} `json:"generation_config"`
	} `json:"evaluation_results"`
}

// answered is a run of which everything can be said that a record says: labelled questions, several of a contest, on both
// sides of a cut-off; samples that were cut off; speeds; two temperatures; a number of samples chosen by its results.
func answered(t *testing.T) *Run {
	t.Helper()
	r := &Run{}
	r.Summary.Run, r.Summary.Engine, r.Summary.Model, r.Summary.Problems.Name = "r1", "vllm", "m", "own"
	r.Summary.Finished = time.Unix(1, 0)
	r.Summary.Until = &summary.Until{Until: store.Until{Half: 0.25, K: 1, Most: 99}, Temperatures: []summary.UntilTemperature{{Temperature: 0.2, N: 40}, {Temperature: 1, N: 40}}}
	s := &curve.Sweep{Temperatures: []float64{0.2, 1}}
	for q := range 24 {
		x := curve.Question{Index: q, ID: fmt.Sprint("q", q), Origin: stream.Origin{
			Difficulty: []string{"easy", "hard"}[q%2], Platform: []string{"atcoder", ""}[q/12], ContestID: fmt.Sprint("abc", q/4), ContestDate: []string{"2025-01-04T00:00:00", "2025-02-01", ""}[min(2, q/11)],
		}}
		for i := range s.Temperatures {
			passed := min(37, (q%6)*(3+3*i)+i)
			x.Cells = append(x.Cells, stream.Counts{N: 40, Passed: passed, Tokens: int64(4000 * (1 + 2*i)), GenTPS: 100, Verdicts: map[stream.Verdict]int{stream.Passed: passed, stream.Truncated: 2, stream.WrongAnswer: 38 - passed}})
		}
		s.Questions = append(s.Questions, x)
	}
	var err error
	if r.Analysis, err = curve.Analyse(s, curve.Options{Cutoff: "2025-01-20", Rounds: 50}); err != nil {
		t.Fatal(err)
	}
	return r
}

// unknown is what a record says of what nobody knows.
const unknown = "unknown"

// number is how a record writes one in a text.
func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

func readRecord(t *testing.T, r *Run) *aggregate {
	t.Helper()
	_, files := write(t, r, "every-eval-ever")
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	published, err := jsonschema.NewCompiler().Compile("testdata/every_eval_ever-" + record.Version + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := published.Validate(doc); err != nil {
		t.Errorf("the schema refuses it: %v", err)
	}
	out := new(aggregate)
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRecordIsDocumented: the README names every detail of a record of which everything is known, and no other. A detail
// that is dropped, or added without a word, fails.
func TestRecordIsDocumented(t *testing.T) {
	t.Parallel()
	have := readRecord(t, answered(t))
	has := map[string]map[string]bool{"score_details.details": {}, "source_metadata.additional_details": {}}
	for _, x := range have.Results {
		for name, text := range x.Score.Details {
			has["score_details.details"][name] = has["score_details.details"][name] || text != "" && text != unknown
		}
	}
	for name := range have.Source.Details {
		has["source_metadata.additional_details"][name] = true
	}
	for where, names := range has {
		_, table, ok := strings.Cut(Readme, "| in `"+where+"` |")
		if !ok {
			t.Fatalf("the README has no table of %s", where)
		}
		table, _, _ = strings.Cut(table, "\n\n")
		told := make(map[string]bool)
		for _, line := range strings.Split(table, "\n")[2:] {
			for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(strings.Split(line, "|")[1], -1) {
				told[m[1]] = true
			}
		}
		if want, got := slices.Sorted(maps.Keys(told)), slices.Sorted(maps.Keys(names)); !slices.Equal(want, got) {
			t.Errorf("%s: the README tells of %v,\nthe record has %v", where, want, got)
		}
		for name, some := range names {
			if !some {
				t.Errorf("%s: %s says nothing in any result", where, name)
			}
		}
	}
	if v := have.Source.Details["details_version"]; !strings.Contains(Readme, "`details_version` "+v+";") {
		t.Errorf("the README does not tell of version %s", v)
	}
	for _, name := range []string{"all_temperatures_together", "mix_of_temperatures", "never_to_sometimes", "beyond_the_samples"} {
		if have.Source.Details[name] == unknown {
			t.Errorf("%s is not known of a run that has it", name)
		}
	}
}

// TestGroupsReachTheRecord: each group's values at each temperature and k are those of the analysis, and no result has the
// identity of another.
func TestGroupsReachTheRecord(t *testing.T) {
	t.Parallel()
	r := answered(t)
	have := readRecord(t, r)
	type key struct {
		by, name    string
		temperature float64
		k           int
	}
	want := make(map[key]*curve.Point)
	for i := range r.Analysis.Splits {
		s := &r.Analysis.Splits[i]
		for j := range s.Temperatures {
			for k := range s.Temperatures[j].Points {
				p := &s.Temperatures[j].Points[k]
				want[key{s.By, map[bool]string{true: "unknown", false: s.Name}[s.Name == ""], s.Temperatures[j].Temperature, p.K}] = p
			}
		}
	}
	for i := range r.Analysis.Cutoff.Temperatures {
		x := &r.Analysis.Cutoff.Temperatures[i]
		for j := range x.Points {
			want[key{"cutoff", "before", x.Temperature, x.Points[j].K}], want[key{"cutoff", "after", x.Temperature, x.Points[j].K}] = &x.Points[j].Before, &x.Points[j].After
		}
	}
	// Three k at two temperatures of easy, hard; atcoder, unknown; two months, unknown; before, after.
	if len(want) != 3*2*(2+2+3+2) {
		t.Fatalf("the analysis has %d values of groups", len(want))
	}
	ids := make(map[string]bool)
	whole := 0
	for _, x := range have.Results {
		if ids[x.ID] {
			t.Errorf("two results are %s", x.ID)
		}
		ids[x.ID] = true
		of := x.Metric.Parameters
		if of.By == "" {
			whole++
			continue
		}
		at := key{of.By, of.Split, x.Config.Args.Temperature, of.K}
		p := want[at]
		delete(want, at)
		if p == nil {
			t.Errorf("%s: a group that the analysis does not have", x.ID)
			continue
		}
		if math.Abs(x.Score.Score-p.Value) > 1e-12 || x.Score.Details["questions"] != fmt.Sprint(p.Questions) || x.Score.Details["reliable"] != fmt.Sprint(p.Reliable) ||
			x.Score.Details["sampling_interval_high"] != fmt.Sprint(p.Sampling.High) || p.Population != nil && x.Score.Uncertainty.Interval.Upper != p.Population.High {
			t.Errorf("%s: %+v, want %+v", x.ID, x.Score, p)
		}
	}
	for at := range want {
		t.Errorf("the record lacks %v", at)
	}
	if whole != 6 {
		t.Errorf("%d results of all questions, want three k at two temperatures", whole)
	}
	c := r.Analysis.Cutoff.Temperatures[1].Points[0]
	for _, x := range have.Results {
		switch d := x.Score.Details; x.ID {
		case "t1_0/pass@1/cutoff/after":
			if d["after_less_before"] != number(c.Difference) || d["after_less_before_low"] != number(c.Interval.Low) || d["after_less_before_high"] != number(c.Interval.High) || d["cutoff"] != "2025-01-20" || d["questions_without_a_date"] != "2" || !strings.HasSuffix(x.Name, ", contests from 2025-01-20 on") {
				t.Errorf("%s: %v", x.Name, d)
			}
		case "t0_2/pass@1/month/2025-02": // every sixth question is never solved
			if d["questions"] != "11" || d["solved"] != "9" {
				t.Errorf("%s: %v", x.Name, d)
			}
		case "t1_0/pass@1/cutoff/before":
			if !strings.HasSuffix(x.Name, ", contests before 2025-01-20") {
				t.Errorf("%s is called %s", x.ID, x.Name)
			}
		case "t1_0/pass@1/platform/unknown":
			if !strings.HasSuffix(x.Name, ", platform unknown") {
				t.Errorf("%s is called %s", x.ID, x.Name)
			}
		case "t1_0/pass@1/month/2025-02":
			if d["questions"] != "11" || !strings.HasSuffix(x.Name, ", contests of 2025-02") {
				t.Errorf("%s: %v", x.Name, d)
			}
		}
	}
	b := r.Analysis.Beyond
	last := b.Band(len(b.K) - 1)
	if text := have.Source.Details["beyond_the_samples"]; !strings.HasPrefix(text, "models, not measurements, at temperature ") || !strings.Contains(text, " beyond 40 samples of a question: pass@") ||
		!strings.Contains(text, fmt.Sprintf("pass@%d %s to %s;", b.K[len(b.K)-1], number(last.Low), number(last.High))) || strings.Contains(text, "pass@40 ") {
		t.Errorf("beyond the samples: %s", text)
	}
	for _, m := range b.Models {
		if !strings.Contains(have.Source.Details["beyond_the_samples"], m.Name) {
			t.Errorf("the record does not name the model %q", m.Name)
		}
	}
}

// TestRecordStaysInItsFolder: the name of a model, which may be a stranger's, leads to no other folder.
func TestRecordStaysInItsFolder(t *testing.T) {
	t.Parallel()
	r := answered(t)
	for model, want := range map[string]string{
		"Qwen/Qwen3-0.6B": "Qwen/Qwen3-0.6B", "m": "unknown/m", "": "unknown/vllm", "/models/m.gguf": "unknown/models-m.gguf", "a/": "a/vllm",
		"../../../m": "unknown/..-..-m", "a/..": "a/unknown", "a/b/../../../../c": "a/b-..-..-..-..-c", `a\..\b`: "unknown/a-..-b",
	} {
		r.Summary.Model = model
		dir, files := write(t, r, "every-eval-ever")
		if got, err := filepath.Rel(dir, filepath.Dir(files[0])); err != nil || filepath.ToSlash(got) != "data/livecodebench/"+want {
			t.Errorf("the record of model %q lies in %s, %v, want data/livecodebench/%s", model, got, err, want)
		}
	}
}

// TestRecordOfSomeQuestions: what an audited limit stopped is said of the questions that are exported, as their scores are.
func TestRecordOfSomeQuestions(t *testing.T) {
	t.Parallel()
	r := answered(t)
	r.Summary.Analysis = &curve.Analysis{Audited: []curve.Audited{{Temperature: 0.2, Stopped: 99}}}
	if got := readRecord(t, r).Source.Details["stopped_at_soft_limit"]; got != "none" {
		t.Errorf("of questions none of which was stopped: %s", got)
	}
	r.Analysis.Audited = []curve.Audited{{Temperature: 0.2, Stopped: 7, FalseStops: 2, StandardError: 0.015}, {Temperature: 1, Stopped: 3}}
	if got := readRecord(t, r).Source.Details["stopped_at_soft_limit"]; !strings.HasPrefix(got, "temperature 0.2: 7 samples, of which 2 (0 to 0) would have passed;") || !strings.Contains(got, "by this 0.015; temperature 1: 3 samples") {
		t.Errorf("what was stopped: %s", got)
	}
}

// TestRecordIsTheAnalysis: every detail of every value of all questions is what the analysis says of that temperature and k,
// and of no other.
func TestRecordIsTheAnalysis(t *testing.T) {
	t.Parallel()
	r := answered(t)
	a := r.Analysis
	a.Temperatures[0].NMin = 39
	r.Summary.Until.Temperatures[1].Half, r.Summary.Until.Temperatures[1].Reached = 0.125, true
	seen := 0
	for _, x := range readRecord(t, r).Results {
		if x.Metric.Parameters.By != "" {
			continue
		}
		seen++
		i := slices.Index([]float64{0.2, 1}, x.Config.Args.Temperature)
		if want := detailsOf(r, i, x.Metric.Parameters.K); !maps.Equal(x.Score.Details, want) {
			for name := range maps.Collect(both(want, x.Score.Details)) {
				if x.Score.Details[name] != want[name] {
					t.Errorf("%s: %s is %q, want %q", x.ID, name, x.Score.Details[name], want[name])
				}
			}
		}
	}
	if seen != 6 {
		t.Errorf("%d values of all questions, want three k at two temperatures", seen)
	}
	said := readRecord(t, r).Source.Details
	var union, mix string
	for i := range a.Union.Points {
		if p := &a.Union.Points[i]; p.Single != nil && p.Single.Interval != nil {
			union = fmt.Sprintf("%d samples of a question, %d at each temperature, solve %s of %d questions; gain over the best temperature %s, questions like these %s to %s",
				p.K, p.Each, number(p.Value), p.Questions, number(p.Single.Gain), number(p.Single.Interval.Low), number(p.Single.Interval.High))
		}
	}
	most := 0
	for i := range a.Mixing {
		if m := &a.Mixing[i]; m.Budget == "samples" && m.Greedy.Like != nil && m.K > most {
			most, mix = m.K, fmt.Sprintf("%d samples: %d at %s", m.K, m.Greedy.Parts[0].Samples, number(m.Greedy.Parts[0].Temperature))
			if len(m.Greedy.Parts) > 1 {
				mix += fmt.Sprintf(", %d at %s", m.Greedy.Parts[1].Samples, number(m.Greedy.Parts[1].Temperature))
			}
			mix += fmt.Sprintf("; gain over one temperature %s, questions like these %s to %s", number(m.Greedy.Gain), number(m.Greedy.Like.Low), number(m.Greedy.Like.High))
		}
	}
	flips := fmt.Sprintf("%d questions that no sample at temperature 0.2 passed are passed at a hotter one, %d of them confirmed (false discovery rate 0.05)", len(a.Flips.Questions), a.Flips.Confirmed)
	for name, want := range map[string]string{"all_temperatures_together": union, "mix_of_temperatures": mix, "never_to_sometimes": flips} {
		if said[name] != want {
			t.Errorf("%s is %q, want %q", name, said[name], want)
		}
	}
}

func both(all ...map[string]string) func(yield func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for _, m := range all {
			for k, v := range m {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// detailsOf returns what a record is to say of a value of all questions, by the place of its temperature.
func detailsOf(r *Run, place, k int) map[string]string {
	x := &r.Analysis.Temperatures[place]
	p := &x.Points[slices.IndexFunc(x.Points, func(p curve.Point) bool { return p.K == k })]
	out := map[string]string{
		"questions": strconv.Itoa(p.Questions), "reliable": fmt.Sprint(p.Reliable), "pass_hat_k": number(p.PassHatK),
		"samples_per_question_min": strconv.Itoa(x.NMin), "samples_per_question_max": strconv.Itoa(x.NMax),
		"sampling_interval_low": number(p.Sampling.Low), "sampling_interval_high": number(p.Sampling.High),
		"anytime_interval_low": number(p.Anytime.Low), "anytime_interval_high": number(p.Anytime.High),
		"samples_chosen_by_results": "until half the anytime interval of pass@1 is at most 0.25, at most 99 samples: read the anytime interval, the sampling interval takes the number of samples for given",
		"samples_chosen_half_width": []string{"0", "0.125"}[place], "samples_chosen_reached": []string{"false", "true"}[place],
	}
	if c := p.Population.Contest; c != nil {
		out["by_contest_interval_low"], out["by_contest_interval_high"] = number(c.Low), number(c.High)
	}
	if p.SamplingShare != nil {
		out["variance_share_of_sampling"] = number(*p.SamplingShare)
	}
	b := r.Analysis.Best[slices.IndexFunc(r.Analysis.Best, func(b curve.Best) bool { return b.K == k })]
	if b.Temperature == x.Temperature && b.Selected != nil {
		out["selected_as_highest_of"] = strconv.Itoa(b.Selected.Of)
		out["selected_too_high_at_most_these_questions"], out["selected_too_high_at_most"] = number(b.Selected.These), number(b.Selected.Like)
	}
	if b.Choice != nil && b.Choice.Temperature == x.Temperature {
		out["chosen_loses_at_most_these_questions"], out["chosen_loses_at_most_questions_like"] = number(b.Choice.These), number(b.Choice.Like)
	}
	s := b.Standings[slices.IndexFunc(b.Standings, func(s curve.Standing) bool { return s.Temperature == x.Temperature })]
	out["may_be_best_these_questions"], out["may_be_best_questions_like"] = fmt.Sprint(s.These.InSet), fmt.Sprint(s.Like.InSet)
	out["behind_best_these_questions_low"], out["behind_best_these_questions_high"] = number(s.These.Behind.Low), number(s.These.Behind.High)
	out["behind_best_questions_like_low"], out["behind_best_questions_like_high"] = number(s.Like.Behind.Low), number(s.Like.Behind.High)
	for _, c := range x.Truncation {
		if c.K == k {
			out["if_truncated_samples_had_passed"] = number(c.Passed)
			if c.Others != nil {
				out["if_truncated_samples_were_as_the_others"] = number(*c.Others)
			}
		}
	}
	for _, c := range x.Costs {
		if c.K == k {
			out["tokens_per_solved_question"] = number(c.Tokens)
			if c.CardSeconds != nil {
				out["card_seconds_per_solved_question"] = number(*c.CardSeconds)
			}
		}
	}
	return out
}

// TestRecordOfWhat: what was measured, how, by whom and when.
func TestRecordOfWhat(t *testing.T) {
	t.Parallel()
	r := answered(t)
	r.Release, r.Summary.Problems.Name, r.Summary.Problems.Revision, r.Summary.Problems.Count = "v6", "v6", "abc", 175
	r.Summary.Model, r.Summary.Simulated = "Qwen/Qwen3", true
	r.Summary.Sampling.MaxTokens, r.Summary.Sampling.TopP, r.Summary.Sampling.TopK, r.Summary.Sampling.Thinking = 512, 0.95, 20, new(true)
	r.Summary.Windows = []store.Window{{From: "2025-01-01", Excluded: []store.Exclusion{{ID: "q7", Reason: "wrong tests"}}}}
	r.Cells = []Cell{{Question: 3, Temperature: 0.2, Counts: stream.Counts{N: 40, Passed: 7}}}
	at := func(r *Run) (func(path ...any) any, string) {
		t.Helper()
		_, files := write(t, r, "every-eval-ever")
		text, err := os.ReadFile(files[0])
		var doc any
		if err == nil {
			err = json.Unmarshal(text, &doc)
		}
		if err != nil {
			t.Fatal(err)
		}
		return func(path ...any) any {
			x := doc
			for _, p := range path {
				object, _ := x.(map[string]any)
				list, _ := x.([]any)
				switch p := p.(type) {
				case string:
					x = object[p]
				case int:
					x = list[p]
				}
			}
			return x
		}, filepath.Base(files[0])
	}
	get, name := at(r)
	first := []any{"evaluation_results", 0}
	of := func(path ...any) []any { return slices.Concat(first, path) }
	for _, x := range []struct {
		path []any
		want any
	}{
		{[]any{"evaluation_id"}, "livecodebench/Qwen/Qwen3/1"},
		{[]any{"evaluation_timestamp"}, "1"},
		{[]any{"model_info", "developer"}, "Qwen"},
		{[]any{"model_info", "additional_details", "simulated"}, "true: no model was asked"},
		{[]any{"model_info", "additional_details", "deployment_type"}, "self_deployed"},
		{[]any{"source_metadata", "additional_details", "excluded_questions"}, "q7: wrong tests"},
		{of("source_data", "dataset_name"), "LiveCodeBench v6"},
		{of("source_data", "hf_repo"), "livecodebench/code_generation_lite"},
		{of("source_data", "samples_number"), 175.},
		{of("source_data", "additional_details", "revision"), "abc"},
		{of("generation_config", "generation_args", "max_tokens"), 512.},
		{of("generation_config", "generation_args", "top_p"), 0.95},
		{of("generation_config", "generation_args", "top_k"), 20.},
		{of("generation_config", "generation_args", "reasoning"), true},
		{of("generation_config", "generation_args", "temperature"), 0.2},
		{of("score_details", "uncertainty", "confidence_interval", "confidence_level"), 0.95},
		{of("score_details", "uncertainty", "num_samples"), 24.},
		{of("evaluation_name"), "LiveCodeBench code generation, pass@1, temperature 0.2"},
	} {
		if got := get(x.path...); got != x.want {
			t.Errorf("%v is %v, want %v", x.path, got, x.want)
		}
	}
	r.Summary.Engine, r.Summary.Simulated = "openai", false
	if get, _ := at(r); get("model_info", "additional_details", "simulated") != nil || get("model_info", "additional_details", "deployment_type") != unknown {
		t.Errorf("of an endpoint: %v", get("model_info", "additional_details"))
	}
	r.Cells[0].Counts.Passed = 8
	_, other := at(r)
	r.Cells[0].Counts.Passed, r.Summary.Run = 7, "r2"
	if _, second := at(r); other == name || second == name || second == other {
		t.Errorf("other counts, and another run, have the names %s and %s beside %s", other, second, name)
	}
	r.Summary.Finished = time.Time{}
	if get, _ := at(r); get("evaluation_timestamp") != "0" {
		t.Errorf("of a run whose end nobody knows: %v", get("evaluation_timestamp"))
	}
}

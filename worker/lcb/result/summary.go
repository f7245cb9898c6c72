package result

import (
	"fmt"
	"slices"
	"time"
)

// A CellSummary is one cell's line in its question's summary.
type CellSummary struct {
	Temperature float64 `json:"temperature"`
	Counts
	Digest        // of the cell's content
	File   string `json:"file"` // name within the question's folder
}

// A Summary is a question's summary.json, written when the last of its cells is.
type Summary struct {
	QuestionIdx   int           `json:"question_idx"`
	QuestionTitle string        `json:"question_title"`
	N             int           `json:"n"` // scored samples a temperature: the most of any
	Temperatures  []float64     `json:"temperatures"`
	Results       []CellSummary `json:"results"`
	QuestionID    string        `json:"question_id"`
	Platform      string        `json:"platform,omitempty"`
	Difficulty    string        `json:"difficulty,omitempty"`
	ContestDate   string        `json:"contest_date,omitempty"`
	Engine        string        `json:"engine"`
	Model         string        `json:"model,omitempty"`
	Simulated     bool          `json:"simulated,omitempty"`
	Judge         string        `json:"judge"`
	Fingerprint   string        `json:"fingerprint"`
}

// NewSummary makes a question's summary from the headers and digests of its
// cells, in the order given. All headers must speak of the same question, judge
// and fingerprint: results of two judges are not one result.
func NewSummary(headers []Header, digests []Digest, files []string) (*Summary, error) {
	if len(headers) == 0 || len(digests) != len(headers) || len(files) != len(headers) {
		return nil, fmt.Errorf("summarise question: %d headers, %d digests, %d files, want as many of each and at least one",
			len(headers), len(digests), len(files))
	}
	first := headers[0]
	s := &Summary{
		QuestionIdx: first.QuestionIdx, QuestionTitle: first.QuestionTitle, QuestionID: first.QuestionID,
		Engine: first.Engine, Model: first.Model, Simulated: first.Simulated, Judge: first.Judge, Fingerprint: first.Fingerprint,
	}
	for i, h := range headers {
		if field, a, b := mixed(&first, &h); field != "" {
			return nil, fmt.Errorf("summarise question %d: %s is %q at temperature %v and %q at %v: results that differ in it are not one result",
				first.QuestionIdx, field, a, first.Temperature, b, h.Temperature)
		}
		if slices.Contains(s.Temperatures, h.Temperature) {
			return nil, fmt.Errorf("summarise question %d: temperature %v comes twice", first.QuestionIdx, h.Temperature)
		}
		s.N = max(s.N, h.N)
		s.Temperatures = append(s.Temperatures, h.Temperature)
		s.Results = append(s.Results, CellSummary{Temperature: h.Temperature, Counts: h.Counts, Digest: digests[i], File: files[i]})
	}
	return s, nil
}

// mixed names the first field that two cells of one question must share and do
// not, "" if there is none.
func mixed(a, b *Header) (field, first, second string) {
	for _, f := range []struct{ name, a, b string }{
		{"question_id", a.QuestionID, b.QuestionID},
		{"question_idx", fmt.Sprint(a.QuestionIdx), fmt.Sprint(b.QuestionIdx)},
		{"engine", a.Engine, b.Engine},
		{"model", a.Model, b.Model},
		{"judge", a.Judge, b.Judge},
		{"fingerprint", a.Fingerprint, b.Fingerprint},
	} {
		if f.a != f.b {
			return f.name, f.a, f.b
		}
	}
	return "", "", ""
}

// WriteSummary writes a question's summary to its place in dir, durably.
func WriteSummary(dir string, s *Summary) error {
	return WriteJSONAtomic(SummaryPath(dir, s.QuestionIdx), s)
}

// ReadSummary reads the summary of question q.
func ReadSummary(dir string, q int) (*Summary, error) {
	var s Summary
	if err := readJSON(SummaryPath(dir, q), &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// A TemperatureSummary is the run at one temperature: sums over its questions.
type TemperatureSummary struct {
	Temperature float64         `json:"temperature"`
	Questions   int             `json:"questions"` // that have a cell
	N           int             `json:"n"`         // scored samples, all questions
	Passed      int             `json:"passed"`
	PassRate    float64         `json:"pass_rate"`   // percent: mean over questions with N > 0 of their pass rates, which is pass@1
	GenTPS      float64         `json:"gen_tps"`     // mean over questions of the cells' gen_tps, those that know it
	Unscored    int             `json:"unscored"`    // samples that could not be judged
	Verdicts    map[Verdict]int `json:"verdicts"`    // samples by verdict
	PassAtK     map[int]float64 `json:"pass_at_k"`   // k -> pass@k in [0, 1]; only k that every question has samples for
	Tokens      int64           `json:"tokens"`      // completion tokens
	Unique      int             `json:"unique"`      // sum of the cells' unique programs
	UniqueOK    int             `json:"unique_ok"`   // sum of the cells' unique programs that passed
	Solved      int             `json:"solved"`      // questions with at least one passed sample
	JudgeCPU    float64         `json:"judge_cpu_s"` // CPU seconds of judging
}

// A RunSummary is the base of run_summary.json. The command that writes the file
// embeds it in a larger struct and adds what it knows.
type RunSummary struct {
	Run             string               `json:"run"`
	Engine          string               `json:"engine"`
	Model           string               `json:"model,omitempty"`
	Simulated       bool                 `json:"simulated,omitempty"`
	Judge           string               `json:"judge"`
	Fingerprint     string               `json:"fingerprint"`
	Questions       int                  `json:"questions"`
	N               int                  `json:"n"` // samples asked for, a question and temperature
	Temperatures    []float64            `json:"temperatures"`
	Samples         int                  `json:"samples"` // scored
	Passed          int                  `json:"passed"`
	Unscored        int                  `json:"unscored"`
	Results         []TemperatureSummary `json:"results"` // one a temperature, in the order of Temperatures
	Started         time.Time            `json:"started"`
	Finished        time.Time            `json:"finished"`
	DurationSeconds float64              `json:"duration_s"`
}

// ReadRunSummary reads the base of dir's run_summary.json.
func ReadRunSummary(dir string) (*RunSummary, error) {
	var s RunSummary
	if err := readJSON(RunSummaryPath(dir), &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// Total sums the questions' summaries into one line a temperature, ascending.
// PassAtK is left to the caller: the estimate is not this package's.
func Total(summaries []*Summary) []TemperatureSummary {
	type sum struct {
		TemperatureSummary
		rates, speeds float64
		scored, timed int
	}
	sums := make(map[float64]*sum)
	for _, s := range summaries {
		for i := range s.Results {
			c := &s.Results[i]
			t := sums[c.Temperature]
			if t == nil {
				t = &sum{TemperatureSummary: TemperatureSummary{Temperature: c.Temperature, Verdicts: make(map[Verdict]int)}}
				sums[c.Temperature] = t
			}
			t.Questions++
			t.N += c.N
			t.Passed += c.Passed
			t.Unscored += c.Unscored
			t.Tokens += c.Tokens
			t.Unique += c.UniquePrograms
			t.UniqueOK += c.UniquePassed
			t.JudgeCPU += c.JudgeCPU
			if c.N > 0 {
				t.rates += c.PassRate
				t.scored++
			}
			if c.Passed > 0 {
				t.Solved++
			}
			if c.GenTPS > 0 {
				t.speeds += c.GenTPS
				t.timed++
			}
			for v, n := range c.Verdicts {
				t.Verdicts[v] += n
			}
		}
	}
	out := make([]TemperatureSummary, 0, len(sums))
	for _, t := range sums {
		if t.scored > 0 {
			t.PassRate = t.rates / float64(t.scored)
		}
		if t.timed > 0 {
			t.GenTPS = t.speeds / float64(t.timed)
		}
		out = append(out, t.TemperatureSummary)
	}
	slices.SortFunc(out, func(a, b TemperatureSummary) int {
		if a.Temperature < b.Temperature {
			return -1
		}
		return 1
	})
	return out
}

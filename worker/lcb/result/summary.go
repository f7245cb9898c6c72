package result

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/lcbq/lcbq/stream"
)

// A CellSummary is one cell's line in its question's summary.
type CellSummary struct {
	Temperature float64 `json:"temperature"`
	stream.Counts
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
	stream.Origin
	Engine      string `json:"engine"`
	Model       string `json:"model,omitempty"`
	Simulated   bool   `json:"simulated,omitempty"`
	Judge       string `json:"judge"`
	Fingerprint string `json:"fingerprint"`
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

// A TemperatureSummary is the run at one temperature: the counts of its questions'
// cells, added up. PassRate is the mean over questions with N > 0 of their pass
// rates, which is pass@1 in percent; GenTPS the mean over those cells that know it.
type TemperatureSummary struct {
	Temperature float64 `json:"temperature"`
	Questions   int     `json:"questions"` // that have a cell
	stream.Counts
	PassAtK map[int]float64 `json:"pass_at_k"` // k -> pass@k in [0, 1]; only k that every question has samples for
	Solved  int             `json:"solved"`    // questions with at least one passed sample

	// The names that the fields of Counts had in this file alone. They are written
	// for readers of that time, and read from files of that time.
	OldTokens   int64 `json:"tokens"`    // completion_tokens
	OldUnique   int   `json:"unique"`    // unique_programs
	OldUniqueOK int   `json:"unique_ok"` // unique_passed
}

// UnmarshalJSON fills in the counts of a file that has only their former names.
func (t *TemperatureSummary) UnmarshalJSON(b []byte) error {
	type plain TemperatureSummary
	if err := json.Unmarshal(b, (*plain)(t)); err != nil {
		return err
	}
	t.Tokens = cmp.Or(t.Tokens, t.OldTokens)
	t.UniquePrograms = cmp.Or(t.UniquePrograms, t.OldUnique)
	t.UniquePassed = cmp.Or(t.UniquePassed, t.OldUniqueOK)
	return nil
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
				t = &sum{TemperatureSummary: TemperatureSummary{Temperature: c.Temperature}}
				sums[c.Temperature] = t
			}
			t.Questions++
			t.Add(&c.Counts)
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
		t.OldTokens, t.OldUnique, t.OldUniqueOK = t.Tokens, t.UniquePrograms, t.UniquePassed
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

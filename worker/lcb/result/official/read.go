package official

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/worker/lcb/result"
)

// text is a string whose lone surrogates survive.
type text string

func (t *text) UnmarshalJSON(raw []byte) error {
	s, err := result.ParseText(raw)
	*t = text(s)
	return err
}

// row is one problem of a result file.
type row struct {
	Title       text              `json:"question_title"`
	Content     text              `json:"question_content"`
	Platform    text              `json:"platform"`
	ID          text              `json:"question_id"`
	ContestID   text              `json:"contest_id"`
	ContestDate text              `json:"contest_date"`
	StarterCode text              `json:"starter_code"`
	Difficulty  text              `json:"difficulty"`
	Outputs     []text            `json:"output_list"`
	Codes       []*text           `json:"code_list"` // the official extraction can give null
	Graded      []bool            `json:"graded_list"`
	Metadata    []json.RawMessage `json:"metadata"`
}

// A Result is one problem of an official result file with its judged samples.
type Result struct {
	Question Question
	Samples  []result.Sample
}

// Read reads a _eval_all.json file from r, one problem at a time; name is the
// file's, for errors, which say the problem's place and id. The sequence ends at
// the first error, which it yields last.
//
// The verdict is the one that our own export put into the metadata if there is
// one, and follows from the error code otherwise; a failure that names no code is
// wrong_answer. A program is no_code if it is empty.
func Read(r io.Reader, name string) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		dec := json.NewDecoder(r)
		if t, err := dec.Token(); err != nil || t != json.Delim('[') {
			yield(Result{}, fmt.Errorf("%s: want a list of problems: %w", name, cause(err)))
			return
		}
		for i := 0; dec.More(); i++ {
			var w row
			err := dec.Decode(&w)
			var out Result
			if err == nil {
				out, err = w.result()
			}
			if err != nil {
				yield(Result{}, fmt.Errorf("%s: problem %d (question_id %q): %w", name, i, w.ID, err))
				return
			}
			if !yield(out, nil) {
				return
			}
		}
		if _, err := dec.Token(); err != nil {
			yield(Result{}, fmt.Errorf("%s: after the last problem: %w", name, cause(err)))
		}
	}
}

var errNoList = errors.New("it is something else")

func cause(err error) error {
	switch {
	case err == nil:
		return errNoList
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	default:
		return err
	}
}

func (w *row) result() (Result, error) {
	n := len(w.Graded)
	switch {
	case w.ID == "":
		return Result{}, errors.New("question_id is missing")
	case n == 0 && len(w.Codes) > 0:
		return Result{}, errors.New("graded_list is missing: the file has generations only; judge it with lcbq grade")
	case len(w.Codes) != n || len(w.Outputs) != n:
		return Result{}, fmt.Errorf("output_list has %d, code_list %d and graded_list %d entries, want as many of each", len(w.Outputs), len(w.Codes), n)
	case len(w.Metadata) != n && len(w.Metadata) != 0:
		return Result{}, fmt.Errorf("metadata has %d entries, graded_list %d", len(w.Metadata), n)
	}
	out := Result{Question: Question{
		Title: string(w.Title), Content: string(w.Content), Platform: string(w.Platform), ID: string(w.ID), ContestID: string(w.ContestID),
		ContestDate: string(w.ContestDate), StarterCode: string(w.StarterCode), Difficulty: string(w.Difficulty),
	}, Samples: make([]result.Sample, n)}
	for i, passed := range w.Graded {
		s := &out.Samples[i]
		*s = result.Sample{Index: i, Completion: string(w.Outputs[i]), Passed: passed, Verdict: result.Passed}
		if w.Codes[i] != nil {
			s.Code = string(*w.Codes[i])
		}
		if !passed {
			var m json.RawMessage
			if len(w.Metadata) > 0 {
				m = w.Metadata[i]
			}
			explain(s, m)
		}
	}
	return out, nil
}

// explain gives a failed sample its verdict. Metadata is a string of JSON, in
// older files the object itself; what cannot be read says nothing.
func explain(s *result.Sample, metadata json.RawMessage) {
	var n note
	if len(metadata) > 0 && metadata[0] == '"' {
		inner, err := result.ParseText(metadata)
		if err == nil {
			metadata = json.RawMessage(inner)
		}
	}
	if json.Unmarshal(metadata, &n) != nil {
		n = note{}
	}
	s.Detail = n.Error
	if s.Detail == "" {
		s.Detail = n.Message
	}
	s.Verdict = result.WrongAnswer
	if n.Code != nil && *n.Code >= -5 && *n.Code <= -2 {
		s.ErrorCode = n.Code
		switch *n.Code {
		case -3:
			s.Verdict = result.TimeLimit
		case -4, -5:
			s.Verdict = result.RuntimeError
		}
	}
	if s.Code == "" {
		s.Verdict = result.NoCode
	}
	if n.Verdict.Scored() && n.Verdict != result.Passed {
		s.Verdict = n.Verdict
	}
}

// ReadMetrics reads pass@k, by k, from the start of a _eval.json file.
func ReadMetrics(r io.Reader, name string) (map[int]float64, error) {
	dec := json.NewDecoder(r)
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil, fmt.Errorf("%s: want a list: %w", name, cause(err))
	}
	var metrics map[string]json.RawMessage
	if err := dec.Decode(&metrics); err != nil {
		return nil, fmt.Errorf("%s: metrics: %w", name, err)
	}
	out := make(map[int]float64)
	for key, raw := range metrics {
		digits, ok := strings.CutPrefix(key, "pass@")
		if !ok {
			continue
		}
		k, err := strconv.Atoi(digits)
		if err != nil {
			return nil, fmt.Errorf("%s: metrics: %q is no pass@k", name, key)
		}
		var v float64
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, fmt.Errorf("%s: metrics: %s: %w", name, key, err)
		}
		out[k] = v
	}
	return out, nil
}

package official

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/input"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/pyjson"
)

// maxText bounds one string, number or metadata of a result file.
const maxText = 256 << 20

// row is one problem of a result file.
type row struct {
	Question
	outputs, codes                  []*string // the official extraction can give null
	graded                          []bool
	metadata                        []string // as JSON
	hasOutputs, hasCodes, hasGraded bool

	field string // that is being read
	fault error  // the first thing that is wrong with the problem
}

// A Result is one problem of an official result file with its judged samples.
type Result struct {
	Line     int // of the file, from 1
	Question Question
	Samples  []result.Sample
}

// Read reads a _eval_all.json file from r, plain or compressed with gzip or zstd,
// one problem at a time; name is the file's, for errors. A bad problem is yielded as
// a *ProblemError and those behind it follow; the sequence ends where the text itself is
// broken, with a last error.
//
// Files differ: ids may be numbers, graded_list may hold 0 and 1, output_list may be
// missing, and metadata may be a list of texts or objects, one object, or missing.
//
// The verdict is the one that our own export put into the metadata if there is
// one, and follows from the error code otherwise; a failure that names no code is
// wrong_answer. A program is no_code if it is empty.
func Read(r io.Reader, name string) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		text, err := input.Open(r)
		if err != nil {
			yield(Result{}, fmt.Errorf("%s: %w", name, err))
			return
		}
		defer text.Close()
		in := pyjson.NewStream(text, maxText)
		if in.Next() != pyjson.Array {
			yield(Result{}, fmt.Errorf("%s: want a list of problems, as in LiveCodeBench's _eval_all.json", name))
			return
		}
		err = in.Array(func(i int) error {
			in.Next()
			wrong := &ProblemError{File: name, Line: in.Line(), Place: i}
			w := &row{}
			broken := w.read(in)
			var out Result
			if wrong.Err = cmp.Or(broken, w.fault); wrong.Err == nil {
				out, wrong.Err = w.result()
			}
			wrong.ID, wrong.Broken, out.Line = w.ID, broken != nil, wrong.Line
			switch {
			case broken != nil:
				return wrong
			case wrong.Err == nil && !yield(out, nil), wrong.Err != nil && !yield(out, wrong):
				return errEnough
			}
			return nil
		})
		if err == nil {
			err = in.End()
		}
		if _, told := errors.AsType[*ProblemError](err); err != nil && !told {
			err = fmt.Errorf("%s: after a problem: %w", name, err)
		}
		if err != nil && !errors.Is(err, errEnough) {
			yield(Result{}, err)
		}
	}
}

// errEnough ends a reading whose caller wants no more.
var errEnough = errors.New("the caller has enough")

// A ProblemError says what is wrong with one problem of a result file, and where.
type ProblemError struct {
	File  string
	Line  int // from 1
	Place int // in the list, from 0
	ID    string
	Err   error // names the field

	Broken bool // the text ends or is no JSON there: nothing behind it can be read
}

// Error names file, line, place, id and cause.
func (e *ProblemError) Error() string {
	return fmt.Sprintf("%s:%d: problem %d (question_id %q): %v", e.File, e.Line, e.Place, e.ID, e.Err)
}

// Unwrap returns the cause.
func (e *ProblemError) Unwrap() error { return e.Err }

// read reads one problem. A field of another kind than it must be is remembered as the
// problem's fault and skipped; the error is for text that is no JSON.
func (w *row) read(in *pyjson.Reader) error {
	texts := map[string]*string{
		"question_title": &w.Title, "question_content": &w.Content, "platform": &w.Platform, "question_id": &w.ID,
		"contest_id": &w.ContestID, "contest_date": &w.ContestDate, "starter_code": &w.StarterCode, "difficulty": &w.Difficulty,
	}
	if in.Next() != pyjson.Object {
		return w.refuse(in, "want a problem, an object of fields")
	}
	return in.Object(func(key string) (err error) {
		w.field = key
		kind := in.Next()
		switch to := texts[key]; {
		case kind == pyjson.Null:
			return in.Skip()
		case to != nil && kind == pyjson.Number:
			var raw []byte
			raw, err = in.Number()
			*to = strings.TrimSuffix(string(raw), ".0")
		case to != nil && kind != pyjson.String:
			return w.refuse(in, "want a string")
		case to != nil:
			*to, err = in.Text()
		case key == "output_list":
			w.hasOutputs = true
			w.outputs, err = w.textList(in)
		case key == "code_list":
			w.hasCodes = true
			w.codes, err = w.textList(in)
		case key == "graded_list":
			w.hasGraded = true
			w.graded, err = w.grades(in)
		case key == "metadata" && kind == pyjson.Array:
			w.metadata = nil
			err = in.Array(func(int) error {
				raw, err := in.Raw()
				w.metadata = append(w.metadata, string(raw))
				return err
			})
		default: // metadata of the whole problem says nothing of a sample
			return in.Skip()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
}

// refuse remembers what is wrong with the next value, if it is the problem's first
// fault, and skips the value.
func (w *row) refuse(in *pyjson.Reader, want string) error {
	if w.fault == nil {
		w.fault = in.Refuse(fmt.Sprintf("%s, got %s", want, in.Next()))
		if w.field != "" {
			w.fault = fmt.Errorf("%s: %w", w.field, w.fault)
		}
	}
	return in.Skip()
}

// textList reads a list of texts and nulls.
func (w *row) textList(in *pyjson.Reader) ([]*string, error) {
	list := []*string{}
	if in.Next() != pyjson.Array {
		return list, w.refuse(in, "want a list of strings")
	}
	err := in.Array(func(int) error {
		switch in.Next() {
		case pyjson.Null:
			list = append(list, nil)
			return in.Skip()
		case pyjson.String:
			text, err := in.Text()
			list = append(list, &text)
			return err
		default:
			return w.refuse(in, "want a string")
		}
	})
	return list, err
}

// grades reads whether samples passed: true or false, 1 or 0.
func (w *row) grades(in *pyjson.Reader) ([]bool, error) {
	list := []bool{}
	if in.Next() != pyjson.Array {
		return list, w.refuse(in, "want a list of true and false")
	}
	err := in.Array(func(i int) error {
		raw, err := in.Raw()
		if err != nil {
			return err
		}
		switch string(raw) {
		case "true", "1", "1.0":
			list = append(list, true)
		case "false", "0", "0.0":
			list = append(list, false)
		default:
			if w.fault == nil {
				w.fault = fmt.Errorf("graded_list: entry %d is %.40s, want true, false, 1 or 0", i, raw)
			}
		}
		return nil
	})
	return list, err
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
	n := len(w.graded)
	if !w.hasOutputs {
		w.outputs = make([]*string, len(w.codes))
	}
	switch {
	case w.ID == "":
		return Result{}, errors.New("question_id is missing")
	case !w.hasCodes:
		return Result{}, errors.New("code_list is missing")
	case !w.hasGraded:
		return Result{}, errors.New("graded_list is missing: the file has generations only; judge it with lcbq grade")
	case len(w.codes) != n || len(w.outputs) != n:
		return Result{}, fmt.Errorf("output_list has %d, code_list %d and graded_list %d entries, want as many of each", len(w.outputs), len(w.codes), n)
	case len(w.metadata) != n && len(w.metadata) != 0:
		return Result{}, fmt.Errorf("metadata has %d entries, graded_list %d", len(w.metadata), n)
	}
	out := Result{Question: w.Question, Samples: make([]result.Sample, n)}
	for i, passed := range w.graded {
		s := &out.Samples[i]
		*s = result.Sample{Sample: stream.Sample{Index: i}, Judgement: stream.Judgement{Verdict: stream.Passed}}
		if w.outputs[i] != nil {
			s.Completion = *w.outputs[i]
		}
		if w.codes[i] != nil {
			s.Code = *w.codes[i]
		}
		if !passed {
			var m json.RawMessage
			if len(w.metadata) > 0 {
				m = json.RawMessage(w.metadata[i])
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
		inner, err := pyjson.ParseText(metadata)
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
	s.Verdict = stream.WrongAnswer
	if n.Code != nil && *n.Code >= -5 && *n.Code <= -2 {
		s.ErrorCode = n.Code
		switch *n.Code {
		case -3:
			s.Verdict = stream.TimeLimit
		case -4, -5:
			s.Verdict = stream.RuntimeError
		}
	}
	if s.Code == "" {
		s.Verdict = stream.NoCode
	}
	var v stream.Verdict
	if v.UnmarshalText([]byte(n.Verdict)) == nil && v.Scored() && v != stream.Passed {
		s.Verdict = v
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

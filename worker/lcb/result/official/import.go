package official

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/lcbq/lcbq/worker/lcb/result"
)

// Import says how an official file becomes part of a results folder.
type Import struct {
	Temperature float64
	Model       string
	Engine      string                      // of the headers; "" means replay
	Judge       string                      // of the headers; "" means lcb
	Fingerprint string                      // what is known of the environment that judged
	Index       func(id string) (int, bool) // a question's place in the problem set; nil: its place in the file
	Compress    bool
	// Skip is called with each bad problem, which is then left out; nil refuses the file.
	Skip func(*ProblemError)
}

// maxFaults is how many bad problems an error tells of; the others are counted.
const maxFaults = 20

// Check reads a whole file and writes nothing. Unless Skip takes them, the error tells of
// the first twenty bad problems: those that Read finds, those that come twice and those that
// are not in the problem set.
func (im Import) Check(r io.Reader, name string) error {
	var faults []error
	bad := 0
	for _, err := range im.problems(r, name) {
		if err == nil {
			continue
		}
		if bad++; bad <= maxFaults {
			faults = append(faults, fmt.Errorf("import %w", err))
		}
	}
	if bad > maxFaults {
		faults = append(faults, fmt.Errorf("import %s: and %d more bad problems", name, bad-maxFaults))
	}
	return errors.Join(faults...)
}

// A placed problem has a place in the problem set.
type placed struct {
	Result
	index int
}

// problems reads a file and gives each problem its place. Bad problems go to Skip, or
// are yielded as errors.
func (im Import) problems(r io.Reader, name string) iter.Seq2[placed, error] {
	return func(yield func(placed, error) bool) {
		seen := make(map[string]bool)
		place := -1
		for p, err := range Read(r, name) {
			place++
			to := placed{p, len(seen)}
			if err == nil {
				to.index, err = im.index(name, place, &p, seen)
			}
			if wrong, ok := errors.AsType[*ProblemError](err); ok && im.Skip != nil && !wrong.Broken {
				im.Skip(wrong)
				continue
			}
			if !yield(to, err) {
				return
			}
		}
	}
}

// index finds the place of a problem that has come for the first time.
func (im Import) index(name string, place int, p *Result, seen map[string]bool) (int, error) {
	wrong := &ProblemError{File: name, Line: p.Line, Place: place, ID: p.Question.ID}
	if seen[p.Question.ID] {
		wrong.Err = errors.New("it comes twice")
		return 0, wrong
	}
	q := len(seen)
	if im.Index != nil {
		var ok bool
		if q, ok = im.Index(p.Question.ID); !ok {
			wrong.Err = errors.New("it is not in the problem set")
			return 0, wrong
		}
	}
	seen[p.Question.ID] = true
	return q, nil
}

// A Part is one question at one temperature that was written to a results folder.
type Part struct {
	Question Question
	Header   result.Header
	Digest   result.Digest
	File     string // name within the question's folder
}

// Write reads a _eval_all.json file and writes it as the cells and summaries of
// the results folder dir. It returns the summaries in the order of their
// questions. Memory is that of one problem.
func (im Import) Write(dir string, r io.Reader, name string) ([]*result.Summary, error) {
	parts, err := im.Cells(dir, r, name)
	if err != nil {
		return nil, err
	}
	return Summaries(dir, parts)
}

// Cells reads a _eval_all.json file and writes it as cells of the results folder
// dir, without summaries: files of other temperatures may follow.
func (im Import) Cells(dir string, r io.Reader, name string) ([]Part, error) {
	var out []Part
	for p, err := range im.problems(r, name) {
		if err != nil {
			return out, fmt.Errorf("import %w", err)
		}
		part, err := im.cell(dir, p.index, &p.Result)
		if err != nil {
			return out, fmt.Errorf("import %s: %w", name, err)
		}
		out = append(out, part)
	}
	return out, nil
}

func (im Import) cell(dir string, q int, p *Result) (Part, error) {
	var tally result.Tally
	for i := range p.Samples {
		tally.Add(&p.Samples[i])
	}
	h := result.Header{
		QuestionIdx: q, QuestionID: p.Question.ID, QuestionTitle: p.Question.Title, Temperature: im.Temperature,
		Counts: tally.Counts(), Engine: cmp.Or(im.Engine, "replay"), Model: im.Model, Judge: cmp.Or(im.Judge, "lcb"), Fingerprint: im.Fingerprint,
	}
	path := result.CellPath(dir, q, im.Temperature)
	if im.Compress {
		path = result.CompressedCellPath(dir, q, im.Temperature)
	}
	w, err := result.CreateCell(path, &h)
	if err != nil {
		return Part{}, err
	}
	for i := range p.Samples {
		if err := w.Add(&p.Samples[i]); err != nil {
			return Part{}, errors.Join(err, w.Abort())
		}
	}
	digest, err := w.Commit()
	return Part{p.Question, h, digest, filepath.Base(path)}, err
}

// Summaries writes the summaries of the questions whose cells are given, of any
// number of temperatures, and returns them in the order of the questions. The
// error is for two cells of one place, or two questions that claim one.
func Summaries(dir string, parts []Part) ([]*result.Summary, error) {
	parts = slices.Clone(parts)
	slices.SortStableFunc(parts, func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.Header.QuestionIdx, b.Header.QuestionIdx), cmp.Compare(a.Header.Temperature, b.Header.Temperature))
	})
	var out []*result.Summary
	for len(parts) > 0 {
		first := &parts[0]
		n := 0
		var headers []result.Header
		var digests []result.Digest
		var files []string
		for ; n < len(parts) && parts[n].Header.QuestionIdx == first.Header.QuestionIdx; n++ {
			headers, digests, files = append(headers, parts[n].Header), append(digests, parts[n].Digest), append(files, parts[n].File)
		}
		s, err := result.NewSummary(headers, digests, files)
		if err != nil {
			return out, fmt.Errorf("import: %w", err)
		}
		s.Origin = first.Question.Origin()
		if err := result.WriteSummary(dir, s); err != nil {
			return out, fmt.Errorf("import: %w", err)
		}
		out = append(out, s)
		parts = parts[n:]
	}
	return out, nil
}

// ParseName is the inverse of Name for all three names of a file: it returns the
// sample count and the temperature that the name says, false if it is none.
func ParseName(name string) (n int, temperature float64, ok bool) {
	m := namePattern.FindStringSubmatch(filepath.Base(name))
	if m == nil {
		return 0, 0, false
	}
	n, err := strconv.Atoi(m[1])
	temperature, err2 := strconv.ParseFloat(m[2], 64)
	return n, temperature, err == nil && err2 == nil
}

var namePattern = regexp.MustCompile(`^Scenario\.codegeneration_(\d+)_(\d+(?:\.\d+)?(?:e-\d+)?)(?:_cot)?(?:_eval|_eval_all)?\.json$`)

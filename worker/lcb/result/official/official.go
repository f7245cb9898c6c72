// Package official reads and writes the result files of LiveCodeBench's own
// runner, so that its tools read a run of ours and a run of theirs becomes a
// results folder here. It knows how those files look, not how samples are judged
// nor how pass@k is estimated: the caller passes the estimator.
package official

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/pyjson"
)

// A Question is what the files repeat of a problem.
type Question struct {
	Title       string
	Content     string
	Platform    string
	ID          string
	ContestID   string
	ContestDate string // ISO 8601; the official reader refuses a file without it
	StarterCode string
	Difficulty  string
	Functional  bool // called, not run on stdin; export only
	Tests       int  // number of its tests; export only, 0 if unknown
}

// Origin returns where the question comes from.
func (q *Question) Origin() stream.Origin {
	return stream.Origin{Difficulty: q.Difficulty, Platform: q.Platform, ContestID: q.ContestID, ContestDate: q.ContestDate}
}

// A Cell is one question to export and the file with its samples.
type Cell struct {
	Question Question
	Path     string
}

// Writers are where Export writes; nil ones are left out.
type Writers struct {
	Output  io.Writer // NAME.json: the generations
	Eval    io.Writer // NAME_eval.json: metrics, results by test, metadata
	EvalAll io.Writer // NAME_eval_all.json: both, by problem; what compute_scores reads
}

// An Estimator returns pass@k from n samples of which c passed.
type Estimator func(n, c, k int) (float64, error)

// ks are the k that the official runner reports, where every problem has as many
// samples.
var ks = []int{1, 5, 10, 20, 40, 50, 75, 100, 125, 150, 200, 500, 1000}

// Name returns the name that the official runner gives the file of generations;
// the other two end in _eval.json and _eval_all.json.
func Name(n int, temperature float64) string {
	return "Scenario.codegeneration_" + strconv.Itoa(n) + "_" + pythonFloat(temperature) + ".json"
}

// messages are the official ones by error code.
var messages = map[int]string{
	-2: "Wrong Answer",
	-3: "Time Limit Exceeded",
	-4: "Runtime Error",
	-5: "TestRunnerError",
}

// ErrRagged says that questions have different numbers of scored samples, which
// the official format cannot hold. Who exports may choose fewer questions.
var ErrRagged = errors.New("questions have different numbers of samples")

// Export writes the cells of one temperature, in the order of their question ids
// as strings, as the official runner would have. It reads each cell once and
// holds one question's programs at a time. Samples that could not be judged are
// left out, as from every count.
//
// What the results folder does not know is not made up: failing tests have no
// inputs and outputs in the metadata, which has the finer verdict instead. The
// error is ErrRagged if questions differ in the number of scored samples.
func Export(w Writers, cells []Cell, estimate Estimator) error {
	counts, err := readCounts(cells)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	e := &exporter{}
	for _, out := range []struct {
		w  io.Writer
		to **printer
	}{{w.Output, &e.output}, {w.Eval, &e.eval}, {w.EvalAll, &e.all}} {
		if out.w != nil {
			*out.to = newPrinter(out.w)
			(*out.to).open("[")
		}
	}
	if e.eval != nil {
		if err := writeMetrics(e.eval, counts, estimate); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		spool, err := os.CreateTemp("", "lcbq-export-*")
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		defer func() {
			_ = spool.Close() // it is thrown away
			_ = os.Remove(spool.Name())
		}()
		e.spool, e.metadata = spool, newPrinter(spool)
		e.metadata.empty = []bool{true} // it continues e.eval's outermost list
		e.metadata.opened("[")
		e.eval.open("{")
	}
	for i, c := range cells {
		if err := e.cell(i, c); err != nil {
			return fmt.Errorf("export question %s: %w", c.Question.ID, err)
		}
	}
	if err := e.finish(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

type count struct{ n, passed int }

func readCounts(cells []Cell) ([]count, error) {
	counts := make([]count, len(cells))
	for i, c := range cells {
		if i > 0 && cells[i-1].Question.ID >= c.Question.ID {
			return nil, fmt.Errorf("question %q comes after %q, want them in order, each once", c.Question.ID, cells[i-1].Question.ID)
		}
		if c.Question.ContestDate == "" {
			return nil, fmt.Errorf("question %q has no contest date, which the official reader wants", c.Question.ID)
		}
		cell, err := result.OpenCell(c.Path)
		if err != nil {
			return nil, err
		}
		h := cell.Header()
		if err := cell.Close(); err != nil {
			return nil, err
		}
		counts[i] = count{h.N, h.Passed}
		if counts[i].n != counts[0].n {
			return nil, fmt.Errorf("%w: %d for %s, %d for %s", ErrRagged, counts[0].n, cells[0].Question.ID, h.N, c.Question.ID)
		}
	}
	return counts, nil
}

func writeMetrics(p *printer, counts []count, estimate Estimator) error {
	detail := make(map[int][]float64)
	p.open("{")
	for _, k := range ks {
		if len(counts) == 0 || k > counts[0].n {
			break
		}
		total := 0.0
		for _, c := range counts {
			v, err := estimate(c.n, c.passed, k)
			if err != nil {
				return err
			}
			detail[k] = append(detail[k], v)
			total += v
		}
		p.key("pass@" + strconv.Itoa(k))
		p.number(total / float64(len(counts)))
	}
	p.key("detail")
	p.opened("{")
	for _, k := range ks {
		if detail[k] == nil {
			break
		}
		p.key("pass@" + strconv.Itoa(k))
		p.opened("{")
		for i, v := range detail[k] {
			p.key(strconv.Itoa(i))
			p.number(v)
		}
		p.close("}")
	}
	p.close("}")
	p.close("}")
	return nil
}

type exporter struct {
	output, eval, all *printer // nil: not wanted
	metadata          *printer // of eval, into spool until its turn comes
	spool             *os.File

	codes, graded, notes bytes.Buffer // of the question at hand: elements by line
}

// cell writes one question to all files.
func (e *exporter) cell(i int, c Cell) error {
	in, err := result.OpenCell(c.Path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	e.codes.Reset()
	e.graded.Reset()
	e.notes.Reset()
	for _, p := range []*printer{e.output, e.all} {
		if p != nil {
			p.open("{")
			writeQuestion(p, &c.Question)
			p.key("output_list")
			p.opened("[")
		}
	}
	if e.eval != nil {
		e.eval.key(strconv.Itoa(i))
		e.eval.opened("[")
		e.metadata.open("[")
	}
	var line []byte
	for s, err := range in.Samples() {
		if err != nil {
			return err
		}
		if !s.Verdict.Scored() {
			continue
		}
		for _, p := range []*printer{e.output, e.all} {
			if p != nil {
				p.next()
				p.text(s.Completion)
			}
		}
		line = append(pyjson.AppendASCII(line[:0], s.Code), '\n')
		e.codes.Write(line)
		note := pyjson.AppendASCII(nil, metadata(&s))
		if e.all != nil {
			e.graded.WriteString(strconv.FormatBool(s.Passed()) + "\n")
			e.notes.Write(append(note, '\n'))
		}
		if e.eval != nil {
			e.metadata.element(string(note))
			e.eval.open("[")
			for _, r := range byTest(&s, &c.Question) {
				e.eval.element(r)
			}
			e.eval.close("]")
		}
	}
	h := in.Header()
	return e.endCell(&h)
}

func (e *exporter) endCell(h *result.Header) error {
	if e.eval != nil {
		e.eval.close("]")
		e.metadata.close("]")
	}
	for _, p := range []*printer{e.output, e.all} {
		if p == nil {
			continue
		}
		p.close("]")
		writeList(p, "code_list", e.codes.Bytes())
		if p == e.all {
			writeList(p, "graded_list", e.graded.Bytes())
			p.key("pass@1")
			p.number(float64(h.Passed) / float64(max(1, h.N)))
			writeList(p, "metadata", e.notes.Bytes())
		}
		p.close("}")
	}
	return nil
}

func writeQuestion(p *printer, q *Question) {
	for _, f := range []struct{ key, value string }{
		{"question_title", q.Title},
		{"question_content", q.Content},
		{"platform", q.Platform},
		{"question_id", q.ID},
		{"contest_id", q.ContestID},
		{"contest_date", q.ContestDate},
		{"starter_code", q.StarterCode},
		{"difficulty", q.Difficulty},
	} {
		p.key(f.key)
		p.text(f.value)
	}
}

// writeList writes elements that stand one a line.
func writeList(p *printer, key string, lines []byte) {
	p.key(key)
	p.opened("[")
	for line := range bytes.Lines(lines) {
		p.element(string(line[:len(line)-1]))
	}
	p.close("]")
}

func (e *exporter) finish() error {
	if e.eval != nil {
		e.eval.close("}")
		e.metadata.close("]")
		if err := e.metadata.flush(); err != nil {
			return err
		}
		if _, err := e.spool.Seek(0, io.SeekStart); err != nil {
			return err
		}
		e.eval.next()
		if _, err := io.Copy(e.eval.w, bufio.NewReader(e.spool)); err != nil {
			return err
		}
	}
	for _, p := range []*printer{e.output, e.eval, e.all} {
		if p == nil {
			continue
		}
		p.close("]")
		if err := p.flush(); err != nil {
			return err
		}
	}
	return nil
}

// code returns the official error code of a sample that did not pass.
func code(s *result.Sample) int {
	switch {
	case s.ErrorCode != nil:
		return *s.ErrorCode
	case s.Verdict == stream.WrongAnswer:
		return -2
	case s.Verdict == stream.TimeLimit:
		return -3
	default:
		return -4
	}
}

// byTest returns the list of results by test, which ends at the first failure.
func byTest(s *result.Sample, q *Question) []string {
	if s.Passed() {
		out := make([]string, max(1, q.Tests))
		for i := range out {
			out[i] = "true"
		}
		return out
	}
	c := code(s)
	if c == -5 {
		return []string{"-2"} // what the official runner puts there
	}
	var out []string
	if s.Test != nil {
		for range *s.Test {
			out = append(out, "true")
		}
	}
	if c == -2 && q.Functional {
		return append(out, "false")
	}
	return append(out, strconv.Itoa(c))
}

// note is the metadata of a sample: the official keys, and the finer verdict.
type note struct {
	ExecutionTime *float64 `json:"execution time,omitempty"`
	Error         string   `json:"error,omitempty"`
	Code          *int     `json:"error_code,omitempty"`
	Message       string   `json:"error_message,omitempty"`
	Verdict       string   `json:"verdict,omitempty"` // by name: another writer's may be any word
}

func metadata(s *result.Sample) string {
	n := note{Verdict: s.Verdict.String()}
	if s.Passed() {
		n = note{ExecutionTime: &s.CPU}
	} else {
		c := code(s)
		n.Code, n.Message, n.Error = &c, messages[c], s.Detail
	}
	b, err := json.Marshal(n)
	if err != nil { // plain fields: a finite number and strings
		return "{}"
	}
	return string(b)
}

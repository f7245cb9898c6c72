// Package replay serves recorded completions as if a model had just written
// them. It knows the file forms they come in, and nothing of how a program is
// taken out of a text or judged.
package replay

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/lcbq/lcbq/worker/lcb/input"
	"github.com/lcbq/lcbq/worker/pyjson"
)

// maxRow bounds the memory that one row may take. A completion is some kilobytes;
// a row of this size is a file that was never meant to be read line by line.
const maxRow = 256 << 20

// A Row is one recorded completion. Output, Code or both are there.
type Row struct {
	QuestionID   string
	CompletionID string  // as the file names it; "" where it does not
	Index        int     // 0-based place among the rows of its question, in file order
	Output       *string // the text the model wrote
	Code         *string // the program, taken out of the text by somebody else; "" where the file says null
	FinishReason string  // "" where the file does not say
	Tokens       int     // 0 where the file does not say
	Line         int     // 1-based line of the file where the row begins
	Element      int     // 1-based place in a list of which others stand in that line too, else 0

	text, code span // where the values lie in the file
	parts      bool // each value has a span of its own
}

// A span is a piece of the plain text: a whole row, or one string of a list.
type span struct {
	off int64
	n   int64
}

// A RowError says what is wrong with one row, and where.
type RowError struct {
	File string
	Line int // 1-based; 0 where the fault is the file's, not a row's
	// Element is the row's 1-based place in the file's list, 0 where the line tells it.
	Element int
	Field   string // "" where the fault is the row's, not a field's
	Err     error
	Final   bool // nothing behind it could be read
}

// Error names file, line, element and field, as far as they are known.
func (e *RowError) Error() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, e.Line)
	}
	if e.Element > 0 {
		where += fmt.Sprintf(": element %d", e.Element)
	}
	if e.Field != "" {
		where += ": " + e.Field
	}
	return fmt.Sprintf("%s: %v", where, e.Err)
}

// Unwrap returns the cause.
func (e *RowError) Unwrap() error { return e.Err }

// Options say what a file's form leaves open. The zero value knows no question
// and the usual names of fields.
type Options struct {
	// IDs are the ids of the problem set, in its order. The forms that need them
	// are lists without ids, which go by place, and an object of ids.
	// Rows of any other question are bad; nil takes all.
	IDs []string
	Set string // name of the problem set, for errors
	// Fields names the fields of a file that calls them otherwise: the keys are
	// id, completion_id, output and code.
	Fields map[string]string
	// Skip is called with each bad row, which is then left out; nil refuses the
	// file.
	Skip func(*RowError)
}

// Rows reads recorded completions from r, one after the other, in file order. r
// may be compressed with gzip or zstd, and begin with a byte order mark. The form
// is told by what the text begins with:
//
//   - JSON lines: {"question_id", "completion_id", "code" and or "output"} each;
//   - a list of such objects, each of one or, with "code_list" and or
//     "output_list", of many completions, as LiveCodeBench's custom_evaluator has;
//   - a list of lists of programs, one list a question, in the order of the ids;
//   - an object of ids, each with a list of programs.
//
// The usual other names are known too: completion, generation and response for
// output, solution for code. Any of them may hold a list. Fields that are not read
// may hold anything. A program that is null is an empty one.
//
// A bad row is yielded as a *RowError beside a Row that holds at least its line;
// reading goes on behind it unless the error is final, so that a caller who wants
// them all just continues. Memory is bounded by one row, in the list form by one
// question. The name is that of the file, for errors.
func Rows(r io.Reader, name string, o Options) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		s := &scan{name: name, o: o, yield: yield, count: map[string]int{}}
		text, err := input.Open(r)
		if err != nil {
			s.final(0, err)
			return
		}
		defer text.Close()
		s.src, s.off = text.Reader, text.Mark
		s.names()
		switch s.form() {
		case formNone:
			s.final(0, errors.New("no rows, want JSON lines of {question_id, code or output}, or one of the lists that lcbq grade --help names"))
		case formLines:
			s.lines()
		case formList:
			s.list()
		case formObject:
			s.object()
		}
	}
}

// A form is what a file's text begins with.
type form int

const (
	formNone form = iota
	formLines
	formList
	formObject
)

// formOf tells the form by the first bytes, of which at most one read is looked
// at: an object whose first key is a question's id is an object of ids.
func (s *scan) form() form {
	for size := 64; ; size *= 8 {
		head, err := s.src.Peek(min(size, s.src.Size()))
		r := pyjson.New(head)
		kind := r.Next()
		whole := err != nil || size >= s.src.Size()
		switch {
		case kind == pyjson.Array:
			return formList
		case kind == 0 && r.Offset() == int64(len(head)): // only white space so far
			if err != nil {
				return formNone
			}
			if whole {
				return formLines // an unusual start, which the lines' reader tells of
			}
			continue
		case kind != pyjson.Object:
			return formLines
		}
		var key string
		var value pyjson.Kind
		_ = r.Object(func(k string) error { // the text is cut: only its start counts
			key, value = k, r.Next()
			return errStop
		})
		switch {
		case value == 0 && !whole:
			continue
		case value == pyjson.Object || value == 0 || s.known(key):
			return formLines
		case s.asked(key), s.o.IDs == nil && value == pyjson.Array:
			return formObject
		}
		return formLines
	}
}

var errStop = errors.New("seen enough")

// A scan is the state of one reading. It is used by one goroutine.
type scan struct {
	name  string
	o     Options
	src   source
	off   int64 // of the next byte of src
	line  int   // of the next byte of src, from 0; of lines only
	place int   // of the current element, see Row.Element; of lists only
	yield func(Row, error) bool
	count map[string]int // rows seen, by question

	id, completion string // names of fields
	output, code   []string
	strict         map[string]bool // fields of these names that hold something else are errors
}

type source interface {
	io.Reader
	Peek(n int) ([]byte, error)
	ReadSlice(delim byte) ([]byte, error)
	Size() int
}

// asked reports whether the problem set has the question.
func (s *scan) asked(id string) bool {
	return slices.Contains(s.o.IDs, id)
}

// fail yields a bad row and reports whether the caller wants more.
func (s *scan) fail(line int, field string, err error) bool {
	return s.yield(Row{Line: line, Element: s.place}, &RowError{File: s.name, Line: line, Element: s.place, Field: field, Err: err})
}

// final yields the error that ends the reading.
func (s *scan) final(line int, err error) {
	if syntax, ok := errors.AsType[*pyjson.SyntaxError](err); ok {
		at := *syntax
		line, at.Line = at.Line, 0
		err = fmt.Errorf("not JSON: %w", &at)
	}
	s.yield(Row{Line: line}, &RowError{File: s.name, Line: line, Err: err, Final: true})
}

// give numbers a good row within its question and yields it.
func (s *scan) give(row Row) bool {
	row.Index = s.count[row.QuestionID]
	s.count[row.QuestionID]++
	row.Element = s.place
	return s.yield(row, nil)
}
